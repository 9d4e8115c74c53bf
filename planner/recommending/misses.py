"""What would have to change: where nothing holds the workload, and to serve it better than the pick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby, islice
from math import ceil, inf

from planner.bisection import last_holding
from planner.planning import Outcome
from planner.question import question_of
from planner.recommending.answer import Miss
from planner.recommending.candidate import size_of
from planner.recommending.choice import A_FEW, CLEARLY, Choice
from planner.recommending.choosing import Search, best_of
from planner.recommending.chosen import all_held, other_model
from planner.recommending.drafting import with_drafts
from planner.recommending.machines import (
    by_price,
    fewer_of,
    raised_system,
    seeing_only,
    without_slower_kinds,
)
from planner.recommending.nearest import most_served
from planner.recommending.room import needed_bytes
from planner.recommending.wanted import Wanted
from planner.recommending.wish import Wish
from planner.registry import Word, checkpoint_of, entries_of, loss_of
from planner.units import format_tokens

SHORTEST = 2048
"""Tokens of context below which nothing is offered."""

MOST_USERS = 0.25
"""Share of the users who must be held at once for a better model to be set beside the pick: requests
that wait are served when others end, and few are at the end of their context."""

MACHINES = 6
"""Machines that are tried where the asked one is too small, the cheapest first."""


def beside(search: Search, pick: Choice, choices: list[Choice]) -> Iterator[Miss]:
    """Yield changes under which the workload is served better than by the pick."""
    wanted = search.wanted
    yield from with_drafts(wanted, pick)
    yield from _with_limit_raised(wanted, pick)
    yield from _with_fewer(search, pick)
    yield from _left_out(wanted, pick)
    yield from _better_for_fewer(search, pick, choices)


def misses(search: Search, choices: list[Choice]) -> Iterator[Miss]:
    """What would have to change for something to hold the workload, the least change first."""
    wanted = search.wanted
    yield from _with_limit_raised(wanted, None)
    yield from _in_another_engine(wanted)
    choices = [choice for choice in choices if wanted.base in (None, choice.entry.base)]
    fewer = list(_fewer(search, choices))
    if not fewer and wanted.concurrency > 1:
        # so many that no server holds a part of them: what one user gets tells how many would
        alone = all_held(replace(wanted, concurrency=1))
        choices = choices or alone
        fewer = list(_fewer(search, alone))
    yield from fewer
    yield from _shorter(search, choices)
    for choice in choices:
        if choice.needs_ram is not None and choice.plan.fits:
            yield Miss(change=f"with {choice.needs_ram} GiB of RAM", choice=choice)
            break
    if wanted.base is not None and wanted.fixed.precision is None:
        other = other_model(search)
        if other is not None:
            yield Miss(change=f"use {other.entry.base.rpartition('/')[2]}", choice=other)
    machine = _other_machine(search, choices)
    if machine is not None:
        where = machine.plan.deployment.system.short_name
        how = "" if machine.word >= Word.LARGE else " without a large loss"
        change = f"on {where}, the cheapest of the common machines that does it{how}"
        yield Miss(change=change, choice=machine)


def _serve_fewer(wanted: Wanted, choice: Choice) -> str:
    users = choice.plan.deployment.concurrency
    return f"serve {users:,} at once instead of {wanted.concurrency:,}"


def _in_another_engine(wanted: Wanted) -> Iterator[Miss]:
    """The named model in another engine, where one was named."""
    if wanted.fixed.engine is None or wanted.base is None:
        return
    open_ = replace(wanted, options=None, kept=(), kv_cache_dtype="auto", notes=())
    open_ = replace(open_, fixed=replace(wanted.fixed, engine=None))
    pick = best_of(open_)
    if pick is not None:
        same = pick.plan.engine == wanted.fixed.engine
        change = "leave {}'s options as they are" if same else "let {} serve it"
        yield Miss(change=change.format(pick.plan.engine_title), choice=pick)


def _fewer(search: Search, choices: list[Choice]) -> Iterator[Miss]:
    """What is chosen for the most users at the asked context, without a large loss and with any."""
    sound = [choice for choice in choices if choice.is_above_floor and choice.needs_ram is None]
    for choice in sorted(sound, key=lambda choice: -choice.users):
        named = replace(search.wanted, base=choice.entry.base)
        found = tuple(most_served(named, guess=choice.users))
        for chosen in found:
            loss = ", with a large loss" if chosen.word >= Word.LARGE else ""
            yield Miss(change=_serve_fewer(search.wanted, chosen) + loss, choice=chosen)
        if found:
            return


def _shorter(search: Search, choices: list[Choice]) -> Iterator[Miss]:
    """What is chosen for the longest context that one of the candidates holds."""
    wanted = search.wanted
    for choice in sorted(choices, key=lambda choice: (not choice.is_above_floor, -choice.longest)):
        tokens = choice.longest // 1024 * 1024
        if not SHORTEST <= tokens < wanted.context or choice.needs_ram is not None:
            continue

        def at(length: int, base: str = choice.entry.base) -> Wanted:
            return replace(wanted, base=base, context=length)

        chosen = _farthest(
            at,
            tokens,
            lambda found: min(found.longest, wanted.context - 1) // 1024 * 1024,
        )
        if chosen is not None:
            yield _limit_context(chosen)
            return
    yield from _much_shorter(wanted, choices)


def _much_shorter(wanted: Wanted, choices: list[Choice]) -> Iterator[Miss]:
    """What is chosen for the first half, quarter, ... of the context that is held for all users."""
    one = [choice for choice in choices if choice.is_above_floor and choice.longest >= SHORTEST]
    bases = dict.fromkeys(choice.entry.base for choice in one)
    tokens = wanted.context // 2
    while tokens >= SHORTEST and wanted.concurrency > 1:
        for base in bases:
            chosen = best_of(replace(wanted, base=base, context=tokens))
            if chosen is not None:
                yield _limit_context(chosen)
                return
        tokens //= 2


def _limit_context(choice: Choice) -> Miss:
    told = format_tokens(choice.plan.deployment.context)
    return Miss(change=f"limit the context to {told} tokens", choice=choice)


def _farthest(
    asked: Callable[[int], Wanted], number: int, reach: Callable[[Choice], int]
) -> Choice | None:
    """What is chosen for a number that is held, or for the larger one that this choice reaches."""
    chosen = best_of(asked(number))
    if chosen is None or reach(chosen) <= number:
        return chosen
    return best_of(asked(reach(chosen))) or chosen


def _other_machine(search: Search, choices: list[Choice]) -> Choice | None:
    """What is chosen on the cheapest machine of those that people own that holds it."""
    small = min(
        (choice for choice in choices if choice.needs_ram is None and choice.is_above_floor),
        key=lambda choice: checkpoint_of(choice.entry).nbytes(),
        default=None,
    )
    if small is None:
        return None
    least = min(checkpoint_of(small.entry).nbytes("text"), _least_bytes(small.entry.base))
    large = (system for system in by_price() if system.total_bytes >= least)
    lossy = None
    for system in islice(large, MACHINES):
        chosen = best_of(replace(search.wanted, base=small.entry.base, system=system))
        if chosen is None or chosen.plan.outcome is not Outcome.FITS:
            continue  # nobody buys a machine for what its estimate's band may exceed
        if chosen.word < Word.LARGE:
            return chosen
        lossy = lossy or chosen
    return lossy


def _least_bytes(base: str) -> int:
    """Return the bytes of the smallest checkpoint of a model that loses no large part."""
    rows = (row for row in entries_of(base) if row.recommendable)
    return min((size_of(row) for row in rows if loss_of(row).word < Word.LARGE), default=1 << 60)


def _left_out(wanted: Wanted, pick: Choice) -> Iterator[Miss]:
    """The pick's model on the machine without its slower accelerators, where that is faster."""
    if wanted.layout is not None:
        return
    for names, places, system in without_slower_kinds(wanted.system):
        other = best_of(replace(wanted, base=pick.entry.base, system=system))
        faster = other is not None and (other.per_user or 0.0) >= CLEARLY * (pick.per_user or inf)
        if other is None or not faster or other.word > pick.word:
            continue
        plan = seeing_only(other.plan, places, wanted.system)
        if plan is not None:
            change = f"leave the {names} out (counted in the order in which they are named)"
            yield Miss(change=change, choice=replace(other, plan=plan))
            return


