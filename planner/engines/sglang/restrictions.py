"""Combinations of options that SGLang's argument pipeline refuses.

Source: SGLang 0.5.23 arg_groups/mamba_hook.py, model_hook.py, attention_hook.py,
validation_hook.py and mem_cache/kv_cache_configurator.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.sglang.defaults import Resolved
from planner.engines.sglang.device import Gpu
from planner.engines.sglang.legality import Violation
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.parallel import Parallel
from planner.engines.sglang.versions import Rules
from planner.model.spec import ModelSpec

LANGUAGE_MODEL_ONLY_ARCHITECTURES = (
    "DeepseekV4ForCausalLM",
    "MuseGlimmerForConditionalGeneration",
    "Cosmos3ForConditionalGeneration",
    "Cosmos3EdgeForConditionalGeneration",
)
"""Architectures that can be served without their tower; none of this family."""
TRACK_INTERVAL = 256
"""Default of mamba_track_interval."""


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
    """What the argument pipeline refuses, in its order."""
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
                reason="trtllm_mha verifies chains only: speculative_eagle_topk must be 1",
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
            engine_message="AssertionError: PP + speculative decoding (MTP) is only supported on"
            " prefill nodes (disaggregation-mode=prefill)",
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
        if not resolved.disable_overlap_schedule:
            yield Violation(
                rule="no_buffer_overlap",
                reason="no_buffer needs the overlap schedule off (disable_overlap_schedule)",
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
