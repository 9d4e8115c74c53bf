"""compressed-tensors, modelopt and Quark: documents that describe formats in their own words."""

from __future__ import annotations

from planner.model.module_names import How, NamePattern
from planner.model.module_scheme import ModuleRule, ModuleScheme
from planner.model.quantization import precision_name
from planner.model.quantization_document import HEAD, LINEAR, Document

_EXPERTS = NamePattern(how="regex", text=r".*mlp\.experts\..*")
# Names of classes that stand for stacked experts in some engines' exports.
_EXPERT_CLASSES = frozenset({"FusedMoE", "LinearExperts", "LinearExperts2D"})


def pattern(text: str, *, plain: How = "exact") -> NamePattern:
    """An entry whose regular expressions are marked by ``re:``."""
    if text.startswith("re:"):
        return NamePattern(how="regex", text=text[3:])
    return NamePattern(how=plain, text=text)


def compressed_tensors(document: Document) -> ModuleScheme:
    """`quant_method: compressed-tensors`: config_groups, targets and ignore.

    Entries are whole names or, after ``re:``, regular expressions matched from the start
    (vllm-project/vllm@008014e layers/quantization/compressed_tensors/utils.py).
    """
    sparsity = document.section("sparsity_config")
    if sparsity is not None and sparsity.text("format", default="dense") != "dense":
        raise sparsity.refuse(f"sparsity format {sparsity.text('format')!r} is not supported")
    rules = [ModuleRule(pattern=pattern(name), format=None) for name in document.names("ignore")]
    default: str | None = None
    formats: list[str] = []
    groups = document.sections("config_groups")
    if not groups:
        raise document.refuse("there are no config_groups in it")
    for group in groups.values():
        stored = _group_format(group, document)
        formats.append(stored)
        for target in group.names("targets") or ("Linear",):
            if target == "Linear":
                default = default or stored
            elif target in _EXPERT_CLASSES:
                rules.append(ModuleRule(pattern=_EXPERTS, format=stored))
            else:
                rules.append(ModuleRule(pattern=pattern(target), format=stored, forces=True))
    kinds = tuple(dict.fromkeys(formats))
    return ModuleScheme(
        name="compressed-tensors" if len(kinds) > 1 else precision_name(kinds[0]),
        title=f"compressed-tensors: {' and '.join(kinds)}",
        source=document.where,
        default=default,
        roles=(*LINEAR, HEAD),
        rules=tuple(rules),
        cache_scales=document.section("kv_cache_scheme") is not None,
    )


def _group_format(group: Document, document: Document) -> str:
    weights = group.section("weights")
    if weights is None:
        raise group.refuse("it has no weights (activations alone are quantized)")
    bits, kind = weights.whole("num_bits"), weights.text("type", default="int")
    strategy = weights.text(
        "strategy", default="group" if weights.first("group_size") else "tensor"
    )
    group_size = weights.whole("group_size", default=-1, least=-1)
    activations = group.section("input_activations")
    packing = group.text("format", default="") or document.text("format", default="")
    found = f"{kind}{bits} by {strategy}" + (f" of {group_size}" if group_size > 0 else "")
    if kind == "float":
        name = _float_format(bits, strategy, group_size, weights, activations)
    elif strategy in ("group", "tensor_group"):
        symmetric = weights.flag("symmetric", default=True)
        name = f"ct-int{bits}-g{group_size}" + ("" if symmetric else "-asym")
    elif bits == 8 and "pack" not in packing:
        name = f"int8-{strategy}"
    else:
        name = f"ct-int{bits}-{strategy}"
    return weights.known(name, found)


def _float_format(
    bits: int, strategy: str, group: int, weights: Document, activations: Document | None
) -> str:
    if bits == 4:
        if group == 32:
            return "mxfp4"
        return "nvfp4" if activations is not None else "nvfp4-weight-only"
    if bits == 8 and strategy == "block":
        block = weights.first("block_structure")
        return "fp8-block128" if block in ([128, 128], "128x128", (128, 128)) else f"fp8 {block}"
    if bits == 8 and strategy == "group":
        return "mxfp8" if group == 32 else f"fp8-g{group}"
    if bits == 8 and strategy == "tensor":
        static = activations is not None and not activations.flag("dynamic", default=False)
        return "fp8-tensor" if static else "fp8-tensor-weight"
    return f"fp{bits}-{strategy}"


_MODELOPT = {
    "fp8": "fp8-tensor",
    "fp8_pb_wo": "fp8-block128",
    "fp8_pb_real_quant": "fp8-block128",
    "fp8_block_scales": "fp8-block128",
    "fp8_per_channel_per_token": "fp8-channel-f32",
    "nvfp4": "nvfp4",
    "nvfp4_awq": "nvfp4",
    "nvfp4_svdquant": "nvfp4",
    "w4a16_nvfp4": "nvfp4-weight-only",
    "nvfp4_w4a16": "nvfp4-weight-only",
    "w4a8_nvfp4_fp8": "nvfp4",
    "mxfp4": "mxfp4",
    "w4a8_mxfp4_fp8": "mxfp4",
    "mxfp6": "mxfp6",
    "mxfp8": "mxfp8",
    "w4a16_awq": "awq-int4-g128",
    "w4a8_awq": "awq-int4-g128",
    "int4_awq": "awq-int4-g128",
}


