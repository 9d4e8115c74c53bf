"""llama.cpp's quantization mixes: which tensor of a GGUF file gets which ggml type.

The rules are data (data/gguf_mixes.toml); this module evaluates them tensor by tensor, block by
block, as llama-quantize does (llama.cpp 0c1e570 src/llama-quant.cpp). Files that others mix to
their own taste (Unsloth's "UD" files and the like) follow no such rule: read their header instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from types import MappingProxyType

from hardware_db.records import frozen
from planner.errors import InputError
from planner.formats import get_format, ggml_format_name
from planner.model.gguf_tensors import (
    GgufTensor,
    block_count,
    converts_mtp,
    gguf_tensors,
    mmproj_tensors,
)
from planner.model.spec import ModelSpec
from planner.model.stored import Stored
from planner.shipped import read_toml

SOURCE = "llama.cpp 0c1e570 src/llama-quant.cpp"

WHOLE_MIXES = ("F32", "F16", "BF16")
"""Mixes that quantize nothing."""

_ROLES = {
    "output": "output",
    "token_embd": "token_embd",
    "attn_qkv": "attn_v",
    "attn_v": "attn_v",
    "attn_q": "attn_q",
    "attn_k": "attn_k",
    "attn_output": "attn_output",
}
# Matrices that llama-quantize leaves as the converter wrote them, in F32.
_KEPT = frozenset({"ffn_gate_inp", "ffn_gate_inp_shexp", "ssm_conv1d"})
_SHORTER_BLOCKS = {
    "IQ1_S": "IQ4_NL",
    "IQ1_M": "IQ4_NL",
    "IQ2_XXS": "IQ4_NL",
    "IQ2_XS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
    "Q2_0": "Q4_0",
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


_Rules = tuple[tuple[str, str], ...]
"""Conditions, joined by ``+``, and the type of what meets them."""


@frozen
class Mix:
    """One of llama-quantize's file types.

    Attributes:
        name: as llama-quantize spells it: ``Q4_K_M``.
        default: ggml type of what no rule names.
        rules: role -> (conditions, type) in order of trial.
        needs_imatrix: llama-quantize refuses to write it without an importance matrix.
    """

    name: str
    default: str
    rules: Mapping[str, _Rules]
    needs_imatrix: bool

    @property
    def heeds_imatrix(self) -> bool:
        """Types depend on whether there is an importance matrix."""
        return any("imatrix" in when for rules in self.rules.values() for when, _ in rules)


@cache
def mixes() -> Mapping[str, Mix]:
    """Every mix by name, as authored."""
    found = {}
    for name, row in read_toml("model", "data", "gguf_mixes.toml").items():
        rules = {
            role: tuple((when, type_) for when, type_ in entries)
            for role, entries in row.items()
            if isinstance(entries, list)
        }
        found[name] = Mix(
            name=name,
            default=row["default"],
            rules=MappingProxyType(rules),
            needs_imatrix=row.get("imatrix", False),
        )
    return MappingProxyType(found)


def get_mix(name: str) -> Mix:
    """The mix called `name`, whatever its case.

    Raises:
        InputError: llama-quantize has no such file type; the line lists those that it has.
    """
    try:
        return mixes()[name.upper()]
    except KeyError:
        raise InputError(f"unknown GGUF type {name!r}; known: {', '.join(mixes())}") from None


@frozen
class TypedTensor:
    """Tensors of a GGUF file that share name pattern and ggml type."""

    held: GgufTensor
    ggml_type: str

    @property
    def stored(self) -> Stored:
        """The same as a row of the table of tensors."""
        return Stored(tensor=self.held.tensor, format=get_format(ggml_format_name(self.ggml_type)))


@frozen
class GgufScheme:
    """A GGUF file of one of llama-quantize's types, with its vision tower beside it.

    Attributes:
        mix: name of the type: ``Q4_K_M``.
        imatrix: quantized with an importance matrix (a few types are mixed differently then).
        mtp: the file holds the MTP blocks, as llama.cpp's converter writes it today; without, as
            older files are.
        mmproj: type of the separate file of the vision tower.
    """

    mix: str
    imatrix: bool = False
    mtp: bool = True
    mmproj: str = "F16"

    @property
    def name(self) -> str:
        """What users type: ``q4_k_m``; 16- and 32-bit files with ``gguf-`` before."""
        base = self.mix.lower() if self.mix not in WHOLE_MIXES else _plain(self.mix)
        suffix = "-imatrix" if self.imatrix and not get_mix(self.mix).needs_imatrix else ""
        return base + suffix + ("" if self.mtp else "-nomtp")

    @property
    def title(self) -> str:
        """What users read."""
        mix = get_mix(self.mix)
        notes = ["with an importance matrix"] if self.imatrix and mix.heeds_imatrix else []
        notes += [] if self.mtp else ["without MTP"]
        return f"GGUF {self.mix}" + (f" ({', '.join(notes)})" if notes else "")

    @property
    def source(self) -> str:
        """Where the rule was read."""
        return SOURCE

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Every tensor of `model` with its format; names are those of the GGUF files."""
        typed = (*self.tensors(model), *self.vision_tensors(model))
        return tuple(row.stored for row in typed)

    def tensors(self, model: ModelSpec) -> tuple[TypedTensor, ...]:
        """What the language model's own file holds."""
        return _typed(self, model)

    def vision_tensors(self, model: ModelSpec) -> tuple[TypedTensor, ...]:
        """What the mmproj file holds; nothing for text-only models.

        Rule: vectors and the position table are F32; the patch convolution is F16 in F16 files and
        F32 in all others (conversion/base.py). Rows that blocks do not divide are F16.
        """
        return tuple(
            TypedTensor(held=held, ggml_type=self._vision_type(held))
            for held in mmproj_tensors(model)
        )

    def _vision_type(self, held: GgufTensor) -> str:
        if held.dimensions < 2 or held.key == "v.position_embd.weight":
            return "F32"
        if held.key == "v.patch_embd":
            return "F16" if self.mmproj == "F16" else "F32"
        blocks = 32 if self.mmproj == "Q8_0" else 1
        return "F16" if held.tensor.shape[-1] % blocks else self.mmproj


