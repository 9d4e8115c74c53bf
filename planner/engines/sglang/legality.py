"""Which layouts SGLang loads, and what it raises for the others.

Source: SGLang 0.5.23 models/qwen3_5.py, models/qwen2_moe.py, distributed/utils.py (divide),
layers/quantization/fp8.py, arg_groups/parallel_hook.py and validation_hook.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.parallel import Parallel
from planner.model.checkpoint import Checkpoint
from planner.model.spec import DenseMLP, ModelSpec

BLOCK_KERNEL = "fp8-block"
COLUMN_BLOCK = (
    "ValueError: Weight output_partition_size = {size} is not divisible by weight quantization"
    " block_n = {block}."
)
ROW_BLOCK = (
    "ValueError: Weight input_size_per_partition = {size} is not divisible by weight quantization"
    " block_k = {block}."
)
EXPERT_BLOCK = (
    "ValueError: The output_size of gate's and up's weight = {size} is not divisible by weight"
    " quantization block_n = {block}."
)
LANGUAGE_MODEL_ONLY_ARCHITECTURES = (
    "DeepseekV4ForCausalLM",
    "MuseGlimmerForConditionalGeneration",
    "Cosmos3ForConditionalGeneration",
    "Cosmos3EdgeForConditionalGeneration",
)
"""Architectures that can be served without their tower; none of this family."""


def layout_errors(model: ModelSpec, parallel: Parallel) -> dict[str, str]:
    """What refuses `model` in this layout, whatever its weights: name of the rule -> message."""
    return dict(_layout_errors(model, parallel))


def _layout_errors(model: ModelSpec, parallel: Parallel) -> Iterator[tuple[str, str]]:
    tp, attention = parallel.attn_tp_size, model.attention
    if parallel.tp_size % parallel.attn_dp_size:
        yield (
            "attn_dp",
            "AssertionError: assert cfg.tp_size % cfg.attn_dp_size == 0"
            f" ({parallel.tp_size} % {parallel.attn_dp_size})",
        )
        return
    heads, kv_heads = attention.num_attention_heads, attention.num_key_value_heads
    if heads % tp:
        yield (
            "attention_heads",
            f"AssertionError: assert self.total_num_heads % self.attn_tp_size == 0 ({heads} % {tp})",
        )
    if kv_heads >= tp and kv_heads % tp:
        yield (
            "kv_heads",
            "AssertionError: assert self.total_num_kv_heads % self.kv_tp_size == 0"
            f" ({kv_heads} % {tp})",
        )
    elif kv_heads < tp and tp % kv_heads:
        yield (
            "kv_heads",
            "AssertionError: assert self.kv_tp_size % self.total_num_kv_heads == 0"
            f" ({tp} % {kv_heads})",
        )
    if model.linear is not None:
        yield from _divides("gdn_k_heads", model.linear.linear_num_key_heads, tp)
        yield from _divides("gdn_v_heads", model.linear.linear_num_value_heads, tp)
    if isinstance(model.mlp, DenseMLP):
        yield from _divides("mlp_intermediate", model.mlp.intermediate_size, parallel.tp_size)
        if parallel.ep_size > 1:
            yield "ep_dense", "a dense model has no experts to share out"
        return
    moe = model.mlp
    if parallel.tp_size > moe.num_experts:
        yield (
            "num_experts",
            f"ValueError: Tensor parallel size {parallel.tp_size} is greater than the number of"
            f" experts {moe.num_experts}.",
        )
    if parallel.ep_size > 1:
        yield from _divides("ep_num_experts", moe.num_experts, parallel.ep_size)
        if parallel.tp_size % parallel.ep_size:
            yield (
                "ep_size",
                f"tp_size {parallel.tp_size} is no multiple of ep_size {parallel.ep_size}",
            )
            return
    yield from _divides("moe_intermediate", moe.moe_intermediate_size, parallel.moe_tp_size)


def _divides(rule: str, size: int, ranks: int) -> Iterator[tuple[str, str]]:
    if size % ranks:
        yield rule, f"AssertionError: {size} is not divisible by {ranks}"


def block_errors(
    checkpoint: Checkpoint, parallel: Parallel, *, shared_expert_replicated: bool = False
) -> dict[str, str]:
    """What refuses block-quantized FP8 weights in this layout: rule -> message.

    Every matrix that is cut must be cut at a block boundary. Expert parallelism cures the routed
    experts; the shared expert and dense layers stay cut by tensor parallelism.
    """
    return dict(_block_errors(checkpoint, parallel, shared_expert_replicated))


def _block_errors(
    checkpoint: Checkpoint, parallel: Parallel, replicated: bool
) -> Iterator[tuple[str, str]]:
    model = checkpoint.model
    blocks = {
        row.tensor.component: row.format.block
        for row in checkpoint.rows("text")
        if row.format.kernel == BLOCK_KERNEL and row.format.block is not None
    }
    if isinstance(model.mlp, DenseMLP):
        if "dense_mlp" in blocks:
            size = model.mlp.intermediate_size // parallel.tp_size
            yield from _cut("mlp_gate_up", "mlp_down", size, blocks["dense_mlp"])
    else:
        if "moe.shared_expert" in blocks and not replicated:
            size = model.mlp.shared_expert_intermediate_size // parallel.tp_size
            yield from _cut("shared_gate_up", "shared_down", size, blocks["moe.shared_expert"])
        if "moe.routed_experts" in blocks:
            size = model.mlp.moe_intermediate_size // parallel.moe_tp_size
            block = blocks["moe.routed_experts"][0]
            if size % block:
                yield "experts_moe_tp", EXPERT_BLOCK.format(size=size, block=block)
    tp = parallel.attn_tp_size
    attention, linear = model.attention, model.linear
    if "full_attn.o_proj" in blocks:
        width = attention.num_attention_heads * attention.head_dim // tp
        yield from _cut(None, "attention_o", width, blocks["full_attn.o_proj"])
        rows = attention.q_proj_rows // tp
        yield from _cut("attention_q", None, rows, blocks["full_attn.o_proj"])
    if linear is not None and "gdn.out_proj" in blocks:
        yield from _cut(None, "gdn_out", linear.value_dim // tp, blocks["gdn.out_proj"])
        for name, rows in (("gdn_qk", linear.key_dim), ("gdn_vz", linear.value_dim)):
            yield from _cut(name, None, rows // tp, blocks["gdn.out_proj"])


def _cut(
    column: str | None, row: str | None, size: int, block: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    """Messages for `size` rows (column parallel) and `size` columns (row parallel) per rank."""
    if column is not None and size % block[0]:
        yield column, COLUMN_BLOCK.format(size=size, block=block[0])
    if row is not None and size % block[1]:
        yield row, ROW_BLOCK.format(size=size, block=block[1])


def option_errors(model: ModelSpec, options: SGLangOptions) -> dict[str, str]:
    """Options that the argument pipeline refuses for `model`: flag -> message."""
    errors = {}
    if options.language_model_only:
        supported = [*LANGUAGE_MODEL_ONLY_ARCHITECTURES]
        errors["language_model_only"] = (
            f"ValueError: --language-model-only does not support ['{model.architecture}']."
            f" Supported: {supported}."
        )
    return errors
