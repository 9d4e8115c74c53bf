"""Recurrent states: gathered for the batch's sequences, and what a convolution keeps of its input.

Source: llama.cpp 0c1e570 src/llama-graph.cpp (build_rs), src/models/delta-net-base.cpp
(build_conv_state), src/models/qwen4exp.cpp (build_conv_state_at).
"""

from __future__ import annotations

from planner.engines.llamacpp.ggml.inputs import Inputs
from planner.engines.llamacpp.ggml.tensor import (
    GgmlTensor,
    Graph,
    concat,
    cont,
    get_rows,
    in_view,
    reshape,
    transpose,
    view,
)


def recurrent_state(graph: Graph, inputs: Inputs, kind: str, block: int) -> GgmlTensor:
    """Return the states of the batch's sequences; those of others are moved aside."""
    cache = inputs.cache(kind, block)
    width = cache.ne[0]
    states = reshape(cache, width, cache.ne[1])
    zero = view(states, (width,))
    graph.expand(in_view("scale", zero, zero))
    gathered = get_rows(states, inputs.states_main)
    graph.expand(gathered)
    extra = get_rows(states, inputs.states_extra)
    aside = view(cache, (width, 0), cache.nb[1])
    graph.expand(in_view("cpy", aside, extra, aside))
    return gathered


def kept_columns(
    graph: Graph, inputs: Inputs, x: GgmlTensor, *, kind: str, block: int, kept: int
) -> GgmlTensor:
    """Return a convolution's input, the columns kept so far before those of the batch.

    Its last columns are written back to the cache, once per rollback state.

    Args:
        graph: the graph.
        inputs: what it is fed.
        x: [channels, tokens, sequences].
        kind: of the cache, see `Inputs.cache`.
        block: the block.
        kept: columns that the cache holds.
    """
    channels, seqs = x.ne[0], inputs.batch.n_seqs
    states = recurrent_state(graph, inputs, kind, block)
    states = reshape(states, kept, channels, seqs)
    joined = concat(states, transpose(x))
    cache = inputs.cache(kind, block)
    for _ in range(inputs.batch.n_rs_seq + 1):
        last = view(joined, (kept, channels, seqs), joined.nb[1], joined.nb[2])
        into = view(cache, (kept * channels, seqs), cache.nb[1])
        if inputs.arch.copies_columns:
            last = cont(last)
        graph.expand(in_view("cpy", into, last, into))
    return joined
