"""Cost: identities that must hold, and input that must be refused."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from hardware_db.figures import PriceKind
from planner.cost import (
    HostedPrice,
    Power,
    Purchase,
    Rental,
    Traffic,
    break_even,
    expense,
    power_of,
    price_options,
    token_cost,
    traffic_of,
)
from planner.cost.prices import is_recent
from planner.errors import InputError
from planner.layout import Layout
from planner.model.catalog import bundled_checkpoint
from planner.throughput import Workload, estimate_speed
from tests.present import estimated, some

TRAFFIC = Traffic(
    prompt_tokens=1000, output_tokens=500, requests_per_second=0.5, prefill_seconds=0.4
)
SHARES = st.floats(min_value=0.01, max_value=1.0)
MONEY = st.floats(min_value=0.01, max_value=1e6)


def test_a_purchase_is_written_off_and_draws_power() -> None:
    power = Power(busy_w=1000, price_per_kwh=0.30, idle_w=100)
    found = expense(Purchase(price=8766.0, years=1, power=power), utilization=0.5)
    assert found.parts["hardware"] == pytest.approx(1.0)
    assert found.parts["electricity"] == pytest.approx(0.30 * (0.5 * 1.0 + 0.5 * 0.1))
    assert found.per_hour == pytest.approx(sum(found.parts.values()))
    assert found.per_busy_hour == pytest.approx(found.per_hour * 2)
    assert found.over(2) == pytest.approx(found.per_hour * 2 * 8766)


def test_residual_value_and_upkeep_count() -> None:
    plain = expense(Purchase(price=10_000))
    kept = expense(Purchase(price=10_000, residual=0.25))
    cared = expense(Purchase(price=10_000, yearly=876.6))
    assert kept.per_hour == pytest.approx(0.75 * plain.per_hour)
    assert cared.per_hour == pytest.approx(plain.per_hour + 0.1)
    assert "electricity is not counted" in plain.assumptions


def test_rented_machines_cost_while_idle_unless_given_back() -> None:
    kept = expense(Rental(hourly=10), utilization=0.25)
    given_back = expense(Rental(hourly=10, only_when_busy=True), utilization=0.25)
    assert (kept.per_hour, kept.per_busy_hour) == (10, 40)
    assert (given_back.per_hour, given_back.per_busy_hour) == (2.5, 10)


@given(hourly=MONEY, share=SHARES)
def test_input_and_output_tokens_make_up_a_request(hourly: Any, share: Any) -> None:
    cost = token_cost(expense(Rental(hourly=hourly), utilization=share), TRAFFIC)
    parts = some(cost.per_million_input) * 1000 + cost.per_million_output * 500
    assert parts / 1e6 == pytest.approx(cost.per_request)
    assert cost.per_million == pytest.approx(cost.per_request / 1500 * 1e6)
    per_day = cost.per_request * cost.requests_per_day
    assert per_day == pytest.approx(hourly * 24)


@given(price=MONEY, share=SHARES, asked=st.floats(min_value=0.1, max_value=100))
def test_at_break_even_both_cost_the_same(price: Any, share: Any, asked: Any) -> None:
    terms = Purchase(price=price, power=Power(busy_w=500, price_per_kwh=0.2, idle_w=50))
    hosted = HostedPrice(per_million_input=asked / 4, per_million_output=asked)
    found = break_even(expense(terms, utilization=share), TRAFFIC, hosted, price=price)
    if found.utilization is None:
        return
    if found.reachable:
        there = break_even(expense(terms, utilization=found.utilization), TRAFFIC, hosted)
        assert there.own_per_day == pytest.approx(there.hosted_per_day)
        assert found.cheaper == (share > found.utilization) or math.isclose(
            share, found.utilization, rel_tol=1e-6
        )
    assert found.payback_days is None or found.payback_days > 0


def test_a_service_cheaper_than_the_power_never_breaks_even() -> None:
    terms = Purchase(price=1000, power=Power(busy_w=10_000, price_per_kwh=1.0))
    hosted = HostedPrice(per_million_input=0.001, per_million_output=0.001)
    found = break_even(expense(terms), TRAFFIC, hosted, price=1000)
    assert (found.utilization, found.requests_per_day, found.payback_days) == (None, None, None)
    assert not found.cheaper
    assert not found.reachable


def test_payback_is_price_over_saving() -> None:
    hosted = HostedPrice(per_million_input=0, per_million_output=2.0)
    found = break_even(expense(Purchase(price=432.0)), TRAFFIC, hosted, price=432.0)
    # 0.5 requests of 500 tokens a second are 21.6 million a day: 43.2 in money.
    assert found.hosted_per_day == pytest.approx(43.2)
    assert found.payback_days == pytest.approx(10)


def test_currencies_are_not_mixed() -> None:
    hosted = HostedPrice(per_million_input=1, per_million_output=1, currency="EUR")
    with pytest.raises(InputError, match="EUR"):
        break_even(expense(Rental(hourly=1, currency="USD")), TRAFFIC, hosted)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Purchase(price=-1),
        lambda: Purchase(price=float("nan")),
        lambda: Purchase(price="abc"),  # type: ignore[arg-type]
        lambda: Purchase(price=1, years=0),
        lambda: Purchase(price=1, residual=1),
        lambda: Purchase(price=10**18),
        lambda: Purchase(price=10**400),
        lambda: Purchase(price=1, currency="usd"),
        lambda: Rental(hourly=float("inf")),
        lambda: Power(busy_w=True, price_per_kwh=1),
        lambda: Power(busy_w=1, price_per_kwh=1, cooling=0),
        lambda: HostedPrice(per_million_input=-1, per_million_output=1),
        lambda: expense(Rental(hourly=1), utilization=0),
        lambda: expense(Rental(hourly=1), utilization=92),
        lambda: expense(Rental(hourly=1)).over(0),
        lambda: Traffic(prompt_tokens=1, output_tokens=0, requests_per_second=1, prefill_seconds=0),
        lambda: Traffic(prompt_tokens=1, output_tokens=1, requests_per_second=0, prefill_seconds=0),
        lambda: Traffic(prompt_tokens=1, output_tokens=1, requests_per_second=2, prefill_seconds=1),
    ],
    ids=lambda wrong: f"line {wrong.__code__.co_firstlineno}",
)
def test_out_of_range(wrong: Callable[..., Any]) -> None:
    with pytest.raises(InputError):
        wrong()


def test_prices_of_the_database_are_dated_and_say_what_they_cover() -> None:
    cards = price_options(hardware_db.resolve("2x rtx-3090"))
    bought = [option for option in cards if option.kind == "purchase"]
    assert bought[0].basis == "used"
    assert bought[0].value == 2 * 850
    assert (bought[-1].value, bought[-1].basis, bought[-1].recent) == (3000, "launch price", False)
    assert "2 accelerators alone" in cards[0].note
    spark = price_options(hardware_db.resolve("dgx-spark"))
    cheapest = next(option for option in spark if option.kind == "purchase")
    assert (cheapest.value, cheapest.basis, cheapest.date) == (6950, "list price", "2026-10-02")
    assert "whole machine" in cheapest.note
    assert all(option.date for option in (*cards, *spark) if option.recent)
    assert price_options(hardware_db.resolve("custom:48GiB")) == ()


def test_only_recent_prices_rank() -> None:
    def asked(kind: PriceKind, date: str | None) -> bool:
        price = hardware_db.Price(value=1, currency="USD", kind=kind, source="shop", date=date)
        return is_recent(price, as_of="2026-11-09")

    assert asked("street", "2026-11-09")
    assert asked("list", "2026-06-18")
    assert asked("used", "2026-07")
    assert not asked("street", "2026-05")
    assert not asked("street", "2026")
    assert not asked("launch", "2026-11-01")
    assert not asked("street", None)


def test_an_instance_is_not_for_sale() -> None:
    """What a cloud rents out has no price to buy, though its cards have one."""
    rented = [system for system in hardware_db.systems() if system.provider is not None]
    assert len(rented) > 100
    for system in rented:
        assert {option.kind for option in price_options(system)} <= {"hourly"}, system.id
    owned = {option.kind for option in price_options(hardware_db.resolve("rtx-pro-6000-ws"))}
    assert "purchase" in owned


def test_different_gpus_are_added_up() -> None:
    mixed = price_options(hardware_db.resolve("3090 + rtx-3060-12"))
    assert [(option.kind, option.value) for option in mixed] == [("purchase", 850 + 260)]
    assert (
        some(power_of(hardware_db.resolve("3090 + rtx-3060-12"), price_per_kwh=0.3)).busy_w == 520
    )
    assert price_options(hardware_db.resolve("3090 + 24GB VRAM")) == ()


def test_power_of_the_database_says_what_it_stands_for() -> None:
    cards = power_of(hardware_db.resolve("2x rtx-3090"), price_per_kwh=0.3)
    assert some(cards).busy_w == 700
    assert "alone" in some(cards).note
    spark = power_of(hardware_db.resolve("dgx-spark"), price_per_kwh=0.3)
    assert "whole system" in some(spark).note
    assert power_of(hardware_db.resolve("custom:48GiB"), price_per_kwh=0.3) is None


def test_cost_of_an_estimate_carries_its_band() -> None:
    found = estimate_speed(
        bundled_checkpoint("Qwen/Qwen3.5-27B", precision="fp8"),
        hardware_db.resolve("gb10"),
        Layout(),
        engine="vllm",
        workload=Workload(prompt_tokens=2048, output_tokens=512, concurrency=4),
    )
    cost = token_cost(expense(Purchase(price=4699)), traffic_of(estimated(found)))
    assert 0 < cost.low < cost.per_request < cost.high
    served = cost.requests_per_day * 512 / 86400
    assert served == pytest.approx(estimated(found).total.value)


def test_cost_per_token_needs_the_length_of_answers() -> None:
    found = estimate_speed(
        bundled_checkpoint("Qwen/Qwen3.5-27B", precision="fp8"),
        hardware_db.resolve("gb10"),
        Layout(),
        engine="vllm",
        workload=Workload(prompt_tokens=2048),
    )
    with pytest.raises(InputError, match="output tokens"):
        traffic_of(estimated(found))
