"""Formats that weights are stored in, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from itertools import chain

from planner.errors import UnsupportedModelError
from planner.formats.ggml import GGML_FORMATS
from planner.formats.number import NumberFormat

_MODELOPT = "nvidia NVFP4 checkpoints (modelopt): weight, weight_scale, weight_scale_2, input_scale"
_PACKED = "compressed-tensors pack-quantized: weight_packed, weight_scale, weight_shape (2 x int64)"
_GPTQ = "GPTQ: qweight, qzeros (4-bit, packed), scales (FP16), g_idx (int32 per input column)"
_GPTQ_LOADED = "vLLM 0.27.1 to 0.33.0 layers/quantization/auto_gptq.py (create_weights)"
_AWQ = "AutoAWQ: qweight, qzeros (4-bit, packed), scales (FP16), groups along the input"
_OCP = "OCP Microscaling Formats 1.0: blocks of 32 along a row share one E8M0 scale"
_MLX = "mlx.core.quantize (affine): a 16-bit scale and a 16-bit bias per group"
_BNB = "bitsandbytes 0.49 functional.py: blocks of 64 over the flattened matrix"


def _plain(name: str, bits: int) -> NumberFormat:
    return NumberFormat(name=name, bits=Fraction(bits))


def _grouped(
    name: str,
    bits: int,
    group: int,
    beside: Fraction | int,
    *,
    kernel: str,
    source: str,
    column_bytes: int = 0,
    tensor_bytes: int = 0,
    flat: bool = False,
) -> NumberFormat:
    """`beside` bytes per `group` elements of one row."""
    return NumberFormat(
        name=name,
        bits=Fraction(bits),
        block=(1, group),
        block_bytes=Fraction(beside),
        column_bytes=column_bytes,
        tensor_bytes=tensor_bytes,
        flat=flat,
        kernel=kernel,
        source=source,
    )


def _affine(bits: int, group: int) -> NumberFormat:
    """MLX packs elements into 32-bit words without gaps, 3, 5 and 6 bits included."""
    return _grouped(f"mlx-{bits}bit-g{group}", bits, group, 4, kernel="mlx-affine", source=_MLX)


def _gptq(bits: int, group: int, *, index: bool = True, bias: bool = False) -> NumberFormat:
    """GPTQ as stored, or as vLLM holds it: without g_idx, with a 16-bit bias per output row."""
    stored = index and not bias
    return NumberFormat(
        name=f"gptq-int{bits}-g{group}{'' if index else '-plain'}{'-bias' if bias else ''}",
        bits=Fraction(bits),
        block=(1, group),
        block_bytes=2 + Fraction(bits, 8),
        column_bytes=4 if index else 0,
        row_bytes=2 if bias else 0,
        kernel=f"marlin-int{bits}",
        source=_GPTQ if stored else _GPTQ_LOADED,
    )


def _awq(bits: int, group: int, *, name: str = "awq") -> NumberFormat:
    zero = Fraction(bits, 8)
    kernel = f"marlin-int{bits}"
    return _grouped(f"{name}-int{bits}-g{group}", bits, group, 2 + zero, kernel=kernel, source=_AWQ)


def _packed(bits: int, group: int, *, asymmetric: bool = False) -> NumberFormat:
    return _grouped(
        f"ct-int{bits}-g{group}" + ("-asym" if asymmetric else ""),
        bits,
        group,
        2 + (Fraction(bits, 8) if asymmetric else 0),
        kernel=f"marlin-int{bits}",
        source=_PACKED,
        tensor_bytes=16,
    )


def _channel(name: str, kernel: str, scale: int, source: str) -> NumberFormat:
    """Eight bits with one scale of `scale` bytes per output channel."""
    return NumberFormat(name=name, bits=Fraction(8), row_bytes=scale, kernel=kernel, source=source)


_WNA16 = "vLLM 0.33.0 layers/quantization/moe_wna16.py (create_weights, symmetric)"

_ONE_BY_ONE = (
    *(_plain(f"float{bits}", bits) for bits in (64, 32, 16)),
    _plain("bfloat16", 16),
    _plain("float8_e4m3fn", 8),
    _plain("float8_e5m2", 8),
    *(_plain(f"int{bits}", bits) for bits in (64, 32, 16, 8)),
    *(_plain(f"uint{bits}", bits) for bits in (64, 32, 16, 8)),
    _plain("bool", 8),
    NumberFormat(
        name="fp8-block128",
        bits=Fraction(8),
        block=(128, 128),
        block_bytes=Fraction(2),
        kernel="fp8-block",
        source="official Qwen FP8 checkpoints: BF16 weight_scale_inv per 128x128 block",
    ),
    NumberFormat(
        name="fp8-block128-f32",
        bits=Fraction(8),
        block=(128, 128),
        block_bytes=Fraction(4),
        kernel="fp8-block",
        source="vLLM 0.33.0 layers/quantization/fp8.py: block scales are loaded as float32",
    ),
    *(
        NumberFormat(
            name=f"refined-fp8-block{edge}",
            bits=Fraction(8),
            block=(edge, edge),
            block_bytes=Fraction(4),
            kernel="fp8-block",
            source="vLLM 0.33.0: blocks of 128x128 refined where a rank's experts cut them",
        )
        for edge in (64, 32)
    ),
    NumberFormat(
        name="fp8-tensor",
        bits=Fraction(8),
        tensor_bytes=8,
        kernel="fp8",
        source="modelopt FP8: weight, weight_scale and input_scale (one float32 each per matrix)",
    ),
    NumberFormat(
        name="fp8-tensor-weight",
        bits=Fraction(8),
        tensor_bytes=4,
        kernel="fp8",
        source="one float32 weight_scale per matrix, activations scaled as they come",
    ),
    NumberFormat(
        name="table-fp8",
        bits=Fraction(8),
        tensor_bytes=4,
        source="a table of rows that are widened as they are looked up, with one float32 scale",
    ),
    NumberFormat(
        name="table-nvfp4",
        bits=Fraction(4),
        block=(1, 16),
        block_bytes=Fraction(1),
        tensor_bytes=4,
        source="the same in NVFP4: one FP8 scale per 16 elements and one float32",
    ),
    _channel("fp8-channel", "fp8", 2, "compressed-tensors float-quantized: BF16 scale per channel"),
    _channel("fp8-channel-f32", "fp8", 4, "the same with float32 scales"),
    _channel("int8-channel", "int8", 2, "compressed-tensors int-quantized: BF16 scale per channel"),
    _channel("int8-channel-f32", "int8", 4, "the same with float32 scales"),
    _channel("bnb-int8", "bnb", 4, "bitsandbytes LLM.int8: SCB, one float32 per output channel"),
    _grouped("nvfp4", 4, 16, 1, kernel="nvfp4", source=_MODELOPT, tensor_bytes=8),
    _grouped(
        "nvfp4-weight-only",
        4,
        16,
        1,
        kernel="nvfp4-marlin",
        source="the same without input_scale: activations stay 16-bit",
        tensor_bytes=4,
    ),
    _grouped("mxfp4", 4, 32, 1, kernel="mxfp4", source=_OCP),
    _grouped("mxfp6", 6, 32, 1, kernel="mxfp6", source=_OCP),
    _grouped("mxfp8", 8, 32, 1, kernel="mxfp8", source=_OCP),
    _grouped("mlx-mxfp4", 4, 32, 1, kernel="mlx-mxfp4", source=_OCP),
    _grouped("mlx-nvfp4", 4, 16, 1, kernel="mlx-nvfp4", source="mlx.core.quantize mode nvfp4"),
    # The codebook of 16 float32 is stored per matrix; double quantization keeps 8-bit absmax with
    # a float32 per 256 of them and a codebook of 256 float32.
    _grouped("bnb-nf4", 4, 64, 4, kernel="bnb", source=_BNB, tensor_bytes=64, flat=True),
    _grouped(
        "bnb-nf4-double",
        4,
        64 * 256,
        256 + 4,
        kernel="bnb",
        source=_BNB,
        tensor_bytes=64 + 1024,
        flat=True,
    ),
    *GGML_FORMATS,
)


@cache
def _of_bits_and_groups() -> Mapping[str, NumberFormat]:
    """Return those that quantizers write in every width and group: two of three, and seldom asked for."""
    formats = (
        *(
            _gptq(bits, group, index=index, bias=bias)
            for bits in (2, 3, 4, 8)
            for group in (32, 64, 128)
            for index in (True, False)
            for bias in (False, True)
        ),
        *(
            _grouped(f"wna16-int{bits}-g{group}", bits, group, 2, kernel="wna16", source=_WNA16)
            for bits in (4, 8)
            for group in (32, 64)
        ),
        *(_awq(4, group) for group in (32, 64, 128)),
        *(_awq(bits, group, name="autoround") for bits in (2, 3, 4, 8) for group in (32, 64, 128)),
        *(_packed(bits, group) for bits in (4, 8) for group in (32, 64, 128)),
        *(_packed(bits, group, asymmetric=True) for bits in (4, 8) for group in (32, 64, 128)),
        *(_affine(bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)),
    )
    return {each.name: each for each in formats}


class _Formats(Mapping[str, NumberFormat]):
    """All of them by name; those of quantizers are made when the first is asked for."""

    def __init__(self, known: Iterable[NumberFormat]) -> None:
        self._known = {each.name: each for each in known}

    def __getitem__(self, name: str) -> NumberFormat:
        found = self._known.get(name)
        return _of_bits_and_groups()[name] if found is None else found

    def __iter__(self) -> Iterator[str]:
        # MLX's affine ones before its FP4: of two that take the same bytes the first is inferred.
        return chain(_of_bits_and_groups(), self._known)

    def __len__(self) -> int:
        return len(self._known) + len(_of_bits_and_groups())


FORMATS: Mapping[str, NumberFormat] = _Formats(_ONE_BY_ONE)
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