def _with_fewer(search: Search, pick: Choice) -> Iterator[Miss]:
    """The pick on so few of several equal accelerators that it is held as well, and fast enough."""
    wanted, system = search.wanted, search.wanted.system
    if wanted.layout is not None or system.is_mixed or pick.in_ram:
        return
    used, number = pick.plan.deployment.layout.accelerators, 1
    while number < used:
        fewer = fewer_of(system, number)
        plan = search.plan(
            pick.entry,
            pick.plan.engine,
            kv_cache_dtype=pick.plan.deployment.kv_cache_dtype,
            system=fewer,
        )
        if plan is not None and plan.outcome is Outcome.FITS:
            other = replace(pick, plan=plan, savings=(), reach=0)
            if (other.per_user or 0.0) >= wanted.wish.enough:
                these = "one of them is" if number == 1 else f"{number} of them are"
                slow = CLEARLY * (other.per_user or 0.0) < (pick.per_user or 0.0)
                how = "slower" if slow else "about as fast"
                if plan.launch == pick.plan.launch:  # the engine takes what it sees
                    hidden = seeing_only(plan, range(number), system)
                    other = replace(other, plan=hidden or plan)
                yield Miss(change=f"{these} enough, {how}", choice=other)
                return
        number *= 2


def _better_for_fewer(search: Search, pick: Choice, choices: list[Choice]) -> Iterator[Miss]:
    """The best model of a better tier for so many at once that most are served without a wait."""
    wanted = search.wanted
    if wanted.base is not None or wanted.concurrency <= A_FEW:
        return
    better = [
        choice
        for choice in choices
        if choice.tier < pick.tier and choice.is_above_floor and choice.needs_ram is None
    ]
    enough = ceil(MOST_USERS * wanted.concurrency)
    better.sort(key=lambda choice: (choice.tier, choice.place))
    for _, own in groupby(better, key=lambda choice: choice.entry.base):
        # what is too slow for those that it holds is no better answer
        held = [c for c in own if _serves(search, c, enough) and not c.is_below(wanted.wish)]
        held.sort(key=lambda choice: (choice.in_ram, int(choice.word), -choice.users))
        for choice in held:
            chosen = _most_safe(wanted, choice, enough)
            if chosen is not None and not any(chosen.holding(wanted.wish)):
                yield Miss(change=_serve_fewer(wanted, chosen) + ", the others wait", choice=chosen)
                return


