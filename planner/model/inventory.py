"""What a checkpoint's files hold, sorted into the model's table of tensors.

Each stored tensor belongs to a row of the table (a part, a component) or is "other": counted and
shown, never dropped. Scales, zero points and indices count to the weight that they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from planner.model.gguf_tensors import gguf_tensors, mmproj_tensors
from planner.model.headers import StoredCheckpoint
from planner.model.module_names import module_of, prefixed
from planner.model.spec import ModelSpec
from planner.model.tensors import Part, Tensor, tensor_table

Place = tuple[Part, str, int | None]
"""Part and name of a row of the table, and the layer (None outside the layers)."""

_INDEX = re.compile(r"(?<=\.)(\d{1,9})(?=\.)", re.ASCII)
# What stands beside a quantized weight, by the tools that write it: Qwen and vLLM (FP8),
# compressed-tensors, ModelOpt, GPTQ and AWQ, MLX, bitsandbytes, gpt-oss-like MXFP4, llama.cpp.
_BESIDE = re.compile(
    r"(?:\.(?:weight|bias|qweight|qzeros|scales|biases|g_idx|k_scale|v_scale|q_scale|SCB"
    r"|weight_(?:packed|shape|g_idx|zero_point|scale|scale_inv|scale_2|global_scale|format)"
    r"|(?:input|output)_(?:scale|global_scale|zero_point)|scale|input_scale"
    r"|weight\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+))"
    r"|_(?:scale_inv|scales?|blocks|packed|weight_scale(?:_2)?|input_scale|bias))$"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """What a stored name stands for: rows of the table, and where they occur."""

    tensors: tuple[Tensor, ...]
    layers: Mapping[int, int | None]


@dataclass(slots=True)
class Held:
    """What the files hold of one row of the table in one layer.

    Attributes:
        tensors: how many tensors, scales and the like included.
        nbytes: their bytes.
        dtypes: bytes by stored dtype.
    """

    tensors: int = 0
    nbytes: int = 0
    dtypes: dict[str, int] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """The dtype that most of it is stored in."""
        return max(self.dtypes, key=lambda name: (self.dtypes[name], name))

    def add(self, dtype: str, tensors: int, nbytes: int) -> None:
        """Count more of it."""
        self.tensors += tensors
        self.nbytes += nbytes
        self.dtypes[dtype] = self.dtypes.get(dtype, 0) + nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRow:
    """One line of what a checkpoint holds.

    Attributes:
        part: text, vision or mtp; "other" for what the model has no place for.
        component: as in the table of tensors; "other" likewise.
        dtype: as the files name it.
        tensors: how many.
        nbytes: their bytes.
    """

    part: Part | Literal["other"]
    component: str
    dtype: str
    tensors: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A checkpoint's files against a model's table of tensors.

    Attributes:
        rows: bytes by part, component and dtype, in the order of the table; "other" last.
        held: what there is at each place of the table.
        other: names of the tensors that the table has no place for.
    """

    rows: tuple[InventoryRow, ...]
    held: Mapping[Place, Held]
    other: tuple[str, ...]

    def nbytes(self, *parts: Part | Literal["other"]) -> int:
        """Bytes of the given parts; of everything if none is named."""
        return sum(row.nbytes for row in self.rows if not parts or row.part in parts)


