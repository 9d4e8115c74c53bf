"""A checkpoint's own word on how it is quantized -> a scheme.

Reads `quantization_config` of config.json (MLX: `quantization`) and modelopt's
hf_quant_config.json. A method that is not known is refused by name: what it stores is never
guessed. Where headers are at hand, they win over this (`planner.model.stored_headers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from planner.model.module_names import NamePattern
from planner.model.module_scheme import ModuleRule, ModuleScheme
from planner.model.quantization_document import DECODER, HEAD, LINEAR, Document
from planner.model.quantization_vendors import compressed_tensors, modelopt, quark


def read_quantization(
    config: Mapping[str, Any],
    *,
    name: str,
    hf_quant_config: Mapping[str, Any] | None = None,
) -> ModuleScheme | None:
    """How a checkpoint says that it is quantized; None if it says nothing (it is 16-bit then).

    Args:
        config: the parsed config.json.
        name: what to call the checkpoint in error lines.
        hf_quant_config: the parsed hf_quant_config.json, if there is one.

    Raises:
        UnsupportedModelError: an unknown method, by name, or a document that makes no sense.
    """
    text = config.get("text_config")
    levels = (config, text if isinstance(text, Mapping) else {})
    table = _table_format(levels, name)
    for holder in levels:
        for key in ("quantization_config", "quantization", "compression_config"):
            given = holder.get(key)
            if isinstance(given, Mapping) and given:
                document = Document(given, f"{name}: config.json {key}")
                return replace(_METHODS[_method(document, key)](document), ngram_table=table)
            if given is not None and not isinstance(given, Mapping):
                raise Document({}, f"{name}: config.json").refuse(f"{key} is not an object")
    if hf_quant_config is not None:
        document = Document(hf_quant_config, f"{name}: hf_quant_config.json")
        return replace(modelopt(document), ngram_table=table)
    return None


_TABLES = {"float8_e4m3fn": "table-fp8", "nvfp4": "table-nvfp4", "bfloat16": None}
"""ple_embedding_dtype -> format of the table of n-grams (vLLM 0.33.0 models/qwen4_exp)."""


def _table_format(levels: tuple[Mapping[str, Any], ...], name: str) -> str | None:
    given = next((v for level in levels if (v := level.get("ple_embedding_dtype"))), "bfloat16")
    if not isinstance(given, str) or given not in _TABLES:
        raise Document({}, f"{name}: config.json").refuse(
            f"ple_embedding_dtype is {str(given)[:40]!r}; known: {', '.join(_TABLES)}"
        )
    return _TABLES[given]


def _method(document: Document, key: str) -> str:
    method = document.text("quant_method").replace("_", "-")
    if not method:
        if document.first("quant_algo", "producer") is not None:
            return "modelopt"
        if key == "quantization" or document.text("mode") in ("affine", "mxfp4", "nvfp4"):
            return "mlx"
        if document.first("load_in_4bit", "load_in_8bit") is not None:
            return "bitsandbytes"
        found = ", ".join(sorted(str(field)[:40] for field in document.values)[:8])
        raise document.refuse(f"it names no quant_method (found: {found})")
    for known in (method, *(method.removesuffix(end) for end in ("-marlin", "-marlin-24"))):
        if known in _METHODS:
            return known
    if method.startswith("modelopt"):
        return "modelopt"
    raise document.refuse(
        f"quantization method {method!r} is not known; known: {', '.join(sorted(_METHODS))}"
    )


def _fp8(document: Document) -> ModuleScheme:
    """Transformers' fine-grained FP8 and vLLM's fp8; the head is never converted."""
    block = document.first("weight_block_size")
    if block is not None and list(block if isinstance(block, list | tuple) else ()) != [128, 128]:
        raise document.refuse(f"weight_block_size {str(block)[:40]} is not known (128x128 is)")
    static = document.text("activation_scheme", default="dynamic") == "static"
    stored = "fp8-block128" if block else ("fp8-tensor" if static else "fp8-tensor-weight")
    skipped = document.names("modules_to_not_convert", "ignored_layers")
    return ModuleScheme(
        name="fp8",
        title="FP8" + (" (128x128 blocks)" if block else " (one scale per matrix)"),
        source=document.where,
        default=stored,
        roles=LINEAR,
        rules=_kept(skipped),
        cache_scales=True,
        keeps_float32=True,
    )


def _kept(names: tuple[str, ...]) -> tuple[ModuleRule, ...]:
    return tuple(
        ModuleRule(pattern=NamePattern(how="dotted", text=_bare(name)), format=None)
        if not name.startswith("re:")
        else ModuleRule(pattern=NamePattern(how="regex", text=name[3:]), format=None)
        for name in names
    )


def _bare(name: str) -> str:
    return name.strip(".*").removesuffix(".weight")


def _gptq(document: Document) -> ModuleScheme:
    """GPTQ and GPTQModel; `dynamic`: ``-:`` leaves modules alone, ``+:`` or nothing overrides.

    All linear layers of the decoder that no rule leaves alone are quantized, the two narrow
    projections of DeltaNet included. The first rule that matches from the start decides; `modules_in_block_to_quantize`, where given,
    names parts of all that is quantized (vllm-project/vllm@02239f5
    layers/quantization/utils/gptq_utils.py).
    """
    bits, group = document.whole("bits"), _group(document, "group_size")
    rules = []
    for text, override in document.sections("dynamic").items():
        if text.startswith("-:"):
            rules.append(ModuleRule(pattern=NamePattern(how="regex", text=text[2:]), format=None))
        elif override.values:
            width = override.whole("bits", default=bits)
            stored = _integer(
                override, "gptq", width, _group(override, "group_size", default=group)
            )
            regex = NamePattern(how="regex", text=text.removeprefix("+:"))
            rules.append(ModuleRule(pattern=regex, format=stored, forces=True))
    head = (HEAD,) if document.flag("lm_head", default=False) else ()
    default: str | None = _integer(document, "gptq", bits, group)
    chosen = _flat(document, "modules_in_block_to_quantize")
    if chosen:
        rules += [
            ModuleRule(pattern=NamePattern(how="part", text=name), format=default)
            for name in chosen
        ]
        default = None
    return ModuleScheme(
        name=f"gptq-int{bits}",
        title=f"GPTQ INT{bits} (groups of {group})",
        source=document.where,
        default=default,
        roles=(*DECODER, "text.gdn.in_proj_*", *head),
        rules=tuple(rules),
        keeps_float32=True,
    )


def _flat(document: Document, key: str) -> tuple[str, ...]:
    """A list of names, or of lists of names."""
    value = document.first(key)
    if isinstance(value, list) and all(isinstance(part, list) for part in value):
        value = [name for part in value for name in part]
    return Document({key: value}, document.where).names(key)


def _group(document: Document, *keys: str, default: int = 128) -> int:
    return document.whole(*keys, default=default, least=-1)


def _integer(document: Document, family: str, bits: int, group: int) -> str:
    return document.known(f"{family}-int{bits}-g{group}", f"INT{bits} in groups of {group}")


def _awq(document: Document) -> ModuleScheme:
    bits = document.whole("bits", "w_bit", default=4)
    group = _group(document, "group_size", "q_group_size")
    skipped = document.names("modules_to_not_convert")
    return ModuleScheme(
        name=f"awq-int{bits}",
        title=f"AWQ INT{bits} (groups of {group})",
        source=document.where,
        default=_integer(document, "awq", bits, group),
        roles=DECODER,
        rules=tuple(
            ModuleRule(pattern=NamePattern(how="part", text=name), format=None)
            for name in skipped
            if name
        ),
    )


def _autoround(document: Document) -> ModuleScheme:
    """AutoRound: every linear layer of the named blocks but what extra_config says otherwise."""
    bits, group = document.whole("bits"), _group(document, "group_size")
    if document.text("data_type", default="int") not in ("int", "int_sym", "int_asym"):
        raise document.refuse(f"AutoRound data_type {document.text('data_type')!r} is not known")
    rules = []
    for text, extra in document.sections("extra_config").items():
        width = extra.whole("bits", default=bits)
        stored = None
        if width < 16:
            stored = _integer(extra, "autoround", width, _group(extra, "group_size", default=group))
        plain = all(letter.isalnum() or letter in "._" for letter in text)
        pattern = NamePattern(how="exact" if plain else "regex", text=text)
        rules.append(ModuleRule(pattern=pattern, format=stored, forces=stored is not None))
    blocks = document.names("block_name_to_quantize")
    mtp = tuple(role.replace("text.", "mtp.") for role in DECODER)
    vision = ("vision.blocks", "vision.merger")
    roles = (
        *DECODER,
        *(mtp if any("mtp" in block for block in blocks) else ()),
        *(vision if any("visual" in block for block in blocks) else ()),
    )
    return ModuleScheme(
        name=f"autoround-int{bits}",
        title=f"AutoRound INT{bits} (groups of {group})",
        source=document.where,
        default=_integer(document, "autoround", bits, group),
        roles=roles,
        rules=tuple(rules),
    )


def _mxfp4(document: Document) -> ModuleScheme:
    return ModuleScheme(
        name="mxfp4",
        title="MXFP4 (routed experts)",
        source=document.where,
        default="mxfp4",
        roles=("*.moe.routed_experts",),
        rules=_kept(document.names("modules_to_not_convert", "ignored_layers")),
    )


def _bitsandbytes(document: Document) -> ModuleScheme:
    """Bitsandbytes replaces torch.nn.Linear; stacked experts are none, and stay 16-bit."""
    four = document.flag("load_in_4bit", "_load_in_4bit", default=False)
    if not four and not document.flag("load_in_8bit", "_load_in_8bit", default=False):
        raise document.refuse("neither load_in_4bit nor load_in_8bit is set")
    double = document.flag("bnb_4bit_use_double_quant", default=False)
    stored = ("bnb-nf4-double" if double else "bnb-nf4") if four else "bnb-int8"
    roles = tuple(role for role in LINEAR if role not in ("*.moe.routed_experts", "*.moe.router"))
    return ModuleScheme(
        name=stored,
        title=f"bitsandbytes {'4-bit' if four else '8-bit'}",
        source=document.where,
        default=stored,
        roles=roles,
        rules=_kept(document.names("llm_int8_skip_modules")),
        drops=("mtp",),
        notes=("bitsandbytes converts nn.Linear only: stacked routed experts stay 16-bit",),
    )


_MLX_MODES = {"affine": "", "mxfp4": "mlx-mxfp4", "nvfp4": "mlx-nvfp4"}


def _mlx(document: Document) -> ModuleScheme:
    """mlx-lm's `quantization`: one width for all, module paths with their own, or false.

    Source: mlx-lm 0.32.2 utils.py; vision stays 16-bit and mtp.* is dropped.
    """
    stored = _mlx_format(document, document)
    rules = []
    for text, value in document.values.items():
        if "." not in text and text != "lm_head":
            continue
        override: str | None = None
        if isinstance(value, Mapping):
            override = _mlx_format(Document(value, f"{document.where} {text[:60]}"), document)
        elif value is True:
            override = stored
        elif value is not False:
            raise document.refuse(f"{text[:60]} is neither an object nor true or false")
        pattern = NamePattern(how="exact", text=text)
        rules.append(ModuleRule(pattern=pattern, format=override, forces=True))
    bits = document.whole("bits", default=4)
    return ModuleScheme(
        name=f"mlx-{bits}bit",
        title=f"MLX {bits}-bit",
        source=document.where,
        default=stored,
        roles=("text.*",),
        rules=tuple(rules),
        drops=("mtp",),
    )


def _mlx_format(document: Document, outer: Document) -> str:
    mode = document.text("mode", default=outer.text("mode", default="affine"))
    if mode not in _MLX_MODES:
        raise document.refuse(f"mode {mode!r} is not known; known: {', '.join(_MLX_MODES)}")
    if _MLX_MODES[mode]:
        return _MLX_MODES[mode]
    bits = document.whole("bits", default=outer.whole("bits", default=4))
    group = document.whole("group_size", default=outer.whole("group_size", default=64))
    return document.known(f"mlx-{bits}bit-g{group}", f"{bits} bits in groups of {group}")


_METHODS: Mapping[str, Callable[[Document], ModuleScheme]] = {
    "auto-round": _autoround,
    "intel/auto-round": _autoround,
    "inc": _autoround,
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": compressed_tensors,
    "fp8": _fp8,
    "gptq": _gptq,
    "gptqmodel": _gptq,
    "mlx": _mlx,
    "modelopt": modelopt,
    "mxfp4": _mxfp4,
    "quark": quark,
}
