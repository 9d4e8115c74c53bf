"""Start-up logs by engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from planner.engines.llamacpp import log as llamacpp_log
from planner.engines.log_figure import LogReader
from planner.engines.sglang import log as sglang_log
from planner.engines.vllm import log as vllm_log

LOG_READERS: Mapping[str, LogReader] = MappingProxyType(
    {
        "vllm": vllm_log.LOG_READER,
        "sglang": sglang_log.LOG_READER,
        "llamacpp": llamacpp_log.LOG_READER,
    }
)
"""Engines whose start-up logs are read, by name."""


def engine_of(lines: Iterable[str]) -> str | None:
    """The engine that printed `lines`: the one most of whose marks are in them."""
    seen: dict[str, set[str]] = {name: set() for name in LOG_READERS}
    for line in lines:
        for name, reader in LOG_READERS.items():
            seen[name].update(mark for mark in reader.marks if mark in line)
    best = max(seen, key=lambda name: len(seen[name]))
    return best if seen[best] else None


def version_of(lines: Sequence[str], reader: LogReader) -> str | None:
    """The release that a log names; the last one, if it names several."""
    patterns = [re.compile(pattern) for pattern in reader.version]
    for line in reversed(lines):
        for pattern in patterns:
            match = pattern.search(line)
            if match is not None:
                return match["version"].rstrip(".")
    return None
