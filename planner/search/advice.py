"""What to change when a deployment does not hold its workload.

Every piece of advice was planned before it is given. Order: what costs the user least comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hardware_db.records import frozen
from planner.engines import ENGINES
from planner.engines.commands import known_words
from planner.engines.economies import economies_of
from planner.errors import InputError, PlannerError
from planner.memory.breakdown import HOST_RANK
from planner.model.checkpoint import Checkpoint
from planner.planning import Outcome, Plan
from planner.question import Question, question_of
from planner.registry import Word
from planner.search.combining import applied, fewest, with_all
from planner.search.hardware import cheapest_systems, larger_counts, larger_memories
from planner.search.precision import (
    as_published,
    best_that_fits,
    first_of_classes,
    loss_in_words,
    runnable,
)
from planner.search.solve import longest_context, most_sequences
from planner.units import capital, format_gib, format_tokens, shown

RAISED, OTHER_LAYOUT, PRECISION, LESS, OTHER_ENGINE, MORE, BIGGER = 0, 2, 4, 5, 6, 7, 8
"""What a change costs the user; an engine's own economies cost 1 to 4."""

FREE_STEPS = 2
"""Every change beyond this number, taken together with others, counts as much as a higher cost."""


@frozen
class Advice:
    """One change, or several together.

    Attributes:
        title: what to do, in the imperative.
        loses: what the user gives up; empty if nothing.
        cost: how much that is, for sorting (1 least).
        steps: how many changes are taken together.
        plan: the plan with the change made.
        gained: bytes more to spare on the tightest accelerator; None where the deployment could
            not run before, so that there is nothing to compare with.
        trusted: the rules of its engine were verified, or it is the engine that was asked for.
        word: class of quality of the weights where they are changed; the original's where not.
    """

    title: str
    loses: str
    cost: int
    steps: int
    plan: Plan
    gained: int | None
    trusted: bool = True
    word: Word = Word.ORIGINAL

    def __repr__(self) -> str:
        """Return the advice in one line."""
        return f"<Advice: {self.words}>"

    @property
    def enough(self) -> bool:
        """With it the workload is held."""
        return self.plan.fits

    @property
    def command(self) -> str | None:
        """What to type with the change made, on the first node; None where no such checkpoint is known."""
        return self.plan.launch.command if self.commands and self.plan.launch is not None else None

    @property
    def commands(self) -> tuple[str, ...]:
        """The same for every node; of many the first two and the last."""
        plan = self.plan
        if plan.launch is None or plan.deployment.checkpoint.hypothetical:
            return ()
        return plan.launch.lines

    @property
    def words(self) -> str:
        """The advice in one line, with what is to spare then, or how much it helps, and what it costs."""
        words, parts = capital(self.title), [self.loses] if self.loses else []
        spare = self.plan.headroom or 0
        # of RAM that was assumed nothing is to spare: so much is needed
        assumed = "GiB of RAM" in self.title and self.plan.ranks[0].name == HOST_RANK
        if self.enough and spare >= 0:
            words += "" if assumed else f", {format_gib(spare)} to spare"
        elif self.gained:
            missing = "less" if self.gained > 0 else "more"
            parts.insert(0, f"{format_gib(abs(self.gained))} {missing} is missing")
        ram = self.plan.ram
        parts += [f"needs {format_gib(ram)} of RAM"] if ram and "of RAM" not in self.title else []
        return words + (f" ({'; '.join(parts)})" if parts else "")


def advise(plan: Plan, *, most: int | None = None) -> tuple[Advice, ...]:
    """Changes under which the workload of `plan` is held, the cheapest for the user first.

    Empty if it is held already. Where no change is enough, those that help come anyway, the one
    that gains most first (`enough` is then false).

    Args:
        plan: a plan that does not hold its workload.
        most: stop once so many are found; None looks everywhere.
    """
    if not isinstance(plan, Plan):
        raise InputError(f"advise takes a plan, as planner.plan returns it; got {shown(plan)}")
    if plan.fits:
        return ()
    question = question_of(plan)
    found: list[Advice] = []
    enough: list[Advice] = []
    for look in (_settings, _layout, _together, _precision, _less, _engines, _hardware):
        if look is _hardware and any(_costs_nothing(advice) for advice in enough):
            break  # what is owned does it
        found += look(plan, question)
        enough = [advice for advice in found if advice.enough]
        if most is not None and sum(advice.trusted for advice in enough) >= most:
            break
    if enough:
        ordered = sorted(
            enough,
            key=lambda advice: (not advice.trusted, advice.cost, advice.word, advice.steps),
        )
    else:
        tried = _settings(plan, question, planned=_try)
        helping = [advice for advice in tried if (advice.gained or 0) > 0]
        ordered = sorted(helping, key=lambda advice: (not advice.trusted, -(advice.gained or 0)))
    return tuple(ordered[:most])


