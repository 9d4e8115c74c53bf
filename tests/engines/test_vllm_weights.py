"""vLLM's weights: what its own modules take, on which rank, stage and device."""

import dataclasses
from typing import Any

import pytest

import planner
from planner.answer import Plan
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.model.quantization_config import read_quantization
from planner.planning import Outcome


def ask(model: str = "Qwen3.5-27B", on: str = "h100", **question: Any) -> Plan:
    return planner.plan(model, on=on, **{"context": 8192, "engine": "vllm", **question})


def test_weights_on_the_host_are_placed_on_every_rank() -> None:
    offload = {"cpu_offload_gb": 20.0}
    plan = ask("Qwen3.5-27B", "2x rtx-4090", precision="bf16", options=offload)
    assert plan.allocation is not None
    assert plan.allocation.placement is not None
    assert plan.allocation.placement.host_streamed == 40 * 2**30
    assert plan.allocation.placement.host_streamed_experts == 0
    assert plan.allocation.host_bytes == 40 * 2**30
    experts = ask("Qwen3.5-35B-A3B", "rtx-4090", precision="fp8", options={"cpu_offload_gb": 20.0})
    assert experts.allocation is not None
    assert experts.allocation.placement is not None
    share = experts.allocation.placement.host_streamed_experts / (20 * 2**30)
    assert 0.9 < share < 1
    assert ask().allocation.placement.outside == 0  # type: ignore[union-attr]


def test_experts_in_16_bits_are_padded_on_sm_10() -> None:
    """FLASHINFER_TRTLLM pads each rank's experts to 128 columns (oracle/unquantized.py)."""
    eight = planner.Layout(tensor_parallel=8)
    sizes = {
        (on, version): ask(
            "Qwen3.5-35B-A3B",
            f"8x {on}",
            layout=eight,
            options={"language_model_only": True, "version": version},
        ).figures["params"][0]["param_bytes"]
        / 2**30
        for on, version in (("b200", "0.33.0"), ("b200", "0.30.0"), ("h200", "0.33.0"))
    }
    assert round(sizes["b200", "0.33.0"], 2) == 15.62
    assert sizes["b200", "0.30.0"] == sizes["h200", "0.33.0"]
    assert round(sizes["h200", "0.33.0"], 2) == 8.12
    shared = dataclasses.replace(eight, expert_parallel=True)
    whole = [
        ask("Qwen3.5-35B-A3B", f"8x {on}", layout=shared).figures["params"][0]["param_bytes"]
        for on in ("b200", "h200")
    ]
    assert whole[0] == whole[1]


def test_next_holds_its_head_on_every_stage() -> None:
    """models/qwen3_next.py makes ParallelLMHead without a stand-in for other stages."""
    stages = planner.Layout(pipeline_parallel=2)
    sizes = [
        stage["components"].get("text.lm_head", 0)
        for stage in ask("Qwen3-Next-80B-A3B-Instruct", "2x h200", layout=stages).figures["params"]
    ]
    assert sizes == [622_329_856, 622_329_856]
    qwen = ask("Qwen3.5-27B", "2x h200", layout=stages).figures["params"]
    assert "text.lm_head" not in qwen[0]["components"]


def test_the_tower_lies_on_every_stage_up_to_0_32() -> None:
    """models/interfaces.py: from 0.33.0 on stages after the first leave it out."""
    stages = planner.Layout(pipeline_parallel=2)
    for version, last in (("0.32.0", True), ("0.33.0", False)):
        plan = ask("Qwen3.5-27B", "2x h200", layout=stages, options={"version": version})
        held = [
            any(name.startswith("vision") for name in stage["components"])
            for stage in plan.figures["params"]
        ]
        assert held == [True, last]


def test_a_tower_that_is_not_loaded_must_divide_all_the_same() -> None:
    """0.33.0 builds it on the meta device first (run: "12 is not divisible by 8")."""
    eight = planner.Layout(tensor_parallel=8)
    text = ask("Qwen3.5-0.8B", "8x h100", layout=eight, options={"language_model_only": True})
    assert text.outcome is Outcome.CANNOT_RUN
    assert text.refusals[0].engine_message == "12 is not divisible by 8"
    spread = ask("Qwen3.5-0.8B", "8x h100", layout=eight, options={"mm_encoder_tp_mode": "data"})
    assert spread.outcome is not Outcome.CANNOT_RUN


AWQ = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": 128,
    "zero_point": True,
    "modules_to_not_convert": [
        "visual",
        "mtp",
        "mlp.gate",
        "shared_expert_gate",
        "linear_attn",
        "lm_head",
    ],
}
GPTQ = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": 128,
    "sym": True,
    "dynamic": {"-:.*visual.*": {}, "-:.*mtp.*": {}},
}
GPTQ_EXPERTS = GPTQ | {
    "dynamic": {
        f"-:.*{part}.*": {}
        for part in ("visual", "mtp", "linear_attn", "shared_expert", "self_attn")
    }
}
FP8_CHANNEL = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "ignore": [
        "lm_head",
        "re:.*visual.*",
        "re:.*mlp.gate$",
        "re:.*shared_expert_gate$",
        "re:.*in_proj_[ab]$",
        "re:.*mtp.*",
    ],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "float",
                "strategy": "channel",
                "symmetric": True,
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "float",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
}


