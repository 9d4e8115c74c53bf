"""Suite `llamacpp`: every buffer of llama.cpp per device, caches, outputs and graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.suites.llamacpp_cases import compare_all
from benchmarks.suites.result import CaseResult

FILES = ("llamacpp.json",)


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every case."""
    yield from compare_all(folder / FILES[0])
