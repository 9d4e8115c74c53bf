"""What several deployments have in common and where they differ; what each costs."""

from __future__ import annotations

from dataclasses import dataclass

from planner.cost import (
    BreakEven,
    Expense,
    HostedPrice,
    PriceOption,
    Purchase,
    Rental,
    TokenCost,
    break_even,
    expense,
    power_of,
    price_options,
    token_cost,
    traffic_of,
)
from planner.errors import PlannerError
from planner.planning import Plan
from planner.speed import speed_of
from planner.throughput import SpeedEstimate, Workload, estimate_speed
from planner.units import format_gib, format_tokens
from planner.web.palette import LOOKS, PARTS


def facts(plan: Plan) -> dict[str, str]:
    """What the comparison shows of a plan: name of the row -> words."""
    asked = plan.deployment
    rows = {
        "model": asked.checkpoint.model.name.rpartition("/")[2],
        "precision": asked.checkpoint.scheme.name,
        "hardware": asked.system.name,
        "engine": f"{plan.engine_title} {plan.engine_version}",
        "layout": str(asked.layout),
        "context": format_tokens(asked.context),
        "sequences asked": f"{asked.concurrency:,}",
        "KV cache dtype": asked.kv_cache_dtype,
        "verdict": f"{LOOKS[plan.outcome].icon} {LOOKS[plan.outcome].word}",
    }
    if not plan.ranks or plan.capacity is None:
        return rows
    rank = plan.ranks[0]
    rows |= {
        "headroom": format_gib(rank.headroom),
        "sequences held": f"{plan.capacity.sequences:,}",
        "longest context": format_tokens(plan.capacity.longest_context),
    }
    rows |= {part.label: format_gib(rank.of_kind(*part.kinds), 2) for part in PARTS}
    speed = speed_of(plan)
    if isinstance(speed, SpeedEstimate):
        rows["speed"] = speed.per_user.words("tok/s per user")
        rows["all users"] = speed.total.words("tok/s")
    elif speed is not None:
        rows["speed"] = speed.words
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What costs rest on, as the visitor set it.

    Attributes:
        prompt_tokens: of a request.
        output_tokens: of its answer.
        utilization: share of the day in which the machine serves.
        price_per_kwh: money for electricity.
        years: over how long a purchase is written off.
        hosted_input, hosted_output: a hosted service's price per million tokens.
    """

    prompt_tokens: int
    output_tokens: int
    utilization: float
    price_per_kwh: float
    years: float
    hosted_input: float
    hosted_output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What one deployment costs.

    Attributes:
        option: the price it rests on.
        expense: per hour, whether it works or waits.
        tokens: per token while it works; None without an estimate of speed.
        even: against the hosted service; None without an estimate of speed.
        note: why something is missing, or what the power stands for.
    """

    option: PriceOption
    expense: Expense
    tokens: TokenCost | None
    even: BreakEven | None
    note: str


def money(plan: Plan, assumed: Assumptions) -> Money | str:
    """The cost of `plan` by the lowest recent price in US dollars, to buy before to rent; or why none.

    Raises:
        InputError: an assumption out of range.
    """
    known = price_options(plan.deployment.system)
    options = [option for option in known if option.currency == "USD" and option.recent]
    if not options:
        return "no recent price is known for this hardware"
    bought = [option for option in options if option.kind == "purchase"]
    option = min(bought or options, key=lambda option: option.value)
    power = power_of(plan.deployment.system, price_per_kwh=assumed.price_per_kwh)
    terms: Purchase | Rental
    if option.kind == "purchase":
        terms = Purchase(price=option.value, years=assumed.years, power=power)
    else:
        terms = Rental(hourly=option.value)
    spent = expense(terms, utilization=assumed.utilization)
    note = f"electricity: {power.note}" if power and bought else ""
    speed = _speed(plan, assumed)
    if not isinstance(speed, SpeedEstimate):
        return Money(option=option, expense=spent, tokens=None, even=None, note=speed)
    traffic = traffic_of(speed)
    hosted = HostedPrice(
        per_million_input=assumed.hosted_input, per_million_output=assumed.hosted_output
    )
    price = option.value if option.kind == "purchase" else None
    return Money(
        option=option,
        expense=spent,
        tokens=token_cost(spent, traffic),
        even=break_even(spent, traffic, hosted, price=price),
        note=note,
    )


def _speed(plan: Plan, assumed: Assumptions) -> SpeedEstimate | str:
    if not plan.fits:
        return "it does not hold the workload"
    asked = plan.deployment
    try:
        found = estimate_speed(
            asked.checkpoint,
            asked.system,
            asked.layout,
            engine=plan.engine,
            workload=Workload(
                prompt_tokens=assumed.prompt_tokens,
                output_tokens=assumed.output_tokens,
                concurrency=asked.concurrency,
            ),
            kv_cache_dtype=asked.kv_cache_dtype,
        )
    except PlannerError as error:
        return str(error)
    return found if isinstance(found, SpeedEstimate) else found.words
