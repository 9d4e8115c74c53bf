"""The named schemes, as data.

Each recipe lists the roles that it touches; everything else keeps the model's dtype.
"""

from __future__ import annotations

from planner.model.layers import NGRAM_EMBEDDING
from planner.model.quantization.scheme import ModelScheme, RoleScheme, Scheme, Variant

# Roles by what recipes treat alike.
_ATTENTION = ("full_attn.[qkvo]_proj",)
_GDN = ("gdn.in_proj_qkv", "gdn.in_proj_qkvz", "gdn.in_proj_z", "gdn.out_proj")
_GDN_SMALL = ("gdn.in_proj_a", "gdn.in_proj_b", "gdn.in_proj_ba")
_ROUTED = ("moe.routed_experts",)
_SHARED = ("moe.shared_expert",)
_MLP = ("dense_mlp", *_ROUTED, *_SHARED)
_LAYER = (*_ATTENTION, *_GDN, *_MLP)
_GATES = ("moe.router", "moe.shared_expert_gate")

Rules = tuple[tuple[str, str], ...]


def _rules(roles: tuple[str, ...], number_format: str, part: str = "text") -> Rules:
    return tuple((f"{part}.{role}", number_format) for role in roles)


_BF16 = RoleScheme(
    name="bf16",
    title="BF16",
    source="transformers 5.23 models/qwen3_5; checkpoints keep the training dtype",
    evidence="official",
    keeps_float32=True,
)

# ---------------------------------------------------------------- the maker's own

_FP8_LAYERS = RoleScheme(
    name="fp8-layers",
    title="official FP8 (128x128 blocks, BF16 scales): attention, GDN, MLP and experts",
    source="config.json of the official Qwen FP8 checkpoints (modules_to_not_convert)",
    rules=_rules(_LAYER, "fp8-block128", "*"),
    weight_bits=8,
    evidence="official",
    keeps_float32=True,
)
_FP8_EXPERTS = RoleScheme(
    name="fp8-experts",
    title="official FP8 (128x128 blocks, BF16 scales): routed experts only",
    source="Qwen3.8-2.4T-A95B-FP8 config.json (978 modules not converted)",
    rules=_rules(_ROUTED, "fp8-block128", "*"),
    weight_bits=8,
    evidence="official",
    keeps_float32=True,
    notes=("attention, GDN and the shared expert stay 16-bit",),
)
_TABLE = ("ple.ngram_table",)
_FP8_EXPERTS_TABLE = RoleScheme(
    name="fp8-experts-table",
    title="official FP8 (128x128 blocks, BF16 scales): routed experts; n-gram table in FP8",
    source="Qwen3.8-Flash-Next-FP8: its published 172.8 GiB agree",
    rules=(*_rules(_ROUTED, "fp8-block128", "*"), *_rules(_TABLE, "table-fp8")),
    weight_bits=8,
    evidence="official",
    keeps_float32=True,
    notes=("attention, GDN, hyper-connections and the shared expert stay 16-bit",),
)
_FP8 = ModelScheme(
    name="fp8",
    title="official FP8 (128x128 blocks, BF16 scales)",
    source="config.json of the official Qwen FP8 checkpoints (modules_to_not_convert)",
    variants=(
        Variant(scheme=_FP8_EXPERTS_TABLE, kind=NGRAM_EMBEDDING),
        Variant(scheme=_FP8_EXPERTS, architectures=("Qwen3_5MoeForCausalLM",)),
        Variant(scheme=_FP8_LAYERS),
    ),
)
_GPTQ_INT4 = RoleScheme(
    name="gptq-int4",
    title="official GPTQ-Int4 (groups of 128): MLP and routed experts only",
    source="config.json of the official Qwen GPTQ-Int4 checkpoints (dynamic -:.*attn.*,"
    " -:.*shared_expert.*, -:.*mtp.*, -:.*visual.*)",
    rules=_rules(("dense_mlp", *_ROUTED), "gptq-int4-g128"),
    weight_bits=4,
    evidence="official",
    keeps_float32=True,
    notes=(
        "attention, GDN, shared experts, MTP, vision, embedding and head stay 16-bit: a dense"
        " model comes out about as large as in FP8",
    ),
)


def _gptq_all(bits: int, group: int) -> RoleScheme:
    suffix = "" if group == 128 else f"-g{group}"
    return RoleScheme(
        name=f"gptq-int{bits}{suffix}-all",
        title=f"GPTQ-Int{bits} (groups of {group}): attention, GDN, MLP and experts",
        source="btbtyler09/Qwen3.6-27B-GPTQ-4bit (groups of 32; its size agrees)",
        rules=_rules(_LAYER, f"gptq-int{bits}-g{group}"),
        weight_bits=bits,
        evidence="published" if (bits, group) == (4, 32) else "hypothesis",
    )