def take_inventory(stored: StoredCheckpoint, model: ModelSpec) -> Inventory:
    """Sort what `stored` holds into the table of tensors of `model`."""
    table = _gguf_names(model) if stored.kind == "gguf" else _names(model)
    # A checkpoint has tens of thousands of tensors and some hundred kinds of them: count first,
    # and look a kind up once per layer.
    counts: dict[tuple[_Row | None, int | None, str], list[int]] = {}
    kinds_found: dict[str, tuple[_Row, ...]] = {}
    places: dict[tuple[str, str], tuple[_Row | None, int | None, int]] = {}
    other: list[str] = []
    for tensor in stored.tensors:
        pieces = _INDEX.split(tensor.name)
        template = "#".join(pieces[::2])
        first = pieces[1] if len(pieces) > 1 else ""
        place = places.get((template, first))
        if place is None:
            if template not in kinds_found:
                kinds_found[template] = _find(template, table)
            place = places[template, first] = _place(first, kinds_found[template])
        row, layer, expert_at = place
        if len(pieces) > expert_at and row and int(pieces[expert_at]) >= row.tensors[0].experts:
            row, layer = None, None
        if row is None:
            other.append(tensor.name)
        key = (row, layer, tensor.dtype)
        if key in counts:
            counted = counts[key]
            counted[0] += 1
            counted[1] += tensor.nbytes
        else:
            counts[key] = [1, tensor.nbytes]
    held: dict[Place, Held] = {}
    sums: dict[tuple[str, str, str], list[int]] = {}
    for (row, layer, dtype), (tensors, nbytes) in counts.items():
        kinds = row.tensors if row is not None else ()
        role = (kinds[0].part, kinds[0].component) if kinds else ("other", "other")
        summed = sums.setdefault((*role, dtype), [0, 0])
        summed[0] += tensors
        summed[1] += nbytes
        for index, kind in enumerate(kinds):
            share = nbytes // len(kinds) + (nbytes % len(kinds) if index == 0 else 0)
            held.setdefault((kind.part, kind.name, layer), Held()).add(dtype, tensors, share)
    order = {("other", "other"): len(table)}
    in_order = (row.tensors[0] for rows in table.values() for row in rows)
    for index, kind in enumerate(in_order):
        order.setdefault((kind.part, kind.component), index)
    return Inventory(
        rows=tuple(
            InventoryRow(
                part=key[0],  # type: ignore[arg-type]  # a part of the table, or "other"
                component=key[1],
                dtype=key[2],
                tensors=sums[key][0],
                nbytes=sums[key][1],
            )
            for key in sorted(sums, key=lambda key: (order[key[:2]], key[2]))
        ),
        held=held,
        other=tuple(other),
    )


def _find(template: str, table: Mapping[str, tuple[_Row, ...]]) -> tuple[_Row, ...]:
    rows = table.get(template)
    if rows is None and (match := _BESIDE.search(template)):
        rows = table.get(template[: match.start()])
    return rows or ()


def _place(first: str, rows: tuple[_Row, ...]) -> tuple[_Row | None, int | None, int]:
    """The row and layer that a name's first number means, and where its expert's number stands.

    No row if the model has no such place.
    """
    for row in rows:
        if not row.layers:
            return row, None, 1
        number = int(first) if first else -1
        if number in row.layers:
            return row, row.layers[number], 3
    return None, None, 1


@cache
def _names(model: ModelSpec) -> Mapping[str, tuple[_Row, ...]]:
    """Every spelling, with # for numbers, of the names in a safetensors checkpoint."""
    names: dict[str, tuple[_Row, ...]] = {}
    stacks: dict[str, list[Tensor]] = {}
    for tensor in tensor_table(model):
        module = module_of(tensor.name).replace("{layer}", "#")
        row = _Row((tensor,), {layer: layer for layer in tensor.layers})
        names |= dict.fromkeys(prefixed(module.replace("{expert}", "#")), (row,))
        if ".{expert}." in module:
            stem, _, projection = module.partition(".{expert}.")
            fused = "down_proj" if projection == "down_proj" else "gate_up_proj"
            stacks.setdefault(f"{stem}.{fused}", []).append(tensor)
            stacks[f"{stem.removesuffix('experts')}switch_mlp.{projection}"] = [tensor]
    for module, tensors in stacks.items():
        row = _Row(tuple(tensors), {layer: layer for layer in tensors[0].layers})
        names |= dict.fromkeys(prefixed(module), (row,))
    return names


@cache
def _gguf_names(model: ModelSpec) -> Mapping[str, tuple[_Row, ...]]:
    """The names of GGUF files. Blocks are numbered through: MTP has the trunk's names."""
    names: dict[str, tuple[_Row, ...]] = {}
    for held in (*gguf_tensors(model), *mmproj_tensors(model)):
        name = held.tensor.name
        layers: dict[int, int | None] = dict(zip(held.blocks, held.tensor.layers, strict=True))
        if fixed := _INDEX.search(name):  # mm.0.weight: a number, but no layer's
            layers = {int(fixed[0]): None}
        template = _INDEX.sub("#", name.replace("{layer}", "#"))
        for name in {template, template.removesuffix(".weight")}:
            names[name] = (*names.get(name, ()), _Row((held.tensor,), layers))
    return names
