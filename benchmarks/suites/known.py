"""Why cases do not agree: one table, for the runner, docs/fidelity.md and the tests."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[2] / "tests" / "reference" / "known_failures.toml"


@cache
def known_failures() -> tuple[Mapping[str, Any], ...]:
    """Return the rows: `suite`, `case`, `reason`; `group` where a case has several results.

    `published` marks a case of the whole collection that the kept sample does not have.
    """
    return tuple(tomllib.loads(TABLE.read_text("utf-8"))["failure"])


def bare(name: str) -> str:
    """Return the name of a case without the verdict that is put behind it where it is wrong."""
    return name.split(" [")[0]


def reason_of(suite: str, name: str, group: str | None = None) -> str | None:
    """Return why a case does not agree, None where no row says it."""
    case = bare(name)
    for row in known_failures():
        if row["suite"] == suite and row["case"] == case and row.get("group") in (None, group):
            return str(row["reason"])
    return None
