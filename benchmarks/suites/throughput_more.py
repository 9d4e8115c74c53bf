"""Suite `throughput_more`: prefill, weights in RAM, CPU alone, depth and drafts on real machines.

Groups are the kind (decode, prefill) and where the weights lie.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.suites.result import CaseResult
from benchmarks.suites.speed_points import SpeedQuestion, point_of, results

FILES = ("throughput_more.json",)


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per measured speed."""
    return results(questions(folder))


def questions(folder: Path) -> Iterator[SpeedQuestion]:
    """(name, function that reads the point) of every row."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        yield row["id"], partial(point_of, row, folder)
