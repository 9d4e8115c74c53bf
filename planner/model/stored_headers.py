"""Headers -> the table of tensors as it is really stored, to the byte.

Every stored tensor is attributed to its role; what is not recognised is counted as "other", never
dropped. Where a scheme says otherwise, the headers win and the difference is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from hardware_db.records import frozen
from planner.errors import UnsupportedModelError
from planner.model.checkpoint import Checkpoint
from planner.model.headers import StoredCheckpoint, StoredTensor
from planner.model.quantization import Scheme, Stored, precision_name
from planner.model.spec import Layer, ModelSpec, MTPModule
from planner.model.stored_formats import Pieces, infer_format
from planner.model.tensor_names import NameIndex, Place
from planner.model.tensors import NGRAM_TABLE, Part, Tensor, tensor_table
from planner.units import format_bytes

_LISTED = 12
_PARTS: tuple[Part, ...] = ("text", "vision", "mtp")


@frozen
class HeaderScheme:
    """A table of tensors read from headers, in the place of a scheme.

    Attributes:
        rows: the table.
    """

    name: str
    title: str
    source: str
    rows: tuple[Stored, ...]

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """The rows; `model` is the one that they were read for."""
        return self.rows


@frozen
class StoredTable:
    """What the headers of a checkpoint come to.

    Attributes:
        model: the architecture, its MTP module as shipped.
        rows: recognised tensors by role, layers grouped by format.
        other: tensors that no role was found for.
        missing: ``part.component`` of the table that the files do not hold (whole parts apart).
        absent: parts of the model that the files do not hold at all.
    """

    model: ModelSpec
    rows: tuple[Stored, ...]
    other: tuple[StoredTensor, ...]
    missing: tuple[str, ...]
    absent: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of recognised tensors."""
        return sum(row.nbytes for row in self.rows)

    @property
    def other_nbytes(self) -> int:
        """Bytes of everything else."""
        return sum(tensor.nbytes for tensor in self.other)


class _Held:
    """What was found of one row of the table in one layer."""

    __slots__ = ("beside", "experts", "ggml", "weight")

    def __init__(self, *, ggml: bool) -> None:
        self.weight: dict[str, Fraction | int] = {}
        self.beside: dict[str, Fraction | int] = {}
        self.experts = 0
        self.ggml = ggml

    def add(self, place: Place, dtype: str, nbytes: int, times: int) -> None:
        size = nbytes * times * place.share
        if place.beside is None:
            self.weight[dtype] = self.weight.get(dtype, 0) + size
            self.experts += times * place.experts
        else:
            self.beside[place.beside] = self.beside.get(place.beside, 0) + size

    def pieces(self, experts: int) -> Pieces:
        return Pieces(
            dtypes=tuple(sorted(self.weight)),
            nbytes=Fraction(sum(self.weight.values(), Fraction(0)), experts),
            beside=tuple(
                sorted((kind, Fraction(size) / experts) for kind, size in self.beside.items())
            ),
            ggml=self.ggml,
        )


def classify(model: ModelSpec, *sets: StoredCheckpoint) -> StoredTable:
    """Attribute every stored tensor to its role.

    Args:
        model: the architecture that config.json (or the GGUF metadata) declares.
        sets: the headers: a model's own set, and those of a vision tower or MTP head beside it.
    """
    model = _with_mtp(model, sets)
    index = NameIndex(model)
    found: dict[int, tuple[Tensor, dict[int | None, _Held]]] = {}
    other: list[StoredTensor] = []
    for stored in sets:
        gguf = stored.kind == "gguf"
        # Experts of a layer are alike but for their number: what they are is looked at once.
        alike: dict[tuple[int, int | None, str, int], int] = {}
        of: dict[int, tuple[Place, ...]] = {}
        for tensor in stored.tensors:
            layer, places = index.places(tensor.name, gguf=gguf)
            if not places:
                other.append(tensor)
                continue
            of[id(places)] = places
            key = (id(places), layer, tensor.dtype, tensor.nbytes)
            alike[key] = alike.get(key, 0) + 1
        for (number, layer, dtype, nbytes), times in alike.items():
            for place in of[number]:
                _, layers = found.setdefault(id(place.tensor), (place.tensor, {}))
                held = layers.get(layer)
                if held is None:
                    held = layers[layer] = _Held(ggml=gguf)
                held.add(place, dtype, nbytes, times)
    rows = tuple(row for tensor, layers in found.values() for row in _rows(tensor, layers))
    present = {row.tensor.part for row in rows}
    absent = tuple(part for part in _PARTS if part not in present and _has(model, part))
    return StoredTable(
        model=_as_shipped(model, absent),
        rows=_in_order(rows),
        other=tuple(other),
        missing=_missing(model, rows, absent),
        absent=absent,
    )


