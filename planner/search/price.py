"""What a system costs, as far as the database knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware_db import Price, System

Basis = Literal["purchase", "hourly"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The lowest price known of a system.

    Attributes:
        value: in `currency`, for the whole system (per hour, where `basis` says so).
        basis: bought, or rented by the hour.
        date: when the price was seen.
        accelerators_only: a sum of cards' prices, without the machine around them.
    """

    value: float
    currency: str
    basis: Basis
    source: str
    date: str | None
    accelerators_only: bool

    @property
    def words(self) -> str:
        """``about 3,000 USD (cards alone, 2026-09)``."""
        unit = f"{self.currency} per hour" if self.basis == "hourly" else self.currency
        number = f"{self.value:,.2f}" if self.basis == "hourly" else f"{self.value:,.0f}"
        notes = ["cards alone"] if self.accelerators_only and self.basis == "purchase" else []
        notes += [self.date] if self.date else []
        return f"{number} {unit}" + (f" ({', '.join(notes)})" if notes else "")


def best_offer(system: System, basis: Basis) -> Offer | None:
    """The lowest price of `system`: its own, else that of its accelerators; None if none is known.

    Prices in other currencies than US dollars are left out, not converted.
    """
    kinds = ("hourly",) if basis == "hourly" else ("street", "msrp")
    own = _lowest(system.prices, kinds)
    if own is not None:
        return _offer(own, 1, basis, accelerators_only=False)
    each = _lowest(system.accelerator.prices, kinds)
    if each is None:
        return None
    return _offer(each, system.count, basis, accelerators_only=not system.accelerator.is_unified)


def _lowest(prices: tuple[Price, ...], kinds: tuple[str, ...]) -> Price | None:
    known = [price for price in prices if price.kind in kinds and price.currency == "USD"]
    return min(known, key=lambda price: price.value, default=None)


def _offer(price: Price, count: int, basis: Basis, *, accelerators_only: bool) -> Offer:
    return Offer(
        value=price.value * count,
        currency=price.currency,
        basis=basis,
        source=price.source,
        date=price.date,
        accelerators_only=accelerators_only,
    )