# ---------------------------------------------------------------- NVIDIA modelopt

_NVFP4_EXPERTS = RoleScheme(
    name="nvfp4-experts",
    title="NVFP4 (groups of 16): routed experts only",
    source="nvidia/Qwen3.5-397B-A17B-NVFP4 hf_quant_config.json; total of the 122B agrees",
    rules=_rules(_ROUTED, "nvfp4"),
    weight_bits=4,
    notes=("attention, GDN, shared expert, head, vision and MTP stay 16-bit",),
)
_NVFP4_EXPERTS_MTP = RoleScheme(
    name="nvfp4-experts-mtp",
    title="NVFP4 (groups of 16): routed experts, those of the MTP module included",
    source="Inferact/Qwen3.8-2.4T-A95B-NVFP4 (vllm-project/recipes@8959cf6), total agrees",
    rules=_rules(_ROUTED, "nvfp4", "*"),
    weight_bits=4,
)
_NVFP4_EXPERTS_FP8_TABLE = RoleScheme(
    name="nvfp4-experts-fp8-table",
    title="NVFP4 (groups of 16): routed experts; n-gram table in FP8",
    source="RadixArk/Qwen3.8-Flash-Next-NVFP4: its published 126 GiB agree",
    rules=(*_rules(_ROUTED, "nvfp4"), *_rules(_TABLE, "table-fp8")),
    weight_bits=4,
    notes=("attention, GDN, hyper-connections, shared expert, vision and MTP stay 16-bit",),
)
_NVFP4_EXPERTS_FP8_MTP = RoleScheme(
    name="nvfp4-experts-fp8-mtp",
    title="NVFP4 (groups of 16): routed experts; MTP's experts and the n-gram table in FP8",
    source="nvidia/Qwen3.8-Flash-Next-NVFP4 (MIXED_PRECISION; its size was not seen)",
    rules=(
        *_rules(_ROUTED, "nvfp4"),
        *_rules(_ROUTED, "fp8-block128", "mtp"),
        *_rules(_TABLE, "table-fp8"),
    ),
    weight_bits=4,
)
_NVFP4_EXPERTS_TABLE = RoleScheme(
    name="nvfp4-experts-table",
    title="NVFP4 (groups of 16): routed experts and n-gram table",
    source="Mia-AiLab/Qwen3.8-Flash-Next-NVFP4: its published 105 GiB agree with such a recipe",
    rules=(*_rules(_ROUTED, "nvfp4"), *_rules(_TABLE, "table-nvfp4")),
    weight_bits=4,
    notes=("what is quantized was inferred from the size of the files",),
)
_NVFP4_MIXED = RoleScheme(
    name="nvfp4-mixed",
    title="NVFP4 weights for MLP, experts and head; FP8 per tensor for attention and GDN",
    source="nvidia/Qwen3.6-27B-NVFP4, Qwen3.6-35B-A3B-NVFP4 hf_quant_config.json (MIXED_PRECISION)",
    rules=(
        *_rules((*_MLP, "lm_head"), "nvfp4-weight-only"),
        *_rules((*_ATTENTION, *_GDN), "fp8-tensor"),
    ),
    weight_bits=4,
    notes=("NVFP4 weights are used with 16-bit activations (W4A16)",),
)
_NVFP4_ALL = RoleScheme(
    name="nvfp4-all",
    title="NVFP4 (groups of 16): attention, GDN, MLP and experts",
    source="sakamakismile/Qwen3.6-27B-NVFP4 (its size agrees; it ships no MTP module)",
    rules=_rules(_LAYER, "nvfp4"),
    weight_bits=4,
    drops=("mtp",),
)
_NVFP4_OUT_PROJ = RoleScheme(
    name="nvfp4-out-proj",
    title="NVFP4 (groups of 16): attention, MLP, experts and the GDN's out_proj",
    source="Inferact/Qwen3.6-27B-NVFP4 (headers)",
    rules=_rules((*_ATTENTION, *_MLP, "gdn.out_proj"), "nvfp4"),
    weight_bits=4,
)
_NVFP4 = ModelScheme(
    name="nvfp4",
    title="NVFP4 as NVIDIA publishes it",
    source="nvidia/Qwen3.5-{122B,397B} and Qwen3.6-{27B,35B} hf_quant_config.json: experts only,"
    " or for the 27B, 35B and everything dense the mixed recipe",
    variants=(
        Variant(scheme=_NVFP4_EXPERTS_FP8_TABLE, kind=NGRAM_EMBEDDING),
        Variant(scheme=_NVFP4_MIXED, moe=False),
        Variant(scheme=_NVFP4_MIXED, shapes=((2048, 256),)),
        Variant(scheme=_NVFP4_EXPERTS_MTP, architectures=("Qwen3_5MoeForCausalLM",)),
        Variant(scheme=_NVFP4_EXPERTS),
    ),
)

