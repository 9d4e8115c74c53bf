"""Figures worked out by hand or printed in the engines' documents, against the policies."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from benchmarks.suites import figures, vllm_cases
from hardware_db import resolve
from planner.engines import get_engine
from planner.engines.llamacpp.contexts import Context, cache_bytes
from planner.engines.llamacpp.placement import Placement
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.ranks import Gpu, Parallel
from planner.engines.sglang.server import Server
from planner.engines.transformers.cache import cache_bytes as transformers_cache_bytes
from planner.engines.vllm import VllmOptions
from planner.formats import get_cache_format
from planner.layout import Layout
from planner.memory.kv_cache import kv_bytes_per_token_per_layer
from planner.model.catalog import bundled_checkpoint
from planner.planning import Plan
from planner.question import Question
from planner.units import GIB, MIB
from tests.present import some

VLLM = get_engine("vllm")


def vllm_plan(
    name: str,
    *,
    tp: int = 1,
    precision: str = "bf16",
    kv: str = "auto",
    gpu: str = "h100-sxm",
    **options: Any,
) -> Plan:
    asked = {"language_model_only": True, "kv_cache_memory_bytes": 10 * GIB} | options
    return Question(
        checkpoint=bundled_checkpoint(name, precision=precision),
        system=resolve(f"{tp}x {gpu}"),
        engine=VLLM,
        context=262144,
        concurrency=1,
        kv_cache_dtype=kv,
        layout=Layout(tensor_parallel=tp),
        options=VllmOptions(**asked),
    ).plan()


# model, TP -> blocks of (bf16, fp8) KV x (fp32, bf16) state, aligned to 16 | to 64; state and page.
BLOCKS = {
    ("Qwen3.5-0.8B", 1): ((544, 288, 1072, 560), (576, 320, 1088, 576), 1_085_440, 1_114_112),
    ("Qwen3.5-2B", 4): ((272, 144, 544, 288), (320, 192, 576, 320), 271_360, 278_528),
    ("Qwen3.5-4B", 2): ((528, 272, 1056, 544), (576, 320, 1088, 576), 1_073_152, 1_081_344),
    ("Qwen3.5-9B", 8): ((272, 144, 528, 272), (320, 192, 576, 320), 268_288, 278_528),
    ("Qwen3.5-27B", 1): ((784, 400, 1568, 800), (832, 448, 1600, 832), 3_207_168, 3_211_264),
    ("Qwen3.5-35B-A3B", 2): (
        (1056, 544, 2096, 1072),
        (1088, 576, 2112, 1088),
        1_073_152,
        1_081_344,
    ),
    ("Qwen3.5-122B-A10B", 1): (
        (2096, 1072, 4176, 2128),
        (2112, 1088, 4224, 2176),
        4_268_032,
        4_292_608,
    ),
    ("Qwen3.5-397B-A17B", 8): ((528, 272, 1056, 544), (576, 320, 1088, 576), 533_504, 540_672),
    ("Qwen3-Next-80B-A3B", 4): ((528, 272, 1056, 544), (576, 320, 1088, 576), 536_576, 540_672),
}


@pytest.mark.parametrize(("model", "tp"), BLOCKS)
def test_vllm_blocks_and_pages(model: str, tp: int) -> None:
    narrow, wide, state, page = BLOCKS[model, tp]
    for version, blocks in (("0.32.0", narrow), ("0.33.0", wide)):
        dtypes = product(("auto", "fp8"), ("float32", "bfloat16"))
        for (kv, ssm), block in zip(dtypes, blocks, strict=True):
            details = vllm_plan(
                model,
                tp=tp,
                kv=kv,
                version=version,
                enable_prefix_caching=True,
                mamba_ssm_cache_dtype=ssm,
            ).figures
            assert details["block_size"] == block, (version, kv, ssm)
            if (version, kv, ssm) == ("0.32.0", "auto", "float32"):
                assert details["mamba_page_bytes_unpadded"] == state
                assert details["attn_page_bytes"] == page


# GiB per rank as vLLM's own modules sum up (text only), at TP 1, 2, 4, ...
PARAMETERS = {
    ("Qwen3.5-0.8B", "bf16"): (1.401,),
    ("Qwen3.5-2B", "bf16"): (3.505,),
    ("Qwen3.5-4B", "bf16"): (7.834,),
    ("Qwen3.5-9B", "bf16"): (16.678,),
    ("Qwen3.5-27B", "bf16"): (50.098, 25.049, 12.525, 6.302),
    ("Qwen3.5-35B-A3B", "bf16"): (64.560, 32.300, 16.180, 8.119),
    ("Qwen3.5-122B-A10B", "bf16"): (227.450, 113.761, 56.934, 28.520, 14.313),
    ("Qwen3.5-397B-A17B", "bf16"): (738.253, 369.244, 184.769, 92.532, 46.413),
    ("Qwen3-Next-80B-A3B", "bf16"): (148.405, 74.250, 37.184, 18.651),
    ("Qwen3.5-9B", "fp8"): (10.242,),
    ("Qwen3.5-27B", "fp8"): (27.447, 13.724, 6.863, 3.452),
    ("Qwen3.5-35B-A3B", "fp8"): (33.259, 16.650, 8.349),
}


@pytest.mark.parametrize(("model", "precision"), PARAMETERS)
def test_vllm_parameters_per_rank(model: str, precision: str) -> None:
    for power, gib in enumerate(PARAMETERS[model, precision]):
        plan = vllm_plan(model, tp=2**power, precision=precision)
        (stage,) = plan.figures["params"]
        assert stage["param_bytes"] / GIB == pytest.approx(gib, abs=6e-4)


def test_vllm_example_of_the_document() -> None:
    """35B-A3B, 40 GiB, bf16 KV: 1927 blocks and 7.708x on H100, 1985 and 7.784x on A100."""
    for gpu, blocks, need, concurrency in (
        ("h100-sxm", 1927, 250, 7.708),
        ("a100-sxm-80", 1985, 255, 7.784),
    ):
        details = vllm_plan("Qwen3.5-35B-A3B", gpu=gpu, kv_cache_memory_bytes=40 * GIB).figures
        assert (details["num_blocks"], details["blocks_per_request"]) == (blocks, need)
        assert details["max_concurrency"] == pytest.approx(concurrency, abs=5e-4)


@pytest.mark.parametrize(
    ("dtype", "nbytes"),
    [
        ("bfloat16", 1024),
        ("fp8", 512),
        ("int8_per_token_head", 2 * (256 + 4)),
        ("int4_per_token_head", 2 * (128 + 4)),
        ("nvfp4", 2 * (128 + 16)),
        ("nvfp4_4over6", 2 * (128 + 16)),
        ("turboquant_k8v4", 256 + 128 + 4),
        ("turboquant_4bit_nc", 128 + 2 + 128 + 4),
        ("turboquant_k3v4_nc", 96 + 2 + 128 + 4),
        ("turboquant_3bit_nc", 96 + 2 + 96 + 4),
    ],
)
def test_bytes_of_a_kv_head_of_256(dtype: str, nbytes: int) -> None:
    attention = bundled_checkpoint("Qwen3.5-35B-A3B").model.attention
    size = kv_bytes_per_token_per_layer(
        attention, cache_format=get_cache_format(dtype), tensor_parallel=2
    )
    assert size == nbytes


def test_triton_prefill_keeps_no_checkpoints() -> None:
    """As vLLM 0.33 on a device without FlashInfer's kernels: narrow blocks, one state block less."""
    found = vllm_plan("Qwen3.5-35B-A3B", gdn_prefill_backend="triton")
    there = vllm_plan("Qwen3.5-35B-A3B", gpu="a100-sxm-80")
    for field in ("block_size", "blocks_per_request", "num_blocks"):
        assert found.figures[field] == there.figures[field]
    assert found.figures["num_prefill_checkpoint_blocks"] == 0
    assert vllm_plan("Qwen3.5-35B-A3B").figures["num_prefill_checkpoint_blocks"] == 1
    assert "--gdn-prefill-backend" in some(found.launch).argv