def modelopt(document: Document) -> ModuleScheme:
    """NVIDIA modelopt: config.json's `quantization_config` or hf_quant_config.json.

    Exclusions are globs or any part of a name; MIXED_PRECISION lists its layers one by one (a
    name stands for what is below it, too) and leaves the rest alone; vision always stays 16-bit
    (vllm-project/vllm@00155cd layers/quantization/modelopt.py).
    """
    inner = document.section("quantization") or document
    algorithm = inner.text("quant_algo") or document.text("quant_method").removeprefix("modelopt_")
    layers = inner.sections("quantized_layers")
    excluded = inner.names("exclude_modules", "ignore")
    rules = [ModuleRule(pattern=_wild(name, "part"), format=None) for name in excluded if name]
    for name, layer in layers.items():
        chosen = layer.text("quant_algo")
        stored = None if chosen == "unquantized" else _algorithm(layer, chosen)
        named = _wild(name, "dotted")
        rules.append(ModuleRule(pattern=named, format=stored, forces=stored is not None))
    mixed = algorithm in ("mixed_precision", "mixed")
    if mixed and not layers:
        raise inner.refuse("MIXED_PRECISION without quantized_layers")
    default = None if mixed or layers else _algorithm(inner, algorithm)
    given = (default, *(rule.format for rule in rules))
    kinds = sorted({kind for kind in given if kind is not None})
    return ModuleScheme(
        name=_modelopt_name(kinds),
        title=f"modelopt: {' and '.join(kinds)}",
        source=document.where,
        default=default,
        roles=(*(role for role in LINEAR if not role.startswith("vision")), HEAD),
        rules=tuple(rules),
        cache_scales=not mixed or bool(inner.text("kv_cache_quant_algo")),
    )


def _modelopt_name(kinds: list[str]) -> str:
    names = {precision_name(kind) for kind in kinds}
    return "nvfp4" if "nvfp4" in names else names.pop() if len(names) == 1 else "modelopt"


def _wild(name: str, plain: How) -> NamePattern:
    return pattern(name, plain="glob" if set(name) & set("*?[") else plain)


def _algorithm(document: Document, algorithm: str) -> str:
    if algorithm not in _MODELOPT:
        raise document.refuse(
            f"quant_algo {algorithm.upper()!r} is not known; known: "
            + ", ".join(sorted(name.upper() for name in (*_MODELOPT, "mixed_precision")))
        )
    name = _MODELOPT[algorithm]
    group = document.whole("group_size", default=16 if "nvfp4" in name else 128, least=0)
    if name.startswith("awq"):
        return document.known(f"awq-int4-g{group}", f"{algorithm} with groups of {group}")
    if name.startswith("nvfp4") and group not in (0, 16):
        raise document.refuse(f"NVFP4 with groups of {group} is not known")
    return name


_QUARK = {
    ("fp4", "per_group"): "mxfp4",
    ("fp6_e2m3", "per_group"): "mxfp6",
    ("fp6_e3m2", "per_group"): "mxfp6",
    ("fp8_e4m3", "per_group"): "mxfp8",
    ("fp8_e4m3", "per_tensor"): "fp8-tensor-weight",
    ("fp8_e4m3", "per_channel"): "fp8-channel-f32",
    ("int8", "per_channel"): "int8-channel",
}


def quark(document: Document) -> ModuleScheme:
    """AMD Quark: global_quant_config, layer_quant_config and exclude.

    Exclusions are whole names or ``re:`` (vllm-project/vllm@0a6c8da
    layers/quantization/quark/utils.py), layers globs.
    """
    rules = [ModuleRule(pattern=pattern(name), format=None) for name in document.names("exclude")]
    for name, layer in document.sections("layer_quant_config").items():
        rules.append(ModuleRule(pattern=pattern(name, plain="glob"), format=_quark_format(layer)))
    everywhere = document.section("global_quant_config")
    default = _quark_format(everywhere) if everywhere is not None else None
    if default is None and not any(rule.format for rule in rules):
        raise document.refuse(
            "neither global_quant_config nor layer_quant_config quantizes weights"
        )
    return ModuleScheme(
        name=precision_name(default) if default else "quark",
        title=f"AMD Quark: {default or 'layer by layer'}",
        source=document.where,
        default=default,
        roles=(*LINEAR, HEAD),
        rules=tuple(rules),
        cache_scales=True,
    )


def _quark_format(document: Document) -> str | None:
    weight = document.first("weight")
    if isinstance(weight, list) and weight:
        weight = weight[0]
    if weight is None:
        return None
    one = Document({"weight": weight}, document.where).section("weight")
    if one is None:
        return None
    kind = one.text("dtype"), one.text("qscheme", default="per_tensor")
    group = one.whole("group_size", default=32, least=0)
    if kind not in _QUARK or (kind[1] == "per_group" and group != 32):
        raise one.refuse(f"{kind[0]} {kind[1]} with groups of {group} is not known")
    return _QUARK[kind]
