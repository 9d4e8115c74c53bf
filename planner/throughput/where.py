"""Which share of a model's weights lies where, and over what it is read."""

from __future__ import annotations

from hardware_db import System
from hardware_db.records import frozen
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.model.tensors import NGRAM_TABLE
from planner.throughput.constants import table
from planner.throughput.host import is_named
from planner.throughput.part import UnknownFigureError

_EXPERTS = "moe.routed_experts"
_PROCESSOR = "cpu"
"""The vendor of an accelerator that stands for a processor and its RAM."""


@frozen
class Shares:
    """Shares (0..1) of one kind of weights: on the accelerators, on the host, over the link."""

    computed: float = 0.0
    streamed: float = 0.0

    @property
    def here(self) -> float:
        """On the accelerators."""
        return max(0.0, 1.0 - self.computed - self.streamed)


@frozen
class Where:
    """Where a deployment's weights and caches lie.

    Attributes:
        dense: of the weights that every step reads whole, the head included.
        experts: of the routed experts; as `dense` where there are none.
        read_in_place: streamed experts cross the link only where tokens choose them.
        caches: share of the layers whose caches lie on the host.
        prompts_stream: prompts are computed by the accelerator with copies of host weights.
    """

    dense: Shares = Shares()
    experts: Shares = Shares()
    read_in_place: bool = False
    caches: float = 0.0
    prompts_stream: bool = True

    @property
    def on_host(self) -> bool:
        """Whether the CPU computes with a part of the weights."""
        return self.dense.computed > 0 or self.experts.computed > 0

    @property
    def over_link(self) -> bool:
        """Whether a part of the weights crosses the link in every step."""
        return self.dense.streamed > 0 or self.experts.streamed > 0

    @property
    def on_accelerators(self) -> bool:
        """Whether all weights lie on accelerators."""
        return not self.on_host and not self.over_link

    @property
    def cpu_alone(self) -> bool:
        """Whether no weight lies on an accelerator."""
        return not self.dense.here and not self.experts.here


def where(checkpoint: Checkpoint, system: System, placement: Placement | None) -> Where:
    """Turn a placement's bytes into shares of the checkpoint's; None: all on accelerators."""
    if system.accelerator.vendor == _PROCESSOR:
        alone = Shares(computed=1.0)
        return Where(dense=alone, experts=alone, caches=1.0, prompts_stream=False)
    if placement is None or (not placement.outside and not placement.host_cache_layers):
        return Where()
    model = checkpoint.model
    head = "embed_tokens" if model.tie_word_embeddings else "lm_head"
    sizes = {"dense": 0, "experts": 0}
    for row in checkpoint.rows("text"):
        component = row.tensor.component
        if component == _EXPERTS:
            sizes["experts"] += row.nbytes
        elif component == head or component not in ("embed_tokens", "lm_head", NGRAM_TABLE):
            sizes["dense"] += row.nbytes
    computed, streamed = placement.host_computed_experts, placement.host_streamed_experts
    if placement.host_streamed and not streamed:
        # Whole layers cross the link: the experts in them as well, all of them.
        streamed = round(placement.host_streamed * sizes["experts"] / sum(sizes.values()))
    dense = _shares(
        placement.host_computed - computed, placement.host_streamed - streamed, sizes["dense"]
    )
    caches = placement.host_cache_layers
    return Where(
        dense=dense,
        experts=_shares(computed, streamed, sizes["experts"]) if sizes["experts"] else dense,
        read_in_place=placement.host_streamed_experts > 0,
        caches=min(
            1.0,
            (placement.host_layers if caches is None else caches) / model.num_hidden_layers,
        ),
        prompts_stream=placement.prompts_stream,
    )


def _shares(computed: int, streamed: int, whole: int) -> Shares:
    on_host = min(1.0, computed / whole)
    return Shares(computed=on_host, streamed=min(1.0 - on_host, streamed / whole))


def link_rate(system: System, layout: Layout) -> float:
    """Bytes per second between the host and the accelerators that work at the same time.

    The slower of the card's PCI Express and of the CPU's, where the CPU is known.

    Raises:
        UnknownFigureError: the database does not know the link.
    """
    figure = system.accelerator.pcie_gb_s
    if figure is None:
        raise UnknownFigureError(
            f"the link between {system.accelerator.name} and its host is not known"
        )
    rates = [row["gb_s"] for row in table("host")["pcie"] if is_named(system.cpu, row["cpu"])]
    rate = min([float(figure.value), *map(float, rates[:1])])
    return rate * 1e9 * layout.tensor_parallel * layout.data_parallel
