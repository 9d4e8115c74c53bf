"""The number formats of GGUF files by the numbers that files name them with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from planner.formats import get_format, ggml_format_name

_NAMES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
    40: "NVFP4",
    41: "Q1_0",
    42: "Q2_0",
}


def _block(name: str) -> tuple[str, int, int]:
    stored = get_format(ggml_format_name(name))
    elements = stored.block[1] if stored.block else 1
    return name, elements, stored.nbytes((elements,))


GGML_TYPES: Mapping[int, tuple[str, int, int]] = MappingProxyType(
    {number: _block(name) for number, name in _NAMES.items()}
)
"""ggml type -> name, elements of a block, bytes of a block (numbers: llama.cpp 0c1e570 ggml.h)."""
