"""Check layouts and options by SGLang's own rules, and say what it raises for the others.

Source: SGLang 0.5.23 models/qwen3_5.py, models/qwen2_moe.py, distributed/utils.py (divide),
layers/quantization/fp8.py, arg_groups/mamba_hook.py, parallel_hook.py and validation_hook.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from hardware_db.records import frozen
from planner.engines.sglang.defaults import Resolved
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.ranks import Gpu, Parallel
from planner.engines.sglang.releases import Rules
from planner.model.checkpoint import Checkpoint
from planner.model.layers import Indexer
from planner.model.spec import DenseMLP, ModelSpec

LANGUAGE_MODEL_ONLY_ARCHITECTURES = (
    "DeepseekV4ForCausalLM",
    "MuseGlimmerForConditionalGeneration",
    "Cosmos3ForConditionalGeneration",
    "Cosmos3EdgeForConditionalGeneration",
)
"""Architectures that can be served without their tower; none of this family."""
TRACK_INTERVAL = 256
"""Default of mamba_track_interval."""


BLOCK_KERNEL = "fp8-block"
COLUMN_BLOCK = "Weight output_partition_size = {size} is not divisible by weight quantization block_n = {block}."
ROW_BLOCK = "Weight input_size_per_partition = {size} is not divisible by weight quantization block_k = {block}."
EXPERT_BLOCK = (
    "The output_size of gate's and up's weight = {size} is not divisible by weight"
    " quantization block_n = {block}."
)
LAYERS_PY = "layers/quantization/fp8.py"


@frozen
class Violation:
    """One rule that a layout or an option breaks.

    Attributes:
        rule: short name of the rule.
        reason: plain words.
        engine_message: what the engine raises, kind of error first.
        file: where the rule stands, relative to ``sglang/srt``.
    """

    rule: str
    reason: str
    engine_message: str
    file: str


def messages(violations: Iterator[Violation]) -> dict[str, str]:
    """Return the engine's message by rule."""
    return {found.rule: found.engine_message for found in violations}


def layout_violations(model: ModelSpec, parallel: Parallel) -> Iterator[Violation]:
    """Yield what refuses `model` in this layout, whatever its weights."""
    tp = parallel.attn_tp_size
    if parallel.tp_size % parallel.attn_dp_size:
        yield Violation(
            rule="attn_dp",
            reason=f"{parallel.tp_size} ranks do not form {parallel.attn_dp_size} attention groups",
            engine_message="AssertionError: assert cfg.tp_size % cfg.attn_dp_size == 0"
            f" ({parallel.tp_size} % {parallel.attn_dp_size})",
            file="arg_groups/parallel_hook.py",
        )
        return
    yield from _attention_violations(model, tp)
    if model.linear is not None:
        for rule, what, heads in (
            ("gdn_k_heads", "DeltaNet key heads", model.linear.linear_num_key_heads),
            ("gdn_v_heads", "DeltaNet value heads", model.linear.linear_num_value_heads),
        ):
            yield from _divides(rule, heads, tp, what=what)
    if isinstance(model.mlp, DenseMLP):
        width = model.mlp.intermediate_size
        yield from _divides("mlp_intermediate", width, parallel.tp_size, what="MLP columns")
        if parallel.ep_size > 1:
            yield Violation(
                rule="ep_dense",
                reason="expert parallelism needs a model with experts, this one is dense",
                engine_message="",
                file="layers/moe",
            )
        return
    moe = model.mlp
    if parallel.tp_size > moe.num_experts:
        yield Violation(
            rule="num_experts",
            reason=f"TP {parallel.tp_size} is more than the {moe.num_experts} experts",
            engine_message=f"ValueError: Tensor parallel size {parallel.tp_size} is greater than"
            f" the number of experts {moe.num_experts}.",
            file="models/qwen2_moe.py",
        )
    if parallel.ep_size > 1:
        yield from _divides("ep_num_experts", moe.num_experts, parallel.ep_size, what="experts")
        if parallel.tp_size % parallel.ep_size:
            yield Violation(
                rule="ep_size",
                reason=f"--ep-size {parallel.ep_size} does not divide the {parallel.tp_size} ranks",
                engine_message="",
                file="arg_groups/parallel_hook.py",
            )
            return
    width = moe.moe_intermediate_size
    yield from _divides("moe_intermediate", width, parallel.moe_tp_size, what="expert columns")


