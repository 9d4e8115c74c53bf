"""What a weight and the tensors beside it say about the number format they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import prod

from hardware_db.records import frozen
from planner.formats import FORMATS, NumberFormat, get_format, ggml_format_name

_PLAIN: Mapping[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
# (dtypes of the weight, something that must lie beside it, families of formats in order of trial).
_FAMILIES: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (("F8_E4M3", "F8_E5M2"), "scale_inv", ("fp8-block", "fp8-")),
    (("F8_E4M3", "F8_E5M2"), "scale", ("fp8-", "mxfp8")),
    (("I8",), "SCB", ("bnb-int8",)),
    (("I8",), "scale", ("int8-",)),
    (("U8",), "absmax", ("bnb-nf4",)),
    (("U8",), "weight_scale_2", ("nvfp4",)),
    (("U8",), "global_scale", ("nvfp4",)),
    (("U8",), "scale", ("mxfp4", "mxfp6", "nvfp4")),
    (("I32",), "weight_scale", ("ct-",)),
    (("I32",), "g_idx", ("gptq-",)),
    (("I32",), "qzeros", ("autoround-", "awq-")),
    (("U32",), "biases", ("mlx-",)),
    (("U32",), "scales", ("mlx-mxfp4", "mlx-nvfp4")),
)
_TABLES: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (("F8_E4M3",), "scale", ("table-fp8",)),
    (("U8",), "scale", ("table-nvfp4",)),
)


@frozen
class Pieces:
    """What is stored of one matrix (or vector).

    Attributes:
        dtypes: of the weight itself, sorted; usually one.
        nbytes: bytes of the weight.
        beside: (what, bytes) of everything stored beside it, sorted.
        ggml: the weight is in a GGUF file.
        table: it is a table of rows to look up, which no kernel multiplies with.
    """

    dtypes: tuple[str, ...]
    nbytes: Fraction
    beside: tuple[tuple[str, Fraction], ...]
    ggml: bool = False
    table: bool = False

    @property
    def total(self) -> Fraction:
        """Bytes of weight and all beside it."""
        return self.nbytes + sum(size for _, size in self.beside)


def infer_format(pieces: Pieces, shape: tuple[int, ...]) -> NumberFormat:
    """The format that stores a tensor of `shape` as `pieces`, to the byte.

    A format that is known by name is taken if its bytes agree exactly; otherwise one is made up
    from what was found ("as stored").
    """
    for known in _candidates(pieces):
        if known.nbytes(shape) == pieces.total:
            return known
    elements = prod(shape) or 1
    beside = pieces.total - pieces.nbytes
    whole = beside.denominator == 1 and (len(shape) < 3 or prod(shape[:-2]) == 1)
    label = "+".join(dict.fromkeys((*pieces.dtypes, *(kind for kind, _ in pieces.beside))))
    return NumberFormat(
        name=f"{label} as stored",
        bits=Fraction(8 * (pieces.nbytes if whole else pieces.total)) / elements,
        tensor_bytes=int(beside) if whole else 0,
        kernel=_kernel(pieces),
        source="the file's own header",
    )


def _candidates(pieces: Pieces) -> Iterator[NumberFormat]:
    if len(pieces.dtypes) != 1:
        return
    (dtype,) = pieces.dtypes
    if pieces.ggml:
        name = ggml_format_name(dtype)
        if name in FORMATS:
            yield get_format(name)
        return
    kinds = [kind for kind, _ in pieces.beside]
    if not kinds and dtype in _PLAIN:
        yield get_format(_PLAIN[dtype])
        return
    for dtypes, mark, families in _TABLES if pieces.table else _FAMILIES:
        if dtype in dtypes and any(mark in kind for kind in kinds):
            for family in families:
                yield from (f for name, f in FORMATS.items() if name.startswith(family))


def _kernel(pieces: Pieces) -> str | None:
    """The kernel family of formats of that kind, where all of them agree."""
    families = {known.kernel for known in _candidates(pieces)}
    return families.pop() if len(families) == 1 else None
