"""KV-cache dtypes under vLLM: what it takes, where, and how the command spells it."""

import pytest

import planner
from planner.engines.vllm.formats import TAKEN
from planner.planning import Outcome, Plan
from tests.present import some


def plan(dtype: str, on: str = "h100") -> Plan:
    return planner.plan(
        "Qwen3.5-4B", on=on, engine="vllm", kv_cache_dtype=dtype, context=8192, precision="bf16"
    )


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0", "float32"])
def test_caches_of_other_engines_are_refused_with_those_that_are_taken(dtype: str) -> None:
    found = plan(dtype)
    assert found.outcome is Outcome.CANNOT_RUN
    assert dtype in found.refusals[0].reason
    assert "fp8" in some(found.refusals[0].remedy)


@pytest.mark.parametrize(
    ("on", "runs"),
    [("b200", True), ("gb300", True), ("h100", False), ("rtx-4090", False), ("rtx-5090", True)],
)
def test_nvfp4_caches_need_kernels(on: str, runs: bool) -> None:
    assert (plan("nvfp4", on).outcome is not Outcome.CANNOT_RUN) is runs


def test_what_sources_disagree_on_is_said() -> None:
    assert any("assumes that it runs" in warning for warning in plan("nvfp4", "rtx-5090").warnings)
    assert not any("assumes" in warning for warning in plan("nvfp4", "b200").warnings)


@pytest.mark.parametrize("dtype", [name for name in TAKEN if name != "nvfp4"])
def test_every_other_dtype_runs_on_hopper(dtype: str) -> None:
    found = plan(dtype)
    assert found.fits
    assert some(found.launch).argv[some(found.launch).argv.index("--kv-cache-dtype") + 1] == dtype


@pytest.mark.parametrize(
    ("typed", "flag"),
    [("bf16", "bfloat16"), ("FP8", "fp8"), ("fp16", "float16"), ("fp8_e4m3", "fp8_e4m3")],
)
def test_the_command_spells_the_dtype_as_the_engine_does(typed: str, flag: str) -> None:
    words = some(plan(typed).launch).argv
    assert words[words.index("--kv-cache-dtype") + 1] == flag
