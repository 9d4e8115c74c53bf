"""llama.cpp's compute buffers by shape: equal to the whole graph's, whatever is asked."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.llamacpp_graphs import cases, same_events
from planner.engines.llamacpp.compute import compute_buffers
from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.ggml import shapes
from planner.engines.llamacpp.ggml.cells import Cells, growth_of
from planner.engines.llamacpp.graphs import whole_graph
from planner.engines.llamacpp.placement import Override, Placement, experts_on_host
from planner.engines.llamacpp.tensor_file import file_blocks
from planner.engines.llamacpp.whereabouts import homes_of
from planner.model.catalog import find
from planner.model.gguf_mix import GgufScheme
from planner.model.spec import ModelSpec

Q8 = GgufScheme(mix="Q8_0")


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_buffers_by_shape_are_those_of_the_whole_graph(seed: int) -> None:
    """2,000 cases: python -m benchmarks.llamacpp_graphs."""
    for arguments, flags in cases(6, seed):
        assert compute_buffers(*arguments, **flags) == whole_graph(*arguments, **flags)
        assert same_events(arguments, flags)


def test_norms_away_from_their_block_are_tied_to_it() -> None:
    """-ot "attn" takes a block's norms along: on one GPU, too, a start ties them to the block."""
    found = find("Qwen3.5-27B")
    assert found is not None
    model = found[0].model
    blocks = file_blocks(model, Q8)
    placement = Placement(
        devices=1,
        blocks=blocks,
        n_gpu_layers=blocks + 1,
        shares=(1.0,),
        overrides=(Override(pattern=r"blk\.[0-9]\.attn", backend=1),),
    )
    context = Context(n_ctx=8192, n_outputs_max=1)
    arguments = (model, Q8, placement, context)
    for op_offload in (True, False):
        whole = whole_graph(*arguments, op_offload=op_offload)
        assert compute_buffers(*arguments, op_offload=op_offload) == whole


def on_one(name: str) -> tuple[ModelSpec, GgufScheme, Placement]:
    found = find(name)
    assert found is not None
    model = found[0].model
    blocks = file_blocks(model, Q8)
    return model, Q8, Placement(devices=1, blocks=blocks, n_gpu_layers=blocks + 1, shares=(1.0,))


@settings(max_examples=10, deadline=None)
@given(units=st.lists(st.integers(8, 1024), min_size=2, max_size=6))
@pytest.mark.parametrize("name", ["Qwen3.5-27B", "Qwen3.5-122B-A10B"])
@pytest.mark.parametrize("fused", [True, False])
def test_one_graph_tells_all_lengths(name: str, fused: bool, units: list[int]) -> None:
    model, scheme, placement = on_one(name)
    before = len(shapes._STRUCTURES)
    for unit in units:
        context = Context(n_ctx=256 * unit, n_outputs_max=1, flash_attn=fused)
        found = compute_buffers(model, scheme, placement, context)
        assert found == whole_graph(model, scheme, placement, context)
    assert len(shapes._STRUCTURES) <= before + 3, "no graph is built for another length"


@pytest.mark.parametrize(("devices", "most"), [(1, 7), (2, 12), (8, 18)])
def test_a_few_blocks_show_what_all_do(devices: int, most: int) -> None:
    model, scheme, placement = on_one("Qwen3.5-397B-A17B")
    homes = homes_of(model, scheme, replace(placement, devices=devices, shares=(1.0,) * devices))
    sample = homes.sample(range(len(homes.blocks)), kept=devices > 1)
    assert sample is not None
    assert len(sample) <= most


@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(["Qwen3.5-2B", "Qwen3.5-35B-A3B"]),
    devices=st.integers(2, 6),
    layers=st.integers(1, 40),
    experts=st.integers(0, 40),
    slots=st.sampled_from([1, 9, 20]),
)
def test_pieces_of_one_placement_serve_in_another(
    name: str, devices: int, layers: int, experts: int, slots: int
) -> None:
    """Some blocks in RAM, some on GPUs: what such blocks do depends on who shares inputs with them."""
    model, scheme, placement = on_one(name)
    placement = replace(
        placement,
        devices=devices,
        shares=(1.0,) * devices,
        n_gpu_layers=layers,
        overrides=experts_on_host(experts if model.moe else 0, host=devices),
    )
    context = Context(n_ctx=4096 * slots, n_seq_max=slots, n_outputs_max=slots)
    assert same_events((model, scheme, placement, context), {"op_offload": True, "dry_run": True})


@given(
    a=st.integers(-99, 99), b=st.integers(-99, 99), n=st.integers(0, 999), more=st.integers(0, 99)
)
def test_cells_remember_how_sizes_grow(a: int, b: int, n: int, more: int) -> None:
    def size(cells: int) -> int:
        return (cells * a + b) * 4 - (b - cells) * 2 + 3 * cells // 3 + -cells

    found = size(Cells(n))
    assert found == size(n)
    assert found + growth_of(found) * more == size(n + more)


def test_what_is_not_affine_is_refused() -> None:
    with pytest.raises(ValueError, match="not affine"):
        Cells(4) * Cells(4)
    with pytest.raises(ValueError, match="not affine"):
        Cells(4) // 2
