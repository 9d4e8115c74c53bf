"""What a system costs according to the database, dated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware_db import Price, System

Kind = Literal["purchase", "hourly"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOption:
    """One price for a whole system.

    Attributes:
        kind: to buy, or per hour of rent.
        value: money for the whole system.
        currency: its currency.
        source: where it was read.
        date: when; prices move.
        note: what it covers.
    """

    kind: Kind
    value: float
    currency: str
    source: str
    date: str | None
    note: str


def price_options(system: System) -> tuple[PriceOption, ...]:
    """Every price that the database gives, of whole systems first, cheapest first within a kind.

    Prices of accelerators are multiplied by their count and cover nothing else: no host, no
    network, no rack. Empty where nothing is known.
    """
    whole = [_option(price, count=1, what="whole system") for price in system.prices]
    parts = [
        _option(price, count=system.count, what=f"{system.count} accelerators alone")
        for price in system.accelerator.prices
    ]
    if system.count == 1 and system.accelerator.is_unified:
        parts = [
            _option(price, count=1, what="whole machine") for price in system.accelerator.prices
        ]
    ranked = [sorted(group, key=lambda o: (o.kind, o.value)) for group in (whole, parts)]
    return tuple(option for group in ranked for option in group)


def _option(price: Price, *, count: int, what: str) -> PriceOption:
    words = [what, price.kind]
    words += [text for text in (price.provider, price.region, price.note) if text]
    return PriceOption(
        kind="hourly" if price.kind == "hourly" else "purchase",
        value=price.value * count,
        currency=price.currency,
        source=price.source,
        date=price.date,
        note=", ".join(words),
    )
