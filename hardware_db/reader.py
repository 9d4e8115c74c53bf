"""Reads one TOML table field by field, and says in one line what is wrong with it."""

from __future__ import annotations

import math
from typing import Any

from hardware_db.errors import HardwareError
from hardware_db.figures import Cited, Figure, FrozenMap, Grade, Price, PriceKind
from hardware_db.regex import pattern

__all__ = ["Reader", "read_cited"]

_GRADES: tuple[Grade, ...] = ("A", "B", "C", "D")
_PRICE_KINDS: tuple[PriceKind, ...] = ("launch", "list", "street", "used", "hourly")
_DATE = pattern(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_LARGEST = 1e9  # no figure of this field is larger: MiB of a rack, TFLOPS, GB/s, USD
_LONGEST = 2000


def read_cited(document: dict[str, Any], where: str, shared: Cited | None = None) -> Cited:
    """The `[sources]` table and `accessed` date of a file, on top of those shared by all."""
    cites = dict(shared.cites) if shared else {}
    accessed = shared.accessed if shared else None
    top = Reader({k: document.pop(k) for k in ("sources", "accessed") if k in document}, where)
    if top.has("accessed"):
        accessed = top.date("accessed")
    for name, value in top.table("sources").items():
        entry = Reader(value, f"{where}: source {name!r}")
        cites[name] = (entry.text("cite"), entry.optional_date("date"))
        entry.done()
    top.done()
    return Cited(cites=cites, accessed=accessed)


class Reader:
    """A table of a hardware file. Every method takes the field out; `done` refuses the rest."""

    def __init__(self, table: object, where: str, cited: Cited | None = None) -> None:
        self.where = where
        self.cited = cited or Cited(cites={}, accessed=None)
        if not isinstance(table, dict):
            raise HardwareError(f"{where}: must be a table, not {_shown(table)}")
        self.left: dict[str, Any] = dict(table)

    def error(self, field: str, what: str) -> HardwareError:
        """The error for `field`: file, entry, field and what it must be."""
        return HardwareError(f"{self.where}: {field} {what}")

    def has(self, field: str) -> bool:
        """Whether the field is given and not yet read."""
        return field in self.left

    def done(self) -> None:
        """Refuse what nobody asked for: a field that is spelled wrong must not be lost."""
        if self.left:
            field = sorted(self.left)[0]
            raise self.error(field, "is not a field of the schema (docs/hardware.md lists them)")

    def _take(self, field: str) -> Any:
        if field not in self.left:
            raise self.error(field, "is missing")
        return self.left.pop(field)

    def text(self, field: str) -> str:
        """A text that is not empty, on one line."""
        value = self._take(field)
        if not isinstance(value, str) or not value.strip():
            raise self.error(field, f"must be a text, not {_shown(value)}")
        if len(value) > _LONGEST or not value.isprintable():
            raise self.error(field, f"must be one line of at most {_LONGEST} characters")
        return value.strip()

    def optional_text(self, field: str) -> str | None:
        """The same, or None where the field is not given."""
        return self.text(field) if self.has(field) else None

    def one_of(self, field: str, allowed: tuple[str, ...]) -> str:
        """One of some words."""
        value = self._take(field)
        if value not in allowed:
            raise self.error(field, f"must be one of {', '.join(allowed)}, not {_shown(value)}")
        return str(value)

    def date(self, field: str) -> str:
        """A date: "2026", "2026-07" or "2026-07-20"."""
        value = self._take(field)
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            raise self.error(
                field, f'must be a text like "2026-07-20" or "2026", not {_shown(value)}'
            )
        return value

    def optional_date(self, field: str) -> str | None:
        """The same, or None where the field is not given."""
        return self.date(field) if self.has(field) else None

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts; empty where the field is not given."""
        value = self.left.pop(field, [])
        if not isinstance(value, list):
            raise self.error(field, f"must be a list of texts, not {_shown(value)}")
        return tuple(
            Reader({"text": item}, f"{self.where}: {field}[{i}]").text("text")
            for i, item in enumerate(value)
        )

    def notes(self, field: str = "notes") -> tuple[str, ...]:
        """A list of texts in which sources may be cited by their short names."""
        where = f"{self.where}: {field}"
        return tuple(self.cited.resolve(text, where)[0] for text in self.texts(field))

    def whole(self, field: str, largest: int = 100_000) -> int:
        """A whole number from 1 to `largest`."""
        value = self._take(field)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
            raise self.error(
                field, f"must be a whole number from 1 to {largest}, not {_shown(value)}"
            )
        return value

    def optional_whole(self, field: str) -> int | None:
        """The same, or None where the field is not given."""
        return self.whole(field) if self.has(field) else None

    def table(self, field: str) -> dict[str, Any]:
        """A sub-table; empty where the field is not given."""
        value = self.left.pop(field, {})
        if not isinstance(value, dict):
            raise self.error(field, f"must be a table, not {_shown(value)}")
        return value

    def tables(self, field: str) -> tuple[Reader, ...]:
        """A list of tables, each with a reader of its own; empty where the field is not given."""
        value = self.left.pop(field, [])
        if not isinstance(value, list):
            raise self.error(field, f"must be a list of tables, not {_shown(value)}")
        return tuple(
            Reader(item, f"{self.where}: {field}[{i}]", self.cited) for i, item in enumerate(value)
        )

    def source(self, field: str) -> tuple[str, str | None]:
        """A source, its {names} written out, with the date that it bears."""
        return self.cited.resolve(self.text(field), f"{self.where}: {field}")

    def source_map(self, field: str) -> FrozenMap[str]:
        """A table of sources: which field of the entry, and where it comes from."""
        inner = Reader(self.table(field), f"{self.where}: {field}", self.cited)
        return FrozenMap({name: inner.source(name)[0] for name in list(inner.left)})

    def text_map(self, field: str) -> FrozenMap[str]:
        """A table of texts."""
        inner = Reader(self.table(field), f"{self.where}: {field}")
        return FrozenMap({name: inner.text(name) for name in list(inner.left)})

    def figure(self, field: str, *, share: bool = False) -> Figure:
        """A figure. A share lies between 0 and 1."""
        inner = Reader(self._take(field), f"{self.where}: {field}", self.cited)
        return inner.as_figure(whole=field.endswith("_mib"), share=share)

    def optional_figure(self, field: str, *, share: bool = False) -> Figure | None:
        """The same, or None where the field is not given."""
        return self.figure(field, share=share) if self.has(field) else None

    def figures(self, field: str) -> tuple[Figure, ...]:
        """A list of figures; empty where the field is not given."""
        return tuple(inner.as_figure() for inner in self.tables(field))

    def figure_map(self, field: str) -> FrozenMap[Figure]:
        """A table of figures."""
        inner = Reader(self.table(field), f"{self.where}: {field}", self.cited)
        return FrozenMap({name: inner.figure(name) for name in list(inner.left)})

    def as_figure(
        self, *, whole: bool = False, share: bool = False, grade: Grade | None = None
    ) -> Figure:
        """This table as a figure. An alternative may leave out its grade: it is D then."""
        value = self.number("value", whole=whole, most=1.0 if share else _LARGEST)
        source, dated = self.source("source")
        found = grade
        if self.has("grade") or grade is None:
            word = self.one_of("grade", _GRADES)
            found = next(letter for letter in _GRADES if letter == word)
        date = self.optional_date("date") or dated
        note = self.optional_text("note")
        others = tuple(
            other.as_figure(whole=whole, share=share) for other in self.tables("alternatives")
        )
        self.done()
        return Figure(
            value=value, source=source, grade=found or "D", date=date, note=note,
            alternatives=others,
        )  # fmt: skip

    def number(self, field: str, *, whole: bool = False, most: float = _LARGEST) -> float:
        """A finite number above 0 and at most `most`; `int` where only whole ones make sense."""
        value = self._take(field)
        kind = "whole number" if whole else "number"
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not 0 < value <= most:
            raise self.error(
                field, f"must be a {kind} above 0 and at most {most:g}, not {_shown(value)}"
            )
        number: float = value
        return number

    def prices(self, field: str) -> tuple[Price, ...]:
        """A list of prices; empty where the field is not given."""
        return tuple(inner.as_price() for inner in self.tables(field))

    def as_price(self) -> Price:
        """This table as a price. A launch price bears the date it was asked on, or none."""
        word = self.one_of("kind", _PRICE_KINDS)
        kind = next(kind for kind in _PRICE_KINDS if kind == word)
        source, dated = self.source("source")
        if kind == "launch":
            dated = None
        price = Price(
            value=self.number("value"),
            currency=self.optional_text("currency") or "USD",
            kind=kind,
            source=source,
            date=self.optional_date("date") or dated,
            provider=self.optional_text("provider"),
            region=self.optional_text("region"),
            note=self.optional_text("note"),
            high=self.number("high") if self.has("high") else None,
        )
        self.done()
        if price.high is not None and price.high < price.value:
            raise self.error("high", f"must be at least the value, not {price.high:g}")
        return price


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
