"""Hold the one question: what is to run where, and how; what nobody says is chosen here.

Every door makes it with `planner.asking.ask`, and every search changes it with `with_`. A part
that is None was not said: `settled` chooses the engine, `best` the layout, for every door alike.
Which checkpoint is served, `ask` has chosen before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from hardware_db import System
from hardware_db.records import frozen
from planner.allocating import check_deployment, holds, refusals_of, takes
from planner.engines import front_name, get_engine
from planner.engines.choice import DEFAULT_ENGINE, default_engine
from planner.engines.engine import AnyEngine, Deployment
from planner.engines.options import Options, build
from planner.engines.yarn import tokens_of
from planner.errors import InputError, UnsupportedModelError
from planner.keywords import unknown_argument
from planner.layout import Layout, layouts_of
from planner.learning import Kind, Lesson, lesson_for, unused
from planner.model.checkpoint import Checkpoint
from planner.planning import Outcome, Plan, plan_deployment
from planner.ranking import Objective, best, cannot_win, idles, in_order, leaves_out
from planner.units import check_count, counted

DEFAULT_CONTEXT = 32_768
"""Tokens per sequence where nobody says."""

_ASKED_ANEW = frozenset(("model", "on", "precision", "revision", "ram", "free", "words"))
"""Arguments of `planner.ask` that name what a question holds as an object."""

_OBJECTS = frozenset(("checkpoint", "system", "layout"))
"""Fields that `planner.ask` makes of names."""


@frozen
class Named:
    """How a user's own command names a checkpoint.

    Attributes:
        checkpoint: what it names.
        engine: whose command it is.
        words: as they were typed: ``-m /models/a.gguf``.
    """

    checkpoint: Checkpoint
    engine: str
    words: tuple[str, ...]

    def words_for(self, checkpoint: Checkpoint, engine: str) -> tuple[str, ...]:
        """Return the words where they name this checkpoint for this engine; else none."""
        return self.words if checkpoint is self.checkpoint and engine == self.engine else ()


@frozen
class Question:
    """What is asked; None is what nobody said.

    Attributes:
        checkpoint: what is served.
        system: where; a search for hardware puts systems in.
        engine: who serves; None takes what suits the hardware and the weights.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        kv_cache_dtype: "auto" or a cache format.
        layout: how it is spread; None takes the best one.
        options: the engine's options, as its object or a mapping of names; None: its defaults.
        yarn: the context may go beyond the native length.
        objective: what makes a layout the best.
        kept: words of the user's own command that change nothing in memory.
        environment: variables that the user's own command sets.
        named: how it names the model.
        notes: what to tell with the answer, such as what was chosen and why.
        lead: what the verdict begins with: what is missing whatever the memory; a note, too.
        lessons: what starts on this machine took beyond the estimates.
        front: the program that runs the engine inside, where one was named as the engine.
    """

    checkpoint: Checkpoint
    system: System
    engine: AnyEngine | None = None
    context: int = DEFAULT_CONTEXT
    concurrency: int = 1
    kv_cache_dtype: str = "auto"
    layout: Layout | None = None
    options: Options | Mapping[str, Any] | None = None
    yarn: bool = False
    objective: Objective = "latency"
    kept: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    named: Named | None = None
    notes: tuple[str, ...] = ()
    lead: str = ""
    lessons: tuple[Lesson, ...] = ()
    front: str | None = None

    def __repr__(self) -> str:
        """Return what is asked in words: the parts would be pages."""
        engine = "" if self.engine is None else f" with {self.engine.title}"
        asked = f"{counted(self.concurrency, 'request')} of {counted(self.context, 'token')}"
        return f"<Question: {self.checkpoint.id} on {self.system.short_name}{engine}, {asked}>"

    def with_(self, **changes: Any) -> Question:
        """Return the question with other values of its fields, written as `planner.plan` takes them.

        Raises:
            InputError: no such field, or a value that cannot be read.
        """
        return replace(self, **self._read(changes)) if changes else self

    def _read(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Return values of fields with those that are words or other libraries' numbers read."""
        known = frozenset(field.name for field in fields(self))
        for name, value in changes.items():
            if name in _ASKED_ANEW or (name in _OBJECTS and isinstance(value, str)):
                raise InputError(f"with_: {name} cannot be changed by name; planner.ask takes it")
            if name not in known:
                raise unknown_argument("with_", name, known)
        found = dict(changes)
        if type(context := found.get("context", 1)) is not int:
            found["context"] = tokens_of(context)
        if type(users := found.get("concurrency", 1)) is not int:
            found["concurrency"] = check_count(users, what="concurrency")
        if isinstance(typed := found.get("engine"), str):
            found["engine"] = engine = get_engine(typed)
            found.setdefault("front", front_name(typed))
            if not isinstance(self.options, engine.options_type):
                found.setdefault("options", None)
        return found

    def with_options(self, **values: Any) -> Question:
        """Return the question with other values of the engine's options.

        Raises:
            InputError: a value out of range, or against another one.
        """
        asked = self.settled()
        return replace(asked, options=replace(asked.settled_options, **values))

    def settled(self) -> Question:
        """Return the question with its engine: the one that was named, else what suits."""
        if self.engine is not None:
            return self
        name, reason = default_engine(self.system, self.checkpoint, offload=False)
        engine = get_engine(name)
        note = f"engine not named, {engine.title} taken: {reason}"
        notes = self.notes if name == DEFAULT_ENGINE else (note, *self.notes)
        return replace(self, engine=engine, notes=notes)

    @property
    def settled_engine(self) -> AnyEngine:
        """The engine that is named, or chosen."""
        engine = self.settled().engine
        assert engine is not None
        return engine

    @property
    def settled_options(self) -> Any:
        """The engine's options object.

        Raises:
            InputError: an option that the engine does not have, or a value out of range.
        """
        engine = self.settled_engine
        return build(engine.name, engine.options_type, self.options)

    def layouts(self) -> tuple[Layout, ...]:
        """Return the layouts that come into question: the one that was said, or all there are."""
        if self.layout is not None:
            return (self.layout,)
        system, model = self.system, self.checkpoint.model
        return layouts_of(
            self.settled_engine.degrees,
            accelerators=system.count,
            per_node=system.accelerators_per_node,
            experts=model.moe is not None,
            kv_heads=model.attention.num_key_value_heads,
        )

    def deployment(self, layout: Layout | None = None) -> Deployment:
        """Return what the engine is asked; without a layout, the first that comes into question."""
        first = layout if layout is not None else self.layouts()[0]
        return next(self._deployed((first,)))

    def _deployed(self, layouts: Iterable[Layout]) -> Iterator[Deployment]:
        """Yield what the engine is asked in each of these layouts."""
        options = self.settled_options
        for layout in layouts:
            deployment = Deployment(
                checkpoint=self.checkpoint,
                system=self.system,
                layout=layout,
                context=self.context,
                concurrency=self.concurrency,
                kv_cache_dtype=self.kv_cache_dtype,
                options=options,
                yarn=self.yarn,
            )
            yield self._learned(deployment) if self.lessons else deployment

    def _learned(self, deployment: Deployment) -> Deployment:
        """Return the deployment with what was measured of such a start."""
        lesson = _lesson_of(self.lessons, deployment, self.settled_engine)
        if lesson is not None and lesson.wsl2 and hasattr(deployment.options, "wsl2"):
            options = replace(deployment.options, wsl2=True)
            deployment = replace(deployment, options=options)
        return replace(deployment, lesson=lesson)

    def plans(self) -> Iterator[Plan]:
        """Yield the plan of every layout that comes into question.

        Raises:
            InputError: a value that makes no sense, whatever the memory.
        """
        asked = self.ready()
        return map(asked._plan_of, asked._deployments())

    def ready(self) -> Question:
        """Return the question with its engine and the engine's options object."""
        asked = self.settled()
        options = asked.settled_options
        return asked if options is asked.options else replace(asked, options=options)

    def _deployments(self) -> Iterator[Deployment]:
        """Yield what the engine is asked for every layout that comes into question."""
        return self._deployed(self.layouts())

    def _likely(self) -> Iterator[Deployment]:
        """Yield what may hold the workload; where replicas idle, last.

        Raises:
            InputError: a value that makes no sense, whatever the memory.
        """
        engine, layouts = self.settled_engine, self.layouts()
        first = self.deployment(layouts[0])
        check_deployment(first, engine)
        in_turn = tuple(sorted(layouts, key=lambda one: idles(one, self.concurrency)))
        # A layout may have a lesson of its own.
        likely = in_turn if self.lessons else engine.may_hold_in(first, in_turn)
        return self._deployed(likely)

    def _plan_of(self, deployment: Deployment) -> Plan:
        """Return the plan of one layout's deployment."""
        engine = self.settled_engine
        plan = plan_deployment(
            deployment,
            engine,
            notes=(*_unused(self.lessons, deployment, engine), *self.notes),
            kept=self.kept,
            environment=self.environment,
            front=self.front,
            named=()
            if self.named is None
            else self.named.words_for(deployment.checkpoint, engine.name),
        )
        return replace(plan, lead=self.lead) if self.lead else plan

    def ranked(self) -> tuple[Plan, ...]:
        """Return the plans of all layouts, the best for the objective first.

        Raises:
            InputError: as `plans`.
        """
        return in_order(tuple(self.plans()), self.objective)

    def plan(self, **changes: Any) -> Plan:
        """Return the plan of the best layout, with `changes` of the question's fields.

        Layouts that are sure not to hold the workload, and those that leave replicas without work,
        are planned only where they may come first. Where none holds it, what is missing is said of
        all machines; of fewer, where those alone start.

        Raises:
            InputError: a value that makes no sense, whatever the memory.
        """
        asked = self.with_(**changes).ready()
        if len(asked.layouts()) > 1:
            found = asked._best_that_holds()
            if found is not None:
                return found
        return asked._nearest()

    def _nearest(self) -> Plan:
        """Return the plan of the best layout where none holds the workload, or there is but one."""
        found, asked = list[Plan](), tuple(self._deployments())
        parts = (
            [leaves_out(one, self.settled_engine) for one in asked] if len(asked) > 1 else [False]
        )
        for part in (False, True):
            found += (
                self._plan_of(one) for one, late in zip(asked, parts, strict=True) if late is part
            )
            if any(plan.outcome is Outcome.HOLDS_FEWER for plan in found):
                break
        return best(found, self.objective)

    def plan_that_fits(self) -> Plan | None:
        """Return `plan` where some layout holds the workload; None, as cheaply as `fits`, where none does.

        Raises:
            InputError: as `plan`.
        """
        return self.ready()._best_that_holds()

    def _best_that_holds(self) -> Plan | None:
        """Return the plan of the best layout that holds the workload; None where none does."""
        engine, found = self.settled_engine, list[Plan]()
        for one in self._likely():
            if idles(one.layout, self.concurrency) and any(
                plan.outcome is Outcome.FITS for plan in found
            ):
                break
            behind = any(cannot_win(plan, one.layout, self.objective) for plan in found)
            if not behind and holds(one, engine):
                found.append(self._plan_of(one))
        return best(found, self.objective) if found else None

    def fits(self, **changes: Any) -> bool:
        """Say whether some layout holds the workload; cheaper than `plan`.

        Raises:
            InputError: as `plan`.
        """
        asked = self.with_(**changes).ready()
        engine = asked.settled_engine
        return any(holds(deployment, engine) for deployment in asked._likely())

    def may_fit(self) -> bool:
        """Say whether some layout may hold the workload; cheaper than `fits`, no is certain.

        Raises:
            InputError: as `plan`.
        """
        asked = self.ready()
        engine = asked.settled_engine
        return any(not refusals_of(deployment, engine) for deployment in asked._likely())

    def can_run(self, **changes: Any) -> bool:
        """Say whether the engine takes some layout, memory aside."""
        asked = self.with_(**changes).ready()
        engine = asked.settled_engine
        try:
            return any(takes(deployment, engine) for deployment in asked._deployments())
        except UnsupportedModelError:
            return False  # a cut that this format's blocks do not allow


