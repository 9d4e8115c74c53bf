"""What it costs to have a system, whether it works or waits."""

from __future__ import annotations

from dataclasses import field

from hardware_db.records import frozen
from planner.cost.amounts import check_amount, check_currency
from planner.cost.power import Power
from planner.units import check_fraction

HOURS_PER_DAY = 24.0
HOURS_PER_YEAR = 365.25 * HOURS_PER_DAY
MAX_YEARS = 50


@frozen
class Purchase:
    """A system that is bought.

    Attributes:
        price: money for the whole system.
        currency: three-letter code.
        years: over how long it is written off.
        residual: share of the price that is left then (0 up to, not including, 1).
        yearly: money per year beside electricity: rack, service, people.
        power: its electricity; None leaves it out.

    Raises:
        InputError: a number out of its range.
    """

    price: float
    currency: str = "USD"
    years: float = 3.0
    residual: float = 0.0
    yearly: float = 0.0
    power: Power | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_currency(self.currency)
        check_amount(self.price, what="price")
        check_amount(self.years, what="years", most=MAX_YEARS, positive=True)
        check_amount(self.residual, what="residual share", most=0.999)
        check_amount(self.yearly, what="yearly cost")


@frozen
class Rental:
    """A system that is rented by the hour.

    Attributes:
        hourly: money per hour for the whole system.
        currency: three-letter code.
        only_when_busy: it is given back whenever nothing is served; otherwise every hour is paid.

    Raises:
        InputError: a number out of its range.
    """

    hourly: float
    currency: str = "USD"
    only_when_busy: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_currency(self.currency)
        check_amount(self.hourly, what="price per hour")


@frozen
class Expense:
    """What having the system costs at a utilization.

    Attributes:
        currency: of every amount.
        utilization: share of the day in which it serves.
        per_hour: money per calendar hour.
        per_busy_hour: money per hour of service.
        fixed_per_day: what a day costs even if nothing is served.
        variable_per_busy_hour: what an hour of service adds to that.
        parts: per calendar hour by kind ("hardware", "electricity", "upkeep", "rent").
        assumptions: what was assumed, one sentence each.
    """

    currency: str
    utilization: float
    per_hour: float
    per_busy_hour: float
    fixed_per_day: float
    variable_per_busy_hour: float
    parts: dict[str, float] = field(hash=False)
    assumptions: tuple[str, ...] = ()

    def over(self, years: float) -> float:
        """Total cost of ownership over `years` years.

        Raises:
            InputError: a period out of range.
        """
        check_amount(years, what="period in years", most=MAX_YEARS, positive=True)
        return self.per_hour * HOURS_PER_YEAR * years


def expense(terms: Purchase | Rental, *, utilization: float = 1.0) -> Expense:
    """What a system costs that serves for the share `utilization` of the day.

        purchase: price (1 - residual) / (years x 8766 h) + upkeep / 8766 h + electricity
        rental: hourly, or hourly x utilization where it is given back

    Args:
        terms: bought or rented.
        utilization: above 0 and up to 1.

    Raises:
        InputError: a share out of range.
    """
    check_fraction(utilization, what="utilization of the day")
    if isinstance(terms, Rental):
        return _rented(terms, utilization)
    return _bought(terms, utilization)


def _rented(terms: Rental, utilization: float) -> Expense:
    share = utilization if terms.only_when_busy else 1.0
    per_hour = terms.hourly * share
    said = (
        "the machine is given back whenever it is idle"
        if terms.only_when_busy
        else "every hour of the day is paid"
    )
    return Expense(
        currency=terms.currency,
        utilization=utilization,
        per_hour=per_hour,
        per_busy_hour=per_hour / utilization,
        fixed_per_day=0.0 if terms.only_when_busy else terms.hourly * HOURS_PER_DAY,
        variable_per_busy_hour=terms.hourly if terms.only_when_busy else 0.0,
        parts={"rent": per_hour},
        assumptions=(said,),
    )


def _bought(terms: Purchase, utilization: float) -> Expense:
    hardware = terms.price * (1 - terms.residual) / (terms.years * HOURS_PER_YEAR)
    upkeep = terms.yearly / HOURS_PER_YEAR
    idle = busy = 0.0
    said = [f"written off over {terms.years:g} years"]
    if terms.residual:
        said.append(f"{terms.residual:.0%} of the price left then")
    if terms.power is None:
        said.append("electricity is not counted")
    else:
        power = terms.power
        idle = power.per_hour(utilization=0.0)
        busy = power.per_hour(utilization=1.0)
        said.append(f"{power.busy_w:g} W while serving: {power.note}")
        if not power.idle_w:
            said.append("no power drawn while idle")
        if power.cooling == 1:
            said.append("cooling is not counted")
    electricity = busy * utilization + idle * (1 - utilization)
    parts = {"hardware": hardware, "electricity": electricity, "upkeep": upkeep}
    per_hour = hardware + electricity + upkeep
    return Expense(
        currency=terms.currency,
        utilization=utilization,
        per_hour=per_hour,
        per_busy_hour=per_hour / utilization,
        fixed_per_day=(hardware + upkeep + idle) * HOURS_PER_DAY,
        variable_per_busy_hour=busy - idle,
        parts={name: value for name, value in parts.items() if value},
        assumptions=tuple(said),
    )
