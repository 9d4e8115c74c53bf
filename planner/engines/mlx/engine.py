"""MLX (mlx-lm) as an engine: Apple's unified memory, one process, one machine."""

from __future__ import annotations

from collections.abc import Iterator

from hardware_db import Accelerator
from planner.bisection import largest_holding
from planner.engines.economies import Economy
from planner.engines.elsewhere import served_by
from planner.engines.engine import Capacity, Deployment, Engine, Launch, Refusal
from planner.engines.kinds import kind_refusals
from planner.engines.mlx.activations import (
    STEPS_AT_ONCE,
    layer_bytes,
    max_buffer_bytes,
    scores_bytes,
)
from planner.engines.mlx.answer import MlxAnswer
from planner.engines.mlx.cache import STEP, SequenceCache, sequence_cache, token_bytes
from planner.engines.mlx.launch import launch_of
from planner.engines.mlx.options import KEPT_CACHES, NEWEST, MlxOptions, source
from planner.errors import InputError
from planner.formats import get_cache_format
from planner.layout import Degrees
from planner.memory.breakdown import Kind, Rank, Term
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.provenance import Band, Confidence, Source
from planner.units import MIB, format_gib

CLOSE_TO_LIMIT = 0.9
"""mlx-lm warns that generation can be slow from this share of the limit on."""


class Mlx(Engine[MlxOptions, MlxAnswer]):
    """The policy of mlx-lm; the release is an option."""

    name = "mlx"
    title = "MLX"
    options_type = MlxOptions
    degrees = Degrees()
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
        accelerator = deployment.system.accelerator
        model, context = deployment.checkpoint.model, deployment.context
        usable = _usable(deployment)
        kept = options.prompt_cache_size or 0

        def rank(tokens: int, sequences: int) -> Rank:
            return Rank(
                name="GPU 0",
                count=1,
                total=max(usable, accelerator.total_bytes),
                usable=usable,
                terms=tuple(_terms(deployment, tokens, sequences, kept)),
            )

        limit = max_buffer_bytes(accelerator)

        def one_buffer(tokens: int, sequences: int) -> int:
            return _scores(deployment, tokens, sequences)

        def holds(tokens: int, sequences: int) -> bool:
            if one_buffer(tokens, sequences) > limit:
                return False
            return needed_bytes(deployment, tokens, sequences, kept) <= usable

        at_once = 1 if options.kv_bits is not None else options.decode_concurrency
        asked, alone = rank(context, deployment.concurrency), rank(context, 1)
        starts = holds(context, 1)
        largest = one_buffer(context, deployment.concurrency)
        worst = _too_large(STEPS_AT_ONCE * one_buffer(context, 1), limit) if starts else ""
        sequences = largest_holding(lambda batch: holds(context, batch), at_once)
        longest = max(model.max_position_embeddings, context if deployment.yarn else 0)
        one, weights = _cache(deployment, context), _weights(deployment.checkpoint)
        spare = max(0, asked.headroom) // one.total
        keeping = min(KEPT_CACHES, spare) if options.prompt_cache_size is None else kept
        alone_only = options.kv_bits is not None
        slots = "one request at a time" if alone_only else "decode_concurrency"
        return MlxAnswer(
            ranks=(asked,),
            capacity=Capacity(
                sequences=sequences,
                tokens=sequences * context,
                longest_context=largest_holding(lambda tokens: holds(tokens, 1), longest),
                limited_by=slots
                if sequences == at_once
                else "Metal's largest buffer"
                if one_buffer(context, sequences + 1) > limit
                else "memory lent to the GPU",
            ),
            starts=starts,
            shortfall=max(0, -alone.headroom),
            refusal=None if starts else _death(one_buffer(context, 1), limit),
            at_worst=worst,
            kv_cache_dtype=model.dtype if options.kv_bits is None else f"{options.kv_bits}-bit",
            placement=Placement(device=weights),
            options=options,
            weights=weights,
            cache=one,
            kv_bytes_per_token_per_layer=_token_bytes(deployment),
            keeping=keeping,
            working_set=usable,
            largest_buffer=largest,
            max_buffer=limit,
            warnings=(*((worst,) if worst else ()), *_warnings(deployment, asked, keeping)),
        )

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
            title=f"raise {limit.name}: {limit.command_for()}",
            loses="",
            cost=1,
            options={"iogpu_wired_limit_mb": int(limit.usable_mib.value)},
        )
    if options.prefill_step_size > SMALL_STEP:
        yield Economy(
            title=f"smaller prefill steps (--prefill-step-size {SMALL_STEP})",
            loses="prompts are computed more slowly",
            cost=2,
            options={"prefill_step_size": SMALL_STEP},
        )
    if options.prompt_concurrency > 1 and options.kv_bits is None:
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
            remedy="leave the KV cache dtype at auto and set kv_bits to 8 or 4",
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


def _usable(deployment: Deployment) -> int:
    limit = deployment.options.iogpu_wired_limit_mb
    return deployment.system.accelerator.total_bytes if limit is None else int(limit) * MIB


def _weights(checkpoint: Checkpoint) -> int:
    """Bytes of the text model: mlx-lm drops the vision tower and the MTP module."""
    return checkpoint.nbytes("text")


def _cache(deployment: Deployment, tokens: int) -> SequenceCache:
    options: MlxOptions = deployment.options
    return sequence_cache(
        deployment.checkpoint.model,
        tokens=tokens,
        kv_bits=options.kv_bits,
        group=options.kv_group_size,
        quantized_kv_start=options.quantized_kv_start,
    )


