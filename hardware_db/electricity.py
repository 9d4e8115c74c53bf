"""What a kilowatt-hour costs, by region, dated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardware_db.reader import Cited, Reader
from hardware_db.records import frozen

__all__ = ["Electricity", "read_electricity"]


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


def read_electricity(table: Mapping[str, Any], where: str, cited: Cited) -> Electricity:
    """Return one `[[electricity]]` table. Errors: HardwareError with file, entry, field."""
    reader = Reader(dict(table), where, cited)
    source, dated = reader.source("source")
    tariff = Electricity(
        region=reader.text("region"),
        price_per_kwh=reader.number("price_per_kwh", most=100.0),
        currency=reader.text("currency"),
        kind=reader.text("kind"),
        source=source,
        date=reader.optional_date("date") or dated,
        note=reader.optional_text("note"),
    )
    reader.done()
    return tariff