def _costs_nothing(advice: Advice) -> bool:
    """Say whether what is owned holds the workload as it was asked for, with nothing given up."""
    return advice.trusted and advice.cost <= OTHER_LAYOUT and not advice.loses


@frozen
class _Setting:
    """One setting that may help.

    Attributes:
        question: the question with it.
        title: what to do, in the imperative.
        loses: what the user gives up; empty if nothing.
        cost: how much that is.
    """

    question: Question
    title: str
    loses: str
    cost: int


def _single(plan: Plan, question: Question) -> Iterator[_Setting]:
    """The limit on the GPU's share of memory raised as far as it goes, then what the engine can change."""
    engine, accelerator = question.settled_engine, question.system.accelerator
    raised = accelerator.raised()
    if raised is not None and accelerator.unified is not None and not engine.raises_limit:
        limit = accelerator.unified.raisable
        assert limit is not None
        system = replace(question.system, accelerator=raised)
        changed = replace(question, system=system, layout=None)
        yield _Setting(question=changed, title=limit.words, loses="", cost=RAISED)
    for economy in economies_of(engine, plan.deployment):
        changed = applied(question, economy)
        yield _Setting(
            question=changed, title=economy.title, loses=economy.loses, cost=economy.cost
        )


def _settings(
    plan: Plan, question: Question, planned: Callable[[Question], Plan | None] | None = None
) -> Iterator[Advice]:
    """The settings one by one that are enough, or those of which `planned` finds a plan."""
    for setting in _single(plan, question):
        changed = (planned or _holding)(setting.question)
        if changed is not None:
            yield _advice(plan, changed, setting.title, setting.loses, setting.cost)


def _layout(plan: Plan, question: Question) -> Iterator[Advice]:
    changed = _holding(replace(question, layout=None))
    if changed is not None:
        yield _advice(plan, changed, f"use {changed.deployment.layout}", "", OTHER_LAYOUT)


def _together(plan: Plan, question: Question) -> Iterator[Advice]:
    """Economies that are enough together."""
    yield from _with_economies(plan, question, title="")


def _precision(plan: Plan, question: Question) -> Iterator[Advice]:
    """The best precision that is enough alone, and a better one that is with economies."""
    free = replace(question, layout=None)
    candidates = runnable(free, below=question.checkpoint)
    alone, _ = best_that_fits(free, candidates)
    for checkpoint in first_of_classes(candidates):
        if alone is not None and checkpoint.nbytes("text") <= alone.deployment.checkpoint.nbytes(
            "text"
        ):
            break
        real, name = as_published(checkpoint)
        found = list(_with_economies(plan, replace(free, checkpoint=real), title=f"use {name}"))
        yield from found
        if found:
            break
    if alone is not None:
        checkpoint, name = as_published(alone.deployment.checkpoint)
        held = _holding(replace(free, checkpoint=checkpoint))
        if held is not None:
            yield _advice(
                plan, held, f"use {name}", _accuracy(checkpoint), PRECISION, checkpoint=checkpoint
            )


def _accuracy(checkpoint: Checkpoint) -> str:
    word = loss_in_words(checkpoint)
    known = "; no checkpoint of it is known" if checkpoint.hypothetical else ""
    return f"{'some accuracy' if word is Word.UNKNOWN else word.text}{known}"


