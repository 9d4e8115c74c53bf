"""Which role of tensor is stored in which number format.

A scheme turns a model's table of tensors into the table that a checkpoint stores. Patterns match
``part.component`` of a tensor (``text.gdn.in_proj_qkv``), the first match wins, and what no
pattern names keeps the model's own dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, Protocol

from hardware_db.records import frozen
from hardware_db.regex import is_like, pattern
from planner.errors import UnsupportedModelError
from planner.formats import NumberFormat, get_format
from planner.model.spec import ModelSpec
from planner.model.stored import Stored
from planner.model.tensors import Part, Tensor, tensor_table

Evidence = Literal["official", "published", "tool rule", "hypothesis"]
"""How a recipe is known: by the model's maker, by checkpoints that others published, by what a tool
does to every model, or not at all for this family ("as if it were quantized like ...")."""


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


@frozen
class RoleScheme:
    """A scheme that decides by role alone, the same in every layer.

    Attributes:
        rules: (pattern on ``part.component``, format name); the first match wins. They apply to
            matrices; vectors and convolutions keep the model's dtype. An empty format name keeps
            the model's dtype, too.
        weight_bits: bits of a quantized weight without scales, for sorting and for kernels.
        drops: parts that such checkpoints leave out.
        evidence: how the recipe is known.
        keeps_float32: tensors that the model's maker stores in FP32 stay so; tools that load a
            model in its 16-bit dtype and save it again lose that.
        notes: what a user should know, one sentence each.
        moe_notes: likewise, for models with experts.
        vision_notes: likewise, for models with a vision tower.
    """

    name: str
    title: str
    source: str
    rules: tuple[tuple[str, str], ...] = ()
    weight_bits: int = 16
    drops: tuple[Part, ...] = ()
    evidence: Evidence = "published"
    keeps_float32: bool = False
    notes: tuple[str, ...] = ()
    moe_notes: tuple[str, ...] = ()
    vision_notes: tuple[str, ...] = ()

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Every tensor of `model` with the format that its role gets.

        Raises:
            UnsupportedModelError: a group of weights that share a scale does not divide a row.
        """
        return tuple(
            Stored(tensor=tensor, format=self._format(tensor, model))
            for tensor in tensor_table(model)
            if tensor.part not in self.drops
        )

    def _format(self, tensor: Tensor, model: ModelSpec) -> NumberFormat:
        if self.keeps_float32 and tensor.component in model.float32_components:
            return get_format("float32")
        if tensor.constant is not None:
            return get_format(tensor.constant)
        role = f"{tensor.part}.{tensor.component}"
        if tensor.is_matrix:
            for glob, name in self.rules:
                if is_like(role, glob):
                    return get_format(name or model.dtype)
        return get_format(model.dtype)


@frozen
class Variant:
    """Which recipe a name means for which models.

    Attributes:
        scheme: the recipe.
        moe: True: models with experts, False: dense ones, None: both.
        architectures: config.json's `architectures` that it is for; empty for all.
        shapes: (hidden_size, num_experts) that it is for; empty for all.
        kind: what a model must be made of (`ModelSpec.kinds`); None for all.
    """

    scheme: RoleScheme
    moe: bool | None = None
    architectures: tuple[str, ...] = ()
    shapes: tuple[tuple[int, int], ...] = ()
    kind: str | None = None

    def fits(self, model: ModelSpec) -> bool:
        """Whether this is the variant for `model`."""
        experts = model.moe.num_experts if model.moe else 0
        return (
            self.moe in (None, model.moe is not None)
            and (not self.architectures or model.architecture in self.architectures)
            and (not self.shapes or (model.hidden_size, experts) in self.shapes)
            and self.kind in (None, *model.kinds)
        )


@frozen
class ModelScheme:
    """A name that stands for different recipes on different models; the rule is data.

    Attributes:
        variants: the first that fits a model is meant.
    """

    name: str
    title: str
    source: str
    variants: tuple[Variant, ...]

    def choose(self, model: ModelSpec) -> RoleScheme:
        """The recipe that this name means for `model`.

        Raises:
            UnsupportedModelError: the name has no meaning for such a model.
        """
        for variant in self.variants:
            if variant.fits(model):
                return variant.scheme
        raise UnsupportedModelError(f"{self.name}: no recipe is known for {model.name}")

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Every tensor of `model` as the chosen recipe stores it."""
        return self.choose(model).store(model)

    @property
    def weight_bits(self) -> int:
        """Bits of a quantized weight; the variants of a name agree on it."""
        return self.variants[0].scheme.weight_bits


def recipe(scheme: Scheme, model: ModelSpec) -> Scheme:
    """The concrete scheme that `scheme` means for `model`."""
    return scheme.choose(model) if isinstance(scheme, ModelScheme) else scheme


def scheme_notes(scheme: Scheme, model: ModelSpec) -> tuple[str, ...]:
    """What a user should know about `model` stored so."""
    found = recipe(scheme, model)
    if not isinstance(found, RoleScheme):
        return tuple(getattr(found, "notes", ()))
    notes = found.notes + (found.moe_notes if model.moe else ())
    notes += found.vision_notes if model.vision is not None else ()
    dropped = tuple(part for part in found.drops if getattr(model, part, None) is not None)
    if dropped:
        notes += (f"such checkpoints leave out: {', '.join(dropped)}",)
    return notes


def kernels(rows: Iterable[Stored]) -> tuple[str, ...]:
    """Families of kernels that an engine needs to compute with these weights, sorted.

    Plain 8-bit and wider numbers need none.
    """
    return tuple(sorted({row.format.kernel for row in rows if row.format.kernel is not None}))


def bits_per_weight(rows: Iterable[Stored]) -> Fraction:
    """Bits per parameter over the given rows, scales and all; exact."""
    size = parameters = 0
    for row in rows:
        size += row.nbytes
        parameters += row.tensor.parameters
    return Fraction(8 * size, max(1, parameters))


# Families of formats -> the precision that users know them by; the first that fits.
_PRECISIONS = (
    ("bfloat16", "bf16"),
    ("float16", "fp16"),
    ("fp8-channel", "fp8-dynamic"),
    ("fp8", "fp8"),
    ("int8-channel", "w8a8-int8"),
    ("ct-int4", "w4a16"),
    ("ct-int8", "w8a16"),
    ("nvfp4", "nvfp4"),
)
_GROUP = pattern(r"-g\d+(-asym)?$")


def precision_name(format_name: str) -> str:
    """What users call weights in a format: ``w4a16`` for ``ct-int4-g128``."""
    for family, name in _PRECISIONS:
        if format_name.startswith(family):
            return name
    return _GROUP.sub("", format_name).lower()
