"""Hand a plan out: what a caller or a notebook holds, with what follows from it when asked for."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hardware_db.records import frozen_with_cache
from planner import planning
from planner.planning import Outcome

if TYPE_CHECKING:
    from planner.costing import Cost
    from planner.recommending import Choice, Recommendation
    from planner.search import Advice
    from planner.throughput import NoEstimate, SpeedEstimate


@frozen_with_cache
class Plan(planning.Plan):
    """The answer to one deployment; see `planner.planning.Plan` for its fields.

    Speed, cost, advice and alternatives are worked out when they are asked for.

    Attributes:
        unheld: where only a model was named and no checkpoint of it that is known holds the
            workload: the recommendation, with what would have to change. It does not fit then; the
            figures are those of the checkpoint that comes nearest.
    """

    unheld: Recommendation | None = None

    def __hash__(self) -> int:
        """Hash what a loop changes: not everything in a plan has a hash."""
        asked = self.deployment
        return hash((self.engine_version, asked.layout, asked.context, asked.concurrency))

    @classmethod
    def of(cls, plan: planning.Plan, *, unheld: Recommendation | None = None) -> Plan:
        """Return `plan` as it is handed out."""
        kept = {field.name: getattr(plan, field.name) for field in fields(planning.Plan)}
        if unheld is not None:
            weights = plan.deployment.checkpoint
            figures = f"the figures are of {weights.id}, {weights.scheme.title}: {plan.verdict}"
            kept |= {"outcome": Outcome.DOES_NOT_FIT, "told": (*plan.told, figures)}
        return cls(**kept, unheld=unheld)

    @cached_property
    def verdict(self) -> str:
        """One sentence with the number that decides it, or that nothing known holds the workload."""
        if self.unheld is None:
            return super().verdict
        from planner.recommending.text import headline

        return headline(self.unheld)

    @cached_property
    def held(self) -> planning.Plan:
        """The plan of as many requests as are held at once; this one where all are, or none."""
        from planner.held import held_of

        return held_of(self)

    @property
    def command(self) -> str | None:
        """What to type, for as many requests as are held; None where it does not start."""
        launch = self.held.launch
        return None if launch is None else launch.command

    @property
    def speed(self) -> SpeedEstimate | NoEstimate | None:
        """Decode and prefill speed; None if it cannot run or does not fit."""
        from planner.speed import speed_of

        return speed_of(self)

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to change where the workload is not held, the cheapest for the user first."""
        from planner.recommending.advice import advise, of_misses

        return advise(self) if self.unheld is None else of_misses(self, self.unheld.misses)

    @property
    def first_advice(self) -> tuple[Advice, ...]:
        """The changes that documents and the terminal show; none where the workload is held."""
        if self.fits:  # it loads no search
            return ()
        from planner.recommending.advice import best_advice

        return best_advice(self) if self.unheld is None else self.advice

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
        from planner.recommending import wanted_by
        from planner.recommending.chosen import held_by

        wanted = wanted_by(self)
        return () if wanted is None else held_by(wanted)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data; its shape is `planner.schema()`."""
        from planner.document import plan_document

        return plan_document(self, advice=self.first_advice)

    def __repr__(self) -> str:
        """Return the verdict: the terms are in `ranks`, everything else in `to_dict()`."""
        return f"<Plan: {self.verdict}>"

    def _repr_html_(self) -> str:
        """Return the verdict, the bar and the command as a notebook shows them."""
        from planner.report.html import plan_html

        return plan_html(self)
