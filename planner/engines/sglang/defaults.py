"""Resolve SGLang's options as it does before it loads anything: chunk, graphs, share, page, strategy.

Source: SGLang 0.5.23 arg_groups/memory_hook.py, cuda_graph_hook.py, parallel_hook.py,
speculative_hook.py, overrides.py, model_override_base.py (get_default_attn_backend) and
model_overrides/qwen3_5.py; earlier releases by `releases`.
"""

from __future__ import annotations

from functools import lru_cache

from hardware_db.records import frozen
from planner.engines.sglang.options import MTP_STEPS, SGLangOptions
from planner.engines.sglang.ranks import Gpu, Parallel
from planner.engines.sglang.releases import Rules
from planner.model.spec import ModelSpec

SM100_OVERRIDDEN = (
    "Qwen3NextForCausalLM",
    "Qwen3_5MoeForConditionalGeneration",
    "Qwen3_5ForConditionalGeneration",
)
"""Architectures whose backend on SM100 is chosen by their own rule."""
INDEXED_PAGE = 64
"""Tokens per page of indexed attention, whatever is asked for (mem_cache/qsa_kv_pool.py)."""
TRTLLM_PAGES = (16, 32, 64, 128)
WITHOUT_GRAPHS = ("torch_native", "flex_attention")


@frozen
class Attention:
    """The kernels and their page.

    Attributes:
        requested_page_size: page size known when the radix-cache strategy is chosen.
    """

    backend: str
    page_size: int
    requested_page_size: int | None

    @property
    def without_graphs(self) -> bool:
        """The backend cannot be captured in CUDA graphs."""
        return self.backend in WITHOUT_GRAPHS


def attention_of(
    model: ModelSpec,
    *,
    gpu: Gpu,
    options: SGLangOptions,
    rules: Rules,
    radix_off: bool,
    kv_cache_dtype: str,
) -> Attention:
    """Return the attention backend and page size that SGLang ends up with."""
    backend, page = options.attention_backend, options.page_size
    if backend is None:
        backend = _default(gpu, options)
        if gpu.is_sm100 and model.architecture in SM100_OVERRIDDEN:
            buffered = options.mamba_radix_cache_strategy.startswith("extra_buffer")
            stays = rules.sm100_backend_by_speculation and (
                (buffered and not radix_off)
                or radix_off
                or options.speculative_algorithm is not None
            )
            if backend != "trtllm_mha" or not stays:
                backend = "triton"
            page = 64 if backend == "trtllm_mha" else 1
    if backend == "fa3" and kv_cache_dtype == "fp8_e5m2":
        backend = "triton"
    requested = page
    topk = options.speculative_eagle_topk or 0
    if backend == "hpc_ops" or (backend == "trtllm_mha" and page not in TRTLLM_PAGES):
        page = 64
    elif backend == "fa4" and gpu.is_sm100 and topk <= 1:
        page = 128
    if model.attention.indexer is not None:
        page = requested = INDEXED_PAGE
    return Attention(backend=backend, page_size=page or 1, requested_page_size=requested)


def _default(gpu: Gpu, options: SGLangOptions) -> str:
    topk = options.speculative_eagle_topk
    chain = topk is None or (topk == 1 and options.page_size in (None, 1))
    if gpu.is_hopper and chain:
        return "fa3"
    if gpu.is_sm100 and chain and (options.speculative_algorithm is None or topk is not None):
        return "trtllm_mha"
    return "aiter" if gpu.hip else "flashinfer"


GIB_IN_MIB = 1024
TIERS = ((20, 2048, 8, 8), (35, None, None, None), (60, 4096, 32, 160), (160, 8192, 256, 512))
"""Below so many GiB: prefill chunk, decode graph batch under TP 4, and from TP 4 on."""
LARGEST_TIER = (16384, 512, 512)
DEEPEP_CAPTURED, DEEPEP_BUCKETS = 2048, 38
"""With DeepEP prefill is captured up to 2048 tokens, in multiples of 8 only."""
LEAST_RESERVE_MIB = 10 * GIB_IN_MIB
MTP_RUNNING_REQUESTS = 48
MTP_DEFAULTS = (MTP_STEPS, 1, 4)
"""Steps, topk and draft tokens that speculation gets unless told otherwise."""


@frozen
class Speculation:
    """Speculative decoding with the model's MTP module, resolved.

    Attributes:
        draft_layers: layers by which the target's KV cell is enlarged; 0 where the drafter's own
            pool is allocated outside the budget (no draft path named).
    """

    num_steps: int
    eagle_topk: int
    num_draft_tokens: int
    draft_layers: int


