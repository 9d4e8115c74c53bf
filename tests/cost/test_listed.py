"""The shipped table of hosted prices: each with provider, source and date; which one to compare with."""

import re
from datetime import date

import pytest

from planner.cost import listed_prices, prices_of, usual_price
from planner.model import catalog

BUNDLED = {entry.id for entry in catalog.catalog()}


def test_every_price_is_named_and_dated() -> None:
    assert len(listed_prices()) == 545
    for row in listed_prices():
        assert row.provider
        assert row.source
        assert re.fullmatch(r"2026(-\d\d){1,2}", row.date)
        assert row.grade in ("A", "B")
        assert row.model is None or row.model in BUNDLED | {"Qwen/Qwen3.8-Flash-Next"}


@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-27B", "Qwen/Qwen3.6-35B-A3B", "Qwen/Qwen3.8-27B"])
def test_prices_of_a_model_the_cheapest_first(model: str) -> None:
    found = prices_of(model)
    asked = [row.price.per_million_output for row in found]
    assert len(found) >= 10
    assert asked == sorted(asked)
    assert asked[0] > 0
    assert not any(row.superseded for row in found)
    assert not any(row.tier.startswith(">") for row in found)
    usual = usual_price(model)
    assert usual is not None
    assert asked[0] < usual.price.per_million_output < asked[-1]


def test_old_prices_can_be_left_out() -> None:
    recent = prices_of("Qwen/Qwen3.6-27B", since=date(2026, 11, 1))
    assert 0 < len(recent) < len(prices_of("Qwen/Qwen3.6-27B"))
    assert all(row.date >= "2026-11-01" for row in recent)
    assert prices_of("Qwen/Qwen3.6-27B", since=date(2030, 1, 1)) == ()


def test_models_that_nobody_sells_have_no_price() -> None:
    assert usual_price("Qwen/Qwen3.5-0.8B") is None
