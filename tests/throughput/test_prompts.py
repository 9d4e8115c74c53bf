"""The laws of prompts and of what engines do with them, one by one."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

import hardware_db
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.catalog import bundled_checkpoint
from planner.throughput import SpeedEstimate, Workload, estimate_speed
from planner.throughput.constants import (
    calibration,
    compute_dtypes,
    family,
    link_bandwidth,
    under_backend,
)
from planner.throughput.part import StepTerm
from planner.throughput.where import link_rate

DENSE, SPARSE = "Qwen/Qwen3.5-27B", "Qwen/Qwen3.5-35B-A3B"


def ask(
    on: str,
    engine: str = "llamacpp",
    *,
    tokens: int = 4096,
    precision: str = "q4_k_m",
    model: str = DENSE,
    layout: Layout | None = None,
    chunk: int | None = None,
    workload: Workload | None = None,
) -> SpeedEstimate:
    """An estimate that must be there."""
    found = estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        layout or Layout(),
        engine=engine,
        workload=workload or Workload(prompt_tokens=tokens),
        chunk=chunk,
    )
    assert isinstance(found, SpeedEstimate)
    return found


def rate(found: SpeedEstimate) -> float:
    """Tokens per second of the prompt."""
    assert found.prefill is not None
    return found.prefill.tokens_per_second.value


def names(terms: Sequence[StepTerm]) -> set[str]:
    """What a time is made of."""
    return {term.name for term in terms}


def test_chunks_overlap_in_the_stages_of_one_machine() -> None:
    """2x RTX 3060: 556 tok/s at 512 tokens, one chunk, and 870 at 4,096 (public file 57602737011)."""
    two = Layout(pipeline_parallel=2)
    short, long = (rate(ask("2x rtx-3060-12", layout=two, tokens=n)) for n in (512, 4096))
    assert 1.4 < long / short < 1.7
    whole = rate(ask("2x rtx-3060-12", layout=two, tokens=4096, chunk=2048))
    assert whole < long
    assert rate(ask("rtx-3060-12")) == pytest.approx(rate(ask("rtx-3060-12", tokens=512)), rel=0.1)


def test_chunks_do_not_overlap_between_machines_or_in_other_engines() -> None:
    two = Layout(pipeline_parallel=2)
    near, far = (ask(on, layout=two, tokens=4096) for on in ("2x rtx-3090", "2x dgx-spark"))
    alone, spark = ask("rtx-3090"), ask("dgx-spark")
    assert rate(near) > 1.4 * rate(alone)
    assert rate(far) < 1.05 * rate(spark)
    vllm = [ask("2x rtx-3090", "vllm", layout=one, precision="fp8") for one in (Layout(), two)]
    assert rate(vllm[1]) < 1.05 * rate(vllm[0])


def test_cards_without_peer_access_take_turns_on_the_path_through_the_host() -> None:
    for ranks in (2, 4):
        game, work = (
            hardware_db.resolve(f"{ranks}x {name}") for name in ("rtx-5090", "rtx-pro-6000-server")
        )
        assert link_bandwidth(work, ranks=ranks) == 63e9
        assert link_bandwidth(game, ranks=ranks) == 63e9 / ranks


@pytest.mark.parametrize(
    ("cpu", "gb_s"),
    [
        (None, 31.5),
        ("Core i7-7700K (4c)", 15.75),
        ("Intel Core i3-8100", 15.75),
        ("Xeon E5-2666 v3 (10c Haswell)", 15.75),
        ("AMD Ryzen 9 5950X", 31.5),
        ("AMD Ryzen 9 7950X", 31.5),
    ],
)
def test_a_card_is_no_faster_than_the_lanes_of_its_cpu(cpu: str | None, gb_s: float) -> None:
    system = replace(hardware_db.resolve("rtx-3090"), cpu=cpu)
    assert link_rate(system, Layout()) == pytest.approx(gb_s * 1e9)


def test_attention_of_a_prompt_follows_the_peak_or_the_bandwidth_by_engine() -> None:
    """GB10: little bandwidth, many FLOPs. vLLM uses these, llama.cpp does not."""
    for engine, precision, word in (("vllm", "fp8", "peak"), ("llamacpp", "q4_k_m", "30 BW")):
        found = ask("gb10", engine, precision=precision, tokens=32768)
        assert found.prefill is not None
        (attention,) = (term for term in found.prefill.terms if term.name == "attention")
        assert word in attention.formula


def test_prompts_share_the_steps_of_those_who_decode_where_the_engine_mixes_them() -> None:
    busy = Workload(prompt_tokens=1024, output_tokens=256, concurrency=16)
    mixed, apart = (
        ask("h100-sxm", name, precision="fp8", workload=busy) for name in ("vllm", "sglang")
    )
    waiting = [
        [term.formula for term in found.terms if term.name == "other users' prefill"]
        for found in (mixed, apart)
    ]
    assert not any("prefill_layer_us" in formula for formula in waiting[0])
    assert any("prefill_layer_us" in formula for formula in waiting[1])


def test_layers_of_experts_have_a_router() -> None:
    sparse, dense = (ask("h100-sxm", "vllm", precision="fp8", model=m) for m in (SPARSE, DENSE))
    assert "routing to experts" in names(sparse.terms)
    assert "routing to experts" not in names(dense.terms)


def test_quantized_products_run_at_the_16_bit_rate_on_amd() -> None:
    assert compute_dtypes("ggml", "amd")[0] == "fp16"
    assert compute_dtypes("ggml", "nvidia")[0] == "int8"
    assert compute_dtypes("fp8-block", "amd")[0] == "fp8"


def _copies(on: str, engine: str = "llamacpp", *, ram: float = 90.0) -> float:
    """GB/s at which weights in RAM reach the card before the share of it that is fitted."""
    checkpoint = bundled_checkpoint(SPARSE, precision="q4_k_m")
    experts = sum(
        row.nbytes
        for row in checkpoint.rows("text")
        if row.tensor.component == "moe.routed_experts"
    )
    found = estimate_speed(
        checkpoint,
        hardware_db.resolve(on),
        Layout(),
        engine=engine,
        workload=Workload(prompt_tokens=4096),
        placement=Placement(device=0, host_computed=experts, host_computed_experts=experts),
        ram_bandwidth=ram,
    )
    assert isinstance(found, SpeedEstimate)
    assert found.prefill is not None
    (term,) = (one for one in found.prefill.terms if one.name == "weights over the link")
    return term.values["copies"] / 1e9


def test_copies_by_way_of_a_buffer_gain_less_than_their_link() -> None:
    """Measured: 11 GB/s over PCIe 3, 16 to 20 over 4, 20 over 5; the links are 15.75, 31.5 and 63."""
    fourth, fifth = _copies("rtx-4090"), _copies("rtx-5090")
    assert fourth == pytest.approx(1 / (1 / 31.5 + 1 / 40))
    assert 1.2 < fifth / fourth < 1.5
    assert _copies("rtx-4090", ram=20.0) < fourth
    assert _copies("rtx-4090", "ktransformers") == pytest.approx(31.5)


def test_accelerators_that_share_vulkan_alone_run_under_it() -> None:
    mixed = hardware_db.resolve("rtx-4090 + rx7900xtx")
    assert under_backend("llamacpp", mixed) == "llamacpp-vulkan"
    assert family("llamacpp-vulkan") == "llamacpp"
    for on in ("rtx-4090", "rx7900xtx", "2x rtx-3090", "apple-m4-max", "arc-b580"):
        assert under_backend("llamacpp", hardware_db.resolve(on)) == "llamacpp"
    assert under_backend("vllm", mixed) == "vllm"


def test_vulkan_copies_weights_more_slowly_than_rocm() -> None:
    """R9700, one box: 20 GB/s under ROCm, 12.6 under Vulkan."""
    system = hardware_db.resolve("r9700")
    rocm, vulkan = (
        calibration(system, engine, preset="serving", width=8).constants["link"]
        for engine in ("llamacpp", "llamacpp-vulkan")
    )
    assert vulkan < 0.8 * rocm
