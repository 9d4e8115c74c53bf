"""What a kilowatt-hour costs, by region, dated."""

from __future__ import annotations

from hardware_db.records import frozen

__all__ = ["Electricity"]


@frozen
class Electricity:
    """One tariff: `price_per_kwh` in `currency`; `kind` says whose price it is, and for when."""

    region: str
    price_per_kwh: float
    currency: str
    kind: str
    source: str
    date: str | None = None
    note: str | None = None