# ---------------------------------------------------------------- compressed-tensors

_CT_SOURCE = (
    "llm-compressor@4c0f777 examples for Qwen3.5 MoE: Linear but lm_head, visual, mlp.gate,"
    " shared_expert_gate, linear_attn, mtp"
)
_AVESED = "Avesed/Qwen3.6-27B-INT8-W8A8 (its files of 28.31 and 0.79 GiB agree)"
_CT_NOTE = "the GDN projections stay 16-bit, as in the recipes of llm-compressor"


def _compressed(
    name: str, title: str, number_format: str, bits: int, whole: str = ""
) -> RoleScheme:
    return RoleScheme(
        name=name,
        title=f"{title}: attention, {'GDN, ' if whole else ''}MLP and experts",
        source=whole or _CT_SOURCE,
        rules=_rules(_LAYER if whole else (*_ATTENTION, *_MLP), number_format),
        weight_bits=bits,
        notes=() if whole else (_CT_NOTE,),
    )


# ---------------------------------------------------------------- AWQ, AutoRound

_AWQ_G32 = RoleScheme(
    name="awq-int4-g32",
    title="AWQ INT4 (compressed-tensors, groups of 32): attention, GDN, MLP, experts, MTP",
    source="cyankiwi/Qwen3.6-27B-AWQ-INT4 (its size agrees)",
    rules=_rules(_LAYER, "ct-int4-g32-asym", "*"),
    weight_bits=4,
)
_AWQ = RoleScheme(
    name="awq-int4",
    title="AWQ INT4 (groups of 128): attention, GDN, MLP and experts",
    source="AutoAWQ's own groups of 128 on the layers that cyankiwi/Qwen3.6-27B-AWQ-INT4 quantizes",
    rules=_rules(_LAYER, "awq-int4-g128"),
    weight_bits=4,
    evidence="hypothesis",
    notes=("embedding, head, vision and MTP stay 16-bit",),
)
_AWQ_EXPERTS = RoleScheme(
    name="awq-int4-experts",
    title="AWQ INT4 (groups of 128): routed experts only",
    source="local-inference-lab/rtx6kpro@e2c2b95: the 397B served so",
    rules=_rules(_ROUTED, "awq-int4-g128"),
    weight_bits=4,
)
_AUTOROUND = RoleScheme(
    name="autoround-int4",
    title="AutoRound INT4 (groups of 128): attention, GDN, MLP and experts",
    source="quantization_config.json of AutoRound 0.13.0 on Qwen3.5: every linear layer of"
    " model.language_model.layers but in_proj_a and in_proj_b",
    rules=_rules(_LAYER, "autoround-int4-g128"),
    weight_bits=4,
    notes=("published AutoRound files differ in what they quantize beside the layers",),
)

_AUTOROUND_MTP = RoleScheme(
    name="autoround-int4-mtp",
    title="AutoRound INT4 (groups of 128): attention, GDN, MLP, experts, MTP",
    source="Frozenlock/Qwen3.8-27B-int4-AutoRound (its size agrees)",
    rules=_rules(_LAYER, "autoround-int4-g128", "*"),
    weight_bits=4,
)

# ---------------------------------------------------------------- OCP microscaling

_MXFP4_EXPERTS = RoleScheme(
    name="mxfp4-experts",
    title="MXFP4 (groups of 32): routed and shared experts",
    source="olka-fi/Qwen3.5-122B-A10B-MXFP4 (its size agrees)",
    rules=_rules((*_ROUTED, *_SHARED), "mxfp4"),
    weight_bits=4,
)


def _microscaling(bits: int) -> RoleScheme:
    return RoleScheme(
        name=f"mxfp{bits}-layers",
        title=f"MXFP{bits} (groups of 32): attention, GDN, MLP and experts",
        source="no such checkpoint is known: the layers of the official FP8 in OCP"
        f" MXFP{bits} (Microscaling Formats 1.0)",
        rules=_rules(_LAYER, f"mxfp{bits}", "*"),
        weight_bits=bits,
        evidence="hypothesis",
        notes=(f"hypothetical: as if quantized like the official FP8, in MXFP{bits}",),
    )


_MXFP4 = ModelScheme(
    name="mxfp4",
    title="MXFP4 (groups of 32)",
    source="olka-fi/Qwen3.5-122B-A10B-MXFP4 for models with experts, a hypothesis for dense ones",
    variants=(
        Variant(scheme=_MXFP4_EXPERTS, moe=True),
        Variant(scheme=_microscaling(4), moe=False),
    ),
)


def _named(scheme: RoleScheme, name: str) -> ModelScheme:
    return ModelScheme(
        name=name,
        title=scheme.title,
        source=scheme.source,
        variants=(Variant(scheme=scheme),),
    )


