"""One candidate that was planned, and the order of such."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property, lru_cache

from hardware_db.records import frozen_with_cache
from planner.engines.choice import FOR_MANY, SMALLER_CACHE
from planner.engines.economies import Economy
from planner.planning import Plan
from planner.ranking import place_of
from planner.recommending.makers import standing
from planner.recommending.wish import Wish
from planner.registry import (
    Entry,
    Loss,
    Protocol,
    Word,
    cache_losses,
    effective_bits,
    floor_of,
)
from planner.speed import speed_of
from planner.throughput import NoEstimate, SpeedEstimate
from planner.throughput.answer import to_two_digits
from planner.units import GIB

CLEARLY = 1.2
"""What is faster, or reaches further, by less than this is no reason to take something else."""

A_FEW = 4
"""Users at once up to whom any server does."""

FALLS_BACK = 2
"""Flaws that cost a model its tier."""

DOUBLINGS = {
    Word.ORIGINAL: 0.0,
    Word.NEAR_LOSSLESS: 0.1,
    Word.SMALL: 0.25,
    Word.NOTICEABLE: 1.0,
    Word.LARGE: 2.0,
}
"""Doublings of a speed that is too low for which so much loss is taken (a judgement): a file that loses
noticeably must be twice as fast as one that does not."""

FOR_FEW = 1.5
"""What a server for a few costs where more users ask: more than a tight fit of one that batches what
comes, less than a tight fit and a noticeable loss together (a judgement)."""

JOINED = 0.5
"""What a server that joins machines over a network that nobody measured costs: what is as good, but made
for several machines, comes first (a judgement)."""

SPILL = 2
"""Times as fast as a file with experts in RAM from which on one that lies on the accelerators comes
first, though it loses a little more."""

OUTDONE = 2
"""Times as fast, or as far, as a model at which one of the next tier that loses no more outdoes it, where
speed or context come first."""

MOST_OF_RAM = 0.75
"""Share of the RAM above which a server leaves too little for everything else."""


@frozen_with_cache
class Choice:
    """A checkpoint under an engine, planned on the machine.

    Attributes:
        entry: the checkpoint.
        plan: its plan; every figure shown comes from it.
        loss: what its weights lose.
        place: class of its model for the use, 0 the best.
        turn: place of its engine in the order for this machine.
        why: why that engine.
        tier: tier of its model for the use, 0 the best: classes that are not far apart.
        released: the day of its model's release, as a number that grows.
        needs_ram: GiB of RAM that were assumed, because nobody said how much there is.
        better: in what it is better than the pick; empty for the pick.
        reach: tokens of the longest single request once more experts lie in RAM; 0: not asked.
        savings: settings of the engine without which it does not hold the workload.
        cache_said: the KV cache's format was asked for: it is no loss by which candidates differ.
    """

    entry: Entry
    plan: Plan
    loss: Loss
    place: int
    turn: int
    why: str
    tier: int = 0
    released: int = 0
    needs_ram: int | None = None
    better: str = ""
    reach: int = 0
    savings: tuple[Economy, ...] = ()
    cache_said: bool = False

    def __repr__(self) -> str:
        """Return the checkpoint and its verdict: the parts would be pages."""
        return f"<Choice: {self.entry.name}: {self.plan.verdict}>"

    @cached_property
    def speed(self) -> SpeedEstimate | NoEstimate | None:
        """How fast it is, where that is known.

        Worked out when it is asked for: of what holds fewer users, that takes many placements.
        """
        return speed_of(self.plan)

    @property
    def per_user(self) -> float | None:
        """Tokens per second that one user gets; None where it is not known."""
        return self.speed.per_user.value if isinstance(self.speed, SpeedEstimate) else None

    @property
    def quickness(self) -> float:
        """The same as far as it is compared: of what does not hold the workload it is that of fewer users."""
        return self.per_user or 0.0 if self.plan.fits else 0.0

    @property
    def word(self) -> Word:
        """Class of quality: the weights' or the KV cache's, whichever loses more."""
        return max(self.loss.word, self._word_of_cache)

    @property
    def said(self) -> Word:
        """The same as users read it: 8 bits by what was measured of them."""
        return max(self.loss.said, self._word_of_cache)

    @property
    def _word_of_cache(self) -> Word:
        dtype = self.plan.deployment.kv_cache_dtype
        return Word.ORIGINAL if self.cache_said else cache_word(dtype)

    def loses_less(self, other: Choice) -> bool:
        """Return whether it is of a better class of quality, and reads so."""
        return self.word < other.word and self.said < other.said

    @property
    def longest(self) -> int:
        """Tokens of the longest single request."""
        return max(self.reach, self.plan.longest_context)

    @property
    def users(self) -> int:
        """Requests of the asked context that are held at once."""
        return self.plan.allocation.sequences if self.plan.allocation is not None else 0

    @property
    def in_ram(self) -> bool:
        """A part of the weights that a step multiplies lies outside the accelerators."""
        return self.plan.allocation is not None and self.plan.allocation.placement.outside > 0

    @property
    def standing(self) -> int:
        """Who made the files: 0 the model's maker, 1 who stores the family regularly, 2 others."""
        return standing(self.entry)

    @property
    def lost(self) -> int:
        """Its class of loss, one worse where who made the files stores little of the family."""
        return int(self.word) + (self.standing > 1)

    @property
    def is_for_few(self) -> bool:
        """More users ask at once than its server is made for."""
        return is_for_few(self.plan.engine, self.plan.deployment.concurrency)

    @property
    def is_joined(self) -> bool:
        """It lies on several machines, under a server that is made for one."""
        asked = self.plan.deployment
        several = asked.layout.accelerators > asked.system.accelerators_per_node
        return several and self.plan.engine not in FOR_MANY

    @property
    def is_above_floor(self) -> bool:
        """Its bits are not below those under which a smaller model is the better choice."""
        floor, bits = floor_of(self.entry.base), effective_bits(self.entry)
        return floor is None or bits is None or bits >= floor.bits

    @property
    def holds(self) -> bool:
        """It holds the workload with nothing over, and with nothing that was only assumed."""
        spare = self.plan.headroom or 0
        return self.plan.fits and self.needs_ram is None and spare >= 0

    def holding(self, wish: Wish) -> tuple[int, ...]:
        """Return what comes before every wish: RAM that is there, the floor of bits, the least speed.

        Too slow counts in steps of two: half the least speed is one step.
        """
        return self._held(self._too_slow(wish))

    def _held(self, slow: float) -> tuple[int, ...]:
        """What `holding` returns where the speed must double so often."""
        return (*self._sound, math.ceil(slow), place_of(self.plan.outcome))

    @property
    def _sound(self) -> tuple[int, ...]:
        """RAM that is there, a workload that is held, bits above the floor: zeros where all is well."""
        held = max(0, place_of(self.plan.outcome) - 1)
        return (self.needs_ram is not None, held, not self.is_above_floor)

    def _too_slow(self, wish: Wish) -> float:
        """Return how often the speed must double to reach the least speed; 0 where it does."""
        if not self.plan.fits:
            return 0.0
        if self.per_user is None:
            return float(self.in_ram)
        return max(0.0, math.log2(max(wish.least_speed, 1e-3) / max(self.per_user, 1e-3)))

    @property
    def is_tight(self) -> bool:
        """At the far end of an estimate's band it may not hold, and its command does not avoid that."""
        return place_of(self.plan.outcome) > 0 and not self.curbed

    @property
    def curbed(self) -> str:
        """What its command keeps below the engine's own default so that it holds; empty if nothing."""
        return self.plan.allocation.curbed if self.plan.allocation is not None else ""

    @property
    def fills_ram(self) -> bool:
        """It takes so much of the RAM that other programs would feel it."""
        held, ram = self.plan.deployment.system.host_memory, self.plan.allocation
        if not self.in_ram or held is None or ram is None:
            return False
        return (ram.host_bytes or 0) > MOST_OF_RAM * held

    def flaws(self, wish: Wish) -> int:
        """Return what is left to be wished: a comfortable speed, a small loss, RAM to spare.

        A large loss counts twice.
        """
        loss = (self.word > Word.SMALL) + (self.word > Word.NOTICEABLE)
        return self.is_slow(wish) + loss + self.fills_ram

    def is_slow(self, wish: Wish) -> bool:
        """Say whether it is below a comfortable speed; what reads the same as that is not."""
        if not self.plan.fits or self.per_user is None:
            return False
        return to_two_digits(self.per_user) < wish.comfortable

    def is_below(self, wish: Wish) -> bool:
        """Say whether it does not even almost give the least speed."""
        return self.per_user is not None and self.per_user < wish.enough

    def key(self, wish: Wish) -> tuple[object, ...]:
        """Return what candidates of one model are sorted by, the best first.

        Speeds that read the same are a tie. Being too slow, losing noticeably and being tight are
        weighed against each other: half the speed, a noticeable loss and a tight fit count alike,
        where it is too slow anyway a tight one half.
        """
        slow, lost = self._too_slow(wish), DOUBLINGS[self.word]
        cost = slow + lost + self.is_tight / 2 if slow else math.floor(lost) + self.is_tight
        cost += FOR_FEW * self.is_for_few + JOINED * self.is_joined
        loss = (self.flaws(wish), self.lost)
        first: tuple[object, ...]
        if wish.best == "quality":
            poor = self.is_tight or bool(self.curbed) or self.word > Word.NOTICEABLE
            first = (cost, poor, *loss)
        else:  # how far it reaches is asked where it counts: it takes graphs of its own
            fast = wish.best == "speed"
            gain = 0.0
            if self.plan.fits:
                gain = to_two_digits(self.quickness) if fast else self.longest
            first = (math.ceil(slow), self.is_tight, -gain, *loss)
        return (
            *self._sound,
            *first,
            self.turn,
            self.standing,
            -((self.plan.headroom or 0) // GIB),
            self.entry.name,
        )

    def key_of_model(self, wish: Wish, *, outdone: bool = False) -> tuple[object, ...]:
        """Return what the best candidates of several models are sorted by; equals are tied.

        What almost reaches the least speed counts as if it did. Tiers, then classes: within a tier,
        what is slow or loses noticeably comes after what does neither. What has two flaws, such as a
        large loss, falls back by a tier: at the floor of bits the next smaller model is as good.
        Where speed or context come first, they decide within a tier, and the classes between what is
        alike. A server for a few is a flaw where more users ask, and so is to be outdone.
        """
        flaws = self.flaws(wish) + self.is_for_few + outdone
        tier = self.tier + (flaws >= FALLS_BACK)
        place = self.place if wish.best == "quality" else 0
        slow = self._too_slow(wish)
        if slow and (self.per_user or 0.0) >= wish.enough:
            slow = 0.0
        return (*self._held(slow), tier, flaws, place)

    def gain(self, wish: Wish) -> float:
        """Return what comes first of what is wished: how far it reaches, else how fast it is."""
        return self.longest if wish.best == "context" else self.quickness

    def outdoes(self, other: Choice, wish: Wish) -> bool:
        """Say whether it is so much faster, or reaches so much further, that `other` gives way.

        It loses no more, holds as safely, and its model is at most a tier below.
        """
        return (
            wish.best != "quality"
            and self.gain(wish) >= OUTDONE * other.gain(wish)
            and self.tier <= other.tier + 1
            and self.word <= other.word
            and self.holding(wish) <= other.holding(wish)
        )


def is_for_few(engine: str, users: int) -> bool:
    """Say whether an engine is a server for a few, and more ask."""
    return users > A_FEW and engine not in FOR_MANY


def least_key(word: Word, turn: int, *, for_few: bool) -> tuple[object, ...]:
    """Return what no candidate of a class of weights comes before, where quality comes first.

    Args:
        word: the class.
        turn: place of the engine.
        for_few: it is a server for a few, and more ask.
    """
    loss = (word > Word.SMALL) + (word > Word.NOTICEABLE)
    cost = math.floor(DOUBLINGS[min(word, Word.LARGE)]) + FOR_FEW * for_few
    return False, 0, False, cost, word > Word.NOTICEABLE, loss, int(word), turn


def in_order(found: Iterable[Choice], wish: Wish) -> list[Choice]:
    """Return the candidates of one model, the best first.

    Where speed or context come first, what is about as fast as the fastest, or reaches about as far as
    the farthest, is ordered by what it loses.
    """
    order = sorted(found, key=lambda choice: choice.key(wish))
    if not order:
        return order
    if wish.best == "quality":
        return _without_spilling(order, wish)
    held, most = order[0].holding(wish), order[0].gain(wish)
    alike = [
        choice
        for choice in order
        if choice.holding(wish) == held and CLEARLY * choice.gain(wish) >= most
    ]
    alike.sort(key=lambda choice: (choice.flaws(wish), int(choice.word)))
    return [*alike, *(choice for choice in order if choice not in alike)]


def _without_spilling(order: list[Choice], wish: Wish) -> list[Choice]:
    """Return candidates with the first that needs no RAM first, where it is much faster and loses little.

    A finer file that spills into RAM is no answer where a good one lies on the accelerators. Where
    not even the first holds the workload, none does.
    """
    first = order[0]
    if not first.in_ram or not first.plan.fits:
        return order
    for other in order:
        sound = other.holding(wish) <= first.holding(wish) and other.flaws(wish) == 0
        if not sound or other.in_ram:
            continue
        if (other.per_user or 0.0) >= SPILL * (first.per_user or math.inf):
            return [other, *(choice for choice in order if choice is not other)]
    return order


@lru_cache(maxsize=64)
def cache_word(cache_format: str) -> Word:
    """Return the class of quality of a KV cache format: the middle between those who measured it.

    Nobody measured the caches of two engines by one protocol, so that their values do not compare:
    all of half the size are one class, in which each protocol counts once.
    """
    halved = frozenset(SMALLER_CACHE.values())
    words: dict[Protocol, Word] = {}
    for name in halved if cache_format in halved else (cache_format,):
        for loss in cache_losses(name):
            words[loss.protocol] = max(loss.word, words.get(loss.protocol, Word.ORIGINAL))
    found = sorted(words.values())
    if not found:
        return Word.ORIGINAL
    return Word(math.ceil((found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2))
