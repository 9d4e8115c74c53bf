"""KV-cache number formats as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fractions import Fraction
from types import MappingProxyType

from hardware_db.records import frozen
from planner.errors import InputError
from planner.units import ceil_div, check_text, shown


@frozen
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
# Keys: b bits an element and 2 bytes of norm (none for 8-bit keys); values: b bits and 4 bytes of
# scale and zero. A head's slot holds both, so each half is the mean of the two.
_TURBOQUANT = "vLLM 0.33.0 layers/quantization/turboquant/config.py"
_CACHE_FORMATS = (
    CacheFormat(name="bfloat16", bits=Fraction(16), aliases=("bf16",)),
    CacheFormat(name="float16", bits=Fraction(16), aliases=("fp16", "f16")),
    CacheFormat(name="float32", bits=Fraction(32), aliases=("fp32", "f32")),
    CacheFormat(name="fp8", bits=Fraction(8), aliases=("fp8_e4m3",)),
    CacheFormat(name="fp8_e5m2", bits=Fraction(8)),
    CacheFormat(name="int8_per_token_head", bits=Fraction(8), scale_bytes=4, source=_VLLM),
    CacheFormat(name="fp8_per_token_head", bits=Fraction(8), scale_bytes=4, source=_VLLM),
    CacheFormat(name="int4_per_token_head", bits=Fraction(4), scale_bytes=4, source=_VLLM),
    CacheFormat(
        name="nvfp4",
        bits=Fraction(4),
        group=16,
        scale_bytes=1,
        source=_VLLM,
        aliases=("nvfp4_4over6",),
    ),
    *(
        CacheFormat(name=name, bits=bits, scale_bytes=extra, source=_TURBOQUANT)
        for name, bits, extra in (
            ("turboquant_k8v4", Fraction(8 + 4, 2), 2),
            ("turboquant_4bit_nc", Fraction(4), 3),
            ("turboquant_k3v4_nc", Fraction(3 + 4, 2), 3),
            ("turboquant_3bit_nc", Fraction(3), 3),
        )
    ),
    *(
        CacheFormat(
            name=name,
            bits=Fraction(bits),
            group=32,
            scale_bytes=scale,
            source="llama.cpp 0c1e570 ggml/src/ggml-common.h",
        )
        for name, bits, scale in (
            ("q8_0", 8, 2),
            ("q5_1", 5, 4),
            ("q5_0", 5, 2),
            ("q4_1", 4, 4),
            ("q4_0", 4, 2),
            ("iq4_nl", 4, 2),
        )
    ),
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
    asked: object = name
    found = CACHE_FORMATS.get(name) if isinstance(asked, str) else None
    if found is not None:
        return found
    found = CACHE_FORMATS.get(check_text(name, what="KV cache dtype").lower())
    if found is None:
        known = ", ".join(sorted(CACHE_FORMATS))
        raise InputError(f"unknown KV cache dtype {shown(name)}; known: auto, {known}")
    return found


def dtype_bytes(name: str) -> int:
    """Return the bytes of one element of a plain dtype, such as bfloat16.

    Raises:
        InputError: the dtype is not known.
    """
    return int(get_cache_format(name).bits) // 8
