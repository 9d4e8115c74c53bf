"""Names of stored tensors -> rows of the table of tensors.

Checkpoints spell the way to the language model in several ways, fuse projections or stack experts,
and store scales, zero points and indices beside a weight under names of their own. Whatever is
known under one of those names is attributed to the weight's row; nothing else is guessed.
"""

from __future__ import annotations

import re
from fractions import Fraction

from hardware_db.records import frozen
from planner.model.gguf_tensors import gguf_tensors, mmproj_tensors
from planner.model.spec import ModelSpec
from planner.model.tensors import Tensor, tensor_table

_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks)\.(\d{1,6})\.")
_EXPERT = re.compile(r"\.experts\.(\d{1,6})\.")
_EXPERT_LAST = re.compile(r"\.experts\.(\w+_proj)\.(\d{1,6})\.")
_SHARD = re.compile(r"(?<=ngram_embedding\.)shard_\d{1,6}\.")
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.")
_VISION = ("visual.", "vision_tower.")

BESIDE = (
    ".weight_scale_inv",
    ".weight_scale_2",
    ".weight_scale",
    ".input_scale",
    ".weight_global_scale",
    ".input_global_scale",
    ".weight_zero_point",
    ".weight_shape",
    ".weight_g_idx",
    ".weight.absmax",
    ".weight.nested_absmax",
    ".weight.quant_map",
    ".weight.nested_quant_map",
    ".weight.quant_state.bitsandbytes__nf4",
    ".weight.quant_state.bitsandbytes__fp4",
    ".weight_format",
    ".SCB",
    ".qzeros",
    ".scales",
    ".biases",
    ".g_idx",
    ".pre_quant_scale",
    ".k_scale",
    ".v_scale",
    ".scale",
    "_scale_inv",
    "_scales",
    "_scale",
)
"""What quantizers store beside a weight, longest first where one ends with another."""

PACKED = (".weight_packed", ".qweight", "_blocks", "_packed")
"""Names of the weight itself, packed."""


@frozen
class Place:
    """A role that a stored tensor has.

    Attributes:
        tensor: the row of the table of tensors.
        experts: how many of the layer's experts it holds (1 for everything else).
        share: part of its bytes that belong to this row (fused projections belong to several).
        beside: what it is beside the weight ("weight_scale"); None for the weight itself.
    """

    tensor: Tensor
    experts: int
    share: Fraction | int
    beside: str | None