# ---------------------------------------------------------------- bitsandbytes, MLX

_LINEAR = (*_ATTENTION, *_GDN, *_GDN_SMALL, "dense_mlp", *_SHARED, "moe.shared_expert_gate")
_BNB_SOURCE = (
    "transformers 5.23 quantizers: bitsandbytes replaces torch.nn.Linear alone, lm_head not"
)
_BNB_MOE = (
    "bitsandbytes converts nn.Linear only: the routed experts are 3-D parameters and stay 16-bit,"
    " so hardly anything is saved"
)


def _bitsandbytes(name: str, title: str, number_format: str, bits: int) -> RoleScheme:
    return RoleScheme(
        name=name,
        title=f"{title}: every nn.Linear but the head, vision included",
        source=_BNB_SOURCE,
        rules=(
            *_rules(_LINEAR, number_format),
            *_rules(("blocks", "merger"), number_format, "vision"),
        ),
        weight_bits=bits,
        drops=("mtp",),
        evidence="tool rule",
        moe_notes=(_BNB_MOE,),
    )


# mlx-lm leaves alone what groups of 64 do not divide (mlx-lm 0.32.2 utils.py, quantize_model).
_MLX_TABLE = (f"text.{_TABLE[0]}", "")


def _mlx(bits: int) -> RoleScheme:
    gates = _rules(_GATES, "mlx-8bit-g64")
    return RoleScheme(
        name=f"mlx-{bits}bit",
        title=f"MLX {bits}-bit (affine, groups of 64), embedding and head included",
        source="lmstudio-community/Qwen3.6-{27B,35B-A3B}-MLX-4bit: totals agree to the byte;"
        " mlx-lm 0.32.2 drops mtp.* in sanitize",
        rules=(*gates, _MLX_TABLE, ("text.*", f"mlx-{bits}bit-g64")),
        weight_bits=bits,
        drops=("mtp",),
        evidence="tool rule",
        vision_notes=("the vision tower stays 16-bit",),
        moe_notes=("router and shared-expert gate are 8-bit",),
    )


_MLX_UNIFORM = RoleScheme(
    name="mlx-4bit-uniform",
    title="MLX 4-bit (affine, groups of 64), routers 4-bit as well",
    source="mlx-community/Qwen3.5-397B-A17B-4bit (its size fits best so)",
    rules=(("text.*", "mlx-4bit-g64"),),
    weight_bits=4,
    drops=("mtp",),
)

ALL_SCHEMES: tuple[Scheme, ...] = (
    _BF16,
    _FP8,
    _FP8_LAYERS,
    _FP8_EXPERTS,
    _FP8_EXPERTS_TABLE,
    _compressed("fp8-dynamic", "FP8 per channel (compressed-tensors)", "fp8-channel", 8),
    _compressed("w8a8-int8", "INT8 W8A8 (compressed-tensors)", "int8-channel", 8),
    _compressed("w8a8-int8-all", "INT8 W8A8 (compressed-tensors)", "int8-channel", 8, _AVESED),
    _compressed("w8a16", "INT8 W8A16 (compressed-tensors, groups of 128)", "ct-int8-g128", 8),
    _compressed("w4a16", "INT4 W4A16 (compressed-tensors, groups of 128)", "ct-int4-g128", 4),
    _compressed("nvfp4-ct", "NVFP4 (compressed-tensors, groups of 16)", "nvfp4", 4),
    _GPTQ_INT4,
    _gptq_all(4, 32),
    _gptq_all(4, 128),
    _gptq_all(8, 128),
    _AWQ,
    _AWQ_G32,
    _AWQ_EXPERTS,
    _AUTOROUND,
    _AUTOROUND_MTP,
    _NVFP4,
    _NVFP4_EXPERTS,
    _NVFP4_EXPERTS_MTP,
    _NVFP4_EXPERTS_FP8_TABLE,
    _NVFP4_EXPERTS_FP8_MTP,
    _NVFP4_EXPERTS_TABLE,
    _NVFP4_MIXED,
    _NVFP4_ALL,
    _NVFP4_OUT_PROJ,
    _MXFP4,
    _MXFP4_EXPERTS,
    _microscaling(4),
    _named(_microscaling(6), "mxfp6"),
    _named(_microscaling(8), "mxfp8"),
    _bitsandbytes("bnb-nf4", "bitsandbytes NF4", "bnb-nf4", 4),
    _bitsandbytes(
        "bnb-nf4-double", "bitsandbytes NF4 with double quantization", "bnb-nf4-double", 4
    ),
    _bitsandbytes("bnb-int8", "bitsandbytes INT8", "bnb-int8", 8),
    *(_mlx(bits) for bits in (3, 4, 5, 6, 8)),
    _MLX_UNIFORM,
)
"""Every named scheme, widest first within a family."""
