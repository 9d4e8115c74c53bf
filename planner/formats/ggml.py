"""ggml's block formats: what GGUF files store."""

from __future__ import annotations

from fractions import Fraction

from planner.formats.number import NumberFormat

_SOURCE = "llama.cpp 0c1e570 ggml/src/ggml-common.h"

# name, elements of a block, bytes of a block. ggml's MXFP4 and NVFP4 differ from the formats of that
# name in safetensors (no scale of the tensor, other blocks), hence their prefix.
_BLOCKS = (
    ("Q1_0", 128, 18),
    ("Q2_0", 64, 18),
    ("Q4_0", 32, 18),
    ("Q4_1", 32, 20),
    ("Q5_0", 32, 22),
    ("Q5_1", 32, 24),
    ("Q8_0", 32, 34),
    ("Q8_1", 32, 36),
    ("Q2_K", 256, 84),
    ("Q3_K", 256, 110),
    ("Q4_K", 256, 144),
    ("Q5_K", 256, 176),
    ("Q6_K", 256, 210),
    ("Q8_K", 256, 292),
    ("IQ1_S", 256, 50),
    ("IQ1_M", 256, 56),
    ("IQ2_XXS", 256, 66),
    ("IQ2_XS", 256, 74),
    ("IQ2_S", 256, 82),
    ("IQ3_XXS", 256, 98),
    ("IQ3_S", 256, 110),
    ("IQ4_NL", 32, 18),
    ("IQ4_XS", 256, 136),
    ("TQ1_0", 256, 54),
    ("TQ2_0", 256, 66),
    ("ggml-MXFP4", 32, 17),
    ("ggml-NVFP4", 64, 36),
)

GGML_FORMATS: tuple[NumberFormat, ...] = tuple(
    NumberFormat(
        name=name,
        bits=Fraction(0),
        block=(1, elements),
        block_bytes=Fraction(size),
        whole_blocks=True,
        kernel="ggml",
        source=_SOURCE,
    )
    for name, elements, size in _BLOCKS
)
"""Block formats of ggml; a block's bytes hold elements and scales alike, so `bits` is zero."""

_PLAIN = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "MXFP4": "ggml-MXFP4",
    "NVFP4": "ggml-NVFP4",
}


def ggml_format_name(ggml_type: str) -> str:
    """The name under which FORMATS has a ggml type: "F32" -> "float32", "Q4_K" -> "Q4_K"."""
    return _PLAIN.get(ggml_type, ggml_type)
