"""Checkpoints that exist: what can be downloaded, how large it is, what it costs in quality.

Answers by repository id, file name, quant and Ollama tag without a network; data under ``data``,
each row with source and date. Also which model is better for what (`capability`). Nothing is loaded
before the first question: not even these modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.registry.bundled import bundled_checkpoint as bundled_checkpoint
    from planner.registry.by_name import base_of as base_of
    from planner.registry.capability import (
        Floor as Floor,
    )
    from planner.registry.capability import (
        Score as Score,
    )
    from planner.registry.capability import (
        Use as Use,
    )
    from planner.registry.capability import (
        classes as classes,
    )
    from planner.registry.capability import (
        floor_of as floor_of,
    )
    from planner.registry.capability import (
        get_use as get_use,
    )
    from planner.registry.capability import (
        rank_of as rank_of,
    )
    from planner.registry.capability import (
        scores_of as scores_of,
    )
    from planner.registry.capability import (
        tier_of as tier_of,
    )
    from planner.registry.capability import (
        uses as uses,
    )
    from planner.registry.entry import Entry as Entry
    from planner.registry.existing import check_file as check_file
    from planner.registry.existing import check_precision as check_precision
    from planner.registry.labels import file_of as file_of
    from planner.registry.listing import (
        Download as Download,
    )
    from planner.registry.listing import (
        downloads as downloads,
    )
    from planner.registry.listing import (
        table as table,
    )
    from planner.registry.measurements import (
        Measurement as Measurement,
    )
    from planner.registry.measurements import (
        Protocol as Protocol,
    )
    from planner.registry.measurements import (
        measured_of as measured_of,
    )
    from planner.registry.names import find as find
    from planner.registry.names import in_words as in_words
    from planner.registry.quality import (
        CacheLoss as CacheLoss,
    )
    from planner.registry.quality import (
        Comparison as Comparison,
    )
    from planner.registry.quality import (
        Loss as Loss,
    )
    from planner.registry.quality import (
        Word as Word,
    )
    from planner.registry.quality import (
        cache_losses as cache_losses,
    )
    from planner.registry.quality import (
        compare as compare,
    )
    from planner.registry.quality import (
        loss_of as loss_of,
    )
    from planner.registry.remembered import recall as recall
    from planner.registry.remembered import remember as remember
    from planner.registry.renewing import (
        Renewal as Renewal,
    )
    from planner.registry.renewing import (
        renew as renew,
    )
    from planner.registry.renewing import (
        repositories_of as repositories_of,
    )
    from planner.registry.sizing import (
        checkpoint_of as checkpoint_of,
    )
    from planner.registry.sizing import (
        download_bytes as download_bytes,
    )
    from planner.registry.sizing import (
        effective_bits as effective_bits,
    )
    from planner.registry.sizing import (
        spread_of as spread_of,
    )
    from planner.registry.sizing import (
        stored_as as stored_as,
    )
    from planner.registry.store import (
        entries as entries,
    )
    from planner.registry.store import (
        entries_of as entries_of,
    )
    from planner.registry.store import (
        models_stored as models_stored,
    )
    from planner.registry.written import (
        read_written as read_written,
    )

_PUBLIC = {
    "bundled": "bundled_checkpoint",
    "by_name": "base_of",
    "capability": "Floor Score Use classes floor_of get_use rank_of scores_of tier_of uses",
    "listing": "Download downloads table",
    "entry": "Entry",
    "existing": "check_file check_precision",
    "measurements": "Measurement Protocol measured_of",
    "labels": "file_of",
    "names": "find in_words",
    "quality": "CacheLoss Comparison Loss Word cache_losses compare loss_of",
    "remembered": "recall remember",
    "renewing": "Renewal renew repositories_of",
    "sizing": "checkpoint_of download_bytes effective_bits spread_of stored_as",
    "store": "entries entries_of models_stored",
    "written": "read_written",
}
"""Module -> what of it is public; the imports above say the same to type checkers."""

_MODULES = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Load the module that a public name is in when it is first asked for."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found