def _token_bytes(deployment: Deployment) -> int:
    options: MlxOptions = deployment.options
    return token_bytes(
        deployment.checkpoint.model, kv_bits=options.kv_bits, group=options.kv_group_size
    )


def _layer(deployment: Deployment, tokens: int, sequences: int) -> int:
    """Return the bytes of the widest layer in one prefill step."""
    batch, step = _step(deployment, tokens, sequences)
    return layer_bytes(deployment.checkpoint.model, tokens=batch * step)


def needed_bytes(deployment: Deployment, tokens: int, sequences: int, kept: int) -> int:
    """Return the bytes of all terms (see `_terms`), which a search asks for many times."""
    cache = _cache(deployment, tokens)
    peak = _layer(deployment, tokens, sequences) + _scores(deployment, tokens, sequences)
    return _weights(deployment.checkpoint) + (sequences + kept) * cache.total + peak


def _terms(deployment: Deployment, tokens: int, sequences: int, kept: int) -> Iterator[Term]:
    model = deployment.checkpoint.model
    weights, cache = _weights(deployment.checkpoint), _cache(deployment, tokens)
    yield Term(
        name="weights (text)",
        kind=Kind.WEIGHTS,
        nbytes=weights,
        confidence=deployment.checkpoint.confidence(Confidence.ENGINE_RULE),
        formula="bytes of the text tensors",
        values={"bytes of the text tensors": weights},
        source=source("models/qwen3_5.py (sanitize)"),
        band=deployment.checkpoint.band_on(weights),
    )
    per_token = len(model.full_attention_layers) * _token_bytes(deployment)
    yield Term(
        name="KV cache (workload)",
        kind=Kind.KV_CACHE,
        nbytes=sequences * cache.kv,
        confidence=Confidence.ENGINE_RULE,
        formula=f"sequences x {STEP} x ceil(tokens / {STEP}) x bytes per token",
        values={
            "sequences": sequences,
            "tokens": tokens,
            "bytes per token": cache.kv // max(1, -(-tokens // STEP) * STEP),
        },
        source=source("models/cache.py (KVCache, QuantizedKVCache)"),
        band=Band(below=0, above=sequences * (STEP - 1) * per_token),
    )
    if cache.state:
        yield Term(
            name="recurrent state (workload)",
            kind=Kind.RECURRENT_STATE,
            nbytes=sequences * cache.state,
            confidence=Confidence.ENGINE_RULE,
            formula="sequences x (convolution + recurrent)",
            values={
                "sequences": sequences,
                "convolution": cache.conv,
                "recurrent": cache.recurrent,
            },
            source=source("models/qwen3_5.py (ArraysCache)"),
        )
    if kept:
        yield Term(
            name="kept caches of finished requests",
            kind=Kind.KV_CACHE,
            nbytes=kept * cache.total,
            confidence=Confidence.ENGINE_RULE,
            formula="caches x bytes of a sequence",
            values={"caches": kept, "bytes of a sequence": cache.total},
            source=source("server.py, models/cache.py (LRUPromptCache)"),
        )
    layer = _layer(deployment, tokens, sequences)
    scores = _scores(deployment, tokens, sequences)
    yield Term(
        name="activation peak (prefill step)",
        kind=Kind.ACTIVATIONS,
        nbytes=layer + scores,
        confidence=Confidence.ASSUMED,
        formula="widest layer + scores",
        values={"widest layer": layer, "scores": scores},
        source=source("models/qwen3_5.py, first-order reading"),
        band=Band(below=scores + layer // 2, above=(STEPS_AT_ONCE - 1) * scores + layer // 2),
    )


def _step(deployment: Deployment, tokens: int, sequences: int) -> tuple[int, int]:
    """Return (prompts, tokens of each) of one prefill step."""
    options: MlxOptions = deployment.options
    batch = 1 if options.kv_bits is not None else min(sequences, options.prompt_concurrency)
    return batch, min(options.prefill_step_size, tokens)


def _scores(deployment: Deployment, tokens: int, sequences: int) -> int:
    """Return the scores of one prefill step, which are one buffer."""
    batch, step = _step(deployment, tokens, sequences)
    return scores_bytes(deployment.checkpoint.model, batch=batch, step=step, context=tokens)


def _death(largest: int, limit: int) -> str:
    """Return what mlx-lm dies with."""
    if largest > limit:
        return (
            f"[metal::malloc] Attempting to allocate {largest} bytes which is greater than the"
            f" maximum allowed buffer size of {limit} bytes."
        )
    return "Insufficient Memory (kIOGPUCommandBufferCallbackErrorOutOfMemory)"


def _too_large(largest: int, limit: int) -> str:
    """Return what goes wrong where several steps' scores are in one buffer; empty if nothing."""
    if largest <= limit:
        return ""
    return (
        f"the scores of a prompt's steps may need one buffer of {format_gib(largest)}, and Metal"
        f" allows {format_gib(limit)} (a smaller --prefill-step-size avoids it)"
    )


def _warnings(deployment: Deployment, rank: Rank, keeping: int) -> Iterator[str]:
    options: MlxOptions = deployment.options
    model, accelerator = deployment.checkpoint.model, deployment.system.accelerator
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
    if options.prompt_cache_size is None and keeping < KEPT_CACHES:
        yield (
            f"by default the server keeps the caches of {KEPT_CACHES} finished requests; only"
            f" {keeping} of this length fit beside the workload, so the command carries --prompt-cache-size"
        )
    if deployment.yarn and deployment.context > model.max_position_embeddings:
        yield "mlx_lm.server has no flag for YaRN: config.json must be edited (see the notes)"
    yield "the process itself (Python, Metal buffers kept for reuse) is not planned for"
