"""The answer: rates with their bands, what they are made of, and how to say them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hardware_db.records import frozen
from planner.throughput.constants import Calibration, Constants
from planner.throughput.host import HostMemory
from planner.throughput.part import Part, StepTerm, terms
from planner.throughput.workload import Speculation, Workload
from planner.units import format_tokens


@frozen
class Banded:
    """An estimate and the band that the truth is claimed to lie in."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """Whether the band holds `truth`."""
        return self.low <= truth <= self.high

    def inverse(self) -> Banded:
        """Seconds from a rate, or a rate from seconds."""
        return Banded(value=1 / self.value, low=1 / self.high, high=1 / self.low)

    def scaled(self, factor: float) -> Banded:
        """All three times `factor`."""
        return Banded(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def words(self, unit: str) -> str:
        """``about 85 tok/s (66–110)``: two significant digits, never a bare number."""
        low, high = two_digits(self.low), two_digits(self.high)
        return f"about {two_digits(self.value)} {unit} ({low}–{high})"

    @property
    def time(self) -> str:
        """Seconds as people say a time: ``about 6.5 min (3.8–18)``."""
        unit, long = _unit_of_time(self.value)
        return self.scaled(1 / long).words(unit)


@frozen
class PrefillEstimate:
    """One prompt (or those that are computed together), alone on the machine.

    Attributes:
        tokens: tokens of the prompt, or of all of them.
        chunk: tokens computed at a time.
        seconds: how long it takes. Not the time to first token under load: that adds waiting.
        tokens_per_second: the same as a rate.
        first_token: seconds to the first token, at best (alone) and at worst (all users' prompts
            arrive at once and this one is served last).
        parts: what the time is made of, before the constants are put in.
        constants: those that were put in.
        slower: why it is slower than older cards suggest, where it is.
        rough: why it is rough; empty if it is not.
        notes: what else belongs to it: who computes it, what was assumed.
    """

    tokens: int
    chunk: int
    seconds: Banded
    tokens_per_second: Banded
    first_token: tuple[float, float]
    parts: tuple[Part, ...]
    constants: Constants
    slower: tuple[str, ...] = ()
    rough: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def terms(self) -> tuple[StepTerm, ...]:
        """What the time is made of."""
        return terms(self.parts, self.constants)


@frozen
class SpeedEstimate:
    """How fast a deployment is, to first order.

    Attributes:
        workload: what was asked.
        speculation: what is drafted, if anything.
        accepted: tokens that one step yields per sequence (1 without speculation).
        per_user: tokens per second that one user sees while decoding.
        total: tokens per second of all users together, their own prefill counted.
        time_per_output_token: seconds between a user's tokens.
        parts: what that time is made of, before the calibration's constants are put in.
        prefill: one prompt alone; None for a workload without a prompt.
        gain: speed with drafts over speed without; None where nothing is drafted.
        host: the RAM that weights are read from; None where none are.
        calibration: the constants, their basis and the band.
        rough: why the figure is rough; empty if it is not.
        assumptions: what was assumed, one sentence each.
        slower: why decoding is slower than older cards, wider weights or fewer accelerators suggest,
            where it is.
        thin: why little was measured of decoding there, though something was.
    """

    workload: Workload
    speculation: Speculation | None
    accepted: float
    per_user: Banded
    total: Banded
    time_per_output_token: Banded
    parts: tuple[Part, ...]
    prefill: PrefillEstimate | None
    gain: Banded | None
    host: HostMemory | None
    calibration: Calibration
    rough: tuple[str, ...]
    assumptions: tuple[str, ...]
    slower: tuple[str, ...] = ()
    thin: tuple[str, ...] = ()

    @property
    def decode_per_user(self) -> Banded:
        """`per_user` by the name that it has in documents."""
        return self.per_user

    @property
    def decode_total(self) -> Banded:
        """`total` by the name that it has in documents."""
        return self.total

    @property
    def prefill_seconds(self) -> Banded | None:
        """Seconds of one prompt alone, as in documents; None for a workload without a prompt."""
        return None if self.prefill is None else self.prefill.seconds

    @property
    def terms(self) -> tuple[StepTerm, ...]:
        """What the time between tokens is made of, per output token; hidden ones add nothing."""
        return terms(self.parts, self.calibration.constants)

    @property
    def binding(self) -> str:
        """Name of the longest term."""
        shown = (term for term in self.terms if not term.hidden)
        return max(shown, key=lambda term: term.seconds).name

    @property
    def words(self) -> str:
        """The rates in one sentence, with band, depth, binding term and basis."""
        rate = self.per_user.words("tok/s per user")
        rate += f" at {format_tokens(round(self.workload.mean_depth))} of context"
        if self.workload.concurrency > 1:
            rate += f", {self.total.words('tok/s')} in all"
        share = float(two_digits(100 * self._share(self.binding)))
        text = f"{rate}; longest part: {self.binding} ({share:.0f} %)"
        text += f"; {_BASIS[self.calibration.basis]}"
        if self.host is not None:
            text += f"; {self.host.words}"
        if self.gain is not None:
            text += f"; drafting {_gain_words(self.gain)}"
        return _with_reasons(text, self.slower, (*self.rough, *self.thin))

    @property
    def wide(self) -> str:
        """Why the band is so wide that it says little; empty where it is not."""
        if self.per_user.high < WIDE * self.per_user.low:
            return ""
        reasons = (*self.rough, *self.thin, *([_DRAFTED] if self.gain is not None else ()))
        return "; ".join(reasons[:_REASONS]) or _APART[self.calibration.basis]

    @property
    def prefill_words(self) -> str:
        """The prompt's time in one sentence."""
        if self.prefill is None:
            return "no prompt"
        text = f"{self.prefill.seconds.time} of prefill for {self.prefill.tokens:,} tokens alone on the machine"
        if self.workload.concurrency > 1:
            worst = duration(self.prefill.first_token[1])
            text += f"; first token after {worst} at worst, when all prompts arrive at once"
        reasons = (*self.prefill.notes, *self.prefill.slower)
        return _with_reasons(text, reasons, self.prefill.rough)

    def _share(self, name: str) -> float:
        shown = [term for term in self.terms if not term.hidden]
        whole = sum(term.seconds for term in shown)
        return sum(term.seconds for term in shown if term.name == name) / whole


