"""Checkpoints that exist: what can be downloaded, how large it is, what it costs in quality.

Answers by repository id, file name, quant and Ollama tag without a network; data under ``data``,
each row with source and date. Also which model is better for what (`capability`). Nothing is loaded
before the first question: not even these modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.registry.bundled import bundled_checkpoint
    from planner.registry.by_name import base_of
    from planner.registry.capability import (
        Floor,
        Score,
        Use,
        classes,
        floor_of,
        get_use,
        rank_of,
        scores_of,
        uses,
    )
    from planner.registry.listing import Download, downloads, table
    from planner.registry.entry import Entry
    from planner.registry.measurements import Measurement, Protocol, measured_of
    from planner.registry.names import find
    from planner.registry.quality import (
        CacheLoss,
        Comparison,
        Loss,
        Word,
        cache_losses,
        compare,
        loss_of,
    )
    from planner.registry.remembered import recall, remember
    from planner.registry.renewing import Renewal, renew, repositories_of
    from planner.registry.sizing import checkpoint_of, effective_bits, spread_of, stored_as
    from planner.registry.store import collected, entries, entries_of

__all__ = [
    "CacheLoss",
    "Comparison",
    "Download",
    "Entry",
    "Floor",
    "Loss",
    "Measurement",
    "Protocol",
    "Renewal",
    "Score",
    "Use",
    "Word",
    "base_of",
    "bundled_checkpoint",
    "cache_losses",
    "checkpoint_of",
    "classes",
    "collected",
    "compare",
    "downloads",
    "effective_bits",
    "entries",
    "entries_of",
    "find",
    "floor_of",
    "get_use",
    "loss_of",
    "measured_of",
    "rank_of",
    "recall",
    "remember",
    "renew",
    "repositories_of",
    "scores_of",
    "spread_of",
    "stored_as",
    "table",
    "uses",
]

_MODULES = {
    name: module
    for module, names in (
        ("bundled", ("bundled_checkpoint",)),
        ("by_name", ("base_of",)),
        (
            "capability",
            (
                "Floor",
                "Score",
                "Use",
                "classes",
                "floor_of",
                "get_use",
                "rank_of",
                "scores_of",
                "uses",
            ),
        ),
        (
            "downloads",
            (
                "Download",
                "downloads",
                "table",
            ),
        ),
        ("entry", ("Entry",)),
        (
            "measurements",
            (
                "Measurement",
                "Protocol",
                "measured_of",
            ),
        ),
        ("names", ("find",)),
        (
            "quality",
            (
                "CacheLoss",
                "Comparison",
                "Loss",
                "Word",
                "cache_losses",
                "compare",
                "loss_of",
            ),
        ),
        (
            "remembered",
            (
                "recall",
                "remember",
            ),
        ),
        (
            "renew",
            (
                "Renewal",
                "renew",
                "repositories_of",
            ),
        ),
        (
            "sizing",
            (
                "checkpoint_of",
                "effective_bits",
                "spread_of",
                "stored_as",
            ),
        ),
        (
            "store",
            (
                "collected",
                "entries",
                "entries_of",
            ),
        ),
    )
    for name in names
}


def __getattr__(name: str) -> Any:
    """Load the module that a public name is in when it is first asked for."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found
