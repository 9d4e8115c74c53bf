"""A checkpoint's headers as its scheme: where they and the declared scheme disagree, they win.

Rows on which both agree to the byte keep the declared format, with its blocks and kernels. The
others get the bytes that the files hold, spread evenly over the elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from math import prod

from planner.formats import FORMATS, NumberFormat, get_format, ggml_format_name
from planner.model.gguf_tensors import gguf_tensors, mmproj_tensors
from planner.model.headers import StoredCheckpoint
from planner.model.inventory import Held, Inventory, Place, take_inventory
from planner.model.quantization import Scheme, Stored
from planner.model.spec import ModelSpec
from planner.model.tensors import Part, Tensor, tensor_table
from planner.units import format_bytes

SOURCE = "the files' own headers"

_PLAIN = {
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I8": "int8",
    "U8": "uint8",
}

Formats = tuple[tuple[int, NumberFormat], ...]
"""(experts, format): how the tensors of one row are stored in one layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One component on which the declared scheme and the files disagree.

    Attributes:
        part: text, vision or mtp.
        component: as in the table of tensors.
        declared_nbytes: what the scheme says.
        stored_nbytes: what the files hold.
        dtype: what most of it is stored in; None if there is nothing.
    """

    part: Part
    component: str
    declared_nbytes: int
    stored_nbytes: int
    dtype: str | None

    def __str__(self) -> str:
        """One line for people."""
        held = f"{format_bytes(self.stored_nbytes)} of {self.dtype}" if self.dtype else "none"
        declared = format_bytes(self.declared_nbytes)
        return f"{self.part} {self.component}: {declared} by the scheme, {held} in the files"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderScheme:
    """How the files of one checkpoint are stored.

    Attributes:
        name: that of the declared scheme, else of the files' main dtype.
        title: what users read.
        source: where it was read.
        rows: every tensor that the files hold, in the order of the table.
        differences: where the declared scheme says otherwise.
        other_nbytes: bytes of tensors that the model has no place for.
        other: their names.
    """

    name: str
    title: str
    source: str
    rows: tuple[Stored, ...]
    differences: tuple[Difference, ...]
    other_nbytes: int
    other: tuple[str, ...]

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """The rows; they are those of the one model whose files were read."""
        return self.rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, one sentence each."""
        notes = [str(difference) for difference in self.differences]
        if self.other:
            notes.append(
                f"other: {len(self.other):,} tensors with {format_bytes(self.other_nbytes)} that "
                f"the model has no place for, such as {self.other[0][:80]}"
            )
        return tuple(notes)


def header_scheme(
    stored: StoredCheckpoint,
    model: ModelSpec,
    declared: Scheme | None = None,
    *,
    companion: StoredCheckpoint | None = None,
) -> HeaderScheme:
    """The scheme that the headers of a checkpoint show.

    Args:
        stored: the headers.
        model: what is stored.
        declared: what the config says, or what is assumed; None if nothing does.
        companion: the headers of a GGUF's mmproj file.
    """
    inventories = [take_inventory(one, model) for one in (stored, companion) if one is not None]
    held = {place: found for one in inventories for place, found in one.held.items()}
    told = _by_place(declared.store(model)) if declared is not None else {}
    rows: list[Stored] = []
    for tensor in _table(stored, model, with_vision=companion is not None):
        groups: dict[Formats, list[int]] = {}
        for layer in tensor.layers or (None,):
            place = (tensor.part, tensor.name, layer)
            found = held.get(place)
            if found is not None:
                formats = _formats(tensor, found, told.get(place, ()), stored.kind)
                groups.setdefault(formats, []).append(-1 if layer is None else layer)
        for formats, layers in groups.items():
            kept = tuple(layers) if tensor.layers else ()
            rows += (
                Stored(tensor=replace(tensor, layers=kept, experts=experts), format=format)
                for experts, format in formats
            )
    name = declared.name if declared is not None else stored.label.lower()
    return HeaderScheme(
        name=name,
        title=declared.title if declared is not None else f"{stored.label} as stored",
        source=SOURCE,
        rows=tuple(rows),
        differences=tuple(_differences(inventories, declared, model)),
        other_nbytes=sum(one.nbytes("other") for one in inventories),
        other=tuple(name for one in inventories for name in one.other),
    )


def _table(stored: StoredCheckpoint, model: ModelSpec, *, with_vision: bool) -> Iterator[Tensor]:
    if stored.kind == "safetensors":
        yield from tensor_table(model)
        return
    files = (*gguf_tensors(model), *(mmproj_tensors(model) if with_vision else ()))
    yield from (row.tensor for row in files)


def _by_place(rows: Iterable[Stored]) -> dict[Place, Formats]:
    told: dict[Place, Formats] = {}
    for row in rows:
        for layer in row.tensor.layers or (None,):
            place = row.tensor.part, row.tensor.name, layer
            told[place] = (*told.get(place, ()), (row.tensor.experts, row.format))
    return told


def _formats(tensor: Tensor, held: Held, declared: Formats, kind: str) -> Formats:
    """What is declared if it has the bytes that are held, else a format that has."""
    if sum(n * format.nbytes(tensor.shape) for n, format in declared) == held.nbytes and declared:
        return declared
    dtype = held.dtype
    known = ggml_format_name(dtype) if kind == "gguf" else _PLAIN.get(dtype, "")
    if known in FORMATS:
        plain = get_format(known)
        divides = not plain.whole_blocks or tensor.shape[-1] % (plain.block or (1, 1))[1] == 0
        if divides and tensor.experts * plain.nbytes(tensor.shape) == held.nbytes:
            return ((tensor.experts, plain),)
    kernel = declared[0][1].kernel if declared else None
    return ((tensor.experts, _spread(dtype, held.nbytes, tensor.experts, tensor.shape, kernel)),)


@cache
def _spread(
    dtype: str, nbytes: int, experts: int, shape: tuple[int, ...], kernel: str | None
) -> NumberFormat:
    return NumberFormat(
        name=f"{dtype.lower()}-as-stored",
        bits=Fraction(8 * nbytes, experts * prod(shape)),
        kernel=kernel,
        source=SOURCE,
    )


def _differences(
    inventories: list[Inventory], declared: Scheme | None, model: ModelSpec
) -> Iterator[Difference]:
    if declared is None:
        return
    told: dict[tuple[Part, str], int] = {}
    for row in declared.store(model):
        key = row.tensor.part, row.tensor.component
        told[key] = told.get(key, 0) + row.nbytes
    held: dict[tuple[Part, str], Held] = {}
    for one in inventories:
        for found in one.rows:
            if found.part != "other":
                key = found.part, found.component
                held.setdefault(key, Held()).add(found.dtype, found.tensors, found.nbytes)
    for key in {**told, **held}:
        there = held.get(key)
        nbytes = there.nbytes if there is not None else 0
        if told.get(key, 0) != nbytes:
            yield Difference(
                part=key[0],
                component=key[1],
                declared_nbytes=told.get(key, 0),
                stored_nbytes=nbytes,
                dtype=there.dtype if there is not None else None,
            )
