"""What a system draws."""

from __future__ import annotations

from hardware_db import System
from hardware_db.records import frozen
from planner.cost.amounts import check_amount


@frozen
class Power:
    """Electricity of a system.

    Attributes:
        busy_w: watts while it serves.
        idle_w: watts while it waits.
        price_per_kwh: money per kilowatt-hour, in the currency of the expense.
        cooling: watts drawn in all per watt of the system (PUE); 1 leaves cooling out.
        note: what `busy_w` stands for.

    Raises:
        InputError: a number out of its range.
    """

    busy_w: float
    price_per_kwh: float
    idle_w: float = 0.0
    cooling: float = 1.0
    note: str = "as given"

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_amount(self.busy_w, what="power", most=1e9)
        check_amount(self.idle_w, what="idle power", most=1e9)
        check_amount(self.price_per_kwh, what="price per kWh", most=1e6)
        check_amount(self.cooling, what="cooling factor", most=10, positive=True)

    def per_hour(self, *, utilization: float) -> float:
        """Money per calendar hour when it is busy for the share `utilization` of the time."""
        watts = self.busy_w * utilization + self.idle_w * (1 - utilization)
        return watts * self.cooling / 1000 * self.price_per_kwh


def power_of(
    system: System, *, price_per_kwh: float, idle_w: float = 0.0, cooling: float = 1.0
) -> Power | None:
    """The power of `system` from the database; None where nothing is known.

    The system's own figure where there is one, else the accelerators' TDP, which leaves out host,
    network and fans; `note` says which.
    """
    if system.power_w is not None:
        watts = system.power_w.value
        note = f"whole system, {system.power_w.note or 'as published'} ({system.power_w.source})"
    else:
        limits = [accelerator.tdp_w for accelerator in system.accelerators]
        known = [limit for limit in limits if limit is not None]
        if len(known) < len(limits):
            return None
        watts = sum(limit.value for limit in known)
        sources = "; ".join(dict.fromkeys(limit.source for limit in known))
        note = f"TDP of {system.count} accelerators alone ({sources})"
    return Power(
        busy_w=watts, price_per_kwh=price_per_kwh, idle_w=idle_w, cooling=cooling, note=note
    )
