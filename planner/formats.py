"""Number formats as data: how many bytes n elements of a given shape take.

One table serves weights and KV cache. A format is element bits plus what its blocks carry beside
them (scales, zero points, indices); bits per weight therefore follow from the shape, never from a
rule of thumb.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from types import MappingProxyType

from planner.errors import InputError, UnsupportedModelError
from planner.units import ceil_div


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """One way of storing a matrix of shape [..., rows, columns].

    Attributes:
        name: the field's name of it.
        bits: bits of one element, without scales.
        block: (rows, columns) that share one scale; None if nothing is shared. Blocks at an edge
            are whole blocks (they are rounded up).
        block_bytes: bytes beside the elements per block (scale, zero point; fractions for packed
            zero points).
        column_bytes: bytes per column of the matrix (GPTQ's g_idx).
        tensor_bytes: bytes per matrix (global scales).
        whole_blocks: elements are stored in whole blocks, too (GGUF: a row that the block does not
            divide cannot be stored).
        source: where the rule was read.
    """

    name: str
    bits: Fraction
    block: tuple[int, int] | None = None
    block_bytes: Fraction = Fraction(0)
    column_bytes: int = 0
    tensor_bytes: int = 0
    whole_blocks: bool = False
    source: str = ""

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a tensor of `shape`; leading dimensions are separate matrices.

        Raises:
            UnsupportedModelError: the block does not divide a row (whole-block formats only).
        """
        columns = shape[-1] if shape else 1
        rows = shape[-2] if len(shape) > 1 else 1
        matrices = prod(shape[:-2])
        if self.block is None:
            return matrices * (
                ceil_div(rows * columns * self.bits.numerator, 8 * self.bits.denominator)
                + columns * self.column_bytes
                + self.tensor_bytes
            )
        block_rows, block_columns = self.block
        if self.whole_blocks and columns % block_columns:
            raise UnsupportedModelError(
                f"{self.name}: rows of {columns} elements are not whole blocks of {block_columns}"
            )
        blocks = ceil_div(rows, block_rows) * ceil_div(columns, block_columns)
        total = Fraction(rows * columns) * self.bits / 8 + blocks * self.block_bytes
        whole = ceil_div(total.numerator, total.denominator)
        return matrices * (whole + columns * self.column_bytes + self.tensor_bytes)

    @property
    def bits_per_weight(self) -> Fraction:
        """Bits per element of a large matrix, scales included, edges ignored."""
        if self.block is None:
            return self.bits
        return self.bits + 8 * self.block_bytes / (self.block[0] * self.block[1])


def _plain(name: str, bits: int) -> NumberFormat:
    return NumberFormat(name=name, bits=Fraction(bits))


def _gguf(name: str, elements: int, size: int) -> NumberFormat:
    """A ggml block of `elements` elements in `size` bytes (ggml-common.h, llama.cpp 0c1e570)."""
    return NumberFormat(
        name=name,
        bits=Fraction(0),
        block=(1, elements),
        block_bytes=Fraction(size),
        whole_blocks=True,
        source="llama.cpp 0c1e570 ggml/src/ggml-common.h",
    )


_FORMATS = (
    _plain("float32", 32),
    _plain("bfloat16", 16),
    _plain("float16", 16),
    _plain("float8_e4m3fn", 8),
    _plain("float8_e5m2", 8),
    _plain("int8", 8),
    NumberFormat(
        name="fp8-block128",
        bits=Fraction(8),
        block=(128, 128),
        block_bytes=Fraction(2),
        source="official Qwen FP8 checkpoints: BF16 weight_scale_inv per 128x128 block",
    ),
    NumberFormat(
        name="fp8-block128-f32",
        bits=Fraction(8),
        block=(128, 128),
        block_bytes=Fraction(4),
        source="vLLM 0.33.0 layers/quantization/fp8.py: block scales are loaded as float32",
    ),
)

FORMATS: Mapping[str, NumberFormat] = MappingProxyType({f.name: f for f in _FORMATS})
"""Every format of weights by name."""


def get_format(name: str) -> NumberFormat:
    """The weight format called `name`.

    Raises:
        UnsupportedModelError: the format is not known; the line lists those that are.
    """
    try:
        return FORMATS[name]
    except KeyError:
        known = ", ".join(sorted(FORMATS))
        raise UnsupportedModelError(f"unknown number format {name!r}; known: {known}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFormat:
    """A KV-cache number format: `head_dim` elements of one head of K (or V).

    Attributes:
        name: the engines' own name of it.
        bits: bits of one element.
        group: elements that share one scale; 0: one per head.
        scale_bytes: bytes of that scale; 0 if scales live outside the cache.
        source: where the rule was read.
    """

    name: str
    bits: Fraction
    group: int = 0
    scale_bytes: int = 0
    source: str = ""
    aliases: tuple[str, ...] = field(default=())

    def head_bytes(self, head_dim: int) -> int:
        """Bytes of one head's K (or V) of one token."""
        scales = self.scale_bytes * (ceil_div(head_dim, self.group) if self.group else 1)
        return ceil_div(head_dim * self.bits.numerator, 8 * self.bits.denominator) + scales


_VLLM = "vLLM 0.33.0 v1/kv_cache_interface.py"
_CACHE_FORMATS = (
    CacheFormat(name="bfloat16", bits=Fraction(16), aliases=("bf16",)),
    CacheFormat(name="float16", bits=Fraction(16), aliases=("fp16", "f16")),
    CacheFormat(name="float32", bits=Fraction(32), aliases=("fp32", "f32")),
    CacheFormat(name="fp8", bits=Fraction(8), aliases=("fp8_e4m3",)),
    CacheFormat(name="fp8_e5m2", bits=Fraction(8)),
    CacheFormat(name="int8_per_token_head", bits=Fraction(8), scale_bytes=4, source=_VLLM),
    CacheFormat(name="fp8_per_token_head", bits=Fraction(8), scale_bytes=4, source=_VLLM),
    CacheFormat(name="int4_per_token_head", bits=Fraction(4), scale_bytes=4, source=_VLLM),
    CacheFormat(name="nvfp4", bits=Fraction(4), group=16, scale_bytes=1, source=_VLLM),
)

CACHE_FORMATS: Mapping[str, CacheFormat] = MappingProxyType(
    {name: f for f in _CACHE_FORMATS for name in (f.name, *f.aliases)}
)
"""KV-cache formats by name and alias."""


def get_cache_format(name: str) -> CacheFormat:
    """The KV-cache format called `name`.

    Raises:
        InputError: the format is not known; the line lists those that are.
    """
    try:
        return CACHE_FORMATS[name.lower()]
    except KeyError:
        known = ", ".join(sorted(CACHE_FORMATS))
        raise InputError(f"unknown KV cache dtype {name!r}; known: auto, {known}") from None
