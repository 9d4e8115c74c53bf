"""Order plans: the one objective by which layouts, machines and precisions are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from hardware_db.records import frozen
from planner.layout import Layout
from planner.planning import Outcome, Plan
from planner.speed import rates_of, speed_of
from planner.throughput import NoEstimate, SpeedEstimate

if TYPE_CHECKING:
    from planner.cost import PriceOption
    from planner.engines.engine import AnyEngine, Deployment

T = TypeVar("T")
Objective = Literal["latency", "throughput", "cost", "memory"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput", "cost", "memory")

_ORDER = (
    Outcome.FITS,
    Outcome.TIGHT,
    Outcome.HOLDS_FEWER,
    Outcome.DOES_NOT_FIT,
    Outcome.CANNOT_RUN,
)

TIE = 0.97
"""Scores from this share of the best on count as equal: people see about two digits of a speed, so
a list that is ordered by more of them would look wrong; of equals the simpler layout wins."""


@frozen
class Rating:
    """How good a plan is; smaller sorts first.

    Attributes:
        outcome: place of the verdict: what holds the workload comes first.
        idle: there are more replicas than requests, so that some have no work; or accelerators are
            left out that might hold what is not held.
        score: how much of the objective is reached; 0 where it is not known.
        turns: what the layout adds beyond plain tensor parallelism: the simpler wins a tie.
        headroom: bytes to spare.
    """

    outcome: int
    idle: bool
    score: float
    turns: tuple[int, ...]
    headroom: int

    def key(self, best: float) -> tuple[int, bool, bool, tuple[int, ...], float, int]:
        """What plans are sorted by.

        Args:
            best: the best score among those of this outcome and idleness.
        """
        tied = self.score >= TIE * best
        return (
            self.outcome,
            self.idle,
            not tied,
            self.turns if tied else (),
            -self.score,
            -self.headroom,
        )


def idles(layout: Layout, concurrency: int) -> bool:
    """Say whether there are more replicas than requests, so that some have no work."""
    return layout.data_parallel > concurrency


def leaves_out(deployment: Deployment, engine: AnyEngine) -> bool:
    """Say whether a layout leaves accelerators out of an engine that holds more with each.

    An engine that cuts tensors may hold more on fewer, which it cuts evenly.
    """
    return not engine.degrees.idle and deployment.layout.accelerators < deployment.system.count


def place_of(outcome: Outcome) -> int:
    """Return the place of a verdict: 0 is the best."""
    return _ORDER.index(outcome)


def ranked(rated: Iterable[tuple[Rating, T]]) -> tuple[T, ...]:
    """The rated things, best first."""
    pairs = list(rated)
    best: dict[tuple[int, bool], float] = {}
    for rating, _ in pairs:
        group = (rating.outcome, rating.idle)
        best[group] = max(rating.score, best.get(group, 0.0))
    pairs.sort(key=lambda pair: pair[0].key(best[pair[0].outcome, pair[0].idle]))
    return tuple(thing for _, thing in pairs)


Speed = SpeedEstimate | NoEstimate | None


def in_order(
    plans: Sequence[Plan], objective: Objective, *, speed: Callable[[Plan], Speed] = speed_of
) -> tuple[Plan, ...]:
    """Return `plans`, the best for `objective` first; speeds are worked out where they decide."""
    if len(plans) < 2:
        return tuple(plans)

    def deciding(plan: Plan) -> Speed:
        return speed(plan) if plan.fits and objective != "memory" else None

    return ranked((rate(plan, deciding(plan), objective), plan) for plan in plans)


def best(plans: Sequence[Plan], objective: Objective) -> Plan:
    """Return the first of `in_order`: only plans with the best verdict are compared."""
    least = min(place_of(plan.outcome) for plan in plans)
    first = [plan for plan in plans if place_of(plan.outcome) == least]
    return in_order(first, objective, speed=rates_of)[0]


def cannot_win(plan: Plan, layout: Layout, objective: Objective) -> bool:
    """Say whether another layout of the same machine is sure to come behind a plan that fits.

    It is where it is slower by more than a tie, whatever it leaves free. The engine must not move
    weights into RAM by itself where accelerators lack memory.
    """
    asked = plan.deployment
    alike = layout.accelerators == asked.layout.accelerators and not asked.system.is_mixed
    if plan.outcome is not Outcome.FITS or objective == "memory" or not alike:
        return False
    from planner.throughput.ceiling import most_per_user  # a plan of one layout has no use for it

    speed = rates_of(plan)
    return isinstance(speed, SpeedEstimate) and (
        most_per_user(speed, asked.checkpoint, asked.layout, layout) < TIE * speed.per_user.low
    )


def rate(
    plan: Plan,
    speed: Speed,
    objective: Objective,
    *,
    offer: PriceOption | None = None,
) -> Rating:
    """How good `plan` is for `objective`.

    Speeds are taken at the lower end of their band: what can be counted on decides.

    Args:
        plan: the candidate.
        speed: its speed, if known.
        objective: what matters once the workload is held.
        offer: what the system costs, for the objective "cost"; without it the system is given,
            and the most tokens per second are the cheapest.
    """
    layout = plan.deployment.layout
    return Rating(
        outcome=place_of(plan.outcome),
        idle=idles(layout, plan.deployment.concurrency)
        or (not plan.fits and leaves_out(plan.deployment, plan.policy)),
        score=_score(plan, speed, objective, offer),
        turns=(
            sum(degree > 1 for degree in (layout.pipeline_parallel, layout.data_parallel))
            + layout.expert_parallel,
            layout.pipeline_parallel,
            layout.data_parallel,
            -layout.accelerators,
        ),
        headroom=plan.headroom or 0,
    )


def _held(plan: Plan) -> int:
    """Return the requests that are held at once; none of what does not start."""
    if plan.allocation is None or plan.outcome is Outcome.DOES_NOT_FIT:
        return 0
    return plan.allocation.sequences


def _score(
    plan: Plan,
    speed: Speed,
    objective: Objective,
    offer: PriceOption | None,
) -> float:
    if objective == "memory" or not plan.fits:
        return float(_held(plan))
    if not isinstance(speed, SpeedEstimate):
        return 0.0
    if objective == "latency":
        return speed.per_user.low
    total = speed.total.low
    return total / offer.value if objective == "cost" and offer is not None else total
