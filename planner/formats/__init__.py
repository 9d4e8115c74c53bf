"""Number formats as data: how many bytes n elements of a given shape take.

One table serves weights and KV cache. A format is element bits plus what its blocks carry beside
them (scales, zero points, indices); bits per weight therefore follow from the shape, never from a
rule of thumb.
"""

from __future__ import annotations

from planner.formats.cache import CACHE_FORMATS, CacheFormat, dtype_bytes, get_cache_format
from planner.formats.ggml import GGML_FORMATS, ggml_format_name
from planner.formats.number import NumberFormat
from planner.formats.weights import FORMATS, get_format

__all__ = [
    "CACHE_FORMATS",
    "FORMATS",
    "GGML_FORMATS",
    "CacheFormat",
    "NumberFormat",
    "dtype_bytes",
    "get_cache_format",
    "get_format",
    "ggml_format_name",
]
