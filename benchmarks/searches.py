"""What one search takes in this process, the first time and again, in milliseconds of CPU time.

    python -m benchmarks.searches NAME

`benchmarks.instant` asks each in processes of its own: what one search leaves behind, another finds.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Any

import hardware_db
from hardware_db import accelerators
from planner import allocating
from planner.asking import ANYWHERE, as_said, ask
from planner.cli import collect_rarely
from planner.planning import Plan
from planner.question import Question
from planner.recommending import Wanted, recommend
from planner.report.tables import fits_text
from planner.search import advise, fits_table, headline_precisions, solve_limits


@dataclass(frozen=True, slots=True)
class Search:
    """One search.

    Attributes:
        name: how it is asked for.
        what: the figure.
        goal: the most that it may take; empty for none.
        asked: makes what the search is asked with, which is not measured.
        answer: the search.
    """

    name: str
    what: str
    goal: str
    asked: Callable[[], Any]
    answer: Callable[[Any], object]


def _fits(engine: str) -> object:
    question = as_said("Qwen3.5-27B", on=ANYWHERE, engine=engine)
    return fits_text(fits_table(question, headline_precisions(question)))


def _wanted(base: str | None, users: int) -> Wanted:
    return Wanted(system=hardware_db.resolve("rtx-4090"), base=base, concurrency=users)


def _question() -> Question:
    return ask("Qwen3.5-27B", on="2x h100", engine="vllm")


def _plan() -> Plan:
    return ask("Qwen3.5-122B-A10B", on="2x rtx-4090", engine="vllm").plan()


_ALL = f"27B over {len(accelerators())} accelerators"
_RECOMMEND = "recommend, RTX 4090,"
_27B = "Qwen/Qwen3.5-27B"

SEARCHES = (
    Search("fits-vllm", f"fits, vLLM, {_ALL}", "300 ms", lambda: "vllm", _fits),
    Search("fits-sglang", f"fits, SGLang, {_ALL}", "300 ms", lambda: "sglang", _fits),
    Search("fits-llamacpp", f"fits, llama.cpp, {_ALL}", "500 ms", lambda: "llamacpp", _fits),
    Search("recommend", f"{_RECOMMEND} 27B", "150 ms", partial(_wanted, _27B, 1), recommend),
    Search("any", f"{_RECOMMEND} any model", "600 ms", partial(_wanted, None, 1), recommend),
    Search("users", f"{_RECOMMEND} any for 64 users", "", partial(_wanted, None, 64), recommend),
    Search("advise", "advise, vLLM, three pieces", "200 ms", _plan, partial(advise, most=3)),
    Search("solve", "solve, vLLM", "100 ms", _question, solve_limits),
)


def cpu(answer: Callable[[], object]) -> float:
    """Return the CPU milliseconds of an answer that no cache of whole plans holds."""
    allocating.forget()
    gc.collect()
    start = process_time()
    answer()
    return 1000 * (process_time() - start)


def main(argv: Sequence[str] | None = None) -> int:
    """Ask one search twice, and print what it took as one JSON object."""
    (name,) = sys.argv[1:] if argv is None else argv
    (search,) = (search for search in SEARCHES if search.name == name)
    collect_rarely()
    answer = partial(search.answer, search.asked())
    print(json.dumps({"first": cpu(answer), "again": cpu(answer)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
