"""Which role of tensor is stored in which number format: schemes as data.

A scheme turns a model's table of tensors into the table that a checkpoint stores. Patterns match
``part.component`` of a tensor (``text.gdn.in_proj_qkv``), the first match wins, and what no
pattern names keeps the model's own dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Protocol

from planner.errors import InputError
from planner.formats import NumberFormat, get_format
from planner.model.spec import ModelSpec
from planner.model.tensors import Tensor, tensor_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One row of the table of tensors together with the format it is stored in."""

    tensor: Tensor
    format: NumberFormat

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors of this row."""
        return self.tensor.count * self.format.nbytes(self.tensor.shape)


class Scheme(Protocol):
    """A way of storing a model's weights."""

    @property
    def name(self) -> str:
        """What users type: ``fp8``."""

    @property
    def title(self) -> str:
        """What users read: ``official FP8 (128x128 blocks)``."""

    @property
    def source(self) -> str:
        """Where the rule was read."""

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Every tensor of `model` with the format it is stored in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleScheme:
    """A scheme that decides by role alone, the same in every layer.

    Attributes:
        rules: (pattern on ``part.component``, format name); the first match wins. They apply to
            matrices; vectors and convolutions keep the model's dtype.
        weight_bits: nominal bits of the quantized weights, for sorting and for kernels.
        drops: parts that such checkpoints leave out.
    """

    name: str
    title: str
    source: str
    rules: tuple[tuple[str, str], ...] = ()
    drops: tuple[str, ...] = ()

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Every tensor of `model` with the format that its role gets."""
        return tuple(
            Stored(tensor=tensor, format=get_format(self._format(tensor, model)))
            for tensor in tensor_table(model)
            if tensor.part not in self.drops
        )

    def _format(self, tensor: Tensor, model: ModelSpec) -> str:
        if tensor.component in model.float32_components:
            return "float32"
        role = f"{tensor.part}.{tensor.component}"
        if tensor.is_matrix:
            for pattern, name in self.rules:
                if fnmatchcase(role, pattern):
                    return name or model.dtype
        return model.dtype


_FP8_BLOCK = "fp8-block128"

_SCHEMES: tuple[Scheme, ...] = (
    RoleScheme(
        name="bf16",
        title="BF16",
        source="transformers 5.23 models/qwen3_5; checkpoints keep the training dtype",
    ),
    RoleScheme(
        name="fp8",
        title="official FP8 (128x128 blocks, BF16 scales)",
        source="config.json of the official Qwen FP8 checkpoints (modules_to_not_convert)",
        rules=(
            ("*.full_attn.[qkvo]_proj", _FP8_BLOCK),
            ("text.gdn.in_proj_qkv", _FP8_BLOCK),
            ("text.gdn.in_proj_qkvz", _FP8_BLOCK),
            ("text.gdn.in_proj_z", _FP8_BLOCK),
            ("text.gdn.out_proj", _FP8_BLOCK),
            ("*.dense_mlp", _FP8_BLOCK),
            ("*.moe.routed_experts", _FP8_BLOCK),
            ("*.moe.shared_expert", _FP8_BLOCK),
        ),
    ),
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _SCHEMES})
"""Named schemes, by the name that users type."""


def get_scheme(name: str) -> Scheme:
    """The scheme called `name`.

    Raises:
        InputError: no such scheme; the line lists those that exist.
    """
    try:
        return SCHEMES[name.lower()]
    except KeyError:
        raise InputError(
            f"unknown precision {name!r}; known: {', '.join(sorted(SCHEMES))}"
        ) from None


def restrict(stored: Stored, layers: tuple[int, ...]) -> Stored:
    """The same row, kept only where it occurs in `layers`."""
    kept = tuple(layer for layer in stored.tensor.layers if layer in layers)
    return replace(stored, tensor=replace(stored.tensor, layers=kept))
