"""vLLM: indexed attention, n-gram tables and residual streams, beside the reference cases."""

from typing import Any

import pytest

import planner
from planner.engines.commands import read_command
from planner.layout import Layout
from planner.planning import Outcome, Plan

NAME = "Qwen3.8-Flash-Next"
ROOMY: dict[str, Any] = {"kv_cache_memory_bytes": 20 * 2**30}


def ask(on: str = "8x h100", *, precision: str = "nvfp4", **options: Any) -> Plan:
    return planner.plan(
        NAME, on=on, precision=precision, context=65_536, engine="vllm", options=options
    )


def terms(plan: Plan) -> dict[str, int]:
    assert plan.allocation is not None
    return {term.name: term.nbytes for term in plan.allocation.ranks[0].terms}


def test_the_table_lies_on_the_host_and_a_flag_moves_it() -> None:
    host, gpu = ask(), ask(engram_cpu_offload=False)
    assert host.allocation is not None
    assert gpu.allocation is not None
    assert "n-gram table" not in terms(host)
    table = host.allocation.host_bytes
    assert table is not None
    assert gpu.allocation.host_bytes is None
    ranks = gpu.deployment.layout.tensor_parallel
    assert abs(terms(gpu)["n-gram table"] * ranks - table) < ranks * 1000
    assert any("--engram-config" in line for line in host.allocation.warnings)
    assert gpu.launch is not None
    assert "--engram-config '{\"cpu_offload\": false}'" in gpu.launch.command


def test_a_host_too_small_for_the_table_does_not_do() -> None:
    """Pinned memory cannot be swapped out."""

    def on(ram: str | None) -> Plan:
        return planner.plan(
            NAME, on="8x h100", precision="nvfp4", context=65_536, engine="vllm", ram=ram
        )

    assert on(None).fits
    assert on("512GB").fits
    small = on("32GB")
    assert small.outcome is Outcome.DOES_NOT_FIT
    assert small.allocation is not None
    assert small.allocation.capacity.sequences == 0
    assert "--engram-config" in small.verdict


def test_on_shared_memory_the_table_counts_wherever_it_lies() -> None:
    plan = ask("gb10")
    assert any(name.startswith("n-gram table") for name in terms(plan))
    assert plan.allocation is not None
    assert any("CPU and GPU share" in line for line in plan.allocation.warnings)


def test_the_first_release_that_serves_it_has_no_table_on_the_host() -> None:
    assert "n-gram table" in terms(ask(version="0.29.0"))
    assert "n-gram table" not in terms(ask(version="0.30.0"))


@pytest.mark.parametrize(
    ("on", "options", "says"),
    [
        ("8x h100", {"version": "0.28.0"}, "0.29.0 is the first release"),
        ("8x h100", {"version": "0.29.0", "indexer_kv_dtype": "fp8"}, "a newer release"),
        ("v100", {}, "BF16 only"),
    ],
)
def test_what_is_refused_says_why(on: str, options: dict[str, Any], says: str) -> None:
    plan = ask(on, **options)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert any(says in f"{one.reason} {one.remedy}" for one in plan.refusals)


def test_fp8_keys_make_more_blocks() -> None:
    plain, narrow = ask(**ROOMY), ask(**ROOMY, indexer_kv_dtype="fp8")
    assert narrow.figures["index_page_bytes"] * 2 == plain.figures["index_page_bytes"]
    assert narrow.figures["num_blocks"] > plain.figures["num_blocks"]
    assert narrow.launch is not None
    assert "indexer_kv_dtype" in narrow.launch.command


def test_larger_steps_take_memory_for_the_chosen_tokens() -> None:
    small = terms(ask(max_num_batched_tokens=2048))["indices of the tokens that queries read"]
    large = terms(ask(max_num_batched_tokens=8192))["indices of the tokens that queries read"]
    assert large == 4 * small == 12 * 8192 * 2052 * 4


def test_tokens_are_not_shared_over_ranks() -> None:
    layout = Layout(tensor_parallel=8, context_parallel=2)
    plan = planner.plan(NAME, on="8x h100", engine="vllm", layout=layout)
    assert "context parallelism" in plan.refusals[0].reason


def test_the_flags_are_read_back() -> None:
    command = (
        f'vllm serve {NAME} --engram-config \'{{"cpu_offload": false, "use_thp": true}}\''
        " --attention-config.indexer_kv_dtype fp8"
    )
    _, read = read_command(command)
    assert read.options["engram_cpu_offload"] is False
    assert read.options["indexer_kv_dtype"] == "fp8"
    assert any("use_thp" in line for line in read.unplanned)
