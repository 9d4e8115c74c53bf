"""Checkpoints that exist: what can be downloaded, how large it is, what it costs in quality.

Answers by repository id, file name, quant and Ollama tag without a network; data under ``data``,
each row with source and date. Also which model is better for what (`capability`). Nothing is loaded
before the first question.
"""

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
from planner.registry.downloads import Download, downloads, table
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
from planner.registry.renew import Renewal, renew, repositories_of
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
