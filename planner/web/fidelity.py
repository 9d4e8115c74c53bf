"""The fidelity run that shipped with this version: cases with a known truth, and how close we came.

`fidelity.json` is written by `python -m benchmarks.ship_fidelity`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

IN_GIB = ("overheads",)
"""Suites whose error is in GiB; the others' is relative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite's result.

    Attributes:
        name: of the suite.
        cases: how many there are.
        exact: how many agree in every field.
        median: median error in words.
        largest: largest error in words.
        band: share of cases that the stated band held, in words; empty where no band is stated.
    """

    name: str
    cases: int
    exact: int
    median: str
    largest: str
    band: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The whole run."""

    version: str
    date: str
    suites: tuple[Suite, ...]


@cache
def shipped() -> Shipped | None:
    """The run, or None where none shipped."""
    try:
        text = (files("planner.web") / "fidelity.json").read_text("utf-8")
    except FileNotFoundError:
        return None
    document = json.loads(text)
    return Shipped(
        version=document["version"],
        date=document["date"],
        suites=tuple(
            Suite(
                name=name,
                cases=row["cases"],
                exact=row["exact"],
                median=_error(name, row["median_error"]),
                largest=_error(name, row["max_error"]),
                band=f"{row['within_band']:.0%}" if "within_band" in row else "",
            )
            for name, row in document["suites"].items()
        ),
    )


def _error(suite: str, error: float) -> str:
    if error == 0:
        return "0"
    return f"{error:.2f} GiB" if suite in IN_GIB else f"{error:.2%}"
