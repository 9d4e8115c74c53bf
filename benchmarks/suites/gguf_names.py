"""Names of GGUF types as sources write them, as the nearest type that llama-quantize has."""

from __future__ import annotations

import re

from planner.model.gguf_mix import GgufScheme
from planner.model.quantization import get_scheme

_TYPE = re.compile(
    r"(?:gguf[\s_-]*)?(?:ud-)?(?:smol-)?"
    r"((?:i?q|tq)\d[a-z0-9]*(?:_[a-z0-9]+)*|mxfp4_moe|bf16|f16|f32)\b.*"
)


def nearest_type(text: str) -> GgufScheme | None:
    """The type that `text` names ("gguf-UD-Q4_K_XL": Q4_K_M), or None if it names none.

    Mixes to somebody's own taste ("_XL", "IQ4_KSS") become the nearest type of as many bits.
    """
    match = _TYPE.fullmatch(text.strip().lower())
    if match is None:
        return None
    name = match[1]
    stem, bits = name.rpartition("_")[0], name.partition("_")[0]
    for wanted in (name, f"{name}_m", f"{stem}_m", stem, f"{bits}_0", f"{bits}_xs", f"{bits}_s"):
        try:
            found = get_scheme(f"gguf-{wanted}")
        except ValueError:
            continue
        if isinstance(found, GgufScheme):
            return found
    return None