def test_small_projections_are_replicated_on_cuda_alone() -> None:
    """layers/mamba/gdn/qwen_gdn_linear_attn.py (maybe_disable_tp) asks for the platform."""
    two = Layout(tensor_parallel=2)
    sizes = [
        ask("Qwen3.5-9B", on, precision="gptq-int4", layout=two).figures["params"][0]["param_bytes"]
        for on in ("2x h100", "2x mi300x")
    ]
    small = sum(
        row.tensor.parameters
        for row in planner.load_checkpoint("Qwen3.5-9B").stored
        if row.tensor.name.endswith(
            ("in_proj_a", "in_proj_b", "in_proj_a.weight", "in_proj_b.weight")
        )
    )
    assert small
    assert sizes[0] - sizes[1] == small  # two bytes each, of which half is another rank's


@pytest.mark.parametrize(
    ("model", "tp", "config", "nbytes"),
    [
        ("Qwen3.5-35B-A3B", 4, AWQ, 5_300_984_736),
        ("Qwen3.5-9B", 1, GPTQ, 7_664_978_432),
        ("Qwen3.5-9B", 8, GPTQ, 965_818_944),
        ("Qwen3.5-35B-A3B", 2, GPTQ_EXPERTS, 10_893_582_656),
        ("Qwen3.5-35B-A3B", 1, FP8_CHANNEL, 35_832_368_436),
        ("Qwen3.5-397B-A17B", 16, GPTQ_EXPERTS, 14_396_114_232),  # experts of 64 columns
        ("Qwen3-Coder-Next", 8, GPTQ_EXPERTS, 5_832_566_624),  # a fused in_proj_ba is cut
    ],
)
def test_quantized_weights_take_what_the_engines_modules_take(
    model: str, tp: int, config: dict[str, object], nbytes: int
) -> None:
    """Parameters of vLLM 0.33.0's own modules on the meta device, scales of the cache apart."""
    scheme = read_quantization({"quantization_config": config}, name=model)
    assert scheme is not None
    spec = planner.load_checkpoint(model).model
    stored = Checkpoint(id=model, model=spec, scheme=scheme, source="a config alone")
    plan = planner.plan(
        stored,
        on=f"{tp}x h100",
        engine="vllm",
        context=32_768,
        layout=planner.Layout(tensor_parallel=tp),
        options={"language_model_only": True},
    )
    scales_of_the_cache = 18 * len(spec.full_attention_layers)
    assert 0 <= nbytes - plan.figures["params"][0]["param_bytes"] <= scales_of_the_cache


def test_groups_of_weights_must_not_be_cut() -> None:
    refused = ask(
        "Qwen3.5-35B-A3B", "8x h100", precision="awq-int4", layout=Layout(tensor_parallel=8)
    )
    assert refused.outcome is Outcome.CANNOT_RUN
    assert "stored in groups of 128" in refused.verdict
    whole = ask(
        "Qwen3.5-35B-A3B", "4x h100", precision="awq-int4", layout=Layout(tensor_parallel=4)
    )
    assert whole.outcome is not Outcome.CANNOT_RUN


@pytest.mark.parametrize(
    ("config", "runs"),
    [
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": []}, False),
        (FP8_CHANNEL, True),
        (FP8_CHANNEL | {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, False),
        (GPTQ, True),
    ],
)
def test_an_e5m2_cache_needs_a_document_without_scales(
    config: dict[str, object], runs: bool
) -> None:
    """attention.py of vLLM 0.33.0: which methods make parameters for them."""
    scheme = read_quantization({"quantization_config": config}, name="x")
    assert scheme is not None
    spec = planner.load_checkpoint("Qwen3.5-9B").model
    stored = Checkpoint(id="x", model=spec, scheme=scheme, source="a config alone")
    plan = planner.plan(stored, on="h200", engine="vllm", kv_cache_dtype="fp8_e5m2")
    assert (plan.outcome is not Outcome.CANNOT_RUN) is runs


def test_an_e5m2_cache_needs_a_checkpoint_without_scales() -> None:
    for precision, runs in (("fp8", False), ("bf16", True)):
        plan = ask("Qwen3.5-27B", "h200", precision=precision, kv_cache_dtype="fp8_e5m2")
        assert (plan.outcome is not Outcome.CANNOT_RUN) is runs


@pytest.mark.parametrize(("dtype", "runs"), [("turboquant_4bit_nc", False), ("fp8", True)])
def test_a_cache_that_triton_reads_is_not_shared_over_ranks(dtype: str, runs: bool) -> None:
    layout = Layout(tensor_parallel=8, context_parallel=2)
    plan = ask("Qwen3.5-35B-A3B", "8x h100", layout=layout, kv_cache_dtype=dtype)
    assert (plan.outcome is not Outcome.CANNOT_RUN) is runs


@pytest.mark.parametrize("on", ["strix halo 128GB", "rx 7900 xtx"])
def test_experts_in_fp8_are_refused_where_no_backend_takes_them(on: str) -> None:
    """It was said to fit, and fails before a weight is loaded (lemonade-sdk/vllm-rocm#44)."""
    found = planner.plan("Qwen/Qwen3.6-35B-A3B-FP8", on=on, engine="vllm")
    assert [refusal.engine_message for refusal in found.refusals] == [
        "No FP8 MoE backend supports the deployment configuration."
    ]


@pytest.mark.parametrize(
    ("model", "on"),
    [
        ("Qwen/Qwen3.6-35B-A3B-FP8", "mi300x"),
        ("Qwen/Qwen3.6-35B-A3B-FP8", "2x r9700"),
        ("Qwen/Qwen3.6-35B-A3B-FP8", "h100"),
        ("Qwen/Qwen3.6-35B-A3B", "strix halo 128GB"),
        ("Qwen/Qwen3.8-27B-FP8", "strix halo 128GB"),
    ],
)
def test_other_weights_and_targets_are_not_refused(model: str, on: str) -> None:
    assert not planner.plan(model, on=on, engine="vllm").refusals