def _attention_violations(model: ModelSpec, tp: int) -> Iterator[Violation]:
    heads, kv_heads = model.attention.num_attention_heads, model.attention.num_key_value_heads
    asserted = ""
    if heads % tp:
        yield Violation(
            rule="attention_heads",
            reason=f"{heads} attention heads do not divide by {tp} ranks",
            engine_message="AssertionError: assert self.total_num_heads % self.attn_tp_size == 0"
            f" ({heads} % {tp})",
            file="models/qwen3_5.py",
        )
    if kv_heads >= tp and kv_heads % tp:
        asserted = f"self.total_num_kv_heads % self.kv_tp_size == 0 ({kv_heads} % {tp})"
    elif kv_heads < tp and tp % kv_heads:
        asserted = f"self.kv_tp_size % self.total_num_kv_heads == 0 ({tp} % {kv_heads})"
    if asserted:
        yield Violation(
            rule="kv_heads",
            reason=f"{kv_heads} KV heads can neither be divided over nor replicated on {tp} ranks",
            engine_message=f"AssertionError: assert {asserted}",
            file="models/qwen3_5.py",
        )


def _divides(rule: str, size: int, ranks: int, *, what: str) -> Iterator[Violation]:
    if size % ranks:
        yield Violation(
            rule=rule,
            reason=f"{size} {what} do not divide by {ranks} ranks",
            engine_message=f"AssertionError: {size} is not divisible by {ranks}",
            file="distributed/utils.py",
        )


def vision_violations(model: ModelSpec, parallel: Parallel) -> Iterator[Violation]:
    """Yield what refuses the vision tower, which every rank of an attention group cuts."""
    if model.vision is not None:
        heads = model.vision.num_heads
        yield from _divides("vision_heads", heads, parallel.attn_tp_size, what="vision heads")


def block_violations(
    checkpoint: Checkpoint, parallel: Parallel, *, shared_expert_replicated: bool = False
) -> Iterator[Violation]:
    """Yield what refuses block-quantized FP8 weights in this layout.

    Every matrix that is cut must be cut at a block boundary. Expert parallelism cures the routed
    experts; the shared expert and dense layers stay cut by tensor parallelism.
    """
    model, tp = checkpoint.model, parallel.attn_tp_size
    blocks = {
        row.tensor.component: row.format.block
        for row in checkpoint.rows("text")
        if row.format.kernel == BLOCK_KERNEL and row.format.block is not None
    }
    if isinstance(model.mlp, DenseMLP):
        if "dense_mlp" in blocks:
            size = model.mlp.intermediate_size // parallel.tp_size
            yield from _cut("mlp_gate_up", "mlp_down", size, blocks["dense_mlp"], what="the MLP")
    else:
        if "moe.shared_expert" in blocks and not shared_expert_replicated:
            size = model.mlp.shared_expert_intermediate_size // parallel.tp_size
            block = blocks["moe.shared_expert"]
            yield from _cut("shared_gate_up", "shared_down", size, block, what="the shared expert")
        if "moe.routed_experts" in blocks:
            size = model.mlp.moe_intermediate_size // parallel.moe_tp_size
            side = blocks["moe.routed_experts"][0]
            if size % side:
                yield Violation(
                    rule="experts_moe_tp",
                    reason=f"the experts are cut into {size} columns, and FP8 blocks are {side} wide",
                    engine_message=f"ValueError: {EXPERT_BLOCK.format(size=size, block=side)}",
                    file=LAYERS_PY,
                )
    attention, linear = model.attention, model.linear
    if "full_attn.o_proj" in blocks:
        block = blocks["full_attn.o_proj"]
        width = attention.num_attention_heads * attention.head_dim // tp
        yield from _cut(None, "attention_o", width, block, what="attention's output")
        rows = attention.q_proj_rows // tp
        yield from _cut("attention_q", None, rows, block, what="attention's queries")
    if linear is not None and "gdn.out_proj" in blocks:
        block, value, key = blocks["gdn.out_proj"], linear.value_dim // tp, linear.key_dim // tp
        yield from _cut("gdn_qk", None, key, block, what="DeltaNet's keys")
        yield from _cut("gdn_vz", "gdn_out", value, block, what="DeltaNet's values")


