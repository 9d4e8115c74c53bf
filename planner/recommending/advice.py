"""What to change where a plan does not hold its workload: checkpoints and engines that exist.

A limit that the owner can raise comes first, then what costs the user least: the engine's own
economies, the neighbours of the recommendation, other settings that `planner.search` finds. Many
changes at once come after them, hardware last. Nothing hypothetical and nothing from a rule that was
only read: every piece has its command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from planner.engines import ENGINES
from planner.errors import PlannerError
from planner.planning import Plan
from planner.question import question_of
from planner.recommending.answer import Miss
from planner.recommending.choice import Choice
from planner.recommending.chosen import held_of_model
from planner.recommending.wanted import wanted_by
from planner.recommending.wish import Wish
from planner.registry import Word
from planner.search import Advice
from planner.search import advise as search_advice
from planner.search.advice import BIGGER, FREE_STEPS, LESS, MORE, OTHER_ENGINE, PRECISION, RAISED

NEIGHBOURS = 2
"""Checkpoints of the recommendation that are offered: the pick and the best of the front."""

_SHOWN = 3


def advise(plan: Plan, *, most: int | None = None) -> tuple[Advice, ...]:
    """Return changes under which the workload of `plan` is held, the cheapest for the user first.

    Args:
        plan: a plan that does not hold its workload.
        most: so many at most.
    """
    if plan.fits:
        return ()
    found = list(_neighbours(plan))
    left = None if most is None else max(1, most - len(found))
    found += [
        advice
        for advice in search_advice(plan, most=left)
        if advice.command is not None and all(not _same(advice, known) for known in found)
    ]
    found = [advice for advice in found if advice.trusted]
    found.sort(key=_turn)
    return tuple(found[:most])


def best_advice(plan: Plan) -> tuple[Advice, ...]:
    """Return the changes that documents and the terminal show; none where the workload is held."""
    return advise(plan, most=_SHOWN)


def of_misses(plan: Plan, misses: Iterable[Miss]) -> tuple[Advice, ...]:
    """Return what a recommendation says would have to change, in its order.

    Args:
        plan: the plan of what was asked.
        misses: what would do it.
    """
    return tuple(_of_miss(plan, miss) for miss in misses)


def _of_miss(plan: Plan, miss: Miss) -> Advice:
    """One change, with the checkpoint that holds the workload then."""
    choice = miss.choice
    same = choice.plan.deployment.system.id == plan.deployment.system.id
    change = f"{miss.limit.words}; then" if miss.limit is not None else f"{miss.change}:"
    return Advice(
        title=f"{change} {choice.entry.name} in {choice.plan.engine_title}",
        loses=_loses(choice),
        cost=RAISED if miss.limit is not None else LESS if same else BIGGER,
        steps=1,
        plan=choice.plan,
        gained=None,
    )


def _turn(advice: Advice) -> tuple[bool, bool, bool, int, Word]:
    """Return what advice is sorted by: hardware last, and many changes at once before it.

    Of changes that cost alike the one with the better weights comes first.
    """
    many = advice.steps > FREE_STEPS
    return not advice.enough, advice.cost >= MORE, many, advice.cost, advice.word


def _neighbours(plan: Plan) -> list[Advice]:
    """Checkpoints of the same model that hold the workload on the same machine, the best first."""
    wanted = wanted_by(plan)
    if wanted is None:
        return []
    same: dict[tuple[str, str], Choice] = {}
    for choice in held_of_model(wanted):
        same.setdefault((choice.entry.name, choice.plan.engine), choice)
    found = list(same.values())[:NEIGHBOURS]
    found.sort(key=lambda choice: (_lacks(choice, wanted.wish), choice.word))
    advice = list(_of_choices(plan, found, wanted.wish))
    costs = accumulate((entry.cost for entry in advice), max)  # in this order, whatever the server
    return [replace(entry, cost=cost) for entry, cost in zip(advice, costs, strict=True)]


def _lacks(choice: Choice, wish: Wish) -> bool:
    """Say whether it lacks what no finer file makes up for: RAM, bits above the floor, speed."""
    *lacks, _ = choice.holding(wish)  # the last is the verdict: tight
    return any(lacks)


def _as_told(plan: Plan, choice: Choice) -> Choice:
    """Return a choice with all that was told of its engine, where it holds the workload so, too."""
    if choice.plan.engine != plan.engine:
        return choice
    taken = choice.plan.deployment
    told = question_of(plan).with_(checkpoint=taken.checkpoint, kv_cache_dtype=taken.kv_cache_dtype)
    try:
        kept = told.plan()
    except PlannerError:
        return _with_kept(plan, choice)
    return replace(choice, plan=kept) if kept.fits else _with_kept(plan, choice)


def _with_kept(plan: Plan, choice: Choice) -> Choice:
    """Return a choice with the words that change nothing in memory, as they were told."""
    told = question_of(plan)
    if not told.kept and not told.environment:
        return choice
    asked = question_of(choice.plan).with_(kept=told.kept, environment=told.environment)
    return replace(choice, plan=asked.plan())


def _of_choices(plan: Plan, found: Iterable[Choice], wish: Wish) -> Iterator[Advice]:
    for choice in (_as_told(plan, choice) for choice in found):
        title, cost = (
            f"use {choice.entry.name}",
            OTHER_ENGINE if _lacks(choice, wish) else PRECISION,
        )
        if _serves_the_same(plan, choice.plan):
            changed = _changed_flags(plan, choice.plan)
            if not changed:
                continue
            title = changed
        elif choice.plan.engine != plan.engine:
            title, cost = f"{title} in {choice.plan.engine_title}", OTHER_ENGINE
        if choice.needs_ram is not None:
            title += f" with {choice.needs_ram} GiB of RAM"
        yield _advice(plan, choice, title, cost)


def _serves_the_same(one: Plan, other: Plan) -> bool:
    """Say whether both serve the same checkpoint under the same engine."""
    return _same_weights(one, other) and one.engine == other.engine


def _same_weights(one: Plan, other: Plan) -> bool:
    first, second = one.deployment.checkpoint, other.deployment.checkpoint
    return (first.id, first.scheme.name) == (second.id, second.scheme.name)


def _changed_flags(before: Plan, after: Plan) -> str:
    """Return how two commands of one engine differ, in the imperative; empty if they do not."""
    if before.written is None or after.launch is None:
        return "start it as planned here"
    had, has = _flags(before.written.argv), _flags(after.launch.argv)
    added = [flag for flag in has if flag not in had]
    names = {flag.partition(" ")[0] for flag in has}
    left = [flag for flag in had if flag not in has and flag.partition(" ")[0] not in names]
    parts = [f"set {' '.join(added)}"] if added else []
    parts += [f"leave {' '.join(left)} out"] if left else []
    return " and ".join(parts)


def _flags(argv: Sequence[str]) -> list[str]:
    """Return the flags of a command, each with its value."""
    found = list[str]()
    for word in argv:
        if word.startswith("-"):
            found.append(word)
        elif found:
            found[-1] = f"{found[-1]} {word}"
    return found


def _loses(choice: Choice, before: Plan | None = None) -> str:
    """What is lost in quality; a cache in fewer bits is named, too.

    Args:
        choice: what is proposed.
        before: the plan whose checkpoint is served before and after, so that nothing is lost by it.
    """
    cache = choice.plan.deployment.kv_cache_dtype
    parts = [choice.said.text] if before is None else []
    same = before is not None and cache == before.deployment.kv_cache_dtype
    parts += [f"{cache} KV"] if cache != "auto" and not same else []
    parts += ["tight"] if choice.is_tight else []
    return ", ".join(parts)


def _advice(before: Plan, choice: Choice, title: str, cost: int) -> Advice:
    after, gained = choice.plan, None
    if before.headroom is not None and after.headroom is not None:
        gained = after.headroom - before.headroom
    trusted = ENGINES[after.engine].verified or after.engine == before.engine
    return Advice(
        title=title,
        loses=_loses(choice, before if _same_weights(before, after) else None),
        cost=cost,
        steps=1,
        plan=after,
        gained=gained,
        trusted=trusted,
        word=choice.word,
    )


def _same(one: Advice, other: Advice) -> bool:
    """Two that start the same server are one."""
    return one.command == other.command
