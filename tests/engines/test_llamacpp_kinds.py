"""Indexers, hyper-connections and n-gram tables under llama.cpp.

Figures of the engine itself: llama.cpp 0c1e570 built for the CPU, with a file of the model's shapes
(Q8_0, zeros), as it logged them on 2026-11-27.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.engines.llamacpp.buffers import model_bytes
from planner.engines.llamacpp.compute import compute_buffers
from planner.engines.llamacpp.contexts import (
    Context,
    cache_bytes,
    index_bytes_per_block,
    window_bytes_per_block,
)
from planner.engines.llamacpp.graphs import whole_graph
from planner.engines.llamacpp.placement import Placement, experts_on_host
from planner.engines.llamacpp.tensor_file import file_blocks
from planner.memory.breakdown import HOST_RANK, Kind
from planner.model.catalog import find
from planner.model.gguf_mix import GgufScheme
from planner.planning import Outcome
from planner.units import MIB

NAME = "Qwen3.8-Flash-Next"
Q8, Q4 = GgufScheme(mix="Q8_0"), GgufScheme(mix="Q4_K_M")
FOUND = find(NAME)
assert FOUND is not None
MODEL = FOUND[0].model
ON_CPU = Placement(devices=0, blocks=file_blocks(MODEL, Q8), n_gpu_layers=0, shares=())


def context(
    cells: int, ubatch: int, slots: int, *, flash: bool = True, cache: str = "f16"
) -> Context:
    return Context(
        n_ctx=cells,
        n_ubatch=ubatch,
        n_seq_max=slots,
        n_outputs_max=slots,
        flash_attn=flash,
        type_k=cache,
        type_v=cache,
    )


@pytest.mark.parametrize(
    ("asked", "compute", "nodes", "kv", "index", "state"),
    [
        (context(1024, 512, 1), 171.19, 6772, None, None, None),
        (context(2048, 256, 1, cache="q8_0"), 98.63, 6916, None, None, None),
        (context(3072, 33, 3, cache="q4_0"), 28.54, 6952, None, None, None),
        (context(4096, 512, 1), 199.79, 6772, 96.00, 12.00, 112.57),
        (context(4096, 512, 4), 171.22, 6808, 96.00, 12.00, 450.28),
        (context(8192, 1024, 1, flash=False), 1134.33, 6820, 192.00, 24.00, 112.57),
        (context(16_384, 2048, 2, cache="q8_0"), 823.45, 6952, 204.00, 25.50, 225.14),
        (context(32_768, 512, 1), 351.12, 6772, 768.00, 96.00, 112.57),
        (context(40_960, 1024, 5), 412.37, 6808, None, None, None),
        (context(131_072, 512, 1, cache="q8_0"), 988.51, 6916, None, None, None),
    ],
)
def test_buffers_are_those_that_the_engine_logged(
    asked: Context,
    compute: float,
    nodes: int,
    kv: float | None,
    index: float | None,
    state: float | None,
) -> None:
    found = compute_buffers(MODEL, Q8, ON_CPU, asked)
    assert (round(found.nbytes[0] / MIB, 2), found.graph_nodes) == (compute, nodes)
    if kv is not None and index is not None:
        cached, states = cache_bytes(MODEL, asked, ON_CPU)
        keys = index_bytes_per_block(MODEL, asked) * len(MODEL.full_attention_layers)
        assert round((cached[0] - keys) / MIB, 2) == kv
        assert round(keys / MIB, 2) == index
        assert round(states[0] / MIB, 2) == state


def test_windows_of_ngrams_and_weights_are_those_that_the_engine_logged() -> None:
    assert round(window_bytes_per_block(MODEL, context(4096, 512, 4)) / MIB, 2) == 1.41
    assert round(model_bytes(MODEL, Q8, ON_CPU, mtp=False)[0] / MIB, 2) == 179_477.21


@settings(max_examples=12, deadline=None)
@given(
    cells=st.integers(1, 600).map(lambda n: 256 * n),
    ubatch=st.sampled_from((1, 32, 512, 1024)),
    slots=st.integers(1, 3),
    experts=st.sampled_from((0, 7, 48)),
    devices=st.integers(1, 2),
    cache=st.sampled_from(("f16", "q8_0")),
)
def test_shapes_tell_what_the_whole_graph_tells(
    cells: int, ubatch: int, slots: int, experts: int, devices: int, cache: str
) -> None:
    blocks = file_blocks(MODEL, Q4)
    homes = Placement(
        devices=devices,
        blocks=blocks,
        n_gpu_layers=blocks + 1,
        shares=(1.0,) * devices,
        overrides=experts_on_host(experts, host=devices),
    )
    asked = context(cells, ubatch, slots, cache=cache)
    assert compute_buffers(MODEL, Q4, homes, asked) == whole_graph(MODEL, Q4, homes, asked)


def plan(on: str, **options: Any) -> planner.Plan:
    return planner.plan(
        NAME, on=on, engine="llamacpp", precision="q4_k_m", context=32_768, options=options
    )


def test_the_table_stays_in_the_file_unless_told_otherwise() -> None:
    by_default = plan("rtx-pro-6000 + 128GB RAM")
    assert any("stays in the file" in warning for warning in by_default.warnings)
    resident = plan("rtx-pro-6000 + 128GB RAM", lazy_mode="off")
    names = {term.name for rank in resident.ranks for term in rank.terms}
    assert "n-gram table on the host" in names
    more = resident.figures["host_bytes"] - by_default.figures["host_bytes"]
    assert more == by_default.figures["table_bytes_in_file"] > 0
    assert resident.launch is not None
    assert "-lzm off" in " ".join(resident.launch.argv)


def test_memory_that_gpu_and_cpu_share_holds_the_table() -> None:
    """CUDA and Vulkan on such machines do not work beside a mapped file; Metal does."""
    for on, held in (("dgx spark", True), ("m4 max 128", False)):
        rank = plan(on).ranks[0]
        assert any(term.name.startswith("n-gram table") for term in rank.terms) is held


@pytest.mark.parametrize("precision", ["q2_k", "q4_k_m"])
def test_tables_lie_in_what_the_gpu_is_not_lent(precision: str) -> None:
    """They were counted against the limit, though the CPU alone reads them."""
    found = planner.plan(NAME, on="strix halo 128GB", engine="llamacpp", precision=precision)
    (own,) = (rank for rank in found.ranks if rank.name == HOST_RANK)
    (shared,) = (rank for rank in found.ranks if rank.name != HOST_RANK)
    accelerator = found.deployment.system.accelerator
    assert [term.name for term in own.terms] == ["n-gram table on the host"]
    assert own.usable == accelerator.raisable_bytes - accelerator.usable_bytes
    assert not any(term.name.startswith("n-gram table") for term in shared.terms)
    assert found.figures["buffers"]["host"]["model"] > own.used  # as the log prints it
    assert found.figures["host_bytes"] > own.used
    raised = planner.plan(NAME, on="strix-halo-gtt", engine="llamacpp", precision=precision)
    (pool,) = raised.ranks
    assert pool.used == shared.used + own.used


def test_tables_that_do_not_fit_beside_count_as_lent() -> None:
    small = planner.plan(NAME, on="AI MAX+ 395 32GB", engine="llamacpp", precision="q2_k")
    (pool,) = small.ranks
    assert any(term.name == "n-gram table on the host" for term in pool.terms)


def test_what_the_index_adds_is_said() -> None:
    found = plan("h200")
    terms = {term.name: term for term in found.ranks[0].terms}
    keys = terms["indexer's keys"]
    assert keys.kind is Kind.KV_CACHE
    assert keys.nbytes * 8 == terms["KV cache"].nbytes
    assert found.outcome is Outcome.FITS


def test_builds_before_these_kinds_are_refused() -> None:
    found = plan("h100", version="b9010")
    assert found.outcome is Outcome.CANNOT_RUN
    assert "b9010 does not have the layers" in found.verdict


def test_a_model_without_them_keeps_none_of_it() -> None:
    plain = find("Qwen3.5-35B-A3B")
    assert plain is not None
    asked = replace(context(4096, 512, 1))
    assert index_bytes_per_block(plain[0].model, asked) == 0
    assert window_bytes_per_block(plain[0].model, asked) == 0