def _with_economies(plan: Plan, question: Question, *, title: str) -> Iterator[Advice]:
    """Economies beside the changes that `question` has already (`title` names them)."""
    economies = economies_of(question.settled_engine, plan.deployment)
    taken = fewest(question, economies)
    if len(taken) + bool(title) < 2:
        return  # a single change is advice of its own
    better = _try(with_all(question, taken))
    if better is None:
        return
    steps = len(taken) + bool(title)
    cost = max([economy.cost for economy in taken] + ([PRECISION] if title else []))
    titles = [title, *(economy.title for economy in taken)]
    loses = [_accuracy(question.checkpoint) if title else ""]
    loses += [economy.loses for economy in taken]
    yield _advice(
        plan,
        better,
        "; ".join(filter(None, titles)),
        "; ".join(filter(None, loses)),
        cost + max(0, steps - FREE_STEPS),
        steps=steps,
        checkpoint=question.checkpoint if title else None,
    )


def _less(plan: Plan, question: Question) -> Iterator[Advice]:
    """A shorter context, or fewer sequences."""
    if plan.outcome is Outcome.CANNOT_RUN:
        return
    shorter = _shorter(plan, question)
    if shorter is not None:
        title = f"limit the context to {format_tokens(shorter.deployment.context)} tokens"
        yield _advice(plan, shorter, title, "longer requests are refused", LESS)
    if question.concurrency > 1:
        fewer = most_sequences(question)
        if fewer.value is not None:
            title = f"serve {fewer.value:,} at once instead of {question.concurrency:,}"
            yield _advice(plan, fewer.plan, title, "the others wait", LESS)


def _shorter(plan: Plan, question: Question) -> Plan | None:
    """The plan at the length up to which the verdict says that it fits, else at the longest."""
    if question.concurrency == 1 and plan.longest_context > 0:
        told = _holding(question.with_(context=plan.longest_context))
        if told is not None:
            return told
    longest = longest_context(question)
    return longest.plan if isinstance(longest.value, int) else None


def _engines(plan: Plan, question: Question) -> Iterator[Advice]:
    """Another server, where nothing that it needs is left open (host memory, say)."""
    for name, engine in ENGINES.items():
        if name == plan.engine:
            continue
        kept = known_words(name, question.kept)
        other = replace(question, engine=engine, options=None, layout=None, kept=kept)
        changed = _holding(replace(other, environment=()))
        if changed is None or changed.allocation is None or changed.allocation.at_worst:
            continue
        title = f"switch to {engine.title}"
        yield _advice(plan, changed, title, "another server", OTHER_ENGINE)


def _hardware(plan: Plan, question: Question) -> Iterator[Advice]:
    """The first larger number, and the first larger memory, that is enough.

    Where neither is, the cheapest system of the database that is.
    """
    found = False
    for systems, loses, cost in (
        (larger_counts(question.system), "more hardware", MORE),
        (larger_memories(question.system), "other hardware", BIGGER),
    ):
        for system in systems:
            changed = _holding(replace(question, system=system, layout=None))
            if changed is not None:
                yield _advice(plan, changed, f"use {system.short_name}", loses, cost)
                found = True
                break
    if found or plan.outcome is Outcome.CANNOT_RUN:
        return
    for system in cheapest_systems(least_bytes=question.checkpoint.nbytes("text")):
        changed = _holding(replace(question, system=system, layout=None))
        if changed is not None:
            yield _advice(plan, changed, f"use {system.short_name}", "other hardware", BIGGER)
            break


def _try(question: Question) -> Plan | None:
    """The plan, or None where the change makes no sense for the rest of the question."""
    try:
        plan = question.plan()
    except PlannerError:
        return None
    return plan if plan.ranks else None


def _holding(question: Question) -> Plan | None:
    """The plan, where the change makes sense and is enough."""
    try:
        return question.plan() if question.fits() else None
    except PlannerError:
        return None


def _gain(before: Plan, after: Plan) -> int | None:
    if before.headroom is None or after.headroom is None:
        return None
    return after.headroom - before.headroom


def _advice(
    before: Plan,
    after: Plan,
    title: str,
    loses: str,
    cost: int,
    *,
    steps: int = 1,
    checkpoint: Checkpoint | None = None,
) -> Advice:
    """One change; `checkpoint` is the new one where weights are changed."""
    return Advice(
        title=title,
        loses=loses,
        cost=cost,
        steps=steps,
        plan=after,
        gained=_gain(before, after),
        trusted=ENGINES[after.engine].verified or after.engine == before.engine,
        word=Word.ORIGINAL if checkpoint is None else loss_in_words(checkpoint),
    )
