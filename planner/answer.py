"""Hand a plan out: what a caller or a notebook holds, with what follows from it when asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from planner import planning

if TYPE_CHECKING:
    from planner.costing import Cost
    from planner.recommending import Choice
    from planner.search import Advice
    from planner.throughput import NoEstimate, SpeedEstimate


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan(planning.Plan):
    """The answer to one deployment; see `planner.planning.Plan` for its fields.

    Speed, cost, advice and alternatives are worked out when they are asked for.
    """

    @classmethod
    def of(cls, plan: planning.Plan) -> Plan:
        """Return `plan` as it is handed out."""
        return cls(**{field.name: getattr(plan, field.name) for field in fields(planning.Plan)})

    @property
    def speed(self) -> SpeedEstimate | NoEstimate | None:
        """Decode and prefill speed; None if it cannot run or does not fit."""
        from planner.speed import speed_of

        return speed_of(self)

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to change where the workload is not held, the cheapest for the user first."""
        from planner.recommending.advice import advise

        return advise(self)

    @property
    def cost(self) -> Cost:
        """What it costs at its planned load: rent, own machine, a hosted service beside it."""
        from planner.costing import cost_of

        return cost_of(self)

    @property
    def alternatives(self) -> tuple[Choice, ...]:
        """What else runs this model there, checkpoints and engines chosen: the pick, then the front.

        Empty for a model that is not bundled.
        """
        from planner.recommending import recommend, wanted_by

        wanted = wanted_by(self)
        return () if wanted is None else tuple(recommend(wanted))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data; its shape is `planner.schema()`."""
        from planner.document import plan_document

        if self.fits:
            return plan_document(self)
        from planner.recommending.advice import best_advice

        return plan_document(self, advice=best_advice(self))

    def __repr__(self) -> str:
        """Return the verdict: the terms are in `ranks`, everything else in `to_dict()`."""
        return f"<Plan: {self.verdict}>"

    def _repr_html_(self) -> str:
        """Return the verdict, the bar and the command as a notebook shows them."""
        from planner.report.html import plan_html

        return plan_html(self)
