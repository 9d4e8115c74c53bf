"""What vLLM keeps for indexed attention, n-gram tables and wide residual streams.

Rules of kinds of layers, beside those of full attention and Gated DeltaNet in `pool`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from planner.engines.engine import Deployment, Refusal
from planner.engines.vllm.formats import BFLOAT16
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import capability, rules_of, source
from planner.formats import dtype_bytes, get_cache_format
from planner.memory.breakdown import Kind, Term
from planner.memory.kv_cache import index_bytes
from planner.memory.recurrent_state import ngram_window_bytes
from planner.memory.weights import table_bytes
from planner.model.layers import Indexer, NgramEmbedding
from planner.model.spec import ModelSpec
from planner.provenance import Confidence
from planner.units import GIB, format_gib, round_up

TOPK_BYTES = 4
"""An index of a chosen token is an int32."""

TABLE_FLAG = "--engram-config"
TABLE_ON_GPU = '{"cpu_offload": false}'
"""Puts tables of n-grams on the GPUs (config/engram.py)."""


def index_page_bytes(deployment: Deployment, *, block_size: int, dtype: str) -> int:
    """Return the bytes of an indexer's keys in one block of one layer, the same on every rank.

    Args:
        deployment: the deployment.
        block_size: tokens of the block.
        dtype: the model's own.

    Source: vLLM 0.33.0 models/qwen4_exp/common/qsa_cache.py (MLAAttentionSpec, tokens_per_state).
    """
    indexer = deployment.checkpoint.model.attention.indexer
    if indexer is None:
        return 0
    kept = deployment.options.indexer_kv_dtype
    width = dtype_bytes(dtype if kept == "auto" else kept)
    return index_bytes(indexer, tokens=block_size, dtype_bytes=width)


def ring_tokens(indexer: Indexer, options: VllmOptions) -> int:
    """Return the raw keys that a layer keeps per sequence until their block is whole.

        ceil((compress_ratio + n) / compress_ratio) x compress_ratio

    Source: vLLM 0.33.0 models/qwen4_exp/common/qsa_cache.py (CircularBufferSpec).
    """
    return round_up(indexer.compress_ratio + options.num_speculative_tokens, indexer.compress_ratio)


def topk_buffer_bytes(model: ModelSpec, *, tokens: int, layers: int) -> int:
    """Return the buffers of the chosen tokens' indices, held by every rank for every step.

        layers x max_num_batched_tokens x (budget + compress_ratio) x 4

    Source: vLLM 0.33.0 models/qwen4_exp/nvidia/qsa.py.
    """
    indexer = model.attention.indexer
    if indexer is None:
        return 0
    return layers * tokens * (indexer.budget + indexer.compress_ratio) * TOPK_BYTES


def stream_buffer_bytes(model: ModelSpec, *, tokens: int) -> int:
    """Return the bytes of one step's residual streams that an MTP module reads; zero without such streams.

    Source: vLLM 0.33.0 models/qwen4_exp/nvidia/mtp.py.
    """
    if model.streams is None:
        return 0
    return tokens * model.streams.count * model.hidden_size * 2


def step_buffers(model: ModelSpec, options: VllmOptions, *, tokens: int) -> Iterator[Term]:
    """Yield the buffers that indexers and residual streams keep for the largest step."""
    indexer = model.attention.indexer
    drafting = model.mtp.num_layers if options.drafts_by_itself and model.mtp else 0
    if indexer is not None:
        layers = len(model.full_attention_layers) + drafting
        yield Term(
            name="indices of the tokens that queries read",
            kind=Kind.RUNTIME,
            nbytes=topk_buffer_bytes(model, tokens=tokens, layers=layers),
            confidence=Confidence.ENGINE_RULE,
            formula="layers x max_num_batched_tokens x (budget + compress ratio) x 4",
            values={
                "layers": layers,
                "max_num_batched_tokens": tokens,
                "budget": indexer.budget,
                "compress ratio": indexer.compress_ratio,
            },
            source=source("models/qwen4_exp/nvidia/qsa.py"),
        )
    if drafting and model.streams is not None:
        yield Term(
            name="residual streams for the MTP module",
            kind=Kind.RUNTIME,
            nbytes=stream_buffer_bytes(model, tokens=tokens),
            confidence=Confidence.ENGINE_RULE,
            formula="max_num_batched_tokens x streams x hidden size x 2",
            values={
                "max_num_batched_tokens": tokens,
                "streams": model.streams.count,
                "hidden size": model.hidden_size,
            },
            source=source("models/qwen4_exp/nvidia/mtp.py"),
        )


def window_rows(ngrams: NgramEmbedding, options: VllmOptions) -> int:
    """Return the tokens of the window: one more per drafted token."""
    return ngrams.window + options.num_speculative_tokens


def window_state_bytes(deployment: Deployment, *, dtype: str) -> int:
    """Return the bytes of one sequence's window of an n-gram embedding, the same on every rank.

    Source: vLLM 0.33.0 models/qwen4_exp/nvidia/ple_layer.py (MambaSpec of the short convolution).
    """
    model, options = deployment.checkpoint.model, deployment.options
    ngrams = model.ngrams
    if ngrams is None:
        return 0
    return ngram_window_bytes(
        ngrams,
        width=model.stream_width,
        dtype_bytes=dtype_bytes(dtype),
        rows=window_rows(ngrams, options),
    )


def on_host(options: VllmOptions) -> bool:
    """Say whether tables of n-grams lie in host memory: by default, where the release can do so."""
    return options.engram_cpu_offload and rules_of(options.version).host_tables


def table_on_rank(deployment: Deployment) -> int:
    """Return the bytes of tables of n-grams that one rank holds, wherever it holds them.

        table / TP;  / (TP x DP) with embedding_across_dp

    Source: vLLM 0.33.0 config/engram.py.
    """
    layout, options = deployment.layout, deployment.options
    replicas = layout.data_parallel if options.engram_across_dp else 1
    return table_bytes(deployment.checkpoint, cuts=layout.tensor_parallel * replicas)


def host_table_bytes(deployment: Deployment) -> int:
    """Return the bytes of tables of n-grams in the host memory of one node.

    One copy per node, each rank its share of the rows (dp_shared_memory shares it among replicas).
    """
    if not on_host(deployment.options):
        return 0
    system, layout = deployment.system, deployment.layout
    here = min(system.accelerators_per_node, layout.accelerators)
    replicas = layout.data_parallel if deployment.options.engram_across_dp else 1
    shares = min(here, layout.tensor_parallel * replicas)
    return shares * table_on_rank(deployment)


def table_notes(deployment: Deployment) -> Iterator[str]:
    """Yield where tables of n-grams lie, where nothing has to be done about it."""
    size, host = host_table_bytes(deployment), deployment.system.host_memory_gib
    if size and host is not None and size <= host.value * GIB and not _shares(deployment):
        yield (
            f"the n-gram table takes {format_gib(size)} of pinned RAM on each machine;"
            f" {_on_gpu(deployment)}"
        )


def table_warnings(deployment: Deployment) -> Iterator[str]:
    """Yield what a machine must have for tables of n-grams that its accelerators do not hold."""
    size, host = host_table_bytes(deployment), deployment.system.host_memory_gib
    if not size:
        return
    if _shares(deployment):
        each = " on each machine" if deployment.nodes > 1 else ""
        yield (
            f"the n-gram table takes {format_gib(size)} of the memory that CPU and GPU share{each}:"
            f" vLLM {deployment.options.version} has no way to leave it on disk"
        )
    elif host is None:
        yield (
            f"the n-gram table needs {format_gib(size)} of pinned RAM on each machine: see"
            f" that it is free; {_on_gpu(deployment)}"
        )


def table_shortage(deployment: Deployment) -> str | None:
    """Return what is missing where the host's memory is known and does not hold the tables."""
    size, host = host_table_bytes(deployment), deployment.system.host_memory_gib
    if host is None or size <= host.value * GIB or _shares(deployment):
        return None
    return (
        f"the n-gram table needs {format_gib(size)} of pinned RAM, and the machine has"
        f" {format_gib(int(host.value * GIB))}; {_on_gpu(deployment)}"
    )


