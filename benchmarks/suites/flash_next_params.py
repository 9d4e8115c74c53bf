"""Suite `flash_next_params`: the same as `params` for the models of flash_next_params.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.suites.params import models_of
from benchmarks.suites.result import CaseResult

FILES = ("flash_next_params.json",)


def run(folder: Path) -> Iterator[CaseResult]:
    """Return one result per model."""
    return models_of(folder, FILES[0])