def _cut(
    column: str | None, row: str | None, size: int, block: tuple[int, int], *, what: str
) -> Iterator[Violation]:
    """Yield violations of `size` output rows and of `size` input columns per rank."""
    for rule, side, message in ((column, block[0], COLUMN_BLOCK), (row, block[1], ROW_BLOCK)):
        if rule is not None and size % side:
            yield Violation(
                rule=rule,
                reason=f"{what} is cut into {size} columns, and FP8 blocks are {side} wide",
                engine_message=f"ValueError: {message.format(size=size, block=side)}",
                file=LAYERS_PY,
            )


def option_violations(
    model: ModelSpec,
    *,
    parallel: Parallel,
    gpu: Gpu,
    options: SGLangOptions,
    resolved: Resolved,
    rules: Rules,
    mxfp8_cache: bool = False,
) -> Iterator[Violation]:
    """Yield what the argument pipeline refuses, in its order."""
    if options.language_model_only:
        yield Violation(
            rule="language_model_only",
            reason="SGLang cannot leave out this model's vision tower",
            engine_message=f"ValueError: --language-model-only does not support"
            f" ['{model.architecture}']. Supported: {[*LANGUAGE_MODEL_ONLY_ARCHITECTURES]}.",
            file="arg_groups/model_hook.py",
        )
    if not resolved.disable_radix_cache:
        yield from _radix_violations(options, resolved, rules)
    if model.attention.indexer is not None:
        yield from _indexed_violations(model.attention.indexer, parallel, gpu, options, resolved)
    if resolved.attention_backend == "trtllm_mha" and gpu.capability is not None:
        if gpu.capability[0] not in (9, 10, 12):
            yield Violation(
                rule="trtllm_mha",
                reason="trtllm_mha needs compute capability 9.x, 10.x or 12.x",
                engine_message="ValueError: TRTLLM MHA backend for prefill requires Hopper (SM90),"
                " Blackwell (SM100), or SM120 GPUs.",
                file="arg_groups/attention_hook.py",
            )
        speculation = resolved.speculation
        if speculation is not None and speculation.eagle_topk > 1:
            yield Violation(
                rule="trtllm_mha_topk",
                reason="trtllm_mha verifies chains only: --speculative-eagle-topk must be 1",
                engine_message="ValueError: trtllm_mha backend only supports topk = 1 for"
                " speculative decoding.",
                file="arg_groups/speculative_hook.py",
            )
    if mxfp8_cache and (gpu.capability is None or gpu.capability[0] < 10):
        yield Violation(
            rule="mxfp8_cache",
            reason="an MXFP8 KV cache needs Blackwell; fp8_e4m3 takes as much without scales",
            engine_message="ValueError: --kv-cache-dtype mxfp8 requires an SM100+ (Blackwell) GPU"
            " for the block-scaled operands used by the FA4 MXFP8 attention path.",
            file="arg_groups/kv_cache_hook.py",
        )
    if parallel.pp_size > 1 and resolved.speculation is not None:
        yield Violation(
            rule="pipeline_speculation",
            reason="speculation does not work across pipeline stages",
            engine_message=rules.pipeline_speculation_error,
            file="arg_groups/validation_hook.py",
        )
    chunk = resolved.chunked_prefill_size
    if chunk > 0 and chunk % resolved.page_size:
        yield Violation(
            rule="chunked_prefill_size",
            reason=f"a prefill chunk of {chunk} tokens is not whole pages of {resolved.page_size}",
            engine_message="AssertionError: chunked_prefill_size must be divisible by page_size",
            file="arg_groups/validation_hook.py",
        )


