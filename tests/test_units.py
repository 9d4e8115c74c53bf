import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.units import (
    capital,
    ceil_div,
    check_count,
    check_fraction,
    format_bytes,
    format_gib,
    parse_bytes,
    parse_tokens,
    round_up,
    shown,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("4096", 4096),
        ("128k", 131_072),
        ("1M", 2**20),
        ("262,144", 262_144),
        ("1.5k", 1536),
        (7, 7),
    ],
)
def test_tokens_are_read(text: str | int, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize(
    "text", ["abc", "", "-1", "0", "1.0001k", "10^18", "128kb", "1" * 400, "nan", "inf", -5, 10**18]
)
def test_bad_tokens_get_one_line(text: str | int) -> None:
    with pytest.raises(InputError) as error:
        parse_tokens(text)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("context:")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * 2**30),
        ("80 GB", 80 * 10**9),
        ("512MiB", 2**29),
        ("17", 17),
        ("1.5 gib", 3 * 2**29),
    ],
)
def test_bytes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1GiB", "0", "5 parsecs", "1e9", str(2**61)])
def test_bad_bytes_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_bytes(text)


@given(st.integers(0, 2**70), st.integers(1, 2**40))
def test_division_rounds_up(value: int, step: int) -> None:
    assert (ceil_div(value, step) - 1) * step < value <= ceil_div(value, step) * step
    assert round_up(value, step) % step == 0
    assert 0 <= round_up(value, step) - value < step


def test_gib_is_two_to_the_thirty() -> None:
    assert format_gib(3 * 2**30) == "3.0 GiB"
    assert format_gib(2**29) == "0.50 GiB"
    assert format_bytes(1536) == "1.50 KiB"
    assert format_bytes(12) == "12 B"


@pytest.mark.parametrize("value", [True, 1.5, "1", None, 0, 10**18])
def test_counts_are_checked(value: object) -> None:
    with pytest.raises(InputError, match="tp"):
        check_count(value, what="tp")


@pytest.mark.parametrize("value", [0, 1.01, 92, 11200, math.nan, math.inf, True, "0.9", -0.1])
def test_shares_are_checked(value: object) -> None:
    with pytest.raises(InputError, match="utilization"):
        check_fraction(value, what="utilization")


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("abc", "'abc'"),
        (None, "None"),
        (2.5, "2.5"),
        ("two\nlines", "'two\\nlines'"),
        ("x" * 500, "'" + "x" * 58 + "…"),
        (-(10**5000), "a number of about 4999 digits"),
    ],
    ids=range(6),
)
def test_errors_quote_what_was_given_in_short(value: object, quoted: str) -> None:
    assert shown(value) == quoted


def test_a_message_is_one_line_of_bounded_words() -> None:
    assert str(InputError(f"model {'x' * 5000}:\nno")) == f"model {'x' * 200}… no"


@pytest.mark.parametrize("value", [None, 1.5, b"1k", [], True])
def test_only_numbers_and_text_are_sizes(value: Any) -> None:
    for read in (parse_tokens, parse_bytes):
        with pytest.raises(InputError, match="cannot read"):
            read(value)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("the plan", "The plan"),
        ("n-gram tables", "N-gram tables"),
        ("vLLM loads it", "vLLM loads it"),
        ("llama-server needs RAM", "llama-server needs RAM"),
        ("ggml-rpc-server runs", "ggml-rpc-server runs"),
        ("--fit moves it", "--fit moves it"),
    ],
)
def test_a_sentence_begins_with_a_capital_but_for_names(text: str, begins: str) -> None:
    assert capital(text) == begins
