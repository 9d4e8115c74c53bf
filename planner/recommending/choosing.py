"""Plan the candidates that matter, the most promising first, and stop when no better one can come.

Every candidate is a `Question` that is asked for its plan; there is no second formula. None is asked
twice: classes of quality are walked from the best down, and of each class one checkpoint is planned
that holds the workload, of the smallest of the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hardware_db import System, with_system
from planner.engines import ENGINES
from planner.engines.choice import OFFLOADS, SMALLER_CACHE
from planner.engines.economies import Economy
from planner.errors import PlannerError
from planner.model import catalog
from planner.planning import Outcome, Plan
from planner.question import Question
from planner.recommending.candidate import (
    Lane,
    assuming_ram,
    is_beyond,
    lanes,
    least_cache,
    least_held,
    size_of,
)
from planner.recommending.choice import A_FEW, Choice, cache_word, in_order, is_for_few, least_key
from planner.recommending.room import cache_bytes, farthest, over, ram_not_known, shrinks_free
from planner.recommending.saving import may_save, with_care, with_savings
from planner.recommending.siblings import released
from planner.recommending.wanted import Wanted
from planner.registry import Entry, Word, checkpoint_of, loss_of, tier_of
from planner.speed import rates_of
from planner.units import GIB

MORE_CLASSES = 2
"""Classes of quality that are planned below the first that holds the workload: they are faster and
reach further."""

TRIES = 4
"""Checkpoints of one class that are planned until one holds the workload."""

STEP = 200
"""The next file of a class that is tried is smaller by this share of one at least: half a percent."""

ROOMY = 2
"""Times the asked context that one request may take before a checkpoint counts as tight."""

ASSUMED_RAM = 64
"""GiB of RAM that are assumed where nobody said how much there is, for answers that need some."""


class Search:
    """The candidates of one question, each planned once.

    Args:
        wanted: the question.
        may_hold: the pick alone is of use: engines of which no checkpoint can hold it, by the size of
            its cache alone, are left out unplanned, and so are settings that are not enough, and
            classes that come behind what holds it already.
    """

    def __init__(self, wanted: Wanted, *, may_hold: bool = False) -> None:
        self.wanted, self._may_hold = wanted, may_hold
        self._spilt = False
        self._plans: dict[tuple[str, int, int], Plan | None] = {}
        self._saved: dict[tuple[str, str], tuple[Plan, tuple[Economy, ...]] | None] = {}
        self._found: dict[tuple[str, bool, bool], list[Choice]] = {}

    def of_model(
        self, base: str, *, thorough: bool = True, assume_ram: bool = True
    ) -> list[Choice]:
        """Return the candidates of one model that start, the best first.

        Args:
            base: bundled id.
            thorough: every engine and class that may be of use; else the best class of each engine,
                up to one that loses nothing.
            assume_ram: and, where nobody said how much RAM there is, what some would do for it.
        """
        key = base, thorough, assume_ram
        if key not in self._found:
            found = self.on_what_is_there(base, thorough=thorough)
            found += self._with_assumed_ram(base, found) if assume_ram else ()
            self._found[key] = in_order(found, self.wanted.wish)
        return list(self._found[key])

    def on_what_is_there(self, base: str, *, thorough: bool = True) -> list[Choice]:
        """Return what `of_model` does but for what needs RAM that was only assumed, in no order."""
        wanted, found = self.wanted, list[Choice]()
        for turn, lane in enumerate(lanes(base, wanted.system, wanted.wish, wanted.fixed)):
            if self._may_hold and lane.spare < self._least_cache(base):
                continue
            best = min((choice.word for choice in found if self._is_good(choice)), default=None)
            if best is Word.ORIGINAL and not thorough and wanted.wish.best == "quality":
                break
            # where nothing is lost already, a further engine is an alternative, no better answer
            few = not thorough or best is Word.ORIGINAL
            for choice in self._of_lane(base, lane, turn, found, few=few):
                found.append(choice)
        if wanted.wish.best == "context":
            found += filter(None, map(self.smaller_cache, list(found)))
            spilt = [choice for choice in found if choice.in_ram and choice.holds]
            first = min(spilt, key=lambda choice: choice.key(wanted.wish), default=None)
            if first is not None:  # of one is enough: each length is a placement of its own
                found[found.index(first)] = replace(first, reach=farthest(first))
        return found

    def first_of(self, base: str, *, thorough: bool = True) -> list[Choice]:
        """Return what is there in order, as far as it decides which is the first that holds."""
        wish, found = self.wanted.wish, self.on_what_is_there(base, thorough=thorough)
        first = min(found, key=lambda choice: choice.key(wish), default=None)
        if first is not None and first.in_ram and wish.best == "quality":
            self._spilt = True  # a much faster one that is not may come before it
            found = self.on_what_is_there(base, thorough=thorough)
        return in_order(found, wish)

    def _least_cache(self, base: str) -> int:
        """Return the bytes that the workload's caches take at least, where nothing is said of them."""
        wanted = self.wanted
        if wanted.kv_cache_dtype != "auto" or wanted.options is not None or wanted.lessons:
            return 0
        of_token, of_sequence = least_cache(base)
        return wanted.concurrency * (wanted.context * of_token + of_sequence)

    def _is_good(self, choice: Choice) -> bool:
        return not any(choice.holding(self.wanted.wish))

    def _may_win(self, word: Word, lane: Lane, turn: int, found: list[Choice]) -> bool:
        """Say whether a candidate of a class may come before what was found, before it is planned.

        Of a server for a few, where more ask, what comes behind one for many is no alternative either.
        """
        wish = self.wanted.wish
        for_few = is_for_few(lane.engine, self.wanted.concurrency)
        spilt = self._spilt and word <= Word.SMALL
        if spilt or not (self._may_hold or for_few) or wish.best != "quality":
            return True
        sound = [c for c in found if c.holds and not (for_few and (c.is_for_few or c.is_tight))]
        keys = [choice.key(wish) for choice in sound]
        return not keys or least_key(word, turn, for_few=for_few) <= min(keys)

    def _of_lane(
        self, base: str, lane: Lane, turn: int, found: list[Choice], *, few: bool
    ) -> Iterator[Choice]:
        """The candidates of one engine, class by class; `found` is what there is so far."""
        below: int | None = None
        flawless = False
        refused: set[tuple[str, bool | None]] = set()
        for word, rows in lane.classes:
            if below is not None and (below == 0 or (few and word > Word.SMALL)):
                return
            if self.wanted.wish.best != "quality" and below is not None and word >= Word.LARGE:
                return
            if few and flawless and word < Word.SMALL:
                continue  # the fast one of those that lose little is enough beside it
            if not self._may_win(word, lane, turn, found):
                return
            choice = self._of_class(base, rows, lane, turn, refused)
            if choice is None:
                continue
            yield choice
            good = self._is_good(choice)
            flawless = flawless or (good and not choice.flaws(self.wanted.wish))
            if below is None and good:
                below = MORE_CLASSES
            elif below is not None and self.wanted.wish.best == "quality":
                below -= 1

    def _of_class(
        self,
        base: str,
        rows: Iterable[Entry],
        lane: Lane,
        turn: int,
        refused: set[tuple[str, bool | None]],
    ) -> Choice | None:
        """The first checkpoint of a class that holds the workload, else the nearest to it.

        One that leaves room to grow, and is fast, comes before a larger one, where little is lost.
        GGUF files of one class differ in little but their size, so that those that are not smaller by
        enough are left out unplanned.
        """
        wish = self.wanted.wish
        nearest: Choice | None = None
        held: Choice | None = None
        tried, most = 0, None
        whole = self._may_hold and lane.engine not in OFFLOADS
        for row in rows:
            if whole and is_beyond(row, self.wanted.system):
                continue
            size, kind = size_of(row), (row.recipe, row.mtp)
            if kind in refused or tried >= TRIES or (most is not None and size > most):
                continue
            plan = self.plan(row, lane.engine)
            if plan is None or not plan.ranks:
                refused.add(kind)
                continue
            tried += 1
            tight = plan.outcome is Outcome.TIGHT and shrinks_free(lane.engine)
            if not plan.fits or over(plan) or tight:
                plan = self._with_smaller_cache(row, lane.engine, plan)
            plan, savings = self._with_savings(row, plan)
            choice = self.choice(base, row, plan, turn, lane.why)
            choice = replace(choice, savings=savings) if savings else choice
            if plan.outcome is Outcome.FITS and not (choice.in_ram and choice.flaws(wish)):
                shrunk = row.gguf and self._is_shrunk(choice)
                good = choice.word > Word.SMALL or (
                    not choice.flaws(wish) and self._is_roomy(choice)
                )
                if good and not shrunk:
                    return choice
                left = choice.flaws(wish), shrunk
                if held is None or left < (held.flaws(wish), row.gguf and self._is_shrunk(held)):
                    held = choice
            # where it holds and quality is not first, the next is larger, and may be roomier
            if wish.best == "quality" or not plan.fits:
                most = size - max(size // STEP, self._must_go(choice) if row.gguf else 0)
            if nearest is None or choice.key(wish) < nearest.key(wish):
                nearest = choice
        return held or nearest

    def _is_roomy(self, choice: Choice) -> bool:
        """One request may be much longer than was asked; of what lies in RAM that is not asked."""
        return choice.in_ram or choice.longest >= ROOMY * self.wanted.context

    def _is_shrunk(self, choice: Choice) -> bool:
        """Its KV cache was made smaller than anybody asked for."""
        return choice.plan.deployment.kv_cache_dtype != self.wanted.kv_cache_dtype

    def _must_go(self, choice: Choice) -> int:
        """Return the bytes by which another file of a class must be smaller to be worth a plan."""
        return self._lacking(choice) * 3 // 4

    def _lacking(self, choice: Choice) -> int:
        """Return the bytes that a candidate lacks, with a smaller KV cache where its class allows one."""
        plan, lacking = choice.plan, over(choice.plan, at_worst=True)
        smaller = SMALLER_CACHE.get(plan.engine)
        if not lacking or smaller is None or not self._may_shrink(plan, plan.engine):
            return lacking
        if cache_word(smaller) > choice.word:
            return lacking  # of this class no longer
        if not self._is_near(plan):
            return max(0, lacking - cache_bytes(plan) // 2)
        other = self.plan(choice.entry, plan.engine, kv_cache_dtype=smaller)  # it was made already
        return lacking if other is None else over(other, at_worst=True)

    def _is_near(self, plan: Plan) -> bool:
        """It lacks no more than half of its KV cache."""
        return over(plan) <= cache_bytes(plan) // 2

    def _may_shrink(self, plan: Plan, engine: str) -> bool:
        free = self.wanted.kv_cache_dtype == "auto" == plan.deployment.kv_cache_dtype
        return free and engine in SMALLER_CACHE

    def _with_smaller_cache(self, row: Entry, engine: str, plan: Plan) -> Plan:
        """The plan with a KV cache of half the size, where that may help and nobody said which."""
        if not self._may_shrink(plan, engine) or not self._is_near(plan):
            return plan
        other = self.plan(row, engine, kv_cache_dtype=SMALLER_CACHE[engine])
        if other is None or not other.fits or (plan.fits and over(other)):  # no gain
            return plan
        safer = not plan.fits or over(plan) or other.outcome is Outcome.FITS
        return other if safer else plan

    def _with_savings(self, row: Entry, plan: Plan) -> tuple[Plan, tuple[Economy, ...]]:
        """The plan with settings of its engine under which it holds what its defaults do not."""
        if plan.outcome is Outcome.FITS:
            return with_care(self.wanted, plan)
        if not may_save(self.wanted, plan):
            return plan, ()
        key = row.name, plan.engine
        if key not in self._saved:
            # how much is missing of a GGUF file decides which is tried next
            only_enough = self._may_hold and not row.gguf
            self._saved[key] = with_savings(self.wanted, plan, only_enough=only_enough)
        return self._saved[key] or (plan, ())

    def smaller_cache(self, choice: Choice) -> Choice | None:
        """Return a candidate with a KV cache of half the size; None where there is none."""
        smaller = SMALLER_CACHE.get(choice.plan.engine)
        if smaller is None or choice.plan.deployment.kv_cache_dtype != "auto":
            return None
        if self.wanted.kv_cache_dtype != "auto" or choice.needs_ram is not None:
            return None
        plan = self.plan(choice.entry, choice.plan.engine, kv_cache_dtype=smaller)
        if plan is None or not plan.fits:
            return None
        plan, savings = with_care(self.wanted, plan)
        return replace(choice, plan=plan, savings=savings)

    def _with_assumed_ram(self, base: str, found: list[Choice]) -> Iterator[Choice]:
        """What a model with experts does with some of them in RAM, where RAM is not known."""
        wanted, known = self.wanted, catalog.find(base)
        unknown = wanted.system.host_memory is None and not wanted.system.accelerator.is_unified
        if wanted.concurrency > A_FEW:
            return  # experts in RAM are for a few users
        if not unknown or known is None or known[0].model.moe is None:
            return
        if any(self._is_good(choice) and choice.word <= Word.SMALL for choice in found):
            return
        system = assuming_ram(wanted.system, ASSUMED_RAM)
        for turn, lane in enumerate(lanes(base, system, wanted.wish, wanted.fixed)):
            classes = lane.classes if lane.engine in OFFLOADS else ()
            rows = [rows for word, rows in classes if word <= Word.SMALL]
            if not rows:
                continue
            row = rows[-1][0]
            if least_held(row) > system.total_bytes + ASSUMED_RAM * GIB:
                continue
            plan = self.plan(row, lane.engine, system=system)
            if plan is not None and not (plan.fits and (plan.headroom or 0) >= 0):
                more = assuming_ram(wanted.system, 2 * ASSUMED_RAM)
                plan = self.plan(row, lane.engine, system=more)
            if plan is not None and plan.fits and plan.allocation is not None:
                needed = -(-with_system(plan.allocation.host_bytes or 0) // GIB)
                choice = self.choice(base, row, plan, turn, lane.why)
                yield replace(choice, needs_ram=needed)

    def choice(self, base: str, row: Entry, plan: Plan, turn: int, why: str) -> Choice:
        """Return a plan of a checkpoint as a candidate of its engine, which is the `turn`-th of them."""
        return Choice(
            entry=row,
            plan=plan,
            loss=loss_of(row),
            place=self.wanted.place_of(base),
            tier=tier_of(base, self.wanted.wish.use),
            turn=turn,
            why=why,
            released=released(base),
            needs_ram=ram_not_known(plan),
            cache_said=self.wanted.kv_cache_dtype != "auto",
        )

    def plan(
        self,
        row: Entry,
        engine: str,
        *,
        kv_cache_dtype: str | None = None,
        system: System | None = None,
        context: int | None = None,
        concurrency: int | None = None,
    ) -> Plan | None:
        """Return the plan of one candidate; None where it makes no sense.

        Args:
            row: the checkpoint.
            engine: who serves it.
            kv_cache_dtype: None: as asked.
            system: None: the machine.
            context: None: as asked.
            concurrency: None: as asked.
        """
        wanted = self.wanted
        if (
            row.gguf
            and row.mtp is None
            and wanted.options is not None
            and wanted.options.draft_tokens
        ):
            return None  # most GGUF files are converted without the MTP blocks
        cache, users = kv_cache_dtype or wanted.kv_cache_dtype, concurrency or wanted.concurrency
        place, tokens = system or wanted.system, context or wanted.context
        key = (f"{row.name} {engine} {place.id} {cache}", tokens, users)
        if key not in self._plans:
            try:
                found = Question(
                    checkpoint=checkpoint_of(row),
                    system=place,
                    engine=ENGINES[engine],
                    context=tokens,
                    concurrency=users,
                    kv_cache_dtype=cache,
                    layout=wanted.layout,
                    options=wanted.options_of(engine),
                    yarn=wanted.yarn,
                    kept=wanted.kept,
                    lessons=wanted.lessons,
                ).plan()
                if wanted.options is not None:
                    rates_of(found)  # what was said of the engine may not suit these weights
                self._plans[key] = found
            except PlannerError:
                self._plans[key] = None
        return self._plans[key]


def best_of(wanted: Wanted) -> Choice | None:
    """Return the pick of a named model alone, without what stands beside it; None: nothing holds it.

    Args:
        wanted: the question; its model must be named.
    """
    assert wanted.base is not None
    search = Search(wanted, may_hold=True)
    return next((choice for choice in search.first_of(wanted.base) if choice.holds), None)