def _with_reasons(text: str, reasons: Sequence[str], rough: Sequence[str]) -> str:
    text = "; ".join((text, *reasons))
    return f"{text}; rough: {'; '.join(rough)}" if rough else text


def _gain_words(gain: Banded) -> str:
    """Return what drafting brings: ``is 1.6 times as fast (1–2.2)``, or that it hardly helps, or harms."""
    found = f"{two_digits(gain.value)} times ({two_digits(gain.low)}–{two_digits(gain.high)})"
    if gain.value < _HARMS:
        return f"makes it slower here: {found}"
    if gain.value < _WORTH_IT:
        return f"hardly helps here: {found}"
    return f"gives {found} the speed"


_WORTH_IT = 1.1
"""Below this gain drafting is not worth the memory of its module."""

_HARMS = 0.95
"""Below this gain it is slower than without, beyond rounding."""

WIDE = 3
"""Upper over lower end of a band from which on it is said why."""

_DRAFTED = "how many drafts are taken depends on the text"

_REASONS = 2
"""Reasons of a wide band that are told."""

_APART = {
    "kernel tables": "kernel times alone are known",
    "fitted": "measurements on such machines lie that far apart",
    "sibling": "such machines were measured under other engines only",
    "unmeasured": "nobody measured such a machine",
}

_BASIS = {
    "kernel tables": "kernel times alone, the optimistic bound",
    "fitted": "constants measured on such machines under this engine",
    "sibling": "constants measured on such machines under other engines",
    "unmeasured": "no measurement of such a machine: median of others",
}


@frozen
class NoEstimate:
    """Why there is no estimate.

    Attributes:
        reason: one sentence.
        decode_per_user: nothing, as in documents.
        decode_total: nothing, likewise.
        prefill_seconds: nothing, likewise.
    """

    reason: str
    decode_per_user: None = None
    decode_total: None = None
    prefill_seconds: None = None

    @property
    def words(self) -> str:
        """The reason as a person reads it."""
        return f"no estimate: {self.reason}"


def _decimals(value: float) -> int:
    """Decimals with which a number other than zero has two significant digits; below 0: tens, ..."""
    return 1 - math.floor(math.log10(abs(value)))


def to_two_digits(value: float) -> float:
    """`value` rounded to two significant digits, as people read it: estimates are no finer."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, _decimals(value))


def duration(seconds: float) -> str:
    """Return a time as people say it: ``38 s``, ``12 min``, ``3.1 h``."""
    unit, long = _unit_of_time(seconds)
    return f"{two_digits(seconds / long)} {unit}"


def _unit_of_time(seconds: float) -> tuple[str, int]:
    """The unit that a time is said in, and its seconds."""
    longer = (("h", 3600), ("min", 60))
    return next((unit for unit in longer if seconds >= 2 * unit[1]), ("s", 1))


def two_digits(value: float) -> str:
    """`value` with at most two significant digits: 84.6 -> "85", 1234 -> "1,200", 0.0456 -> "0.046"."""
    rounded = to_two_digits(value)
    if rounded == 0 or not math.isfinite(rounded):
        return f"{rounded:g}"
    decimals = max(0, _decimals(value) if abs(rounded) < 10 else 0)
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