@frozen
class Resolved:
    """Every default that memory depends on, by the engine's name of it.

    Attributes:
        chunked_prefill_size: tokens of a prefill step on one attention group.
        prefill_graph_buckets: captured prefill sizes; counted even where the graphs are off.
        mem_fraction_static: share of the memory free before loading.
        max_running_requests: as given or set by speculation; None lets the pool decide.
    """

    chunked_prefill_size: int
    decode_cuda_graph_max_bs: int
    decode_graph_backend: str
    prefill_graph_backend: str
    prefill_graph_buckets: int
    mem_fraction_static: float
    reserve_mib: float
    page_size: int
    attention_backend: str
    disable_radix_cache: bool
    disable_overlap_schedule: bool
    mamba_radix_cache_strategy: str
    max_running_requests: int | None
    context_length: int
    speculation: Speculation | None


def resolve(
    model: ModelSpec,
    *,
    parallel: Parallel,
    gpu: Gpu,
    options: SGLangOptions,
    rules: Rules,
    kv_cache_dtype: str,
    context_length: int,
) -> Resolved:
    """Return the options as SGLang resolves them for `model` on `gpu`.

    Args:
        model: the architecture.
        parallel: degrees of parallelism.
        gpu: the device (the smallest, if several).
        options: what the user set.
        rules: the release's rules.
        kv_cache_dtype: "auto" or a flag value; fp8_e5m2 excludes an attention backend.
        context_length: longest sequence that the server accepts.
    """
    chunk, decode_batch = _sizes(parallel, gpu, options, rules)
    prefill = _prefill_graphs(model, parallel=parallel, gpu=gpu, options=options, rules=rules)
    captured = chunk if options.max_total_tokens is None else min(chunk, options.max_total_tokens)
    if rules.prefill_graphs_in_context and options.context_length is not None:
        captured = min(captured, options.context_length)
    buckets = prefill_buckets(captured)
    if prefill != "disabled" and options.moe_a2a_backend == "deepep":
        captured, buckets = DEEPEP_CAPTURED, DEEPEP_BUCKETS
    reserve = reserve_mib(
        chunk=chunk,
        decode_batch=decode_batch,
        buckets=buckets if prefill != "disabled" else 0,
        parallel=parallel,
        gpu=gpu,
        options=options,
        rules=rules,
    )
    fraction = options.mem_fraction_static
    if fraction is None:
        fraction = round((gpu.memory_mib - reserve) / gpu.memory_mib, 3)
        if not options.language_only:
            fraction *= vision_factor(model)
    radix_off = options.disable_radix_cache
    mtp_with_radix = options.speculative_algorithm is not None and not radix_off
    if mtp_with_radix and rules.mtp_without_buffer == "radix off":
        radix_off = options.mamba_radix_cache_strategy in ("auto", "no_buffer")
    attention = attention_of(
        model,
        gpu=gpu,
        options=options,
        rules=rules,
        radix_off=radix_off,
        kv_cache_dtype=kv_cache_dtype,
    )
    if attention.backend == "aiter" and context_length > 8192:
        fraction *= 0.85
    strategy, no_overlap = _strategy(options, rules, page_size=attention.requested_page_size)
    if radix_off:
        strategy, no_overlap = options.mamba_radix_cache_strategy, options.disable_overlap_schedule
    chunk //= parallel.attn_dp_size
    if parallel.attn_dp_size > 1 and prefill != "disabled" and captured > chunk:
        buckets = prefill_buckets(chunk)
    speculation = _speculation(model, options)
    running = options.max_running_requests
    if speculation is not None and running is None:
        running = MTP_RUNNING_REQUESTS
    return Resolved(
        chunked_prefill_size=chunk,
        decode_cuda_graph_max_bs=decode_batch,
        decode_graph_backend=(
            "full" if options.decode_graphs and not attention.without_graphs else "disabled"
        ),
        prefill_graph_backend="disabled" if attention.without_graphs else prefill,
        prefill_graph_buckets=buckets,
        mem_fraction_static=fraction,
        reserve_mib=reserve,
        page_size=attention.page_size,
        attention_backend=attention.backend,
        disable_radix_cache=radix_off,
        disable_overlap_schedule=no_overlap or parallel.pp_size > 1,
        mamba_radix_cache_strategy=strategy,
        max_running_requests=running,
        context_length=context_length,
        speculation=speculation,
    )


def reserve_mib(
    *,
    chunk: int,
    decode_batch: int,
    buckets: int,
    parallel: Parallel,
    gpu: Gpu,
    options: SGLangOptions,
    rules: Rules,
) -> float:
    """Return the MiB that SGLang leaves outside weights and pools.

        512 + 1.5 max(chunk, 2048) + 128 tp pp + 2 decode batch + 8 buckets
        + attention dp: 3 batch dp (4.5 above batch 300);  at least 10 GiB on GPUs above 60 GiB;
        + DeepEP, + speculation (old releases)

    Source: SGLang 0.5.23 arg_groups/memory_hook.py (handle_gpu_memory_settings).
    """
    tokens = chunk if chunk > 0 else options.max_prefill_tokens
    reserve = 512 + max(tokens, 2048) * 1.5
    reserve += parallel.tp_size * parallel.pp_size / 8 * 1024
    if options.decode_graphs or rules.reserve_decode_graph_always:
        reserve += decode_batch * 2
    if parallel.attn_dp_size > 1:
        reserve += decode_batch * parallel.attn_dp_size * 3
        if decode_batch > 300:
            reserve += decode_batch * parallel.attn_dp_size * 1.5
    reserve += 8 * buckets
    deepep = options.moe_a2a_backend == "deepep"
    if deepep and buckets:
        reserve += rules.deepep_prefill_reserve_mib
    if gpu.memory_mib > 60 * GIB_IN_MIB:
        reserve = max(reserve, LEAST_RESERVE_MIB)
    if deepep and options.decode_graphs:
        reserve += rules.deepep_reserve_mib
    if options.speculative_algorithm is not None:
        reserve += rules.mtp_reserve_mib
    return reserve