def question_of(plan: Plan) -> Question:
    """Return the question that `plan` answers, its layout included."""
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
        kept=plan.kept,
        environment=plan.environment,
        named=Named(checkpoint=asked.checkpoint, engine=plan.engine, words=plan.named),
        lessons=() if asked.lesson is None else (asked.lesson,),
    )


def _lesson_of(known: Iterable[Lesson], deployment: Deployment, engine: AnyEngine) -> Lesson | None:
    """Return what was measured of such a start on this machine; None if nothing was."""
    return lesson_for(known, _kind(deployment, engine))


def _unused(known: Iterable[Lesson], deployment: Deployment, engine: AnyEngine) -> tuple[str, ...]:
    """Return one line where the plan's start was learned under another release alone."""
    if not known or deployment.lesson is not None:
        return ()
    words = unused(known, _kind(deployment, engine))
    return (words,) if words else ()


def _kind(deployment: Deployment, engine: AnyEngine) -> Kind:
    """Return what a lesson must be of to hold for a deployment."""
    return Kind(
        engine=engine.name,
        release=engine.version(deployment.options),
        device=deployment.system.accelerator.id,
        model=deployment.checkpoint.model.name,
        scheme=deployment.checkpoint.scheme.name,
        layout=str(deployment.layout),
    )
