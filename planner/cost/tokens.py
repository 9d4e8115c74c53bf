"""What tokens cost on a machine whose speed is known or estimated."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.cost.amounts import check_amount
from planner.cost.expense import Expense
from planner.errors import InputError
from planner.throughput import SpeedEstimate
from planner.throughput.estimate import WAITING
from planner.units import MAX_TOKENS, check_count

_MILLION = 1e6
_HOUR = 3600.0


@frozen
class Traffic:
    """What a busy machine serves.

    Attributes:
        prompt_tokens: tokens of a prompt.
        output_tokens: tokens of an answer.
        requests_per_second: finished per second while busy.
        prefill_seconds: machine time of one prompt.
        low: requests per second at the lower end of the band.
        high: the same at the upper end.

    Raises:
        InputError: a number out of its range.
    """

    prompt_tokens: int
    output_tokens: int
    requests_per_second: float
    prefill_seconds: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self.prompt_tokens, what="prompt tokens", least=0, most=MAX_TOKENS)
        check_count(self.output_tokens, what="output tokens", most=MAX_TOKENS)
        check_amount(self.requests_per_second, what="requests per second", positive=True)
        check_amount(self.prefill_seconds, what="prefill time")
        if self.prefill_seconds * self.requests_per_second > 1 + 1e-9:
            raise InputError(
                f"{self.requests_per_second:g} requests per second leave less time than the"
                f" {self.prefill_seconds:g} s of prefill that each needs"
            )


@frozen
class TokenCost:
    """Money per token at a traffic.

    Input tokens carry the machine time of prefill, output tokens the rest; together they make up
    what a request costs.

    Attributes:
        currency: of every amount.
        per_million_input: money per million prompt tokens; None without a prompt.
        per_million_output: money per million output tokens.
        per_million: money per million tokens of both kinds, as mixed.
        per_request: money per request.
        low: `per_request` where the machine is as fast as the band allows.
        high: `per_request` where it is as slow.
        requests_per_day: served at the expense's utilization.
        assumptions: what was assumed, one sentence each.
    """

    currency: str
    per_million_input: float | None
    per_million_output: float
    per_million: float
    per_request: float
    low: float
    high: float
    requests_per_day: float
    assumptions: tuple[str, ...]


def traffic_of(estimate: SpeedEstimate, *, replicas: int = 1) -> Traffic:
    """The traffic of a speed estimate whose workload names its output length.

        prefill = time of a request x prefill alone / (prefill alone + decode alone)

    Prompts and answers share the machine: what both take beyond their own time, they bear alike.

    Args:
        estimate: how fast it is.
        replicas: copies of the model that compute prompts at the same time.

    Raises:
        InputError: it does not.
    """
    workload = estimate.workload
    if workload.output_tokens is None:
        raise InputError("cost per token needs the length of answers: name the output tokens")
    prefill = estimate.prefill
    alone = prefill.seconds.value / workload.prompts_together / replicas if prefill else 0.0
    counted = (term for term in estimate.terms if not term.hidden and term.name != WAITING)
    step = sum(term.seconds for term in counted)
    decode = workload.output_tokens * step / workload.concurrency
    rate = estimate.total.scaled(1 / workload.output_tokens)
    return Traffic(
        prompt_tokens=workload.prompt_tokens,
        output_tokens=workload.output_tokens,
        requests_per_second=rate.value,
        prefill_seconds=alone / (alone + decode) / rate.value if alone else 0.0,
        low=rate.low,
        high=rate.high,
    )


def token_cost(expense: Expense, traffic: Traffic) -> TokenCost:
    """What tokens cost while the machine is busy for the expense's utilization.

        request = money per busy hour / 3600 / requests per second
        input = money per busy second x prefill / prompt tokens; output = the rest / output tokens

    Args:
        expense: what having the machine costs.
        traffic: what it serves while busy.
    """
    per_second = expense.per_busy_hour / _HOUR
    request = per_second / traffic.requests_per_second
    prefill = per_second * traffic.prefill_seconds
    prompt, answer = traffic.prompt_tokens, traffic.output_tokens
    low, high = traffic.low, traffic.high
    return TokenCost(
        currency=expense.currency,
        per_million_input=prefill / prompt * _MILLION if prompt else None,
        per_million_output=(request - prefill) / answer * _MILLION,
        per_million=request / (prompt + answer) * _MILLION,
        per_request=request,
        low=per_second / high if high else request,
        high=per_second / low if low else request,
        requests_per_day=traffic.requests_per_second * _HOUR * 24 * expense.utilization,
        assumptions=(
            *expense.assumptions,
            f"busy for {expense.utilization:.0%} of the day, at this concurrency all that time",
            "input tokens carry the time of prefill, output tokens the rest",
        ),
    )
