"""MLX (mlx-lm) as an engine: Apple's unified memory, one process, one machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hardware_db import Accelerator
from planner.engines.columns import Columns
from planner.engines.economies import Economy
from planner.engines.elsewhere import served_by
from planner.engines.engine import Capacity, Deployment, Engine, Launch, Refusal
from planner.engines.kinds import kind_refusals
from planner.engines.mlx.answer import MlxAnswer
from planner.engines.mlx.launch import launch_of
from planner.engines.mlx.memory import Memory, longest_context, memory_of
from planner.engines.mlx.options import KEPT_CACHES, NEWEST, MlxOptions, source
from planner.errors import InputError
from planner.formats import get_cache_format
from planner.layout import Degrees
from planner.memory.breakdown import Rank
from planner.memory.placement import Placement
from planner.provenance import Source
from planner.units import MIB, counted, format_gib

CLOSE_TO_LIMIT = 0.9
"""mlx-lm warns that generation can be slow from this share of the limit on."""


class Mlx(Engine[MlxOptions, MlxAnswer]):
    """The policy of mlx-lm; the release is an option."""

    name = "mlx"
    title = "MLX"
    options_type = MlxOptions
    degrees = Degrees()
    cache_dtypes = ("bfloat16", "float16", "float32")
    cache_advice = "--kv-bits 8 or 4 stores it smaller"
    raises_limit = True

    def version(self, options: MlxOptions) -> str:
        """The release of mlx-lm that is asked for."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Why MLX cannot run it."""
        unknown = kind_refusals(self, deployment)
        return unknown or tuple(_refusals(deployment))

    def allocate(self, deployment: Deployment) -> MlxAnswer:
        """Weights, cache and one prefill step within the memory that macOS lends the GPU.

            usable = recommendedMaxWorkingSetSize, or iogpu.wired_limit_mb where it is set

        Source: mlx-lm 0.32.2 server.py (maybe_set_recommended_wired_limit).
        """
        options: MlxOptions = deployment.options
        memory, context = memory_of(deployment), deployment.context
        limit = memory.largest_buffer
        asked = memory.rank(context, deployment.concurrency)
        starts = memory.holds(context, 1) and not memory.ends_together(
            context, deployment.concurrency
        )
        prompts, own = memory.prompts(context, deployment.concurrency), options.prompts
        worst = _too_large(memory, context, safe=prompts) if starts else ""
        sequences = memory.sequences(context)
        native = deployment.checkpoint.model.max_position_embeddings
        longest = max(native, context if deployment.yarn else 0)
        one = memory.caches.of(context)
        keeping = memory.kept
        if options.prompt_cache_size is None:
            keeping = min(KEPT_CACHES, max(0, asked.headroom) // one.total)
        dtype = deployment.checkpoint.model.dtype
        return MlxAnswer(
            ranks=(asked,),
            capacity=Capacity(
                sequences=sequences,
                tokens=sequences * context,
                longest_context=longest_context(memory, longest),
                limited_by=memory.limited_by(context, sequences),
            ),
            starts=starts,
            shortfall=max(0, memory.needed(context, 1) - memory.usable),
            refusal=None if starts else _death(_fatal(memory, context, deployment), limit),
            at_worst=worst,
            curbed=f"{counted(prompts, 'prompt')} at a time" if prompts < own else "",
            kv_cache_dtype=dtype if options.kv_bits is None else f"{options.kv_bits}-bit",
            placement=Placement(device=memory.weights),
            options=options,
            weights=memory.weights,
            cache=one,
            kv_bytes_per_token_per_layer=memory.caches.token,
            keeping=keeping,
            prompts=prompts,
            working_set=memory.usable,
            largest_buffer=memory.scores(context, deployment.concurrency),
            max_buffer=limit,
            warnings=(
                *((worst,) if worst else ()),
                *_warnings(
                    deployment,
                    asked,
                    keeping=keeping,
                    prompts=prompts if starts and prompts < own and not worst else None,
                ),
            ),
        )

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts up to the native length."""
        return range(1, deployment.checkpoint.model.max_position_embeddings + 1)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once."""
        memory = memory_of(deployment)
        starts = memory.holds(contexts, 1) & ~memory.ends_together(contexts, concurrencies)
        sequences = memory.sequences(contexts)
        native = deployment.checkpoint.model.max_position_embeddings
        return Columns.of_ranks(
            (memory.rank(contexts, concurrencies),),
            contexts,
            starts=starts,
            tight=starts & (memory.at_worst(contexts) > memory.largest_buffer),
            sequences=sequences,
            tokens=sequences * contexts,
            longest_context=longest_context(memory, native),
            limited_by=memory.limited_by(contexts, sequences),
        )

    def as_started(self, deployment: Deployment) -> Deployment:
        """Return the longest request that it holds: the server starts and bounds none."""
        if self.refusals(deployment):
            return deployment
        longest = longest_context(memory_of(deployment), deployment.context)
        return replace(deployment, context=longest) if longest else deployment

    def launch(self, deployment: Deployment, answer: MlxAnswer) -> Launch:
        """`mlx_lm.server` with exactly the flags that the plan assumed."""
        return launch_of(deployment, answer)

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Return changes that save memory: smaller prefill steps, fewer prompts at once."""
        if self.refusals(deployment):
            return ()
        return tuple(_economies(deployment.options, deployment.system.accelerator))

    def expected_log(self, deployment: Deployment, answer: MlxAnswer) -> tuple[str, ...]:
        """The warning that it prints where weights come close to the limit."""
        weights, limit = answer.weights, answer.working_set
        if weights <= CLOSE_TO_LIMIT * limit:
            return ()
        return (
            f"[WARNING] Generating with a model that requires {weights // MIB} MB which is close to"
            f" the maximum recommended size of {limit // MIB} MB. This can be slow.",
        )


MLX = Mlx()

SMALL_STEP = 256
"""Tokens of a prefill step that is still worth its kernels' launches (assumed)."""


def _economies(options: MlxOptions, accelerator: Accelerator) -> Iterator[Economy]:
    limit = accelerator.unified.raisable if accelerator.unified is not None else None
    if limit is not None and options.iogpu_wired_limit_mb is None:
        yield Economy(
            title=limit.words,
            loses="",
            cost=1,
            options={"iogpu_wired_limit_mb": int(limit.usable_mib.value)},
        )
    if options.prompt_cache_size:
        yield Economy(
            title="keep only as many finished prompts as fit (without"
            f" --prompt-cache-size {options.prompt_cache_size})",
            loses="older prompts are computed again",
            cost=1,
            options={"prompt_cache_size": None},
        )
    if options.prefill_step_size > SMALL_STEP:
        yield Economy(
            title=f"smaller prefill steps (--prefill-step-size {SMALL_STEP})",
            loses="prompts are computed more slowly",
            cost=2,
            options={"prefill_step_size": SMALL_STEP},
        )
    if options.prompts > 1:
        yield Economy(
            title="one prompt at a time (--prompt-concurrency 1)",
            loses="prompts wait for each other",
            cost=2,
            options={"prompt_concurrency": 1},
        )


def _refusals(deployment: Deployment) -> Iterator[Refusal]:
    accelerator, checkpoint = deployment.system.accelerator, deployment.checkpoint
    if accelerator.vendor != "apple":
        yield Refusal(
            reason=f"MLX is planned for Apple's GPUs only, not for {accelerator.name}",
            source=Source(where="mlx 0.32.4 (Metal); its CUDA build was not looked at"),
            remedy=served_by(accelerator) or "vLLM or llama.cpp run there",
        )
    if deployment.layout.accelerators > 1:
        yield Refusal(
            reason="several machines (mx.distributed) are not covered",
            source=source("server.py (--pipeline)"),
            remedy="plan for one machine",
        )
    foreign = [name for name in checkpoint.kernels if not name.startswith("mlx-")]
    if foreign:
        yield Refusal(
            reason=f"loading {checkpoint.recipe.name} weights in MLX was not verified",
            source=source("utils.py (load_model)"),
            remedy="use BF16, or an MLX precision such as mlx-4bit",
        )
    name, dtype = deployment.kv_cache_dtype, checkpoint.model.dtype
    if name != "auto" and not _same(name, dtype):
        yield Refusal(
            reason=f"the cache is kept in {dtype} or quantized by --kv-bits, not in {name}",
            source=source("models/cache.py"),
            remedy="leave the KV cache dtype at auto and give --kv-bits 8 or 4",
        )
    if deployment.options.kv_bits is not None and (
        checkpoint.model.attention.head_dim % deployment.options.kv_group_size
    ):
        yield Refusal(
            reason=f"heads of {checkpoint.model.attention.head_dim} are not whole groups of"
            f" {deployment.options.kv_group_size}",
            source=source("models/cache.py (QuantizedKVCache)"),
        )


def _same(name: str, dtype: str) -> bool:
    try:
        return get_cache_format(name).name == dtype
    except InputError:
        return False


def _fatal(memory: Memory, context: int, deployment: Deployment) -> int:
    """Return the bytes of the buffer with which the server ends: one prompt's, else all together."""
    alone, together = (int(memory.scores(context, n)) for n in (1, deployment.concurrency))
    return alone if alone > memory.largest_buffer else together


def _death(largest: int, limit: int) -> str:
    """Return what mlx-lm dies with."""
    if largest > limit:
        return (
            f"[metal::malloc] Attempting to allocate {largest} bytes which is greater than the"
            f" maximum allowed buffer size of {limit} bytes."
        )
    return "Insufficient Memory (kIOGPUCommandBufferCallbackErrorOutOfMemory)"


def _too_large(memory: Memory, context: int, *, safe: int) -> str:
    """Return what goes wrong where other prompts come into the step; empty if nothing."""
    largest, limit = memory.at_worst(context), memory.largest_buffer
    if largest <= limit:
        return ""
    options: MlxOptions = memory.deployment.options
    avoids = "--prompt-concurrency 1 avoids it"
    if options.prompt_concurrency is None:
        avoids = f"the command's --prompt-concurrency {safe} avoids it"
    return (
        f"{memory.prompts_together} such prompts at once need one buffer of {format_gib(largest)}"
        f" and end the server: Metal allows {format_gib(limit)} ({avoids})"
    )


def _warnings(
    deployment: Deployment, rank: Rank, *, keeping: int, prompts: int | None
) -> Iterator[str]:
    options: MlxOptions = deployment.options
    model, accelerator = deployment.checkpoint.model, deployment.system.accelerator
    if options.prompt_cache_size is None and not keeping:
        yield (
            "no cache of a finished request fits beside this (--prompt-cache-size 0): every request"
            " computes its whole prompt again, each turn of a chat, too"
        )
    elif options.prompt_cache_size is None and keeping < KEPT_CACHES:
        yield (
            f"by default the server keeps the caches of {KEPT_CACHES} finished requests; only"
            f" {keeping} of this length fit beside the workload, so the command carries --prompt-cache-size"
        )
    if prompts is not None:
        yield (
            f"{options.prompts} such prompts at once, as the server takes them, would not fit: the"
            f" command carries --prompt-concurrency {prompts}"
        )
    if deployment.system.nodes > 1:
        yield (
            f"one machine of {deployment.system.nodes} is planned: several (mx.distributed) are not"
            " covered"
        )
    if options.version != NEWEST:
        yield f"rules were read from mlx-lm {NEWEST}: those of {options.version} are assumed alike"
    if options.iogpu_wired_limit_mb is None:
        unified = accelerator.unified
        share = unified.default_gpu_share if unified is not None else None
        if share is not None:
            yield (
                f"macOS lends the GPU about {share.value:.0%} of the memory by default"
                " (iogpu.wired_limit_mb raises it); older releases lend less"
            )
    elif rank.usable > accelerator.total_bytes:
        yield "iogpu.wired_limit_mb is above macOS's default: leave the system several GiB"
    if options.kv_bits is not None:
        yield "with --kv-bits the server answers one request at a time"
    if model.vision is not None:
        yield "mlx-lm serves the text model only: the vision tower is not loaded"
    if deployment.yarn and deployment.context > model.max_position_embeddings:
        yield "mlx_lm.server has no flag for YaRN: config.json must be edited (see the notes)"
    yield "the process itself (Python, Metal buffers kept for reuse) is not planned for"
