"""KV-cache dtypes under vLLM: what it takes, where, and how the command spells it."""

import pytest

import planner
from planner.answer import Plan
from planner.engines.vllm.formats import TAKEN
from planner.planning import Outcome


def plan(dtype: str, on: str = "h100", **options: object) -> Plan:
    return planner.plan(
        "Qwen3.5-4B",
        on=on,
        engine="vllm",
        kv_cache_dtype=dtype,
        context=8192,
        precision="bf16",
        options=options,
    )


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0", "float32"])
def test_caches_of_other_engines_are_refused_with_those_that_are_taken(dtype: str) -> None:
    found = plan(dtype)
    assert found.outcome is Outcome.CANNOT_RUN
    assert dtype in found.refusals[0].reason
    assert "fp8" in (found.refusals[0].remedy or "")


@pytest.mark.parametrize(
    ("version", "on", "runs"),
    [
        ("0.33.0", "b200", True),
        ("0.33.0", "gb300", True),
        ("0.33.0", "h100", True),
        ("0.33.0", "rtx-4090", True),
        ("0.32.0", "rtx-3090", True),
        ("0.33.0", "rtx-5090", True),
        ("0.33.0", "t4", False),
        ("0.31.0", "h100", False),
        ("0.31.0", "b200", True),
        ("0.30.0", "rtx-4090", False),
        ("0.30.0", "rtx-5090", True),
    ],
)
def test_nvfp4_caches_need_kernels(version: str, on: str, runs: bool) -> None:
    """FlashInfer's FA2 reads them on 8.x, 9.0 and 12.x from 0.32.0 on (_nvfp4_kv_on_fa2)."""
    found = plan("nvfp4", on, version=version)
    assert (found.outcome is not Outcome.CANNOT_RUN) is runs
    if runs:
        assert found.settings["attn_backends"] == ["GDN_ATTN", "FLASHINFER"]


def test_what_fa2_cannot_read_is_refused() -> None:
    assert plan("nvfp4_4over6", "b200").outcome is not Outcome.CANNOT_RUN
    assert "choose nvfp4" in (plan("nvfp4_4over6", "h100").refusals[0].remedy or "")
    shared = planner.plan(
        "Qwen3.5-35B-A3B",
        on="8x h100",
        engine="vllm",
        kv_cache_dtype="nvfp4",
        layout=planner.Layout(tensor_parallel=8, context_parallel=2),
    )
    assert shared.refusals[0].engine_message == (
        "The DCP prefill wrapper cannot read NVFP4 block scales."
    )


@pytest.mark.parametrize(
    ("on", "dtype", "runs"),
    [
        ("rtx-3090", "fp8_per_token_head", False),
        ("a100-sxm-80", "fp8_per_token_head", False),
        ("a100-sxm-80", "int8_per_token_head", True),
        ("rtx-4090", "fp8_per_token_head", True),
        ("rtx-3090", "fp8", True),
        ("t4", "fp8", False),
    ],
)
def test_triton_reads_fp8_from_compute_capability_8_9_on(on: str, dtype: str, runs: bool) -> None:
    """vLLM 0.27.1 to 0.33.0 v1/attention/backends/triton_attn.py."""
    found = plan(dtype, on)
    assert (found.outcome is not Outcome.CANNOT_RUN) is runs
    if not runs:
        assert "requires SM89+. Re-run with --kv-cache-dtype" in str(
            found.refusals[0].engine_message
        )


@pytest.mark.parametrize(
    ("on", "dtype", "backend"),
    [
        ("h100", "fp8_e5m2", "FLASHINFER"),
        ("h100", "fp8", "FLASH_ATTN"),
        ("rtx-4090", "fp8", "FLASHINFER"),
        ("b200", "auto", "FLASHINFER"),
        ("h100", "int8_per_token_head", "TRITON_ATTN"),
        ("t4", "auto", "TRITON_ATTN"),
        ("mi300x", "fp8", "TRITON_ATTN"),
    ],
)
def test_each_format_has_its_kernels(on: str, dtype: str, backend: str) -> None:
    assert plan(dtype, on).settings["attn_backends"] == ["GDN_ATTN", backend]


def test_what_sources_disagree_on_is_said() -> None:
    old, new = plan("nvfp4", "rtx-5090", version="0.30.0"), plan("nvfp4", "rtx-5090")
    assert any("assumes that it runs" in warning for warning in old.warnings)
    assert not any("assumes" in warning for warning in new.warnings)


@pytest.mark.parametrize("dtype", TAKEN)
def test_every_dtype_runs_on_hopper(dtype: str) -> None:
    found = plan(dtype)
    assert found.fits
    assert found.launch is not None
    assert found.launch.argv[found.launch.argv.index("--kv-cache-dtype") + 1] == dtype


@pytest.mark.parametrize(
    ("typed", "flag"),
    [("bf16", "bfloat16"), ("FP8", "fp8"), ("fp16", "float16"), ("fp8_e4m3", "fp8_e4m3")],
)
def test_the_command_spells_the_dtype_as_the_engine_does(typed: str, flag: str) -> None:
    launch = plan(typed).launch
    assert launch is not None
    words = launch.argv
    assert words[words.index("--kv-cache-dtype") + 1] == flag
