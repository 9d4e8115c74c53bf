"""Say where a model's tensors lie and how its graph is made, as far as the events depend on it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import field

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.architecture import Architecture
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.model import block_kind, mtp_graph, trunk_graph
from planner.engines.llamacpp.ggml.samples import Situation, Spot, sample_of, situations_of
from planner.engines.llamacpp.ggml.setting import OFFLOAD_MIN_BATCH, Setting
from planner.engines.llamacpp.ggml.tensor import Graph, block_type
from planner.model.spec import ModelSpec


@frozen
class Homes:
    """Where the weights and caches of a model lie, as far as its graph depends on it.

    Two placements whose blocks and outside tensors have equal numbers have equal graphs, whatever
    the file's types.

    Attributes:
        model: the model.
        arch: llama.cpp's architecture of it.
        backends: GPUs and the host, which is the last.
        blocks: per block of the trunk a number for what its part of the graph follows from.
        frames: the same without the types of weights, which tell sizes and nothing else.
        outside: the same of the tensors outside the blocks.
        mtp: the same of the MTP block; None where the file has none.
        weights: makes the weights of one graph. It looks the file's tensors up when it is called: what
            is kept of a placement must not keep its file's whole table.
        cache: block -> backend of its cache.
        device: block -> backend of the block.
        spots: the blocks as far as their events depend on them, wherever their devices are.
        by_hand: weights lie wherever somebody said, which pieces of graphs do not tell apart.
        ends: what lies outside the blocks as in `outside`, wherever their devices are.
        known: the situations of blocks, once found, by whether inputs are kept.
    """

    model: ModelSpec
    arch: Architecture
    backends: int
    blocks: tuple[int, ...]
    frames: tuple[int, ...]
    spots: tuple[Spot, ...]
    outside: int
    mtp: int | None
    weights: Callable[[], Weights]
    cache: Callable[[int], int]
    device: Callable[[int], int]
    by_hand: bool
    ends: Hashable
    known: dict[bool, list[Situation]] = field(default_factory=dict)

    def kind(self, block: int) -> str:
        """Return what a block of the trunk is made of."""
        return block_kind(self.model, self.arch, block)

    def situations(self, *, kept: bool) -> list[Situation]:
        """Return the situation of each block, see `samples`."""
        found = self.known.get(kept)
        if found is None:
            found = situations_of(self.spots, host=self.backends - 1, kept=kept)
            self.known[kept] = found
        return found

    def sample(self, wanted: Sequence[int], *, kept: bool) -> tuple[int, ...] | None:
        """Return a few blocks that show the situations of those that are wanted; None if it takes all."""
        found = self.situations(kept=kept)
        return sample_of(self.spots, found, wanted, host=self.backends - 1, kept=kept)


_FEW_TOKENS = 8
"""More tokens of a sequence than a convolution keeps: below, shapes may agree that otherwise do not."""


def decides(batch: Batch) -> tuple[object, ...]:
    """Return what of a batch the order of events follows from, the sizes aside."""
    return (
        batch.flash_attn,
        *((block_type(kind).elements > 1, kind == "f32") for kind in (batch.type_k, batch.type_v)),
        batch.n_stream == 1,
        batch.n_seqs == 1,
        batch.n_rs_seq,
        min(batch.n_seq_tokens, max(batch.n_rs_seq + 1, _FEW_TOKENS)),
        batch.n_seq_tokens >= OFFLOAD_MIN_BATCH,
        min(batch.n_tokens, OFFLOAD_MIN_BATCH),
        batch.n_outputs >= OFFLOAD_MIN_BATCH,
        batch.n_outputs == batch.n_tokens,
        batch.half_mask,
        batch.scratch,
        batch.mixed,
    )


def graph_of(homes: Homes, setting: Setting, batch: Batch, blocks: Sequence[int]) -> Graph:
    """Return the graph of these blocks, or that of the MTP block."""
    host = homes.backends - 1 if setting.tied else None
    inputs = Inputs(homes.model, homes.arch, batch, homes.cache, host=host)
    weights = homes.weights()

    def pin(block: int) -> int | None:
        return homes.device(block) if setting.pinned else None

    if setting.mtp:
        return mtp_graph(inputs, weights, pin)
    return trunk_graph(inputs, weights, pin, blocks)