def _with_mtp(model: ModelSpec, sets: Iterable[StoredCheckpoint]) -> ModelSpec:
    """The model with an MTP module if one is declared or stored."""
    if model.mtp is not None:
        return replace(model, mtp=replace(model.mtp, shipped=True))
    layers = {
        name.partition("mtp.layers.")[2].partition(".")[0]
        for stored in sets
        for name in (tensor.name for tensor in stored.tensors)
        if "mtp.layers." in name
    }
    if not layers:
        return model
    drafting = Layer(mixer=model.attention, mlp=model.mlp)
    return replace(model, mtp=MTPModule(layers=(drafting,) * min(len(layers), 16)))


def _as_shipped(model: ModelSpec, absent: tuple[Part, ...]) -> ModelSpec:
    if model.mtp is None:
        return model
    return replace(model, mtp=replace(model.mtp, shipped="mtp" not in absent))


def _has(model: ModelSpec, part: Part) -> bool:
    return any(tensor.part == part for tensor in tensor_table(model))


def _rows(tensor: Tensor, layers: dict[int | None, _Held]) -> Iterable[Stored]:
    """The rows of one kind of tensor: its layers grouped by what is stored."""
    groups: dict[tuple[int, Pieces], list[int | None]] = {}
    for layer, held in layers.items():
        experts = max(1, min(held.experts, tensor.experts))
        groups.setdefault((experts, held.pieces(experts)), []).append(layer)
    for (experts, pieces), members in groups.items():
        kept = tuple(sorted(layer for layer in members if layer is not None))
        row = replace(tensor, layers=kept, experts=experts)
        pieces = replace(pieces, table=tensor.component == NGRAM_TABLE)
        yield Stored(tensor=row, format=infer_format(pieces, tensor.shape))


def _in_order(rows: tuple[Stored, ...]) -> tuple[Stored, ...]:
    order = {part: index for index, part in enumerate(_PARTS)}
    return tuple(sorted(rows, key=lambda row: order[row.tensor.part]))


def _roles(rows: Iterable[Stored] | Iterable[Tensor]) -> dict[str, int]:
    """``part.component`` -> how many tensors of it there are."""
    counts: dict[str, int] = {}
    for row in rows:
        tensor = row.tensor if isinstance(row, Stored) else row
        role = f"{tensor.part}.{tensor.component}"
        counts[role] = counts.get(role, 0) + tensor.count
    return counts


def _missing(
    model: ModelSpec, rows: tuple[Stored, ...], absent: tuple[Part, ...]
) -> tuple[str, ...]:
    stored = _roles(rows)
    if "text.gdn.in_proj_qkv" in stored:
        # GGUF holds the fused projection of older models in two.
        stored.setdefault("text.gdn.in_proj_qkvz", stored["text.gdn.in_proj_qkv"])
    if "mtp.fc" in stored:
        # GGUF joins the two projections of an MTP module.
        stored.setdefault("mtp.fc_embedding", stored["mtp.fc"])
        stored.setdefault("mtp.fc_hidden", stored["mtp.fc"])
    wanted = {
        role: count
        for role, count in _roles(t for t in tensor_table(model) if not t.constant).items()
        if role.partition(".")[0] not in absent
    }
    return tuple(
        role if not stored.get(role) else f"{role} ({stored[role]:,} of {count:,})"
        for role, count in wanted.items()
        if stored.get(role, 0) < count
    )


def _other_names(table: StoredTable) -> str:
    return _shortened(sorted({_without_numbers(tensor.name) for tensor in table.other}))


