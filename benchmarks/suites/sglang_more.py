"""Suite `sglang_more`: resolved defaults, pools, running requests and refusals of SGLang."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.suites.result import CaseResult
from benchmarks.suites.sglang_cases import compare_all

FILES = ("sglang_more.json",)


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every case."""
    yield from compare_all(folder / FILES[0])