def test_unequal_stages_take_the_fewest_blocks() -> None:
    case = {
        "case": {
            "model": "Qwen3.5-35B-A3B",
            "tensor_parallel_size": 1,
            "pp": 2,
            "gpu": "h100",
            "available": [40 * GIB, 30 * GIB],
        }
    }
    plan = vllm_cases.ask(case, "0.33.0", Path())
    details = figures.vllm(plan, vllm_cases.available_of(case["case"]))
    assert details["num_blocks"] == min(
        size // block
        for size, block in zip((40 * GIB, 30 * GIB), details["bytes_per_block"], strict=True)
    )


def sglang_server(
    model: str,
    *,
    tp: int = 1,
    mib: int = 81559,
    capability: tuple[int, int] = (9, 0),
    kv: str = "auto",
    **options: Any,
) -> Server:
    return Server(
        checkpoint=bundled_checkpoint(model, precision="fp8"),
        parallel=Parallel(tp_size=tp),
        gpu=Gpu(memory_mib=mib, capability=capability),
        options=SGLangOptions(**options),
        kv_cache_dtype=kv,
    )


@pytest.mark.parametrize(
    ("mib", "capability", "fraction"),
    [
        (81559, (9, 0), 0.7676),
        (143771, (9, 0), 0.8351),
        (183359, (10, 0), 0.7897),
        (81920, (8, 0), 0.7676),
        (97887, (12, 0), 0.7934),
        (46068, (8, 9), 0.7796),
        (32607, (12, 0), 0.7185),
        (24564, (8, 9), 0.6510),
        (122502, (12, 1), 0.8193),
    ],
)
def test_sglang_fraction_by_gpu(mib: int, capability: tuple[int, int], fraction: float) -> None:
    server = sglang_server("Qwen3.5-35B-A3B", mib=mib, capability=capability)
    assert server.resolved.mem_fraction_static == pytest.approx(fraction, abs=5.1e-5)