def _plain(mix: str) -> str:
    return f"gguf-{mix.lower()}"


@lru_cache(maxsize=512)
def _typed(scheme: GgufScheme, model: ModelSpec) -> tuple[TypedTensor, ...]:
    mtp = scheme.mtp and converts_mtp(model)
    mix, rows = get_mix(scheme.mix), list[TypedTensor]()
    for number, tensor in enumerate(gguf_tensors(model, mtp=mtp)):
        if _is_kept(tensor):
            rows.append(TypedTensor(held=tensor, ggml_type="F32"))
            continue
        rules = mix.rules.get(_role(tensor, model) or "", ())
        if not _tell_blocks_apart(rules):
            type_ = _type(scheme, rules, tensor, model, frozenset())
            rows.append(TypedTensor(held=tensor, ggml_type=type_))
            continue
        places = _places(model, mtp, number)
        types = {place: _type(scheme, rules, tensor, model, place) for place in set(places)}
        groups: dict[str, list[int]] = {}
        for block, place in zip(tensor.blocks or (0,), places, strict=True):
            groups.setdefault(types[place], []).append(block)
        for type_, kept in groups.items():
            part = _only(tensor, tuple(kept)) if tensor.blocks else tensor
            rows.append(TypedTensor(held=part, ggml_type=type_))
    return tuple(rows)


def _is_kept(tensor: GgufTensor) -> bool:
    """Say whether llama-quantize leaves a tensor as the converter wrote it, in F32."""
    return (
        tensor.dimensions < 2
        or tensor.key in _KEPT
        or tensor.key.endswith("_norm")
        or not tensor.tensor.name.endswith("weight")
    )


def _role(tensor: GgufTensor, model: ModelSpec) -> str | None:
    """Return what rules call a tensor."""
    key = tensor.key
    if key == "token_embd" and model.tie_word_embeddings:
        return "output"
    for prefix in ("ffn_down", "ffn_gate", "ffn_up"):
        if key.startswith(prefix):
            return prefix
    return _ROLES.get(key)


_Place = frozenset[str]
"""The conditions of `_OF_BLOCKS` that a tensor of one block meets."""


