"""What the fuzz tests hand over: valid things mutated, and how many of them.

`make fuzz` sets FUZZ_EXAMPLES; without it, as in every run of the tests, a few are tried.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hardware_db.errors import HardwareError
from planner.errors import PlannerError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Inputs of the cheapest parsers; plans, which take a hundred times as long, get a hundredth."""

LIMIT = 2000
"""Milliseconds that one input may take while `make fuzz` runs."""


def some(few: int, *, cost: int = 1) -> Callable[[Any], Any]:
    """Settings of one fuzz test: `few` inputs in every run, EXAMPLES / `cost` by the command."""
    return settings(
        max_examples=max(EXAMPLES // cost, few),
        deadline=LIMIT if EXAMPLES else None,
        suppress_health_check=list(HealthCheck),
        print_blob=bool(EXAMPLES),
    )


def own_errors_only(question: Callable[[], object]) -> object:
    """Ask, and return the answer; None where the project refuses, in one line.

    Whatever else is raised fails the test.
    """
    try:
        return question()
    except (PlannerError, HardwareError) as error:
        line = str(error)
        assert line, "an error says what is wrong"
        assert "\n" not in line
        assert len(line) < 5000
        line.encode()
        return None


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 2, 3, 7, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308]),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(
        ["", "auto", "re:.*", "(.|.)*!", "\x1b[31m", "\ud800", "9" * 5000, "../..", "*"]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 4), max_size=4),
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """`document` with some of its values, at any depth, replaced, removed, doubled or moved."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 4))):
        place = changed
        for _ in range(6):
            if not isinstance(place, dict | list) or not place:
                break
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                place = inner
                continue
            action = draw(st.sampled_from(["replace", "remove", "scale", "add"]))
            if action == "remove":
                del place[key]
            elif action == "scale" and type(inner) is int:
                place[key] = inner * draw(st.sampled_from([0, -1, 2, 3, 1000, 2**40]))
            elif action == "add" and isinstance(place, dict):
                place[draw(st.text(max_size=8))] = draw(ODD)
            else:
                place[key] = draw(ODD)
            break
    return changed


@st.composite
def mutated_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with some bytes changed, cut out, repeated or cut off."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        match draw(st.sampled_from(["set", "cut", "repeat", "end", "number"])):
            case "set":
                changed[at : at + 1] = draw(st.binary(min_size=1, max_size=3))
            case "cut":
                del changed[at : at + draw(st.integers(1, 16))]
            case "repeat":
                changed[at:at] = changed[at : at + 8] * draw(st.integers(1, 8))
            case "end":
                del changed[at:]
            case "number":
                number = draw(st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
                changed[at : at + 8] = number.to_bytes(8, "little")
    return bytes(changed)


def mutated_text(text: str) -> st.SearchStrategy[str]:
    """`text` with words and characters changed, as `mutated_bytes` does it."""
    odd = st.lists(
        st.one_of(st.text(max_size=6), st.sampled_from(text.split() or [""])), max_size=4
    )
    return st.one_of(
        mutated_bytes(text.encode()).map(lambda raw: raw.decode("utf-8", "replace")),
        odd.map(lambda words: f"{text} {' '.join(words)}"),
        odd.map(" ".join),
    )


def json_of(document: Any) -> bytes:
    """`document` as a file holds it."""
    return json.dumps(document).encode()