def differences(table: StoredTable, scheme: Scheme | None) -> tuple[str, ...]:
    """What the headers say otherwise than the architecture and `scheme`, one sentence each.

    Args:
        table: what was found.
        scheme: what the checkpoint's own config (or the catalog) says; None to compare nothing.
    """
    notes = [f"the files hold no {part} tensors" for part in table.absent]
    if table.missing:
        notes.append(f"missing from the files: {_shortened(table.missing)}")
    if table.other:
        notes.append(
            f"{len(table.other):,} tensors ({format_bytes(table.other_nbytes)}) were not recognised:"
            f" {_other_names(table)}"
        )
    if scheme is not None:
        notes += _against(table, scheme)
    return tuple(notes)


def _against(table: StoredTable, scheme: Scheme) -> list[str]:
    said = _by_role(scheme.store(table.model))
    found = _by_role(table.rows)
    notes, vectors = [], 0
    matrices = {f"{row.tensor.part}.{row.tensor.component}" for row in table.rows if _large(row)}
    for role, (size, formats) in found.items():
        expected, planned = said.get(role, (0, ()))
        if size == expected:
            continue
        if role not in matrices:
            vectors += size - expected
            continue
        notes.append(
            f"{role}: the files hold {format_bytes(size)} in {' and '.join(formats)}, not"
            f" {format_bytes(expected)}" + (f" in {' and '.join(planned)}" if planned else "")
        )
    if vectors:
        notes.append(f"vectors: {format_bytes(abs(vectors))} {'more' if vectors > 0 else 'less'}")
    if len(notes) > _LISTED:
        notes = [*notes[:_LISTED], f"and {len(notes) - _LISTED} more roles differ"]
    return notes


def _large(row: Stored) -> bool:
    return len(row.tensor.shape) > 1


def _by_role(rows: Iterable[Stored]) -> dict[str, tuple[int, tuple[str, ...]]]:
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for row in rows:
        role = f"{row.tensor.part}.{row.tensor.component}"
        size, formats = found.get(role, (0, ()))
        names = formats if row.format.name in formats else (*formats, row.format.name)
        found[role] = (size + row.nbytes, names)
    return found


def _without_numbers(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))[:80]


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def checkpoint_from_headers(
    model: ModelSpec,
    *sets: StoredCheckpoint,
    id: str,
    source: str,
    scheme: Scheme | None = None,
    revision: str | None = None,
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    """A checkpoint whose bytes are those of its headers.

    Args:
        model: the architecture that the checkpoint declares.
        sets: its headers; vision tower and MTP head may be sets of their own.
        id: what an engine is told to load.
        source: where the headers were read.
        scheme: what the checkpoint says of itself, to compare; its name and title are kept.
        revision: resolved commit.
        notes: what a user should know, beside the differences.

    Raises:
        UnsupportedModelError: `scheme` cannot be applied to the model, or the files hold none of
            its weights (an adapter, another model's files, a tower alone).
    """
    table = classify(model, *sets)
    label = sets[0].label
    if not any(_is_trunk(row) for row in table.rows):
        raise UnsupportedModelError(
            f"{id}: its files hold no layer of the text model (but {_other_names(table) or 'nothing'}); adapters and parts"
            " of models are not planned: name the repository of the whole model"
        )
    found = HeaderScheme(
        name=scheme.name if scheme is not None else _name(table, label),
        title=scheme.title if scheme is not None else f"as stored ({label})",
        source=f"headers of {id}",
        rows=table.rows,
    )
    return Checkpoint(
        id=id,
        model=table.model,
        scheme=found,
        source=source,
        revision=revision,
        notes=(*notes, *(note for stored in sets for note in stored.notes)),
        other=table.other_nbytes,
        differences=differences(table, scheme),
        files=tuple((file.file, file.nbytes) for stored in sets for file in stored.files),
    )


def _is_trunk(row: Stored) -> bool:
    tensor = row.tensor
    ends = ("embed_tokens", "lm_head")
    return tensor.part == "text" and tensor.is_matrix and tensor.component not in ends


def _name(table: StoredTable, label: str) -> str:
    """The GGUF type that the file is called after, or the format that most bytes are in."""
    if label != "safetensors":
        return label.lower()
    sizes: dict[str, int] = {}
    for row in table.rows:
        sizes[row.format.name] = sizes.get(row.format.name, 0) + row.nbytes
    widest = max(sizes, key=lambda name: sizes[name], default="")
    return precision_name(widest)
