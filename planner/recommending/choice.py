"""One candidate that was planned, and the order of such."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.planning import Plan
from planner.ranking import place_of
from planner.recommending.wish import Wish
from planner.registry import Entry, Loss, Word, cache_losses, effective_bits, floor_of
from planner.throughput import NoEstimate, SpeedEstimate
from planner.units import GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A checkpoint under an engine, planned on the machine.

    Attributes:
        entry: the checkpoint.
        plan: its plan; every figure shown comes from it.
        loss: what its weights lose.
        speed: how fast it is, where that is known.
        place: class of its model for the use, 0 the best.
        turn: place of its engine in the order for this machine.
        why: why that engine.
        released: the day of its model's release, as a number that grows.
        needs_ram: GiB of RAM that were assumed, because nobody said how much there is.
        better: in what it is better than the pick; empty for the pick.
    """

    entry: Entry
    plan: Plan
    loss: Loss
    speed: SpeedEstimate | NoEstimate | None
    place: int
    turn: int
    why: str
    released: int = 0
    needs_ram: int | None = None
    better: str = ""

    @property
    def per_user(self) -> float | None:
        """Tokens per second that one user gets; None where it is not known."""
        return self.speed.per_user.value if isinstance(self.speed, SpeedEstimate) else None

    @property
    def word(self) -> Word:
        """Class of quality: the weights' or the KV cache's, whichever loses more."""
        return max(self.loss.word, cache_word(self.plan.deployment.kv_cache_dtype))

    @property
    def longest(self) -> int:
        """Tokens of the longest single request."""
        return self.plan.capacity.longest_context if self.plan.capacity else 0

    @property
    def users(self) -> int:
        """Requests of the asked context that are held at once."""
        return self.plan.capacity.sequences if self.plan.capacity else 0

    @property
    def in_ram(self) -> bool:
        """A part of the weights that a step multiplies lies outside the accelerators."""
        return self.plan.allocation is not None and self.plan.allocation.placement.outside > 0

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
        slow = 0
        if self.per_user is not None and self.per_user < wish.least_speed:
            slow = math.ceil(math.log2(wish.least_speed / max(self.per_user, 1e-3)))
        elif self.per_user is None and self.in_ram:
            slow = 1
        held = place_of(self.plan.outcome)
        return (
            self.needs_ram is not None,
            max(0, held - 1),
            not self.is_above_floor,
            slow,
            held,
        )

    def key(self, wish: Wish) -> tuple[object, ...]:
        """Return what candidates of one model are sorted by, the best first."""
        quality = (int(self.word),)
        speed = (-_two_digits(self.per_user or 0.0),)
        reach = (-self.longest,)
        first = {
            "quality": quality,
            "speed": (*speed, *quality),
            "context": (*reach, *quality),
        }[wish.best]
        return (
            *self.holding(wish),
            *first,
            self.entry.maker != "official",
            self.turn,
            -((self.plan.headroom or 0) // GIB),
            self.entry.name,
        )

    def key_of_model(self, wish: Wish) -> tuple[object, ...]:
        """Return what the best candidates of several models are sorted by: classes, ties by speed.

        In one class, what loses noticeably comes after what does not.
        """
        fastest = (self.word > Word.SMALL, -_two_digits(self.per_user or 0.0), int(self.word))
        order: tuple[object, ...] = (self.place, *fastest)
        if wish.best == "speed":
            order = (*fastest, self.place)
        elif wish.best == "context":
            order = (self.place, -self.longest, *fastest)
        return (*self.holding(wish), *order, -self.released, self.entry.name)


def cache_word(cache_format: str) -> Word:
    """Return the class of quality of a KV cache format: the middle of what was measured of it."""
    found = sorted(loss.word for loss in cache_losses(cache_format))
    return found[len(found) // 2] if found else Word.ORIGINAL


def _two_digits(value: float) -> float:
    """A speed as people see it: estimates that differ by less are a tie."""
    return value if value <= 0 else round(value, 1 - math.floor(math.log10(value)))
