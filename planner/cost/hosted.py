"""A machine of one's own against a hosted service."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.cost.amounts import check_amount, check_currency, same_currency
from planner.cost.expense import HOURS_PER_DAY, Expense
from planner.cost.tokens import Traffic

_HOUR = 3600.0
_MILLION = 1e6


@frozen
class HostedPrice:
    """What a hosted service asks.

    Attributes:
        per_million_input: money per million prompt tokens.
        per_million_output: money per million output tokens.
        currency: three-letter code.

    Raises:
        InputError: a number out of its range.
    """

    per_million_input: float
    per_million_output: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_currency(self.currency)
        check_amount(self.per_million_input, what="price per million input tokens")
        check_amount(self.per_million_output, what="price per million output tokens")

    def per_million(self, *, prompt_tokens: int, output_tokens: int) -> float:
        """Money per million tokens of both kinds, mixed as they are in such a request."""
        money = self.per_million_input * prompt_tokens + self.per_million_output * output_tokens
        return money / (prompt_tokens + output_tokens)

    def per_request(self, traffic: Traffic) -> float:
        """Money for one request of `traffic`."""
        tokens = self.per_million_input * traffic.prompt_tokens
        tokens += self.per_million_output * traffic.output_tokens
        return tokens / _MILLION


@frozen
class BreakEven:
    """From where on the own machine is cheaper.

    Attributes:
        currency: of every amount.
        own_per_day: money per day for the own machine, at the expense's utilization.
        hosted_per_day: money per day for the same requests at the service.
        utilization: share of the day that it must be busy to break even; above 1: never at this
            speed; None: no traffic makes up for it, an hour of service costs more than it saves.
        requests_per_day: requests per day at that share; None likewise.
        payback_days: days until a purchase is paid back by what it saves, if it saves anything.
    """

    currency: str
    own_per_day: float
    hosted_per_day: float
    utilization: float | None
    requests_per_day: float | None
    payback_days: float | None

    @property
    def cheaper(self) -> bool:
        """The own machine is cheaper at the asked utilization."""
        return self.own_per_day < self.hosted_per_day

    @property
    def reachable(self) -> bool:
        """There is a utilization of at most the whole day at which it breaks even."""
        return self.utilization is not None and self.utilization <= 1


def break_even(
    expense: Expense, traffic: Traffic, hosted: HostedPrice, *, price: float | None = None
) -> BreakEven:
    """Compare a machine with a hosted service that answers the same requests.

        u = fixed per day / (24 h x (hosted per busy hour - variable per busy hour))

    Args:
        expense: what having the machine costs.
        traffic: what it serves while busy.
        hosted: what the service asks.
        price: of the purchase, for the payback; None for a rental.

    Raises:
        InputError: currencies differ, or a price out of range.
    """
    currency = same_currency(expense.currency, hosted.currency)
    per_busy_hour = hosted.per_request(traffic) * traffic.requests_per_second * _HOUR
    busy_hours = HOURS_PER_DAY * expense.utilization
    hosted_per_day = per_busy_hour * busy_hours
    saved_per_busy_hour = per_busy_hour - expense.variable_per_busy_hour
    share = None
    if saved_per_busy_hour > 0:
        share = expense.fixed_per_day / (HOURS_PER_DAY * saved_per_busy_hour)
    return BreakEven(
        currency=currency,
        own_per_day=expense.per_hour * HOURS_PER_DAY,
        hosted_per_day=hosted_per_day,
        utilization=share,
        requests_per_day=None
        if share is None
        else traffic.requests_per_second * _HOUR * HOURS_PER_DAY * share,
        payback_days=None if price is None else _payback(expense, hosted_per_day, price),
    )


def _payback(expense: Expense, hosted_per_day: float, price: float) -> float | None:
    """Days until what running costs less than the service has paid the price."""
    check_amount(price, what="price")
    hardware = expense.parts.get("hardware", 0.0)
    running_per_day = (expense.per_hour - hardware) * HOURS_PER_DAY
    saved = hosted_per_day - running_per_day
    return price / saved if saved > 0 else None
