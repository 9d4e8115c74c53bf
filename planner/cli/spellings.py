"""What people type for a parameter of the question: one list for every command, the first is written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "engine": ("--engine", "--with"),
        "precision": ("--precision",),
        "kv_cache_dtype": ("--kv-cache-dtype", "--kv-cache"),
        "context": ("--context", "--ctx"),
        "concurrency": ("--concurrency", "--users"),
    }
)
"""Parameter -> its flags. What `qwenplan sweep` takes lists of as well stands here."""