def _most_safe(wanted: Wanted, choice: Choice, least: int) -> Choice | None:
    """What is chosen of a candidate's model for as many users as it holds with estimates to spare.

    As many as it just holds would be tight always. Fewer than `least` are not offered.
    """
    named, most = replace(wanted, base=choice.entry.base), wanted.concurrency - 1
    number = _safe_users(choice, least, most)
    if not number:
        return None
    return _farthest(
        lambda several: replace(named, concurrency=several),
        number,
        lambda found: _safe_users(found, least, most),
    )


def _safe_users(choice: Choice, least: int, most: int) -> int:
    """Return the most users that a candidate holds whatever its estimates' bands say; 0: not `least`."""
    asked, held = question_of(choice.plan), min(choice.users, most)
    safe = last_holding(
        lambda users: asked.plan(concurrency=users).outcome is Outcome.FITS,
        least,
        held,
        guess=held,
    )
    return safe or 0


def _serves(search: Search, choice: Choice, users: int) -> bool:
    """Say whether so many are held at once, none too slowly: it takes less than to say how many are.

    What is too slow for them is no faster for more.
    """
    allocation = choice.plan.allocation
    if allocation is None or not allocation.holds(users):
        return False
    if choice.savings:
        return True
    cache = choice.plan.deployment.kv_cache_dtype
    plan = search.plan(choice.entry, choice.plan.engine, kv_cache_dtype=cache, concurrency=users)
    return plan is None or not replace(choice, plan=plan).is_below(search.wanted.wish)


def _with_limit_raised(wanted: Wanted, pick: Choice | None) -> Iterator[Miss]:
    """What the machine holds once its owner raises the limit, where that is better than the pick."""
    raised = raised_system(wanted.system)
    unified = wanted.system.accelerator.unified
    if raised is None or unified is None or unified.raisable is None:
        return
    if pick is not None and pick.place == 0 and pick.word == Word.ORIGINAL:
        return
    held = next(iter(all_held(replace(wanted, system=raised))), None)
    if held is None or needed_bytes(held.plan) <= wanted.system.accelerator.usable_bytes:
        return
    if pick is None or _is_clearly_better(held, pick, wanted.wish):
        yield Miss(
            change=f"raise {unified.raisable.name}",
            limit=unified.raisable,
            choice=held,
        )


def _is_clearly_better(choice: Choice, pick: Choice, wish: Wish) -> bool:
    """Say whether it has better scores without a flaw more, or is the same model with less loss."""
    if choice.entry.base == pick.entry.base:
        return choice.loses_less(pick)
    return choice.place < pick.place and choice.flaws(wish) <= pick.flaws(wish)
