"""The speed of a plan: the deployment's own question, put to the estimate of throughput."""

from __future__ import annotations

from planner.errors import InputError
from planner.memory.breakdown import Kind
from planner.model.tensors import NGRAM_TABLE
from planner.planning import Outcome, Plan
from planner.throughput import NoEstimate, Speculation, SpeedEstimate, Workload, estimate_speed
from planner.throughput.workload import MAX_DRAFTED


def speed_of(
    plan: Plan, *, output_tokens: int | None = None, acceptance: float | None = None
) -> SpeedEstimate | NoEstimate | None:
    """Decode and prefill speed of `plan`; None if it cannot run or does not fit.

    Where fewer sequences are resident than asked for, those that are count: the others wait.

    Args:
        plan: what is served.
        output_tokens: tokens of an answer out of the context; None plans a steady window in which
            no prompt arrives, every sequence half way to its full context.
        acceptance: tokens that one step yields per sequence under speculative decoding; None takes
            the reference acceptance.

    Raises:
        InputError: a value out of range.
    """
    asked = plan.deployment
    if output_tokens is not None and output_tokens >= asked.context:
        raise InputError(
            f"answer: {output_tokens:,} tokens leave no prompt in a context of {asked.context:,}"
        )
    if plan.outcome in (Outcome.CANNOT_RUN, Outcome.DOES_NOT_FIT) or plan.capacity is None:
        return None
    resident = min(asked.concurrency, plan.capacity.sequences)
    if not resident:
        return None
    if _outside(plan):
        return NoEstimate(reason="a part of the weights lies outside the accelerators' memory")
    drafted = getattr(asked.options, "draft_tokens", 0)
    if drafted is None:
        return NoEstimate(reason="how much a separate drafter speeds decoding up is not known")
    if drafted > MAX_DRAFTED:
        return NoEstimate(reason=f"more than {MAX_DRAFTED} drafted tokens per step were never seen")
    if output_tokens is None:
        workload = Workload(
            prompt_tokens=asked.context, concurrency=resident, depth=asked.context // 2
        )
    else:
        workload = Workload(
            prompt_tokens=asked.context - output_tokens,
            output_tokens=output_tokens,
            concurrency=resident,
        )
    speculation = Speculation(tokens=drafted, accepted=acceptance) if drafted else None
    return estimate_speed(
        asked.checkpoint,
        asked.system,
        asked.layout,
        engine=plan.engine,
        workload=workload,
        kv_cache_dtype=asked.kv_cache_dtype,
        speculation=speculation,
    )


_WHOLE = 0.97
"""Share of a checkpoint's matrices that must lie on accelerators for none to lie elsewhere; packing
and formats of the engine's own account for the rest."""


def _outside(plan: Plan) -> bool:
    """Whether weights that a step multiplies lie outside the accelerators.

    Where the engine does not state its placement, the weights on the accelerators are compared with
    those of the checkpoint, the table of embeddings apart.
    """
    allocation = plan.allocation
    if allocation is not None and allocation.placement is not None:
        return allocation.placement.outside > 0
    held = sum(
        rank.count * rank.of_kind(Kind.WEIGHTS)
        for rank in plan.ranks
        if not rank.name.startswith("host")
    )
    rows, looked_up = plan.deployment.checkpoint.rows("text"), ("embed_tokens", NGRAM_TABLE)
    needed = sum(row.nbytes for row in rows if row.tensor.component not in looked_up)
    return held < _WHOLE * needed


def speed_words(speed: SpeedEstimate | NoEstimate | None) -> tuple[str, ...]:
    """What a user reads: rates with band and basis, prefill apart, or why there is no estimate."""
    if speed is None:
        return ()
    if isinstance(speed, NoEstimate):
        return (speed.words,)
    lines = [speed.words]
    if speed.prefill is not None:
        lines.append(speed.prefill_words)
    return tuple(lines)