class NameIndex:
    """The rows of one model by the names that checkpoints give them."""

    def __init__(self, model: ModelSpec) -> None:
        """Index the table of `model` under Hugging Face's, MLX's and GGUF's names."""
        self._trunk = model.num_hidden_layers
        self._rows: dict[str, tuple[tuple[Tensor, bool], ...]] = {}
        self._gguf: dict[str, tuple[tuple[Tensor, int | None], ...]] = {}
        # Names repeat layer by layer and expert by expert: each form is looked up once.
        self._known: dict[str, tuple[Place, ...]] = {}
        self._experts: dict[tuple[str, str], tuple[int | None, tuple[Place, ...]]] = {}
        for tensor in tensor_table(model):
            self._rows[_bare(tensor.name)] = ((tensor, False),)
        self._add_stacked()
        self._add_fused()
        self._add_gguf(model)

    def places(self, name: str, *, gguf: bool = False) -> tuple[int | None, tuple[Place, ...]]:
        """The layer and the roles of the stored tensor called `name`; no role: not recognised."""
        if gguf:
            return self._gguf_places(name)
        head, _, rest = name.partition(".experts.")
        number, dot, tail = rest.partition(".")
        if not dot or len(number) > 6 or not number.isdecimal():
            layer, expert, found = self._of_layer(name)
        else:  # nearly all names of a large checkpoint: but for the number, few are different
            known = self._experts.get((head, tail))
            if known is None:
                layer, _, found = self._of_layer(name)
                known = self._experts[head, tail] = layer, found
            (layer, found), expert = known, int(number)
        if found and expert is not None and expert >= found[0].tensor.experts:
            return layer, ()
        return layer, found

    def _of_layer(self, name: str) -> tuple[int | None, int | None, tuple[Place, ...]]:
        """The layer, the expert and the roles, whether or not there are as many experts."""
        key, layer, expert = _split(name)
        if layer is not None and layer >= self._trunk and key.startswith("layers."):
            key, layer = "mtp." + key, layer - self._trunk
        if key not in self._known:
            self._known[key] = self._lookup(key)
        found = self._known[key]
        if found and not _is_there(found[0].tensor, layer):
            return layer, expert, ()
        return layer, expert, found

    def _lookup(self, key: str) -> tuple[Place, ...]:
        for base, beside in _bases(key):
            rows = self._rows.get(base)
            if rows is not None:
                whole = sum(row.parameters for row, _ in rows)
                return tuple(
                    Place(
                        tensor=row,
                        experts=row.experts if stacked else 1,
                        share=Fraction(row.parameters, whole) if len(rows) > 1 else 1,
                        beside=beside,
                    )
                    for row, stacked in rows
                )
        return ()

    def _gguf_places(self, name: str) -> tuple[int | None, tuple[Place, ...]]:
        for base, beside in ((name, None), *_gguf_bases(name)):
            if rows := self._gguf.get(base):
                places = tuple(
                    Place(
                        tensor=row,
                        experts=row.experts,
                        share=Fraction(1, len(rows)),
                        beside=beside,
                    )
                    for row, _ in rows
                )
                return rows[0][1], places
        return None, ()

    def _add_gguf(self, model: ModelSpec) -> None:
        for held in (*gguf_tensors(model), *mmproj_tensors(model)):
            layers = held.tensor.layers or (None,) * len(held.names)
            for name, layer in zip(held.names, layers, strict=True):
                self._gguf[name] = ((held.tensor, layer),)
        for name, gate in list(self._gguf.items()):
            up = self._gguf.get(name.replace("ffn_gate_exps", "ffn_up_exps"), ())
            if "ffn_gate_exps" in name and up:
                self._gguf[name.replace("ffn_gate_exps", "ffn_gate_up_exps")] = (*gate, *up)

    def _add_stacked(self) -> None:
        """Experts of a layer in one tensor: transformers' fused pair, MLX's switch_mlp."""
        for key, rows in list(self._rows.items()):
            stem, mark, projection = key.partition("experts.{expert}.")
            if not mark:
                continue
            row = rows[0][0]
            plain = projection.removesuffix(".weight")
            for other in (f"experts.{plain}", f"switch_mlp.{plain}"):
                for ending in ("", ".weight"):
                    self._rows[f"{stem}{other}{ending}"] = ((row, True),)

    def _add_fused(self) -> None:
        """Projections that share an input, in one tensor."""
        for stem, names in (
            ("gate_up_proj", ("gate_proj", "up_proj")),
            ("qkv_proj", ("q_proj", "k_proj", "v_proj")),
            ("in_proj_qkvz", ("in_proj_qkv", "in_proj_z")),
            ("in_proj_ba", ("in_proj_b", "in_proj_a")),
        ):
            for key in list(self._rows):
                head, mark, ending = key.partition(names[0])
                if not mark or ending not in ("", ".weight"):
                    continue
                parts = [self._rows.get(f"{head}{name}{ending}") for name in names]
                if all(parts) and f"{head}{stem}{ending}" not in self._rows:
                    joined = [pair for part in parts if part for pair in part]
                    self._rows[f"{head}{stem}{ending}"] = tuple(joined)


def _is_there(row: Tensor, layer: int | None) -> bool:
    """Whether the model has such a tensor in that layer."""
    return not row.layers if layer is None else layer in row.layers


def _bare(name: str) -> str:
    """`name` without the way to the language model; vision under ``visual.``."""
    for prefix in _VISION:
        head, mark, rest = name.partition(prefix)
        if mark and head in ("", "model."):
            return f"visual.{rest}"
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _split(name: str) -> tuple[str, int | None, int | None]:
    """Name with placeholders, layer index, expert index."""
    # A table of n-grams is stored in many shards of rows.
    key, layer, expert = _SHARD.sub("", _bare(name)), None, None
    if match := _LAYER.search(key):
        layer = int(match[1])
        key = f"{key[: match.start(1)]}{{layer}}{key[match.end(1) :]}"
    if match := _EXPERT.search(key):
        expert = int(match[1])
        key = f"{key[: match.start(1)]}{{expert}}{key[match.end(1) :]}"
    elif match := _EXPERT_LAST.search(key):
        expert = int(match[2])
        key = f"{key[: match.start(1)]}{{expert}}.{match[1]}{key[match.end(2) :]}"
    return key, layer, expert


def _bases(key: str) -> tuple[tuple[str, str | None], ...]:
    """Keys of the table that `key` may belong to, with what it is beside the weight."""
    found: list[tuple[str, str | None]] = [(key, None)]
    for ending in PACKED:
        if key.endswith(ending):
            base = key.removesuffix(ending)
            found += [(f"{base}.weight", None), (base, None)]
    for ending in BESIDE:
        if key.endswith(ending):
            base, kind = key.removesuffix(ending), ending.strip("._")
            found += [(f"{base}.weight", kind), (base, kind)]
    return tuple(found)


def _gguf_bases(name: str) -> tuple[tuple[str, str | None], ...]:
    return tuple(
        (f"{name.removesuffix(ending)}.weight", ending.strip("."))
        for ending in (".scale", ".input_scale")
        if name.endswith(ending)
    )
