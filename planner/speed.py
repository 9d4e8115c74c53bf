"""The speed of a plan: the deployment's own question, put to the estimate of throughput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.errors import InputError
from planner.memory.placement import Placement
from planner.planning import Outcome, Plan
from planner.throughput import (
    Banded,
    NoEstimate,
    Speculation,
    SpeedEstimate,
    Workload,
    estimate_speed,
)
from planner.throughput.workload import MAX_DRAFTED

CHUNKS = (512, 1024, 2048, 4096)
"""Sizes of a chunk that are worth comparing: llama.cpp's -ub from its default on."""


def speed_of(
    plan: Plan,
    *,
    output_tokens: int | None = None,
    acceptance: float | None = None,
    ram_bandwidth: float | None = None,
) -> SpeedEstimate | NoEstimate | None:
    """Decode and prefill speed of `plan`; None if it cannot run or does not fit.

    Where fewer sequences are resident than asked for, those that are count: the others wait.

    Args:
        plan: what is served.
        output_tokens: tokens of an answer out of the context; None plans a steady window in which
            no prompt arrives, every sequence half way to its full context.
        acceptance: tokens that one step yields per sequence under speculative decoding; None takes
            the reference acceptance.
        ram_bandwidth: nominal GB/s of the host's memory (two channels of DDR5-5600 are 90); None
            takes what the hardware entry tells, else a class that the answer says was assumed.

    Raises:
        InputError: a value out of range.
    """
    if plan.allocation is None:
        return None
    placement = plan.allocation.placement
    return _estimate(plan, placement, output_tokens, acceptance, ram_bandwidth)


def prompt_speeds(
    plan: Plan, *, chunks: Sequence[int] = CHUNKS, ram_bandwidth: float | None = None
) -> dict[int, Banded]:
    """Seconds of one full prompt by the size of a chunk; empty where no speed is known.

    Where weights lie on the host, they cross the link once per chunk, so a larger chunk
    (llama.cpp's -ub) makes long prompts faster until the products take longer than the copies. The
    memory that larger chunks take is not in it.
    """
    found: dict[int, Banded] = {}
    if plan.allocation is None:
        return found
    for chunk in chunks:
        placement = replace(plan.allocation.placement, chunk=chunk)
        speed = _estimate(plan, placement, None, None, ram_bandwidth)
        if isinstance(speed, SpeedEstimate) and speed.prefill is not None:
            found[chunk] = speed.prefill.seconds
    return found


def _estimate(
    plan: Plan,
    placement: Placement,
    output_tokens: int | None,
    acceptance: float | None,
    ram_bandwidth: float | None,
) -> SpeedEstimate | NoEstimate | None:
    asked = plan.deployment
    if output_tokens is not None and output_tokens >= asked.context:
        raise InputError(
            f"answer: {output_tokens:,} tokens leave no prompt in a context of {asked.context:,}"
        )
    if plan.allocation is None or plan.outcome is Outcome.DOES_NOT_FIT:
        return None
    resident = asked.concurrency
    if not plan.fits:
        resident = min(resident, plan.allocation.capacity.sequences)
    if not resident:
        return None
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
    return estimate_speed(
        asked.checkpoint,
        asked.system,
        asked.layout,
        engine=plan.engine,
        workload=workload,
        kv_cache_dtype=asked.kv_cache_dtype,
        speculation=Speculation(tokens=drafted, accepted=acceptance) if drafted else None,
        placement=placement,
        ram_bandwidth=ram_bandwidth,
    )


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
