"""The candidates of a question, the pick, and the front beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from planner.engines.choice import LOADS
from planner.recommending.choice import CLEARLY, Choice
from planner.recommending.choosing import Search, best_of
from planner.recommending.front import front, is_shown, shape_of
from planner.recommending.siblings import is_quicker, released, siblings
from planner.recommending.wanted import Wanted
from planner.recommending.wish import Wish
from planner.registry import Word, classes, entries_of, loss_of, rank_of, uses

BESIDE = 2
"""Other models that are set beside a named one."""

BELOW = 2
"""Classes of models below the first that holds the workload that are looked at: they are faster."""


def chosen(search: Search) -> tuple[list[Choice], Choice | None, tuple[Choice, ...]]:
    """Return the candidates, the pick, and the front beside it; no front where nothing is held."""
    base = search.wanted.base
    choices = _of_any_model(search) if base is None else _of_named(search, base)
    return choices, *_pick_and_front(search, choices)


def held_by(wanted: Wanted) -> tuple[Choice, ...]:
    """Return the pick and the front of `recommend` alone; nothing where nothing holds the workload.

    Args:
        wanted: the question.
    """
    _, pick, beside = chosen(Search(wanted))
    return () if pick is None else (pick, *beside)


def held_of_model(wanted: Wanted) -> tuple[Choice, ...]:
    """Return what `held_by` does, of the named model alone.

    Args:
        wanted: the question; its model must be named.
    """
    assert wanted.base is not None
    search = Search(wanted)
    pick, beside = _pick_and_front(search, search.of_model(wanted.base))
    return () if pick is None else (pick, *beside)


def _pick_and_front(
    search: Search, choices: list[Choice]
) -> tuple[Choice | None, tuple[Choice, ...]]:
    wanted = search.wanted
    own = (choice for choice in choices if wanted.base in (None, choice.entry.base))
    pick = next((choice for choice in own if choice.holds), None)
    if pick is None:
        return None, ()
    beside = search.smaller_cache(pick), _in_16_bits(search, pick)
    others = [*choices, *(choice for choice in beside if choice is not None)]
    return pick, front(pick, others, wanted.wish, named=wanted.base is not None)


def _in_16_bits(search: Search, pick: Choice) -> Choice | None:
    """Return the original of a pick in 8 bits, in the same server, where it holds the workload."""
    if pick.said is not Word.EIGHT_BITS or search.wanted.fixed.precision is not None:
        return None
    for row in entries_of(pick.entry.base):
        loaded = pick.plan.engine in LOADS.get(row.container, ())
        if row.recommendable and loaded and loss_of(row).basis == "original":
            plan = search.plan(row, pick.plan.engine)
            if plan is None or not plan.fits:
                return None
            whole = replace(pick, entry=row, plan=plan, loss=loss_of(row))
            return None if whole.in_ram > pick.in_ram else whole
    return None


def all_held(wanted: Wanted) -> list[Choice]:
    """Candidates that hold the workload, the best first; of the named model alone, if one is."""
    search = Search(wanted)
    found = _of_any_model(search) if wanted.base is None else search.of_model(wanted.base)
    return [choice for choice in found if choice.holds]


def _of_named(search: Search, base: str) -> list[Choice]:
    """Candidates of one model, then one each of models to set beside it."""
    found = search.of_model(base)
    if search.wanted.fixed.precision is not None:
        return found
    beside = 0
    for other in siblings(search.wanted, base):
        there = Search(search.wanted, may_hold=True).first_of(other, thorough=False)
        more = [choice for choice in there if choice.plan.fits]
        found += more[:1]
        beside += bool(more)
        if beside == BESIDE:
            break
    wish = search.wanted.wish
    sound = [choice for choice in found if choice.holds and choice.is_above_floor]
    if all(choice.is_below(wish) for choice in sound):
        smaller = other_model(search, quicker=bool(sound))
        found += [smaller] if smaller is not None else []
    return found


def _of_any_model(search: Search) -> list[Choice]:
    """Candidates of the best model, in their order, then those of each other one, likewise."""
    models: list[list[Choice]] = []
    wish, below = search.wanted.wish, None
    for group in classes(search.wanted.wish.use):
        left = [base for base in group if not _is_replaced(base, models)]
        of_group = list[list[Choice]]()
        for base in left:
            # an older release of a size is not set beside one that runs: not even with more RAM
            newer = _newer(base, [*models, *of_group])
            newest = not any(is_shown(choice) for found in newer for choice in found)
            if found := search.of_model(base, thorough=False, assume_ram=newest):
                of_group.append(found)
        models += of_group
        if below is not None:
            below -= any(of_group) or len(left) < len(group)
        elif any(not any(found[0].holding(wish)) for found in models):
            below = BELOW
        if below == 0:
            break
    models = models_in_order(list(_newest(models)), wish)
    first = next((found[0].entry.base for found in models if found[0].holds), None)
    if first is not None:
        others = (found for found in models if found[0].entry.base != first)
        models = [search.of_model(first), *others]
    return [choice for found in models for choice in found]


def models_in_order(models: Iterable[list[Choice]], wish: Wish) -> list[list[Choice]]:
    """Return models, each with its candidates, by the best candidate of each.

    Ties are broken by speed; of what is about as fast, the model that is ahead for more uses, the
    newer one, the least loss. Where context comes first it takes the place of speed.
    """
    groups: dict[tuple[object, ...], list[list[Choice]]] = {}
    models = list(models)
    for found in models:
        outdone = any(other[0].outdoes(found[0], wish) for other in models)
        groups.setdefault(found[0].key_of_model(wish, outdone=outdone), []).append(found)
    order = []
    for key in sorted(groups):
        left = groups[key]
        while left:
            least = max(found[0].gain(wish) for found in left) / CLEARLY
            alike = [found for found in left if found[0].gain(wish) >= least]
            best = min(found[0].place for found in alike)
            alike = [found for found in alike if found[0].place == best]
            lead = {id(found): _lead(found[0], [other[0] for other in alike]) for found in alike}
            first = min(alike, key=lambda found: (-lead[id(found)], *_newest_first(found[0])))
            order.append(first)
            left = [found for found in left if found is not first]
    return order


def _lead(choice: Choice, others: list[Choice]) -> int:
    """For how many uses a model is in a better class than others, less those in which it is behind."""
    mine, lead = choice.entry.base, 0
    for use in uses():
        place = rank_of(mine, use)
        for other in others:
            theirs = rank_of(other.entry.base, use)
            ends = (math.inf if place is None else place), (math.inf if theirs is None else theirs)
            lead += (ends[0] < ends[1]) - (ends[0] > ends[1])
    return lead


def _newest_first(choice: Choice) -> tuple[object, ...]:
    return -choice.released, int(choice.word), -choice.quickness, choice.entry.name


def _newest(models: list[list[Choice]]) -> Iterator[list[Choice]]:
    """Yield models without older releases of a size whose newer one holds the workload as well."""
    for found in models:
        if not _is_replaced(found[0].entry.base, models):
            yield found


def _is_replaced(base: str, models: list[list[Choice]]) -> bool:
    """Say whether a newer release of a model's size holds the workload and loses little enough."""
    newer = (found[0] for found in _newer(base, models))
    return any(other.holds and other.word <= Word.NOTICEABLE for other in newer)


def _newer(base: str, models: Iterable[list[Choice]]) -> Iterator[list[Choice]]:
    """Yield the candidates of newer releases of a model's size."""
    for found in models:
        of = found[0]
        if of.released > released(base) and shape_of(of.entry.base) == shape_of(base):
            yield found


def other_model(search: Search, *, quicker: bool = False) -> Choice | None:
    """The best other model that holds the workload; one that computes much less, where that is asked."""
    for group in classes(search.wanted.wish.use):
        for base in group:
            if base == search.wanted.base or (quicker and not is_quicker(base, search.wanted.base)):
                continue
            for choice in search.of_model(base, thorough=False):
                if choice.holds and not any(choice.holding(search.wanted.wish)):
                    return best_of(replace(search.wanted, base=base)) or choice
    return None
