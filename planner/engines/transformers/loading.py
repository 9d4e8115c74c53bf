"""List what transformers loads: modules in the order in which accelerate places them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.engines.transformers.options import TransformersOptions
from planner.memory.weights import LoadRules, memory_format
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import Stored
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE
from planner.units import ceil_div

ModuleKind = Literal["vision", "embed", "layer", "norm", "head"]

BLOCK_FP8 = "fp8-block128"
FP8_CAPABILITY = (8, 9)
"""Below this compute capability block-FP8 weights are turned into 16 bit while loading."""

FUSED = "moe.routed_experts"
"""All experts of a layer are one module with 3-D parameters; other matrices are one module each."""


@frozen
class Module:
    """A module that accelerate does not split.

    Attributes:
        name: its path in the model.
        kind: what it is.
        nbytes: bytes in memory.
        counted: bytes that accelerate counts for it (no scales of bitsandbytes).
        largest_part: bytes of the largest module inside it, which is what an offloaded module
            brings to the GPU at a time.
        layer: index of the trunk layer, if it is one.
        table: bytes of a table of n-grams inside it, which placement may leave out.
    """

    name: str
    kind: ModuleKind
    nbytes: int
    counted: int
    largest_part: int
    layer: int | None = None
    table: int = 0


def loads_vision(model: ModelSpec, options: TransformersOptions) -> bool:
    """The vision tower is loaded: there is one, and the class has it."""
    return model.vision is not None and options.auto_class == "AutoModelForImageTextToText"


def dequantizes_fp8(accelerator: Accelerator) -> bool:
    """Block-FP8 weights become 16 bit while loading: no FP8 kernels for this device.

    Source: transformers 5.23.0 quantizers/quantizer_finegrained_fp8.py (validate_environment).
    """
    if accelerator.vendor not in ("nvidia", "amd", "intel", "custom"):
        return True
    have = accelerator.capability
    return accelerator.vendor == "nvidia" and have is not None and have < FP8_CAPABILITY


def load_rules(checkpoint: Checkpoint, accelerator: Accelerator) -> LoadRules:
    """What transformers changes on loading.

    Everything takes the model's dtype (A_log, too); block scales are float32; FP8 becomes the
    model's dtype where there are no kernels for it.

    Source: transformers 5.23.0 modeling_utils.py, integrations/finegrained_fp8.py (FP8Linear).
    """
    dtype = checkpoint.model.dtype
    block = dtype if dequantizes_fp8(accelerator) else f"{BLOCK_FP8}-f32"
    return LoadRules(formats={"float32": dtype, BLOCK_FP8: block})


def modules(
    checkpoint: Checkpoint, options: TransformersOptions, accelerator: Accelerator
) -> tuple[Module, ...]:
    """The model as accelerate sees it: vision, embedding, layers, norm, head.

    The MTP module is not loaded.

    Source: transformers 5.23.0 models/qwen3_5*/modeling_qwen3_5*.py (_no_split_modules,
    _keys_to_ignore_on_load_unexpected); parameters agree with the classes on the meta device.
    """
    rules = load_rules(checkpoint, accelerator)
    found: dict[tuple[str, ModuleKind, int | None], list[tuple[str, int, int]]] = {}
    if loads_vision(checkpoint.model, options):
        for row in checkpoint.rows("vision"):
            sized = _sized(row, rules)
            for layer in row.tensor.layers or (None,):
                where = row.tensor.component if layer is None else f"blocks.{layer}"
                key: tuple[str, ModuleKind, int | None] = (f"visual.{where}", "vision", None)
                found.setdefault(key, []).append(sized)
    for row in checkpoint.rows("text"):
        sized = _sized(row, rules)
        for layer in row.tensor.layers or (None,):
            found.setdefault(_key(row, layer), []).append(sized)
    return tuple(sorted(_modules(found), key=_order))


def _key(row: Stored, layer: int | None) -> tuple[str, ModuleKind, int | None]:
    if layer is not None:
        return f"layers.{layer}", "layer", layer
    if row.tensor.component == "embed_tokens":
        return "embed_tokens", "embed", None
    if row.tensor.component == "lm_head":
        return "lm_head", "head", None
    return "norm", "norm", None


def _sized(row: Stored, rules: LoadRules) -> tuple[str, int, int]:
    """(module inside, bytes, bytes that accelerate counts) of one occurrence of a row."""
    tensor, kept = row.tensor, memory_format(row, rules, row.tensor.shape)
    nbytes = tensor.experts * kept.nbytes(tensor.shape)
    counted = nbytes
    if kept.kernel == "bnb":
        elements = tensor.parameters // max(1, len(tensor.layers))
        counted = ceil_div(elements * kept.bits.numerator, 8 * kept.bits.denominator)
    whole = tensor.component in (FUSED, NGRAM_TABLE)
    inside = tensor.component if whole else tensor.name
    return inside, nbytes, counted


def _modules(
    found: dict[tuple[str, ModuleKind, int | None], list[tuple[str, int, int]]],
) -> Iterator[Module]:
    for (name, kind, layer), parts in found.items():
        inside: dict[str, int] = {}
        for part, nbytes, _ in parts:
            inside[part] = inside.get(part, 0) + nbytes
        yield Module(
            name=name,
            kind=kind,
            nbytes=sum(nbytes for _, nbytes, _ in parts),
            counted=sum(counted for _, _, counted in parts),
            largest_part=max(inside.values()),
            layer=layer,
            table=inside.get(NGRAM_TABLE, 0),
        )


_KINDS: tuple[ModuleKind, ...] = ("vision", "embed", "layer", "norm", "head")


def _order(module: Module) -> tuple[int, int]:
    return _KINDS.index(module.kind), module.layer or 0