def _indexed_violations(
    indexer: Indexer, parallel: Parallel, gpu: Gpu, options: SGLangOptions, resolved: Resolved
) -> Iterator[Violation]:
    """Yield what indexed attention and n-gram embeddings do not take (read, not run)."""
    speculation, ratio = resolved.speculation, indexer.compress_ratio
    file = "layers/attention/qwen_sparse_attn_backend.py"
    if speculation is not None and (
        speculation.num_draft_tokens > ratio or speculation.eagle_topk > 1
    ):
        yield Violation(
            rule="indexed_speculation",
            reason=f"indexed attention verifies chains of at most {ratio} tokens (steps up to"
            f" {ratio - 1})",
            engine_message="Qwen QSA requires speculative_num_draft_tokens <= the QSA compress"
            f" ratio ({ratio})",
            file=file,
        )
    buffered = resolved.mamba_radix_cache_strategy.startswith("extra_buffer")
    if not resolved.disable_radix_cache and not buffered:
        yield Violation(
            rule="indexed_radix",
            reason="indexed attention needs the extra_buffer strategy or --disable-radix-cache",
            engine_message="",
            file="models/qwen4_exp.py",
        )
    if parallel.pp_size > 1:
        yield Violation(
            rule="ngram_pipeline",
            reason="pipeline stages are not planned for with n-gram embeddings",
            engine_message="",
            file="models/qwen4_exp.py",
        )
    if options.qsa_indexer_dtype == "fp8_e4m3" and (gpu.capability or (9, 0))[0] not in (9, 10):
        yield Violation(
            rule="indexed_fp8_keys",
            reason="FP8 keys of an indexer need compute capability 9.0 or 10.x",
            engine_message="",
            file=file,
        )


def _radix_violations(
    options: SGLangOptions, resolved: Resolved, rules: Rules
) -> Iterator[Violation]:
    strategy, file = resolved.mamba_radix_cache_strategy, "arg_groups/mamba_hook.py"
    if strategy == "no_buffer":
        if options.page_size not in (None, 1):
            yield Violation(
                rule="no_buffer_page",
                reason="no_buffer works with pages of one token only",
                engine_message="AssertionError: no_buffer only supports page_size=1.",
                file=file,
            )
        told = options.mamba_radix_cache_strategy == "no_buffer"
        if told and not (options.disable_overlap_schedule or rules.no_buffer_stops_overlap):
            # Looked at before pipeline stages switch the schedule off.
            yield Violation(
                rule="no_buffer_overlap",
                reason="no_buffer needs the overlap schedule off (--disable-overlap-schedule)",
                engine_message="AssertionError: no_buffer do not support overlap schedule. Try to"
                " set disable_overlap_schedule=True.",
                file=file,
            )
        if resolved.attention_backend == "trtllm_mha":
            yield Violation(
                rule="no_buffer_trtllm",
                reason="no_buffer does not work with trtllm_mha, whose pages hold several tokens",
                engine_message="AssertionError: no_buffer do not support trtllm_mha attention"
                " backend.",
                file=file,
            )
        if resolved.speculation is not None and rules.mtp_without_buffer == "refused":
            yield Violation(
                rule="no_buffer_speculation",
                reason="this release speculates with a radix cache under extra_buffer only",
                engine_message="",
                file="server_args.py",
            )
        return
    if TRACK_INTERVAL % resolved.page_size:
        yield Violation(
            rule="track_interval",
            reason=f"states are tracked every {TRACK_INTERVAL} tokens, which are not whole pages"
            f" of {resolved.page_size}",
            engine_message="AssertionError",
            file=file,
        )
    if strategy == "extra_buffer_lazy" and resolved.disable_overlap_schedule:
        yield Violation(
            rule="lazy_overlap",
            reason="extra_buffer_lazy needs the overlap schedule",
            engine_message="AssertionError: Lazy extra buffer requires overlap schedule"
            " (--disable-overlap-schedule is incompatible)",
            file="mem_cache/kv_cache_configurator.py",
        )