def vision_factor(model: ModelSpec) -> float:
    """Return the share of the fraction that a vision tower leaves.

        0.95 x clamp(1 - 0.1 (C - 1), 0.8, 1.05),  C = layers x hidden^2 / (24 x 1024^2)

    The engine looks for `num_hidden_layers`, which this family's vision_config does not have, and
    takes 24.

    Source: SGLang 0.5.23 arg_groups/memory_hook.py (adjust_mem_fraction_for_vlm).
    """
    if model.vision is None:
        return 1.0
    complexity = 24 * model.vision.hidden_size**2 / (24 * 1024**2)
    return 0.95 * max(0.8, min(1.05, 1.0 - 0.1 * (complexity - 1.0)))


@lru_cache(maxsize=256)
def prefill_buckets(largest: int) -> int:
    """Return how many prefill sizes up to `largest` tokens are captured.

    Source: SGLang 0.5.23 arg_groups/cuda_graph_hook.py (generate_prefill_cuda_graph_batch_sizes).
    """
    steps = (
        range(4, 33, 4),
        range(48, 257, 16),
        range(288, 513, 32),
        range(576, 1025, 64),
        range(1280, 4097, 256),
        range(4608, largest + 1, 512),
    )
    return sum(size <= largest for sizes in steps for size in sizes)


def _sizes(parallel: Parallel, gpu: Gpu, options: SGLangOptions, rules: Rules) -> tuple[int, int]:
    """Return the prefill chunk and decode graph batch, before attention data parallelism divides."""
    chunk, small, large = LARGEST_TIER
    for below, *sizes in TIERS:
        if gpu.memory_mib < below * GIB_IN_MIB:
            found = (rules.small_gpu_chunk, *rules.small_gpu_graph) if sizes[0] is None else sizes
            chunk, small, large = found[0] or 0, found[1] or 0, found[2] or 0
            break
    if options.chunked_prefill_size is not None:
        chunk = options.chunked_prefill_size
    if options.cuda_graph_max_bs is not None:
        return chunk, options.cuda_graph_max_bs
    batch = small if parallel.tp_size < 4 else large
    if rules.clamp_graph_to_running and options.max_running_requests is not None:
        batch = min(batch, options.max_running_requests)
    return chunk, batch


def _prefill_graphs(
    model: ModelSpec, *, parallel: Parallel, gpu: Gpu, options: SGLangOptions, rules: Rules
) -> str:
    """Return the prefill graph backend: "breakable" or "disabled"."""
    off = (
        not options.prefill_graphs
        or not gpu.is_cuda
        or rules.prefill_graphs == "off"
        or (rules.prefill_graphs == "text-only" and model.vision is not None)
        or (parallel.pp_size > 1 and not rules.prefill_graphs_pipeline)
        or (parallel.attn_dp_size > 1 and not rules.prefill_graphs_attn_dp)
        or options.moe_a2a_backend not in rules.prefill_graphs_a2a
    )
    return "disabled" if off else "breakable"


def _strategy(options: SGLangOptions, rules: Rules, *, page_size: int | None) -> tuple[str, bool]:
    """Return the radix-cache strategy, and whether the overlap schedule is off."""
    strategy, no_overlap = options.mamba_radix_cache_strategy, options.disable_overlap_schedule
    if strategy != "auto":
        return strategy, no_overlap or (strategy == "no_buffer" and rules.no_buffer_stops_overlap)
    paging = page_size is not None and page_size > 1
    if rules.auto_strategy == "extra_buffer" and (not no_overlap or paging):
        return "extra_buffer", no_overlap
    return "no_buffer", True


def _speculation(model: ModelSpec, options: SGLangOptions) -> Speculation | None:
    if options.speculative_algorithm is None:
        return None
    steps, topk, tokens = MTP_DEFAULTS
    if options.speculative_num_steps is not None:
        steps = options.speculative_num_steps
        topk = options.speculative_eagle_topk or 1
        tokens = options.speculative_num_draft_tokens or steps + 1
    if topk == 1:
        tokens = steps + 1  # a chain verifies exactly its steps and the token before them
    layers = model.mtp.num_layers if model.mtp is not None else 1
    return Speculation(
        num_steps=steps,
        eagle_topk=topk,
        num_draft_tokens=tokens,
        draft_layers=layers if options.speculative_draft_model_path is not None else 0,
    )
