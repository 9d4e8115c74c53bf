"""Say which flags a server needs so that agents can call tools: data/tool_calls.toml has them."""

from __future__ import annotations

from functools import cache
from typing import Any

from planner.shipped import read_toml


@cache
def _served() -> tuple[dict[str, Any], ...]:
    return tuple(read_toml("engines", "data", "tool_calls.toml")["served"])


def tool_flags(engine: str, base: str) -> str | None:
    """Return the flags that make tool calls work; None where none are known to be needed.

    Args:
        engine: name of the engine.
        base: bundled id of the model.
    """
    for row in _served():
        if row["engine"] == engine and base.startswith(tuple(row["bases"])):
            return str(row["flags"])
    return None
