"""Terms of memory: what takes how many bytes on one accelerator, and how we know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from types import MappingProxyType

from hardware_db.records import frozen
from planner.provenance import Band, Confidence, Source


class Kind(Enum):
    """What a term is, in stacking order; the value is the word that users read."""

    WEIGHTS = "weights"
    KV_CACHE = "KV cache"
    RECURRENT_STATE = "recurrent state"
    ACTIVATIONS = "activations"
    CUDA_GRAPHS = "CUDA graphs"
    RUNTIME = "runtime overhead"


@frozen
class Term:
    """One contribution to the memory of one rank.

    Attributes:
        name: what it is, in words.
        kind: the class it belongs to (its colour in pictures).
        nbytes: bytes on this rank.
        confidence: how sure.
        formula: the rule in symbols.
        values: the numbers put into the rule, by symbol.
        source: where the rule was read.
        band: how far the truth may lie off; None where the rule is exact.
    """

    name: str
    kind: Kind
    nbytes: int
    confidence: Confidence
    formula: str
    source: Source
    values: Mapping[str, int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    band: Band | None = None

    @property
    def bytes(self) -> int:
        """`nbytes` by the name that it has in documents."""
        return self.nbytes

    @property
    def substituted(self) -> str:
        """The formula with its symbols replaced by their values, longest symbol first.

        Example: ``4 x ceil(131,072 / 832) x 26,624,000``.
        """
        if not self.values:
            return self.formula
        symbols = sorted(self.values, key=len, reverse=True)
        pattern = re.compile("|".join(rf"(?<!\w){re.escape(s)}(?!\w)" for s in symbols))
        return pattern.sub(lambda match: _written(self.values[match.group()]), self.formula)


def _written(value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not value.is_integer():
        return str(value)  # all digits: the formula must give the term's bytes
    return f"{int(value):,}"


HOST_RANK = "host"
"""The name of the rank that is the machine's own memory."""


UNIFIED_RANK = "unified memory"
"""The name of the rank that is the memory which an accelerator and its processor share."""


def device_name(index: int = 0, *, alike: int = 1, unified: bool = False) -> str:
    """Return what the rank of an accelerator, or of several that hold the same, is called."""
    if alike > 1:
        return "each GPU"
    return UNIFIED_RANK if unified else f"GPU {index}"


KEPT_FREE = "kept free for activations"
"""The name of the term that an engine leaves to activations by a rule, whether they need it or not."""


@frozen
class Rank:
    """One accelerator (or the host) and what lies on it.

    Attributes:
        name: which one: ``GPU 0``, ``unified memory``, ``stage 2 of 2``, ``host``.
        count: how many accelerators hold exactly the same.
        total: bytes that the driver lets programs allocate.
        usable: bytes that the engine plans to use (its own cap).
        terms: what takes memory, the workload's cache included.
    """

    name: str
    count: int
    total: int
    usable: int
    terms: tuple[Term, ...]

    @property
    def label(self) -> str:
        """What people call it: ``GPU 0``, ``RAM``."""
        return "RAM" if self.name == HOST_RANK else self.name

    @property
    def keeps_free(self) -> bool:
        """Its activations are what the engine leaves to them, not what they take."""
        return any(term.name == KEPT_FREE for term in self.terms)

    @property
    def used(self) -> int:
        """Bytes of all terms."""
        return sum(term.nbytes for term in self.terms)

    @property
    def headroom(self) -> int:
        """Bytes left below the usable line; negative when over."""
        return self.usable - self.used

    @property
    def band(self) -> Band:
        """Sum of the terms' bands: they may all err the same way."""
        bands = [term.band for term in self.terms if term.band]
        return Band(below=sum(b.below for b in bands), above=sum(b.above for b in bands))

    def of_kind(self, *kinds: Kind) -> int:
        """Bytes of the terms of these kinds."""
        return sum(term.nbytes for term in self.terms if term.kind in kinds)
