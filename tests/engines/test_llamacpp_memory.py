"""llama.cpp's graph, allocator, contexts and placement: properties beside the reference cases."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.engines.llamacpp.buffers import model_bytes
from planner.engines.llamacpp.compute import compute_buffers
from planner.engines.llamacpp.contexts import Context, cache_bytes, state_bytes_per_block
from planner.engines.llamacpp.ggml.allocator import alloc_bytes, buffer_sizes
from planner.engines.llamacpp.ggml.scheduler import schedule
from planner.engines.llamacpp.ggml.tensor import GgmlTensor, Graph, dup
from planner.engines.llamacpp.placement import Placement, experts_on_host
from planner.engines.llamacpp.tensor_file import file_blocks, file_tensors, gguf_scheme
from planner.model.catalog import find
from planner.model.gguf_mix import GgufScheme
from planner.model.headers import StoredCheckpoint, StoredTensor
from planner.model.spec import ModelSpec
from planner.model.stored_headers import checkpoint_from_headers

Q4 = GgufScheme(mix="Q4_K_M")


def model(name: str) -> ModelSpec:
    found = find(name)
    assert found is not None
    return found[0].model


SMALL, MOE, NEXT = (
    model(name) for name in ("Qwen3.5-0.8B", "Qwen3.5-35B-A3B", "Qwen3-Next-80B-A3B-Instruct")
)


def on_gpus(spec: ModelSpec, devices: int = 1, **placing: Any) -> Placement:
    blocks = file_blocks(spec, Q4)
    return Placement(
        **{
            "devices": devices,
            "blocks": blocks,
            "n_gpu_layers": blocks + 1,
            "shares": (1.0,) * devices,
            **placing,
        }
    )


def vector(op: str, elements: int, *src: GgmlTensor) -> GgmlTensor:
    return GgmlTensor(op, "f32", (elements,), src=src)


def sizes(*nodes: GgmlTensor) -> int:
    placed = [(node, 0) for node in nodes]
    return buffer_sizes([], placed, backends=2, host=1)[0]


def test_a_chain_without_in_place_operations_needs_two_tensors() -> None:
    a = vector("mul_mat", 1024)
    b = vector("mul_mat", 1024, a)
    c = vector("mul_mat", 1024, b)
    d = vector("mul_mat", 1024, c)
    assert sizes(a, b, c, d) == 2 * 4096


def test_an_in_place_operation_takes_its_operands_memory() -> None:
    a = vector("mul_mat", 1024)
    b = dup("add", a)
    assert sizes(a, b) == 4096


def test_an_output_is_never_written_over() -> None:
    a = vector("mul_mat", 1024)
    a.is_output = True
    assert sizes(a, dup("add", a)) == 2 * 4096


def test_a_view_keeps_what_it_shows_alive() -> None:
    a = vector("mul_mat", 1024)
    shown = GgmlTensor("view", "f32", (512,), src=(a,), view_src=a)
    b = vector("mul_mat", 1024, vector("mul_mat", 8))
    used = vector("mul_mat", 8, shown, b)
    assert sizes(a, shown, b.src[0], b, used) >= 2 * 4096


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_a_buffer_is_no_smaller_than_its_largest_tensor_nor_larger_than_all(elements: Any) -> None:
    nodes: list[GgmlTensor] = []
    for count in elements:
        nodes.append(vector("mul_mat", count, *nodes[-1:]))
    each = [-(-4 * count // 128) * 128 for count in elements]
    assert max(each) <= sizes(*nodes) <= sum(each)


def test_cuda_pads_quantized_rows_to_512_elements() -> None:
    weight = GgmlTensor("none", "q4_k", (768, 10))
    assert alloc_bytes(weight, on_gpu=True) - alloc_bytes(weight, on_gpu=False) == 144


def test_flash_attention_asks_for_f16_copies_of_a_quantized_cache() -> None:
    def attend(type_: str) -> int:
        q = vector("mul_mat", 256)
        k, v = (GgmlTensor("none", type_, (256, 1024)) for _ in range(2))
        return alloc_bytes(GgmlTensor("flash_attn", "f32", (256,), src=(q, k, v)), on_gpu=True)

    assert attend("f16") == 1024
    assert attend("q8_0") == 1024 + 2 * 2 * 256 * 1024


def test_nodes_follow_their_weights_and_inputs_are_copied() -> None:
    weight = GgmlTensor("none", "f32", (8, 8))
    weight.home, weight.is_weight = 0, True
    given_ = GgmlTensor("none", "f32", (8, 64))
    given_.is_input = True
    graph = Graph()
    graph.expand(GgmlTensor("mul_mat", "f32", (8, 64), src=(weight, given_)))
    plan = schedule(graph, backends=2, op_offload=True, pipeline=False)
    assert plan.splits == 1
    assert [backend for _, backend in plan.nodes] == [1, 0, 0]


@pytest.mark.parametrize("spec", [SMALL, MOE, NEXT], ids=["dense", "moe", "next"])
def test_compute_buffers_grow_with_context_and_batch(spec: ModelSpec) -> None:
    placement = on_gpus(spec)

    def needed(**change: int) -> tuple[int, ...]:
        asked: dict[str, Any] = {"n_ctx": 8192, "n_ubatch": 128, "n_outputs_max": 1, **change}
        context = Context(**asked)
        return compute_buffers(spec, Q4, placement, context).nbytes

    assert needed(n_ctx=65536)[0] > needed()[0]
    assert needed(n_ubatch=512)[0] > needed()[0]
    assert needed(n_outputs_max=128)[0] >= needed(n_outputs_max=1)[0]


@settings(max_examples=25, deadline=None)
@given(
    devices=st.integers(1, 4),
    layers=st.integers(0, 42),
    shares=st.lists(st.floats(0.1, 10), min_size=4, max_size=4),
)
def test_blocks_go_to_devices_in_order_and_none_is_lost(
    devices: Any, layers: Any, shares: Any
) -> None:
    placement = on_gpus(MOE, devices, n_gpu_layers=layers, shares=tuple(shares[:devices]))
    homes = [placement.device_of(block) for block in range(placement.blocks + 1)]
    on_host = [home == placement.host for home in homes]
    assert sum(not host for host in on_host) == min(layers, placement.blocks + 1)
    gpus = [home for home in homes if home != placement.host]
    assert all(a <= b for a, b in pairwise(gpus))
    if gpus:
        assert homes[placement.blocks] != placement.host, "layers are counted from the end"


def test_experts_on_the_host_move_their_bytes_and_no_others() -> None:
    everything = model_bytes(MOE, Q4, on_gpus(MOE), mtp=False)
    moved = model_bytes(MOE, Q4, on_gpus(MOE, overrides=experts_on_host(3, host=1)), mtp=False)
    tensors = file_tensors(MOE, Q4)
    experts = sum(t.nbytes for t in tensors.values() if "_exps" in t.key and t.block < 3)
    assert moved[1] - everything[1] == experts
    assert everything[0] - moved[0] == experts


def test_pipeline_parallelism_only_with_everything_on_several_gpus() -> None:
    assert on_gpus(MOE, 2).pipeline
    assert not on_gpus(MOE).pipeline
    assert not on_gpus(MOE, 2, kv_offload=False).pipeline
    assert not on_gpus(MOE, 2, overrides=experts_on_host(1, host=2)).pipeline
    assert not on_gpus(MOE, 2, n_gpu_layers=41).pipeline


@settings(max_examples=40)
@given(n_ctx=st.integers(1, 300_000), slots=st.integers(1, 64), unified=st.booleans())
def test_every_slot_gets_its_share_of_the_cells(n_ctx: Any, slots: Any, unified: Any) -> None:
    context = Context(n_ctx=n_ctx, n_seq_max=slots, kv_unified=unified)
    assert context.cells >= n_ctx - 256 * slots
    assert context.cells % 256 == 0
    assert context.n_ctx_seq * context.n_streams == context.cells


def test_rollback_multiplies_the_state_where_the_architecture_knows_it() -> None:
    plain, drafting = Context(n_ctx=4096), Context(n_ctx=4096, n_rs_seq=3)
    assert sum(state_bytes_per_block(MOE, drafting)) == 4 * sum(state_bytes_per_block(MOE, plain))
    assert state_bytes_per_block(NEXT, drafting) == state_bytes_per_block(NEXT, plain)


def test_caches_without_offload_lie_on_the_host() -> None:
    kv, states = cache_bytes(MOE, Context(n_ctx=4096), on_gpus(MOE, kv_offload=False))
    assert kv[0] == states[0] == 0
    assert kv[1] > 0
    assert states[1] > 0


@pytest.mark.parametrize("spec", [MOE, NEXT], ids=["moe", "next"])
def test_a_file_read_from_its_header_is_placed_like_the_mix_it_holds(spec: ModelSpec) -> None:
    stored = StoredCheckpoint(
        kind="gguf",
        label="Q4_K_M",
        tensors=tuple(
            StoredTensor(
                name=tensor.name,
                dtype=tensor.type.upper(),
                shape=tuple(reversed(tensor.ne)),
                nbytes=tensor.nbytes,
                file="f",
            )
            for tensor in file_tensors(spec, Q4).values()
        ),
        files=(),
        metadata={},
    )
    read = checkpoint_from_headers(spec, stored, id="x.gguf", source="test")
    scheme = gguf_scheme(read)
    assert scheme is read.scheme
    placement, context = on_gpus(spec), Context(n_ctx=4096)
    assert model_bytes(read.model, scheme, placement, mtp=True) == model_bytes(
        spec, Q4, placement, mtp=True
    )
    assert compute_buffers(read.model, scheme, placement, context) == compute_buffers(
        spec, Q4, placement, context
    )
