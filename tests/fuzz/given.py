"""How the fuzz tests ask: how many inputs, in what time, and what may come out.

`make fuzz` sets FUZZ_EXAMPLES; without it, as in every run of the tests, a few are tried.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hardware_db.errors import HardwareError
from planner.errors import PlannerError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Inputs that hypothesis chooses for each test; plans, which take longer, get a share of it."""

LIMIT = 2.0
"""Seconds of processor time that one input may take, down to a whole plan, where `make fuzz` asks."""

BUSY = 10
"""Times as long it may take in a run of the tests: a slow machine fails none, what hangs does."""


@dataclass(slots=True)
class Tally:
    """What the test that runs has done: for the table that `make fuzz` prints.

    Attributes:
        inputs: handed over.
        accepted: answered; the others were refused in one of the project's own lines.
        worst: longest processor time of one input, in seconds.
        limit: seconds that one input may take.
    """

    inputs: int = 0
    accepted: int = 0
    worst: float = 0.0
    limit: float = LIMIT if EXAMPLES else BUSY * LIMIT


TALLY = Tally()


def some(few: int, *, cost: int = 1) -> Callable[[Any], Any]:
    """Settings of one fuzz test: `few` inputs in every run, EXAMPLES / `cost` by the command."""
    return settings(
        max_examples=max(EXAMPLES // cost, few),
        deadline=None,  # processor time is what counts, and `own_errors_only` looks at it
        suppress_health_check=list(HealthCheck),
        print_blob=bool(EXAMPLES),
    )


def own_errors_only(question: Callable[[], object]) -> object:
    """Ask, and return the answer; None where the project refuses, in one line.

    Whatever else is raised fails the test, and so does one that takes longer than the limit.
    """
    start = time.thread_time()
    try:
        answer = question()
        TALLY.accepted += 1
        return answer
    except (PlannerError, HardwareError) as error:
        line = str(error)
        assert line, "an error says what is wrong"
        assert "\n" not in line
        assert len(line) < 5000
        line.encode()
        return None
    finally:
        spent = time.thread_time() - start
        TALLY.inputs += 1
        TALLY.worst = max(TALLY.worst, spent)
        assert spent < TALLY.limit, f"{spent:.1f} s for one input"


DICE = st.randoms(use_true_random=False)
"""Dice whose throws hypothesis chooses."""
