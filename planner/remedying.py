"""Say what to change in a deployment whose start failed, each change planned anew."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planner import planning
from planner.engines.log_figure import Measured
from planner.learning import Lesson
from planner.logs import LogCheck, placed_otherwise
from planner.memory.breakdown import Kind
from planner.planning import device_rank
from planner.question import question_of

if TYPE_CHECKING:
    from planner.search import Advice

STEP = 0.01
"""Step of a share of the GPU that people would write."""

HARDER = (1, 2, 4)
"""Times what was lacking, as long as the plan holds its workload with so much less."""

_LOOKED_AT = 4
_SHOWN = 3


def remedies(check: LogCheck) -> tuple[Advice, ...]:
    """Return what to change in the deployment that a log is of, each planned anew.

    A server that started needs none.

    Where the log tells what the start took beyond the estimates, the changes are planned with it. Where
    the deployment holds its workload even so, they lower its need by what the plan has to spare and the
    start lacked.

    Args:
        check: the log against its plan.
    """
    from planner.recommending.advice import best_advice

    plan = check.plan
    if check.refusal is None or check.untold or check.log.wants_ram:
        return ()
    if check.within:
        return _within(plan, check.within, title="ask for no more than is free")
    if check.measured is not None:
        lesson = lesson_of(plan, check.measured)
        plan = question_of(plan).with_(lessons=(lesson,)).plan()
    return _unforeseen(check, plan) if plan.fits else best_advice(plan)


def lesson_of(plan: planning.Plan, measured: Measured) -> Lesson:
    """Return what a start of just this kind took beyond the estimates."""
    deployment = plan.deployment
    return Lesson(
        engine=plan.engine,
        release=plan.engine_version,
        device=deployment.system.accelerator.id,
        model=deployment.checkpoint.model.name,
        scheme=deployment.checkpoint.scheme.name,
        layout=str(deployment.layout),
        difference=measured.difference,
        cache_gib=measured.cache_gib,
        loading=measured.loading,
        wsl2=bool(getattr(deployment.options, "wsl2", False)),
        learned=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def _within(plan: planning.Plan, options: Mapping[str, Any], *, title: str) -> tuple[Advice, ...]:
    """Return what to change for a server that may take no more than some options let it.

    Args:
        plan: what it was told, on an empty machine.
        options: with which it asks for no more than that.
        title: what these do, in the imperative.
    """
    from planner.recommending.advice import advise

    changed = _with_options(plan, options)
    if changed.fits:
        return (_advice(title, options, changed),)
    free = max(rank.usable for rank in changed.ranks)
    found = (advice for advice in advise(changed) if _asks_for(advice.plan, plan.engine) <= free)
    return tuple(found)[:_SHOWN]


def _with_options(plan: planning.Plan, options: Mapping[str, Any]) -> planning.Plan:
    told = dataclasses.replace(plan.deployment.options, **options)
    return question_of(plan).with_(options=told).plan()


def _advice(title: str, options: Mapping[str, Any], changed: planning.Plan) -> Advice:
    words = " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in options.items())
    return _as_planned(changed, f"{title} ({words})")


def _asks_for(plan: planning.Plan, engine: str) -> int:
    """Return the bytes of its fullest GPU that a plan asks for: all it may use, or what it takes."""
    mine = plan.engine == engine
    return max((rank.usable if mine else rank.used for rank in plan.ranks), default=0)


def _unforeseen(check: LogCheck, plan: planning.Plan) -> tuple[Advice, ...]:
    """Return what to change where a start failed that the plan calls fitting.

    Args:
        check: the log against its plan.
        plan: the plan, with what the log measured if it did.
    """
    log = check.log
    if log.suggestion is not None and log.suggestion.tries:
        changed = _with_options(plan, log.suggestion.tries)
        if changed.fits:
            return (_advice("take what the log names", log.suggestion.tries, changed),)
    share = log.reader.share
    found: tuple[Advice, ...] = ()
    if share and log.is_pytorchs and not log.was_loading:
        lower = _lower_share(check, plan)
        if lower > 0:
            title = "leave more of the GPU beside the cache"
            found = _within(plan, {share: lower}, title=title)
    return found or _with_less(check, plan)


def _lower_share(check: LogCheck, plan: planning.Plan) -> float:
    """Return the share of the GPU with which what was asked for in vain is left; zero: none.

    Of a cache that found no room all of it is lacking: weights and what was free are the most then.
    """
    log, rank = check.log, device_rank(plan)
    now = float(plan.settings.get(log.reader.share) or 0)
    wanted, free = log.lacked or (0, None)
    if log.stage is not None and log.stage.fills and free is not None:
        most = (rank.of_kind(Kind.WEIGHTS) + free) / rank.total
    else:
        most = now - max(0, wanted - (free or 0)) / rank.total
    return math.floor(min(most, now - STEP) / STEP + 1e-9) * STEP


def _with_less(check: LogCheck, plan: planning.Plan) -> tuple[Advice, ...]:
    """Return changes that hold the workload with so much less memory that the start fails as it did."""
    from planner.recommending.advice import advise

    spare, missing = _spare(plan), check.log.missing
    if placed_otherwise(check.log, plan):
        return (_as_planned(plan, "start it as it is planned here"),)
    for times in HARDER:
        short = _shortened(plan, max(0, spare) + times * missing)
        if short.fits and short.launch == plan.launch:
            continue  # what grows with use gave way: no change yet
        if short.fits:  # the engine places fewer weights there by itself
            return (_as_planned(short, "start it as it is planned with so much less memory"),)
        return tuple(_still_held(advise(short, most=_LOOKED_AT), spare + missing))[:_SHOWN]
    return ()


def _shortened(plan: planning.Plan, nbytes: int) -> planning.Plan:
    """Return the plan of a start that takes so much more than was estimated."""
    known = plan.deployment.lesson
    before = known.difference if known is not None else 0
    measured = Measured(difference=before + nbytes, cache_gib=0.0)
    return question_of(plan).with_(lessons=(lesson_of(plan, measured),)).plan()


def _as_planned(plan: planning.Plan, title: str) -> Advice:
    from planner.search import Advice

    return Advice(title=title, loses="", cost=1, steps=1, plan=plan, gained=None)


def _still_held(found: Iterable[Advice], least: int) -> Iterable[Advice]:
    """Return what was planned with less memory, or has as much to spare as was taken away."""
    return (
        advice
        for advice in found
        if advice.enough
        and (advice.plan.deployment.lesson is not None or _spare(advice.plan) >= least)
    )


def _spare(plan: planning.Plan) -> int:
    return device_rank(plan).headroom
