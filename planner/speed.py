"""The speed of a plan: the deployment's own question, put to the estimate of throughput."""

from __future__ import annotations

from dataclasses import replace

from hardware_db.records import frozen
from planner.allocating import layout_used
from planner.engines import get_engine
from planner.engines.options import declared
from planner.errors import InputError
from planner.memo import Key, remembered
from planner.planning import Outcome, Plan, plan_deployment
from planner.throughput import (
    Banded,
    NoEstimate,
    Speculation,
    SpeedEstimate,
    Workload,
    estimate_speed,
)
from planner.throughput.workload import MAX_DRAFTED

CHUNKS = (1024, 2048, 4096, 8192)
"""Sizes of a chunk that are worth trying."""


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
    return _estimate(plan, output_tokens, acceptance, ram_bandwidth)


@remembered(lambda plan: ((plan.allocation,), (plan.engine, plan.deployment.concurrency)))
def rates_of(plan: Plan) -> SpeedEstimate | NoEstimate | None:
    """Return the rates of `speed_of` alone, by which plans that hold the workload are compared.

    Where prompts change nothing in them, what is said of prompts and beside the rates is left out.
    """
    return speed_at(
        plan, _steady(plan.deployment.context, plan.deployment.concurrency), briefly=True
    )


def _steady(context: int, sequences: int) -> Workload:
    """Return a window in which no prompt arrives, every sequence half way to its full context."""
    return Workload(prompt_tokens=context, concurrency=sequences, depth=context // 2)


@frozen
class LargerChunk:
    """A plan whose prompts are computed more tokens at a time.

    Attributes:
        plan: it, with what the larger buffers push into RAM.
        flags: what to type, as in ``-b 4096 -ub 4096``.
        seconds: one full prompt.
        per_user: tokens per second of one user while decoding.
    """

    plan: Plan
    flags: str
    seconds: Banded
    per_user: Banded

    @property
    def words(self) -> str:
        """``-b 4096 -ub 4096: about 60 s (20–200) of prefill, decode about 17 tok/s (8–26)``."""
        rate = self.per_user.words("tok/s")
        return f"{self.flags}: {self.seconds.time} of prefill, decode {rate}"


def larger_chunk(plan: Plan, *, ram_bandwidth: float | None = None) -> LargerChunk | None:
    """Return the larger chunk that makes prompts of `plan` fastest and still fits.

    Weights on the host cross the link once per chunk, so a larger one (llama.cpp's -ub) makes long
    prompts faster. None where no weights do, where the engine has no such option, or where none
    of `CHUNKS` gains a tenth.
    """
    placement = plan.allocation.placement if plan.allocation else None
    now = speed_of(plan, ram_bandwidth=ram_bandwidth)
    if placement is None or not placement.chunk_options or not placement.prompts_stream:
        return None
    if not placement.outside or not isinstance(now, SpeedEstimate) or now.prefill is None:
        return None
    asked, found = plan.deployment, list[LargerChunk]()
    least = now.prefill.seconds.value * (1 - _WORTH_A_FLAG)
    for chunk in CHUNKS:
        if chunk <= now.prefill.chunk or now.prefill.chunk >= asked.context:
            continue
        options = replace(asked.options, **dict.fromkeys(placement.chunk_options, chunk))
        other = plan_deployment(replace(asked, options=options), get_engine(plan.engine))
        speed = speed_of(other, ram_bandwidth=ram_bandwidth) if other.fits else None
        if not isinstance(speed, SpeedEstimate) or speed.prefill is None:
            continue
        if speed.prefill.seconds.value < least:
            known = declared(type(options))
            flags = [f"{known[name].flags[0]} {chunk}" for name in placement.chunk_options]
            found.append(
                LargerChunk(
                    plan=other,
                    flags=" ".join(flags),
                    seconds=speed.prefill.seconds,
                    per_user=speed.per_user,
                )
            )
    return min(found, key=lambda one: one.seconds.value, default=None)


_WORTH_A_FLAG = 0.1


def _of_allocation(
    plan: Plan,
    output_tokens: int | None,
    acceptance: float | None,
    ram_bandwidth: float | None,
) -> Key:
    """Return the allocation, of which `planner.planning` keeps one per deployment."""
    said = (plan.engine, plan.deployment.concurrency, output_tokens, acceptance, ram_bandwidth)
    return (plan.allocation,), (said, plan.deployment.context)


@remembered(_of_allocation, most=1024)
def _estimate(
    plan: Plan,
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
        resident = min(resident, plan.allocation.sequences)
    if not resident:
        return None
    if output_tokens is None:
        workload = _steady(asked.context, resident)
    else:
        workload = Workload(
            prompt_tokens=asked.context - output_tokens,
            output_tokens=output_tokens,
            concurrency=resident,
        )
    return speed_at(plan, workload, acceptance=acceptance, ram_bandwidth=ram_bandwidth)


def speed_at(
    plan: Plan,
    workload: Workload,
    *,
    acceptance: float | None = None,
    ram_bandwidth: float | None = None,
    briefly: bool = False,
) -> SpeedEstimate | NoEstimate | None:
    """Return the speed of what `plan` deploys under another workload; None if it cannot run.

    Args:
        plan: what is served.
        workload: what is asked of it.
        acceptance: see `speed_of`.
        ram_bandwidth: likewise.
        briefly: see `estimate_speed`.

    Raises:
        InputError: a value out of range.
    """
    if plan.allocation is None:
        return None
    asked, placement = plan.deployment, plan.allocation.placement
    drafted, drafter = asked.options.draft_tokens, placement.drafter
    if drafted is None and drafter is None:
        return NoEstimate(reason="the size of the separate drafter is not known")
    drafted = drafter.tokens if drafter is not None else drafted
    if drafted is not None and drafted > MAX_DRAFTED:
        return NoEstimate(reason=f"more than {MAX_DRAFTED} drafted tokens per step were never seen")
    return estimate_speed(
        asked.checkpoint,
        asked.system,
        layout_used(asked.layout, plan.allocation),
        engine=plan.engine,
        workload=workload,
        kv_cache_dtype=asked.kv_cache_dtype,
        speculation=Speculation(tokens=drafted, accepted=acceptance, drafter=drafter)
        if drafted
        else None,
        placement=placement,
        ram_bandwidth=ram_bandwidth,
        briefly=briefly,
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
