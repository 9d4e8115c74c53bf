"""What runs on accelerators that an engine has no rules for: what refusals say is true."""

import pytest

import planner
from planner.engines import ENGINES
from planner.planning import Outcome


@pytest.mark.parametrize(
    ("on", "runs", "does_not"),
    [
        ("tpu-v5e", "tpu-inference", ("llama.cpp", "MLX")),
        ("tpu-v6e", "tpu-inference", ("llama.cpp", "MLX")),
        ("gaudi3", "vllm-gaudi", ("llama.cpp", "MLX")),
        ("arc-b60", "SYCL", ("MLX",)),
        ("m4-max-128", "MLX", ("vLLM", "SGLang")),
    ],
)
@pytest.mark.parametrize("engine", ["sglang", "vllm", "mlx"])
def test_a_refusal_names_only_what_runs_there(
    engine: str, on: str, runs: str, does_not: tuple[str, ...]
) -> None:
    plan = planner.plan("Qwen3.5-9B", on=on, engine=engine, context=8192)
    if plan.outcome is not Outcome.CANNOT_RUN:
        return
    device = [refusal for refusal in plan.refusals if refusal.remedy and "there" in refusal.remedy]
    assert device
    assert all(runs in str(refusal.remedy) for refusal in device)
    assert not any(name in str(refusal.remedy) for refusal in device for name in does_not)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize(
    ("on", "runs"),
    [("mi50 32gb", "vllm-gfx906"), ("rx 5700 xt", "llama.cpp"), ("rx 580 8gb", "llama.cpp")],
)
def test_what_an_engine_is_not_built_for_is_refused(engine: str, on: str, runs: str) -> None:
    """A tick stood before vLLM on an MI50, which only forks of it run on."""
    plan = planner.plan("Qwen3.5-0.8B", on=on, engine=engine, context=8192)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert "is not built for gfx" in plan.refusals[0].reason
    assert runs in str(plan.refusals[0].remedy)
    assert planner.plan("Qwen3.5-0.8B", on="rx 7900 xtx", engine=engine, context=8192).fits


def test_only_rules_that_were_held_against_an_engine_are_called_verified() -> None:
    assert {name for name, engine in ENGINES.items() if not engine.verified} == {
        "tensorrt-llm",
        "ktransformers",
    }


@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm"])
@pytest.mark.parametrize("on", ["dgx-spark", "strix-halo-128", "h100"])
def test_engines_take_what_the_system_leaves_of_one_memory(engine: str, on: str) -> None:
    """One rule: `usable_bytes`, the memory itself where the accelerator has its own."""
    plan = planner.plan("Qwen3.5-4B", on=on, engine=engine, context=8192)
    accelerator = plan.deployment.system.accelerator
    for rank in plan.ranks:
        assert rank.total == accelerator.total_bytes
        assert rank.usable <= accelerator.usable_bytes
    if on == "dgx-spark":
        assert accelerator.usable_bytes < accelerator.total_bytes
