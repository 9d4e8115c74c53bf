"""What a system costs according to the database, dated."""

from __future__ import annotations

from datetime import date
from typing import Literal

import hardware_db
from hardware_db import Accelerator, Price, System
from hardware_db.records import frozen
from planner.units import counted

Kind = Literal["purchase", "hourly"]

RECENT_DAYS = 150
"""A price older than this is shown, and not used to rank or to recommend.

Counted back from the newest price of the database, not from today: the same version of the
database always ranks the same way. 150 days hold the clouds' price lists, which are read twice a
year, and leave out what shops asked before the memory prices of summer 2026.
"""

_WORDS = {
    "launch": "launch price",
    "list": "list price",
    "street": "street price",
    "used": "used",
    "hourly": "per hour",
}


@frozen
class PriceOption:
    """One price for a whole system.

    Attributes:
        kind: to buy, or per hour of rent.
        value: money for the whole system; of a range, the lower end.
        currency: its currency.
        source: where it was read.
        date: when it was asked; None where the source does not say.
        note: what it covers.
        basis: "launch price", "list price", "street price", "used" or "per hour".
        high: the upper end of a range.
        recent: it may be used to rank: dated, at most RECENT_DAYS old, and no launch price.
    """

    kind: Kind
    value: float
    currency: str
    source: str
    date: str | None
    note: str
    basis: str = ""
    high: float | None = None
    recent: bool = False


def price_options(system: System) -> tuple[PriceOption, ...]:
    """Return every price that the database gives.

    Recent ones first, then of whole systems, then the cheapest within a kind. Prices of
    accelerators are multiplied by their count and cover nothing else: no host, no network, no
    rack; different accelerators are added up, each at its cheapest. What is rented out only has no
    price to buy. Empty where nothing is known.
    """
    found = [(0, _option(price, count=1, what="whole system")) for price in system.prices]
    if system.is_mixed:
        found += [(1, option) for option in _summed(system.accelerators)]
    else:
        alone = system.accelerator.is_unified
        machines = "whole machine" if system.count == 1 else f"{system.count} machines alone"
        what = machines if alone else f"{counted(system.count, 'accelerator')} alone"
        found += [
            (1, _option(price, count=system.count, what=what))
            for price in system.accelerator.prices
            if system.provider is None or price.kind == "hourly"
        ]
    ranked = sorted(found, key=lambda one: (not one[1].recent, one[0], one[1].kind, one[1].value))
    return tuple(option for _, option in ranked)


def cheapest(system: System, kind: Kind) -> PriceOption | None:
    """Return the lowest recent price of `system` in US dollars: its own, else the accelerators'.

    None where no recent price is known: a launch price is what nobody pays today.
    """
    options = price_options(system)
    return next((o for o in options if o.kind == kind and o.currency == "USD" and o.recent), None)


def is_recent(price: Price, *, as_of: str) -> bool:
    """Whether `price` may be used to rank, `as_of` being the newest date of the database."""
    if price.kind == "launch" or price.date is None or not as_of:
        return False
    return (_day(as_of) - _day(price.date)).days <= RECENT_DAYS


def _day(text: str) -> date:
    """The first day that "2026", "2026-09" or "2026-09-29" may mean."""
    year, month, day = (*(int(part) for part in text.split("-")), 1, 1)[:3]
    return date(year, month, day)


def _summed(accelerators: tuple[Accelerator, ...]) -> list[PriceOption]:
    """The cheapest recent dollar price of each, added up, where every one has such a price."""
    chosen = []
    for accelerator in accelerators:
        options = [
            option
            for option in (_option(price, count=1, what="") for price in accelerator.prices)
            if option.kind == "purchase" and option.recent and option.currency == "USD"
        ]
        if not options:
            return []
        chosen.append(min(options, key=lambda option: option.value))
    return [
        PriceOption(
            kind="purchase",
            value=sum(option.value for option in chosen),
            currency="USD",
            source="; ".join(dict.fromkeys(option.source for option in chosen)),
            date=min(option.date or "" for option in chosen),
            note=f"{len(chosen)} accelerators alone, each at its cheapest",
            basis=", ".join(dict.fromkeys(option.basis for option in chosen)),
            recent=True,
        )
    ]


def _option(price: Price, *, count: int, what: str) -> PriceOption:
    basis = _WORDS[price.kind]
    words = [what, basis]
    words += [text for text in (price.provider, price.region, price.note) if text]
    return PriceOption(
        kind="hourly" if price.kind == "hourly" else "purchase",
        value=price.value * count,
        currency=price.currency,
        source=price.source,
        date=price.date,
        note=", ".join(words),
        basis=basis,
        high=None if price.high is None else price.high * count,
        recent=is_recent(price, as_of=hardware_db.prices_as_of()),
    )
