"""What a plan costs at its planned load: rent, own machine with power, a hosted service beside it.

Every price is the database's, with its date; assumptions are said. The arithmetic is
`planner.cost`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import hardware_db
from hardware_db import Electricity
from hardware_db.records import frozen
from planner.cost import (
    BreakEven,
    ListedPrice,
    PriceOption,
    Purchase,
    Rental,
    TokenCost,
    break_even,
    cheapest,
    expense,
    power_of,
    seller,
    token_cost,
    traffic_of,
    usual_price,
)
from planner.cost.expense import Expense
from planner.model import catalog
from planner.planning import Plan
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.units import format_tokens

YEARS = 3.0
"""Over how long a purchase is written off."""

ANSWER = 4
"""Without a word about answers, one takes this part of the context: a quarter."""

REGION = "US"
"""Whose electricity is counted, since prices are in dollars."""


@frozen
class Bill:
    """What one way of having the machine costs.

    Attributes:
        kind: "rent" or "own".
        offer: the price that it rests on.
        expense: money per hour, by kind.
        tokens: money per million tokens at the planned load; None where no speed is known.
        even: against the hosted service; None where there is none, or no speed.
    """

    kind: str
    offer: PriceOption
    expense: Expense
    tokens: TokenCost | None
    even: BreakEven | None


@frozen
class Cost:
    """What a plan costs.

    Attributes:
        bills: renting, buying: as far as recent prices are known.
        hosted: the service that it is compared with.
        electricity: the tariff that is counted.
        watts: what the machine draws while it serves; None: not known.
        output_tokens: length of an answer that is counted with.
        assumed: `output_tokens` was not said.
        busy: share of the day in which it serves.
        years: over how long a purchase is written off.
    """

    bills: tuple[Bill, ...]
    hosted: ListedPrice | None
    electricity: Electricity | None
    watts: float | None
    output_tokens: int
    assumed: bool
    busy: float
    years: float


def cost_of(
    plan: Plan,
    *,
    output_tokens: int | None = None,
    busy: float = 1.0,
    years: float = YEARS,
    per_kwh: float | None = None,
) -> Cost:
    """Return what a plan costs at its planned load.

    Args:
        plan: what is served.
        output_tokens: tokens of an answer; None: a quarter of the context.
        busy: share of the day in which it serves.
        years: over how long a purchase is written off.
        per_kwh: money for electricity; None: the tariff of the database.

    Raises:
        InputError: a value out of range.
    """
    asked = plan.deployment
    answer = output_tokens or max(1, asked.context // ANSWER)
    speed = speed_of(plan, output_tokens=answer) if answer < asked.context else None
    tariffs = (tariff for tariff in hardware_db.electricity() if tariff.region == REGION)
    electricity = next((tariff for tariff in tariffs if tariff.currency == "USD"), None)
    if per_kwh is not None and electricity is not None:
        electricity = replace(
            electricity, price_per_kwh=per_kwh, region="given", source="given", date=None
        )
    kwh = electricity.price_per_kwh if electricity is not None else 0.0
    power = power_of(asked.system, price_per_kwh=kwh)
    known = catalog.entry_for(asked.checkpoint)
    hosted = usual_price(known.id) if known is not None else None
    bills = []
    offers = (cheapest(asked.system, "hourly"), cheapest(asked.system, "purchase"))
    for offer in filter(None, offers):
        terms: Purchase | Rental
        if offer.kind == "hourly":
            terms = Rental(hourly=offer.value, currency=offer.currency)
        else:
            counted = power if electricity is not None else None
            terms = Purchase(price=offer.value, currency=offer.currency, years=years, power=counted)
        spent, tokens, even = expense(terms, utilization=busy), None, None
        if isinstance(speed, SpeedEstimate):
            traffic = traffic_of(speed, replicas=asked.layout.data_parallel)
            tokens = token_cost(spent, traffic)
            if hosted is not None and hosted.price.currency == offer.currency:
                price = offer.value if offer.kind == "purchase" else None
                even = break_even(spent, traffic, hosted.price, price=price)
        kind = "rent" if offer.kind == "hourly" else "own"
        bills.append(Bill(kind=kind, offer=offer, expense=spent, tokens=tokens, even=even))
    return Cost(
        bills=tuple(bills),
        hosted=hosted,
        electricity=electricity,
        watts=power.busy_w if power is not None else None,
        output_tokens=answer,
        assumed=output_tokens is None,
        busy=busy,
        years=years,
    )


@frozen
class BillDocument:
    """One way of having the machine; money in `currency`.

    `cheaper_from` is the share of the day from which on it is cheaper than the hosted service, null
    where it never is or nothing is known.
    """

    kind: str
    price: float
    currency: str
    note: str
    date: str | None
    per_hour: float
    parts_per_hour: dict[str, float]
    per_million_input: float | None
    per_million_output: float | None
    cheaper_from: float | None
    assumptions: list[str]


@frozen
class HostedDocument:
    """The hosted service that it is compared with; money per million tokens."""

    provider: str
    sold_as: str
    currency: str
    per_million_input: float
    per_million_output: float
    date: str
    source: str


@frozen
class CostDocument:
    """What a plan costs at its planned load."""

    bills: list[BillDocument]
    hosted: HostedDocument | None
    watts: float | None
    price_per_kwh: float | None
    output_tokens: int


def cost_document(cost: Cost) -> CostDocument:
    """Return what a plan costs as plain data."""
    hosted = cost.hosted
    return CostDocument(
        bills=[_bill_document(bill) for bill in cost.bills],
        hosted=HostedDocument(
            provider=hosted.provider,
            sold_as=hosted.sold_as,
            currency=hosted.price.currency,
            per_million_input=hosted.price.per_million_input,
            per_million_output=hosted.price.per_million_output,
            date=hosted.date,
            source=hosted.source,
        )
        if hosted is not None
        else None,
        watts=cost.watts,
        price_per_kwh=cost.electricity.price_per_kwh if cost.electricity is not None else None,
        output_tokens=cost.output_tokens,
    )


def _bill_document(bill: Bill) -> BillDocument:
    tokens, even = bill.tokens, bill.even
    return BillDocument(
        kind=bill.kind,
        price=bill.offer.value,
        currency=bill.offer.currency,
        note=bill.offer.note,
        date=bill.offer.date,
        per_hour=bill.expense.per_hour,
        parts_per_hour=dict(bill.expense.parts),
        per_million_input=tokens.per_million_input if tokens is not None else None,
        per_million_output=tokens.per_million_output if tokens is not None else None,
        cheaper_from=even.utilization if even is not None and even.reachable else None,
        assumptions=list(tokens.assumptions if tokens is not None else bill.expense.assumptions),
    )


def cost_lines(cost: Cost) -> Iterator[str]:
    """Yield what a plan costs, one line for each way to have it."""
    for bill in cost.bills:
        offer, rate = bill.offer, bill.expense.per_hour
        price = f"{offer.value:,.2f}" if offer.kind == "hourly" else f"{offer.value:,.0f}"
        per = "/h" if offer.kind == "hourly" else ""
        what = f"{price} {offer.currency}{per} ({offer.note}, {offer.date})"
        if bill.kind == "own":
            what += f", written off over {cost.years:g} years{_power(cost)}"
            what += f": {rate:.2f} {offer.currency}/h"
        yield f"{'Rent' if bill.kind == 'rent' else 'Own':10}{what}"
        if bill.tokens is not None:
            into = bill.tokens.per_million_input
            text = f"{into:.2f} in, " if into is not None else ""
            text += f"{bill.tokens.per_million_output:.2f} out"
            yield f"{'':10}{offer.currency} per million tokens: {text}{_even(bill)}"
    if not cost.bills:
        yield "Cost      no recent price of this machine is known"
    if cost.hosted is not None:
        hosted = cost.hosted
        yield (
            f"Hosted    {hosted.price.currency} per million tokens: {hosted.price.per_million_input:g}"
            f" in, {hosted.price.per_million_output:g} out at {seller(hosted.provider)} ({hosted.date})"
        )
    if any(bill.tokens is not None for bill in cost.bills):
        length = format_tokens(cost.output_tokens)
        said = " (a quarter of the context; --output-tokens says otherwise)" if cost.assumed else ""
        yield f"Load      busy all day, answers of {length} tokens{said}"


def _power(cost: Cost) -> str:
    if cost.watts is None or cost.electricity is None:
        return ", power not counted"
    tariff = cost.electricity
    return (
        f" and {cost.watts:g} W at {tariff.price_per_kwh:g} {tariff.currency}/kWh"
        f" ({', '.join(filter(None, (tariff.region, tariff.date)))})"
    )


def _even(bill: Bill) -> str:
    even = bill.even
    if even is None:
        return ""
    if even.utilization is None or not even.reachable:
        return "; the hosted service is cheaper even when it is busy all day"
    return f"; cheaper than hosted from {even.utilization:.0%} of the day on"
