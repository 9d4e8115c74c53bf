"""Buffers under the names that llama.cpp prints, and the other figures of its start-up log."""

from __future__ import annotations

from collections.abc import Mapping

from hardware_db.records import frozen
from planner.engines.llamacpp.buffers import model_bytes
from planner.engines.llamacpp.compute import compute_buffers
from planner.engines.llamacpp.contexts import (
    Context,
    cache_bytes,
    kv_bytes_per_block,
    output_bytes,
    state_bytes_per_block,
)
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.tensor_file import OUTSIDE, FileScheme, file_tensors
from planner.model.spec import ModelSpec

_REPACKED = frozenset({"q4_0", "q4_k", "iq4_nl", "mxfp4"})
_REPACKED_ROWS = 8


@frozen
class NamedBuffer:
    """Bytes of one buffer type: weights, caches, compute."""

    model: int
    context: int
    compute: int


@frozen
class LogFigures:
    """What one model and one context print.

    Attributes:
        buffers: per buffer type ("CUDA0", "CUDA_Host", "CPU", "CPU_REPACK").
        k_bytes, v_bytes: KV cache of all blocks.
        r_bytes, s_bytes: conv and SSM states of all blocks.
        output_bytes: output buffer on the host.
        kv_layers: blocks with a KV cache.
        graph_nodes, graph_splits: of the prompt's graph, and after " / " of the generation's where
            either differs.
    """

    buffers: Mapping[str, NamedBuffer]
    k_bytes: int
    v_bytes: int
    r_bytes: int
    s_bytes: int
    output_bytes: int
    kv_layers: int
    graph_nodes: str
    graph_splits: str
    pipeline: bool


def repacked_bytes(model: ModelSpec, scheme: FileScheme, placement: Placement, *, mtp: bool) -> int:
    """Bytes of weights that the CPU backend rearranges for its kernels (CPU_REPACK).

    Without a GPU only: beside one, weights on the host keep their layout. Rule of x86-64 with
    AVX2: Q4_0, Q4_K, IQ4_NL and MXFP4 matrices whose rows are a multiple of 8.

    Source: llama.cpp 0c1e570 ggml/src/ggml-cpu/repack.cpp, src/llama-model.cpp
    (make_cpu_buft_list).
    """
    if placement.devices:
        return 0
    return sum(
        tensor.nbytes
        for tensor in file_tensors(model, scheme).values()
        if (mtp or not tensor.mtp)
        and (tensor.key, tensor.block) != ("token_embd", OUTSIDE)
        and tensor.type in _REPACKED
        and len(tensor.ne) > 1
        and tensor.ne[1] % _REPACKED_ROWS == 0
    )


def log_figures(
    model: ModelSpec,
    scheme: FileScheme,
    placement: Placement,
    context: Context,
    *,
    mtp: bool = False,
    op_offload: bool = True,
    repack: bool = True,
    dry_run: bool = False,
) -> LogFigures:
    """All figures of one model and one context.

    Args:
        model: the architecture.
        scheme: the file's types.
        placement: what lies where.
        context: cells, sequences, batches.
        mtp: the MTP blocks are loaded.
        op_offload: large batches compute with host weights on a GPU.
        repack: the CPU backend rearranges weights (only without a GPU).
        dry_run: as --fit and llama-fit-params see it, before the model is loaded.
    """
    weights = model_bytes(model, scheme, placement, mtp=mtp)
    kv, states = cache_bytes(model, context, placement)
    work = compute_buffers(
        model, scheme, placement, context, op_offload=op_offload, dry_run=dry_run
    )
    generation = compute_buffers(
        model, scheme, placement, context, op_offload=op_offload, dry_run=dry_run, generation=True
    )
    host = placement.host
    buffers = {
        f"CUDA{gpu}": NamedBuffer(
            model=weights[gpu], context=kv[gpu] + states[gpu], compute=work.nbytes[gpu]
        )
        for gpu in range(placement.devices)
    }
    caches = kv[host] + states[host]
    if placement.devices:
        buffers["CUDA_Host"] = NamedBuffer(
            model=weights[host], context=0, compute=work.nbytes[host]
        )
        if caches:
            buffers["CPU"] = NamedBuffer(model=0, context=caches, compute=0)
    else:
        packed = repacked_bytes(model, scheme, placement, mtp=mtp) if repack else 0
        if packed:
            buffers["CPU_REPACK"] = NamedBuffer(model=packed, context=0, compute=0)
        buffers["CPU"] = NamedBuffer(
            model=weights[host] - packed, context=caches, compute=work.nbytes[host]
        )
    attention, linear = context.attention_blocks(model), model.linear_attention_layers
    k, v = kv_bytes_per_block(model, context)
    r, s = state_bytes_per_block(model, context)
    same = (work.graph_nodes, work.graph_splits) == (
        generation.graph_nodes,
        generation.graph_splits,
    )

    def both(prompt: int, generated: int) -> str:
        return str(prompt) if same else f"{prompt} / {generated}"

    return LogFigures(
        buffers=buffers,
        k_bytes=k * len(attention),
        v_bytes=v * len(attention),
        r_bytes=r * len(linear),
        s_bytes=s * len(linear),
        output_bytes=output_bytes(model, context),
        kv_layers=len(attention),
        graph_nodes=both(work.graph_nodes, generation.graph_nodes),
        graph_splits=both(work.graph_splits, generation.graph_splits),
        pipeline=placement.pipeline,
    )