@lru_cache(maxsize=512)
def _places(model: ModelSpec, mtp: bool, number: int) -> tuple[_Place, ...]:
    """Return the places of one of a file's tensors, block by block: the same for every mix."""
    tensor, blocks = gguf_tensors(model, mtp=mtp)[number], block_count(model, mtp=mtp)
    counted = _counts(model, mtp)
    return tuple(
        _place(block, blocks, counted.get((tensor.key, block), 0))
        for block in tensor.blocks or (0,)
    )


@lru_cache(maxsize=4096)
def _place(block: int, blocks: int, counted: int) -> _Place:
    """Return what holds of a tensor in the i-th of n blocks, before which so many were counted."""
    i, n = block, blocks
    met = {
        "more": i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2,
        "first-eighth": i < n // 8,
        "first-sixteenth": i < n // 16,
        "middle": n // 8 <= i < 7 * n // 8,
        "first-2": i < 2,
        "first-4": i < 4,
        "counted-eighth": counted < n // 8,
    }
    return frozenset(name for name, holds in met.items() if holds)


_OF_BLOCKS = frozenset(
    ("more", "first-eighth", "first-sixteenth", "middle", "first-2", "first-4", "counted-eighth")
)
"""Conditions that depend on where in the file a tensor stands."""


def _tell_blocks_apart(rules: _Rules) -> bool:
    """Say whether rules look at a tensor's block."""
    return any(part in _OF_BLOCKS for when, _ in rules for part in when.split("+"))


def _only(held: GgufTensor, blocks: tuple[int, ...]) -> GgufTensor:
    pairs = zip(held.blocks, held.tensor.layers, strict=True)
    layers = tuple(layer for block, layer in pairs if block in blocks)
    return replace(held, blocks=blocks, tensor=replace(held.tensor, layers=layers))


@lru_cache(maxsize=64)
def _counts(model: ModelSpec, mtp: bool) -> Mapping[tuple[str, int], int]:
    """(key, block) -> how many ffn_down tensors precede it in the file.

    llama.cpp orders tensors by block, then by name.
    """
    order = sorted(
        (block, tensor.key)
        for tensor in gguf_tensors(model, mtp=mtp)
        if tensor.key.startswith("ffn_down")
        for block in tensor.blocks
    )
    return MappingProxyType({(key, block): index for index, (block, key) in enumerate(order)})


def _type(
    scheme: GgufScheme, rules: _Rules, tensor: GgufTensor, model: ModelSpec, place: _Place
) -> str:
    """Return the ggml type of a tensor at a place: that of the first rule whose conditions hold."""

    def holds(condition: str) -> bool:
        if condition in _OF_BLOCKS:
            return condition in place
        attention, moe = model.attention, model.moe
        gqa = attention.num_attention_heads // attention.num_key_value_heads >= 4
        match condition:
            case "always":
                return True
            case "gqa-4":
                return gqa
            case "gqa-4-or-moe":
                return gqa or (moe is not None and moe.num_experts >= 4)
            case "imatrix":
                return scheme.imatrix
            case "no-imatrix":
                return not scheme.imatrix
            case "stacked":
                return tensor.tensor.experts > 1
        raise ValueError(f"data/gguf_mixes.toml: unknown condition {condition!r}")

    met = (type_ for when, type_ in rules if all(map(holds, when.split("+"))))
    return _fitting(next(met, get_mix(scheme.mix).default), tensor.tensor.shape[-1])


def _fitting(ggml_type: str, columns: int) -> str:
    """`ggml_type`, or what llama-quantize falls back to where its block does not divide a row."""
    if columns % _block(ggml_type) == 0:
        return ggml_type
    shorter = _SHORTER_BLOCKS.get(ggml_type, ggml_type)
    return shorter if columns % _block(shorter) == 0 else "F16"


def _block(ggml_type: str) -> int:
    block = get_format(ggml_format_name(ggml_type)).block
    return block[1] if block else 1


def _schemes() -> Iterator[GgufScheme]:
    for mix in mixes().values():
        for mtp in (True, False):
            yield GgufScheme(mix=mix.name, imatrix=mix.needs_imatrix, mtp=mtp)
            if mix.heeds_imatrix and not mix.needs_imatrix:
                yield GgufScheme(mix=mix.name, imatrix=True, mtp=mtp)


@cache
def gguf_schemes() -> Mapping[str, GgufScheme]:
    """Every GGUF scheme by the name that users type."""
    return MappingProxyType({scheme.name: scheme for scheme in _schemes()})