def _shares(deployment: Deployment) -> bool:
    return deployment.system.accelerator.is_unified


def _on_gpu(deployment: Deployment) -> str:
    share = format_gib(table_on_rank(deployment))
    return f"{TABLE_FLAG} '{TABLE_ON_GPU}' puts {share} of it on every GPU instead"


def kind_flags(options: VllmOptions) -> list[str]:
    """Return the words of a command that place tables of n-grams and choose an indexer's dtype."""
    words: list[str] = []
    engram: dict[str, bool] = {}
    if not options.engram_cpu_offload:
        engram["cpu_offload"] = False
    if options.engram_across_dp:
        engram["embedding_across_dp"] = True
    if engram:
        words += [TABLE_FLAG, json_text(engram)]
    if options.indexer_kv_dtype != "auto":
        words += ["--attention-config", json_text({"indexer_kv_dtype": options.indexer_kv_dtype})]
    return words


def json_text(value: Any) -> str:
    """Return a flag's value as JSON: few plans have one, and a start without it loads no json."""
    import json

    return json.dumps(value)


def indexed_refusals(deployment: Deployment, *, dtype: str) -> Iterator[Refusal]:
    """Yield what vLLM refuses for indexed attention and n-gram embeddings beside what it always does.

    Source: vLLM 0.33.0 models/qwen4_exp, run for 23 refused cases.
    """
    model, layout, options = deployment.checkpoint.model, deployment.layout, deployment.options
    accelerator, rules = deployment.system.accelerator, rules_of(options.version)
    if model.ngrams is not None and layout.pipeline_parallel > 1:
        yield Refusal(
            reason="n-gram embeddings need the token ids, which later pipeline stages do not have",
            source=source("models/qwen4_exp/nvidia/ple_layer.py"),
            remedy="use tensor and data parallelism",
        )
    indexer = model.attention.indexer
    if indexer is None:
        return
    if accelerator.vendor not in ("nvidia", "amd", "custom"):
        yield Refusal(
            reason=f"indexed attention runs on NVIDIA and AMD GPUs, not on {accelerator.name}",
            source=source("models/qwen4_exp"),
        )
    have = capability(accelerator)
    if dtype != "bfloat16" or (have is not None and have < BFLOAT16):
        yield Refusal(
            reason="indexed attention runs in BF16 only",
            engine_message=f"{_named(model)} currently requires BF16",
            source=source("models/qwen4_exp/nvidia/qsa.py"),
        )
    if deployment.kv_cache_dtype != "auto":
        name, taken = get_cache_format(deployment.kv_cache_dtype).name, rules.indexed_kv_dtypes
        if name not in taken:
            yield Refusal(
                reason=f"indexed attention keeps its KV cache in {' or '.join(taken)}, not in"
                f" {name}",
                engine_message=f"{_named(model)} requires a BF16 or FP8-e4m3 main KV cache"
                if len(taken) > 1
                else f"{_named(model)} requires a BF16 main KV cache",
                source=source("models/qwen4_exp/common/qsa_cache.py"),
                remedy=f"use auto or {' or '.join(taken)}",
            )
    if options.indexer_kv_dtype not in rules.index_dtypes:
        yield Refusal(
            reason=f"an indexer's keys cannot be {options.indexer_kv_dtype} in vLLM"
            f" {options.version}",
            source=source("models/qwen4_exp"),
            remedy="leave indexer_kv_dtype at auto, or use a newer release",
        )
    if layout.context_parallel > 1:
        yield Refusal(
            reason="indexed attention does not share tokens over ranks (context parallelism)",
            source=source("models/qwen4_exp/nvidia/qsa.py"),
        )
    if options.num_speculative_tokens and options.speculative_method != "mtp":
        yield Refusal(
            reason="indexed attention drafts with the model's own MTP module or with n-grams only",
            source=source("models/qwen4_exp"),
        )


def ring_refusals(deployment: Deployment, *, block_size: int) -> Iterator[Refusal]:
    """Yield a refusal where the ring of raw keys does not divide the attention block."""
    indexer = deployment.checkpoint.model.attention.indexer
    if indexer is None:
        return
    ring = ring_tokens(indexer, deployment.options)
    if block_size % ring:
        yield Refusal(
            reason=f"drafting {deployment.options.num_speculative_tokens} tokens keeps {ring} raw"
            f" keys per layer, which do not divide blocks of {block_size}",
            engine_message=f"QSA ring capacity {ring} must divide the attention block size"
            f" {block_size}",
            source=source("models/qwen4_exp/common/qsa_cache.py"),
            remedy="draft at most 4 tokens",
        )


def _named(model: ModelSpec) -> str:
    """Return how vLLM's error lines call a model's indexed attention."""
    return f"{model.architecture.partition('For')[0]} QSA"
