"""What stays the same while candidates are tried: the workload, the engine and its options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hardware_db import System
from planner.engines import get_engine
from planner.engines.base import Deployment, Engine
from planner.errors import UnsupportedModelError
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.plan import Plan, plan_deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A deployment of which some parts are looked for.

    Attributes:
        checkpoint: what is served.
        system: where.
        engine: who serves.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        kv_cache_dtype: "auto" or a cache format.
        layout: how it is spread; None takes the best legal one.
        options: the engine's options object; None takes its defaults.
        yarn: the context may go beyond the native length.
    """

    checkpoint: Checkpoint
    system: System
    engine: Engine
    context: int
    concurrency: int
    kv_cache_dtype: str = "auto"
    layout: Layout | None = None
    options: Any = None
    yarn: bool = False

    def plan(self, **changes: Any) -> Plan:
        """The plan of the question with `changes` of its fields.

        Raises:
            InputError: a value that makes no sense, whatever the memory.
        """
        asked = replace(self, **changes) if changes else self
        return plan_deployment(
            asked.checkpoint,
            asked.system,
            asked.engine,
            context=asked.context,
            concurrency=asked.concurrency,
            kv_cache_dtype=asked.kv_cache_dtype,
            layout=asked.layout,
            options=asked.options,
            yarn=asked.yarn,
        )

    def can_run(self, checkpoint: Checkpoint, system: System | None = None) -> bool:
        """The engine refuses `checkpoint` in no layout that comes into question, memory aside."""
        there = system or self.system
        layouts = (self.layout,) if self.layout is not None else None
        try:
            for layout in layouts or self.engine.layouts(checkpoint, there):
                if not self.engine.refusals(self.deployment(checkpoint, there, layout)):
                    return True
        except UnsupportedModelError:
            return False  # a cut that this format's blocks do not allow
        return False

    def deployment(
        self, checkpoint: Checkpoint, system: System, layout: Layout | None
    ) -> Deployment:
        """The question as an engine is asked it; without a layout on one accelerator."""
        options = self.options if self.options is not None else self.engine.options_type()
        return Deployment(
            checkpoint=checkpoint,
            system=system,
            layout=layout or Layout(),
            context=self.context,
            concurrency=self.concurrency,
            kv_cache_dtype=self.kv_cache_dtype,
            options=options,
            yarn=self.yarn,
        )

    def with_options(self, **values: Any) -> Question:
        """The question with other values of the engine's options."""
        options = self.options if self.options is not None else self.engine.options_type()
        return replace(self, options=replace(options, **values))


def question_of(plan: Plan) -> Question:
    """The question that `plan` answers, its layout included."""
    asked = plan.deployment
    return Question(
        checkpoint=asked.checkpoint,
        system=asked.system,
        engine=get_engine(plan.engine),
        context=asked.context,
        concurrency=asked.concurrency,
        kv_cache_dtype=asked.kv_cache_dtype,
        layout=asked.layout,
        options=asked.options,
        yarn=asked.yarn,
    )
