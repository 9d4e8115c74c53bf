"""What an engine answers to a deployment: its refusals, its allocation.

A search asks the cheapest of them first and comes back to few deployments, so each answer is
computed once.
"""

from __future__ import annotations

from planner.engines.elsewhere import of_several_makers
from planner.engines.engine import Allocation, AnyEngine, Deployment, Refusal, but_workload
from planner.engines.yarn import LONGEST
from planner.errors import InputError
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.memory.breakdown import HOST_RANK
from planner.units import check_count, format_tokens, shown


def _whole(deployment: Deployment, engine: AnyEngine) -> Key:
    held, said = but_workload(deployment)
    return (*held, engine), (said, deployment.context, deployment.concurrency)


@remembered(_whole, most=4096)
def refusals_of(deployment: Deployment, engine: AnyEngine) -> tuple[Refusal, ...]:
    """Return why the engine does not take it, memory aside."""
    makers = None if engine.degrees.makers else of_several_makers(deployment, engine.title)
    return engine.refusals(deployment) if makers is None else (makers,)


def takes(deployment: Deployment, engine: AnyEngine) -> bool:
    """Say whether the engine takes it, memory aside, where nobody asks why not."""
    makers = None if engine.degrees.makers else of_several_makers(deployment, engine.title)
    return makers is None and engine.takes(deployment)


@remembered(_whole, most=1024)
def allocation_of(deployment: Deployment, engine: AnyEngine) -> Allocation | None:
    """Return what the engine allocates; None where it does not take the deployment."""
    return None if refusals_of(deployment, engine) else engine.allocate(deployment)


def holds(deployment: Deployment, engine: AnyEngine) -> bool:
    """Say whether the engine takes it, starts, and holds the workload."""
    found = allocation_of(deployment, engine)
    return found is not None and found.starts and found.holds(deployment.concurrency)


def layout_used(layout: Layout, allocation: Allocation | None) -> Layout:
    """Return the layout of those accelerators that hold something: an option may leave others out."""
    ranks = () if allocation is None else allocation.ranks
    used = sum(rank.count for rank in ranks if rank.name != HOST_RANK)
    stages = layout.pipeline_parallel == layout.accelerators
    return Layout(pipeline_parallel=used) if stages and 0 < used < layout.accelerators else layout


def forget() -> None:
    """Forget every answer that was kept, for measurements; what engines keep stays."""
    for memo in (refusals_of, allocation_of):
        memo.clear()


def check_length(context: int, native: int, whose: str, *, yarn: bool) -> None:
    """Refuse a context that a model is not made for.

    Args:
        context: tokens.
        native: tokens that the model is trained for.
        whose: the model, as a sentence names it.
        yarn: more than the native length is allowed.

    Raises:
        InputError: beyond the native length without YaRN, or beyond what YaRN is described for.
    """
    most = max(native, LONGEST)
    if native < context <= most and not yarn:
        raise InputError(
            f"context: {format_tokens(context)} tokens is beyond the native"
            f" {format_tokens(native)} of {whose}; ask for YaRN (--yarn) to extend it"
        )
    if context > most:
        raise InputError(
            f"context: {format_tokens(context)} tokens is beyond"
            f" {format_tokens(LONGEST)}, the longest that YaRN is described for"
        )


def check_deployment(deployment: Deployment, engine: AnyEngine) -> None:
    """Refuse values that make no sense, whatever the memory.

    Raises:
        InputError: such a value.
    """
    checkpoint, system, layout = deployment.checkpoint, deployment.system, deployment.layout
    check_count(deployment.context, what="context", most=2**40)
    check_count(deployment.concurrency, what="concurrency")
    yarn: object = deployment.yarn
    if not isinstance(yarn, bool):
        raise InputError(f"yarn must be true or false, got {shown(yarn)}")
    model = checkpoint.model
    check_length(deployment.context, model.max_position_embeddings, model.name, yarn=yarn)
    asked: object = layout
    if not isinstance(asked, Layout):
        raise InputError(
            f"layout must be a planner.Layout, got {shown(asked)}; write"
            " planner.Layout(tensor_parallel=2)"
        )
    if layout.accelerators > system.count:
        raise InputError(
            f"layout {layout} takes {layout.accelerators} accelerators,"
            f" {system.name} has {system.count}; name as many:"
            f" {layout.accelerators}x {system.accelerator.id}"
        )
    if not isinstance(deployment.options, engine.options_type):
        raise InputError(
            f"options: {engine.title} takes {engine.options_type.__name__},"
            f" got {type(deployment.options).__name__}"
        )
