"""The speed of a plan: the deployment's own question, put to the estimate of throughput."""

from __future__ import annotations

from planner.errors import InputError
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
    drafted = asked.options.draft_tokens
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


def _outside(plan: Plan) -> bool:
    """Say whether weights that a step multiplies lie outside the accelerators."""
    return plan.allocation is not None and plan.allocation.placement.outside > 0


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
