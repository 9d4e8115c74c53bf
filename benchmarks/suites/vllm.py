"""Suite `vllm`: what vLLM 0.33.0's own code answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.suites.result import CaseResult
from benchmarks.suites.vllm_cases import compare_all

FILES = ("vllm.json",)


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every case."""
    yield from compare_all(folder / FILES[0])
