"""SGLang: indexed attention, n-gram tables and residual streams, as read."""

from typing import Any

import pytest

import planner
from planner.planning import Outcome, Plan

NAME = "Qwen3.8-Flash-Next"
DRAFTS: dict[str, Any] = {
    "speculative_algorithm": "NEXTN",
    "speculative_num_steps": 3,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 4,
}


def ask(on: str = "8x h100", *, precision: str = "nvfp4", **options: Any) -> Plan:
    return planner.plan(
        NAME, on=on, precision=precision, context=65_536, engine="sglang", options=options
    )


def terms(plan: Plan) -> dict[str, int]:
    assert plan.allocation is not None
    return {term.name: term.nbytes for term in plan.allocation.ranks[0].terms}


def test_a_token_takes_k_v_and_its_share_of_a_key() -> None:
    """25,344 bytes on one rank, 13,056 from two ranks on (K and V are cut, keys are not)."""
    one = ask("rtx-pro-6000", mem_fraction_static=0.95)
    assert one.figures["cell_bytes_per_token"] == [25_344]
    assert ask().figures["cell_bytes_per_token"] == [13_056]
    assert ask(qsa_indexer_dtype="fp8_e4m3").figures["cell_bytes_per_token"] == [13_056 - 12 * 32]
    assert ask(page_size=1).settings["page_size"] == 64


def test_the_table_lies_on_the_host_on_disk_or_on_the_gpus() -> None:
    host, gpu = ask(), ask(ple_offload_embedding=False)
    assert host.allocation is not None
    assert gpu.allocation is not None
    table = host.allocation.host_bytes
    assert table is not None
    assert "n-gram table" not in terms(host)
    assert abs(terms(gpu)["n-gram table"] * 8 - table) < 1000
    assert gpu.allocation.host_bytes is None
    assert gpu.launch is not None
    assert "--no-ple-offload-embedding" in gpu.launch.command


def test_a_host_too_small_for_the_table_does_not_do() -> None:
    """Pinned memory cannot be swapped out."""

    def on(ram: str | None) -> Plan:
        return planner.plan(
            NAME, on="8x h100", precision="nvfp4", context=65_536, engine="sglang", ram=ram
        )

    assert on(None).fits
    assert on("512GB").fits
    small = on("32GB")
    assert small.outcome is Outcome.DOES_NOT_FIT
    assert small.allocation is not None
    assert small.allocation.capacity.sequences == 0
    assert "--no-ple-offload-embedding" in small.verdict


def test_one_machine_of_shared_memory_holds_it_only_with_the_table_on_disk() -> None:
    """As the cookbook of SGLang has it (sgl-project/sglang#37995)."""
    assert ask("gb10").outcome is Outcome.DOES_NOT_FIT
    disk = ask("gb10", ple_offload_backend="file")
    assert disk.outcome in (Outcome.FITS, Outcome.TIGHT)
    assert disk.allocation is not None
    assert any("--ple-offload-dir" in line for line in disk.allocation.warnings)


def test_drafts_are_chains_of_at_most_a_block() -> None:
    assert ask(**DRAFTS).outcome is not Outcome.CANNOT_RUN
    longer = ask(**DRAFTS | {"speculative_num_steps": 4, "speculative_num_draft_tokens": 5})
    assert longer.refusals[0].engine_message is not None
    assert "speculative_num_draft_tokens <= the QSA compress ratio (4)" in (
        longer.refusals[0].engine_message
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"version": "0.5.19"}, "0.5.20 is the first release"),
        ({"mamba_radix_cache_strategy": "no_buffer"}, "extra_buffer"),
    ],
)
def test_what_is_refused_says_why(options: dict[str, Any], says: str) -> None:
    plan = ask(**options)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert any(says in f"{one.reason} {one.remedy}" for one in plan.refusals)