@pytest.mark.parametrize(
    ("model", "tp", "cell", "slot", "slot_16_bit"),
    [
        ("Qwen3.5-35B-A3B", 1, 20_480, 64_389_120, 32_931_840),
        ("Qwen3.5-35B-A3B", 8, 10_240, 8_048_640, 4_116_480),
        ("Qwen3.5-27B", 2, 32_768, 76_972_032, 39_223_296),
        ("Qwen3.5-27B", 8, 16_384, 19_243_008, 9_805_824),
        ("Qwen3.5-122B-A10B", 1, 24_576, 153_649_152, 78_151_680),
        ("Qwen3.5-397B-A17B", 4, 15_360, 48_015_360, 24_422_400),
    ],
)
def test_sglang_cells_and_slots(
    model: str, tp: int, cell: int, slot: int, slot_16_bit: int
) -> None:
    server = sglang_server(model, tp=tp)
    assert server.geometry.cells == (cell,)
    assert server.geometry.slot.nbytes == slot
    halved = sglang_server(model, tp=tp, kv="fp8_e4m3", mamba_ssm_dtype="bfloat16")
    assert halved.geometry.cells == (cell // 2,)
    assert halved.geometry.slot.nbytes == slot_16_bit


@pytest.mark.parametrize(
    ("model", "kv_kib", "state_mib"),
    [
        ("Qwen3.5-0.8B", 12, 19.27),
        ("Qwen3.5-2B", 12, 19.27),
        ("Qwen3.5-4B", 32, 50.25),
        ("Qwen3.5-9B", 32, 50.25),
        ("Qwen3.5-27B", 64, 149.62),
        ("Qwen3.5-35B-A3B", 20, 62.81),
        ("Qwen3.5-122B-A10B", 24, 149.06),
        ("Qwen3.5-397B-A17B", 30, 186.33),
        ("Qwen3.8-2.4T-A95B", 92, 568.17),
        ("Qwen3-Next-80B-A3B", 24, 75.38),
    ],
)
def test_llamacpp_caches(model: str, kv_kib: int, state_mib: float) -> None:
    spec = bundled_checkpoint(model).model
    placement = Placement(
        devices=1, blocks=spec.num_hidden_layers, n_gpu_layers=10**4, shares=(1.0,)
    )
    for type_, share in (("f16", 1.0), ("q8_0", 0.53125), ("q4_0", 0.28125)):
        context = Context(n_ctx=32768, type_k=type_, type_v=type_)
        kv, states = cache_bytes(spec, context, placement)
        assert kv == (int(32768 * 1024 * kv_kib * share), 0)
        assert states[0] / MIB == pytest.approx(state_mib, abs=0.0051)


@pytest.mark.parametrize(
    ("model", "state"),
    [
        ("Qwen3.5-35B-A3B", 64_880_640),
        ("Qwen3.5-27B", 154_927_104),
        ("Qwen3.5-122B-A10B", 154_533_888),
        ("Qwen3.5-397B-A17B", 193_167_360),
    ],
)
def test_transformers_state(model: str, state: int) -> None:
    spec = bundled_checkpoint(model).model
    assert transformers_cache_bytes(spec, batch=1, tokens=1000).state == state
