"""List every layout of a checkpoint on a system: legal or why not, the best first."""

from __future__ import annotations

from collections.abc import Iterator

from hardware_db import System
from hardware_db.records import frozen
from planner.cost import PriceOption
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.planning import Outcome, Plan
from planner.question import Question
from planner.search.precision import best_that_fits, runnable
from planner.speed import speed_of
from planner.throughput import NoEstimate, SpeedEstimate
from planner.units import format_gib


@frozen
class Suggestion:
    """One candidate, planned.

    Attributes:
        plan: what comes of it: a plan that fits or does not, or the refusals.
        speed: decode speed, sequences half way to full context; None if it cannot run.
        notes: what this layout replicates, saves, or sends over which link.
        offer: what the system costs, where hardware is compared.
    """

    plan: Plan
    speed: SpeedEstimate | NoEstimate | None
    notes: tuple[str, ...] = ()
    offer: PriceOption | None = None

    def __repr__(self) -> str:
        """Return the layout and its verdict."""
        return f"<Suggestion: {self.layout}: {self.plan.verdict}>"

    @property
    def layout(self) -> Layout:
        """How the checkpoint is spread."""
        return self.plan.deployment.layout

    @property
    def legal(self) -> bool:
        """The engine can run it, whether or not the memory suffices."""
        return self.plan.outcome is not Outcome.CANNOT_RUN

    @property
    def why(self) -> str:
        """The verdict, or the rule that forbids it."""
        return self.plan.verdict


def suggest_layouts(question: Question, *, any_precision: bool = False) -> tuple[Suggestion, ...]:
    """Return every layout of the question, the best first, those that cannot run last.

    Args:
        question: what is asked; its layout is not used.
        any_precision: where none holds it, layouts in the best precision that does come as well.

    Raises:
        InputError: the question itself makes no sense.
    """
    free = question.with_(layout=None)
    found = list(free.ranked())
    if any_precision and not any(plan.fits for plan in found):
        lower, _ = best_that_fits(free, runnable(free, below=question.checkpoint))
        if lower is not None:
            found = [*free.with_(checkpoint=lower.deployment.checkpoint).ranked(), *found]
    return tuple(
        Suggestion(plan=plan, speed=speed_of(plan), notes=tuple(layout_notes(plan)))
        for plan in found
    )


def layout_notes(plan: Plan) -> Iterator[str]:
    """What the layout of `plan` replicates, and which links it uses, one clause each."""
    asked = plan.deployment
    layout, system, model = asked.layout, asked.system, asked.checkpoint.model
    tensor = layout.tensor_parallel
    kv_heads = model.attention.num_key_value_heads
    if tensor > kv_heads:
        yield (
            f"{kv_heads} KV heads over TP {tensor}: each is kept on {tensor // kv_heads} ranks,"
            f" so KV takes as much per GPU as at TP {kv_heads}"
        )
    if layout.expert_parallel and model.moe is not None:
        share = -(-model.moe.num_experts // layout.expert_ranks)
        rest = "attention and DeltaNet are cut by TP" if tensor > 1 else "everything else is whole"
        copies = f", {layout.data_parallel} copies of it" if layout.data_parallel > 1 else ""
        yield f"EP {layout.expert_ranks}: {share} whole experts per rank; {rest}{copies}"
    elif layout.data_parallel > 1:
        each = -(-asked.concurrency // layout.data_parallel)
        weights = plan.ranks[0].of_kind(Kind.WEIGHTS) if plan.ranks else 0
        per_rank = f", {format_gib(weights)} of weights per GPU" if weights else ""
        yield f"{layout.data_parallel} replicas with {_count(each, 'request')} each{per_rank}"
    if asked.concurrency < layout.data_parallel:
        spare = layout.data_parallel - asked.concurrency
        yield f"{_count(spare, 'replica')} without work at this concurrency"
    idle = system.count - layout.accelerators
    if idle:
        yield f"{idle} of {system.count} accelerators stay idle"
    yield from _links(layout, system)
    if plan.outcome is Outcome.HOLDS_FEWER and plan.capacity is not None:
        yield f"holds {plan.capacity.sequences:,} of {asked.concurrency:,} requests"
    elif plan.outcome is Outcome.DOES_NOT_FIT and plan.allocation is not None:
        yield f"{format_gib(plan.allocation.shortfall)} short"


def _links(layout: Layout, system: System) -> Iterator[str]:
    """Over what tensor parallelism and stages talk."""
    tensor, node = layout.tensor_parallel, system.accelerators_per_node
    spans = system.link_domain or 0
    if tensor > 1:
        if tensor > node and tensor > spans:
            yield f"all-reduces leave the node: {_between(system)}"
        elif tensor > node:
            yield f"all-reduces stay in one link domain of {spans} ({system.inter_node_link})"
        else:
            domain = system.accelerator.nvlink_domain
            if domain is not None and tensor > domain:
                yield (
                    f"TP {tensor} is wider than the {system.accelerator.link_name or 'fast link'}'s"
                    f" {domain}: all-reduces go over {system.intra_node_link or 'PCIe'}"
                )
            elif system.intra_node_link:
                yield f"all-reduces over {system.intra_node_link}"
    if layout.pipeline_parallel > 1 and tensor * layout.pipeline_parallel > max(node, spans):
        yield f"stages hand over between nodes: {_between(system)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _between(system: System) -> str:
    if system.inter_node_link is None:
        return "the link between the nodes is not known"
    rate_of = system.inter_node_gb_s
    speed = f", {rate_of.value:g} GB/s" if rate_of is not None else ""
    return f"{system.inter_node_link}{speed}"
