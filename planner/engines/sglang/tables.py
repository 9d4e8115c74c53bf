"""Where SGLang puts tables of n-grams, and what it keeps beside its pools (read, not run)."""

from __future__ import annotations

from collections.abc import Iterator

from planner.columns import choose, is_zero
from planner.engines.engine import Deployment
from planner.engines.sglang.pool import PADDING_SLOTS, Allocated, Pool
from planner.engines.sglang.server import Server
from planner.memory.breakdown import Kind, Term
from planner.memory.weights import table_bytes
from planner.model.tensors import NGRAM_TABLE
from planner.provenance import Confidence, Source
from planner.units import format_gib

TABLE = f"text.{NGRAM_TABLE}"
_ON_GPU = "--no-ple-offload-embedding puts each rank's share of it on its GPU instead"
PADDING = "padding slot of the states (outside the budget)"
BESIDE = "windows of n-grams and rings of indexers (outside the budget)"


def table_on_host(server: Server) -> bool:
    """Say whether tables of n-grams lie in pinned host memory: by default on CUDA devices.

    Source: SGLang 0.5.23 models/qwen4_exp.py (ple_offload_embedding).
    """
    return server.options.ple_offload_embedding and server.gpu.is_cuda


def table_takes_gpu(server: Server) -> bool:
    """Say whether they take the GPU's memory: there, or in the host memory that it shares."""
    if server.options.ple_offload_backend == "file":
        return False
    return server.gpu.integrated or not table_on_host(server)


def host_table_bytes(server: Server) -> int:
    """Return the bytes of tables of n-grams in the pinned host memory of all machines."""
    if not table_on_host(server) or table_takes_gpu(server) or server.options.ple_offload_backend:
        return 0
    return table_bytes(server.checkpoint) * server.parallel.replicas


def table_shortage(deployment: Deployment, server: Server) -> str | None:
    """Return what is missing where the hosts' memory is known and does not hold the tables."""
    have = deployment.host_memory
    if have is None or (size := host_table_bytes(server)) <= have:
        return None
    return (
        f"the n-gram table needs {format_gib(size)} of pinned RAM, and the machine has"
        f" {format_gib(have)}; {_ON_GPU}"
    )


def table_words(deployment: Deployment, server: Server) -> tuple[str, ...]:
    """Say what a machine must have for tables of n-grams, and the flag that moves them."""
    size = table_bytes(server.checkpoint)
    if not size:
        return ()
    if server.options.ple_offload_backend == "file":
        return ("the n-gram table is mapped from disk: name a folder with --ple-offload-dir",)
    if server.gpu.integrated:
        share = table_bytes(server.checkpoint, cuts=server.parallel.tp_size)
        each = " on each machine" if deployment.nodes > 1 else ""
        return (
            f"the n-gram table takes {format_gib(share)} of the memory that CPU and GPU share{each};"
            " --ple-offload-backend file --ple-offload-dir DIR leaves it on disk",
        )
    if not table_on_host(server) or deployment.system.host_memory_gib is not None:
        return ()
    return (
        f"the n-gram table needs {format_gib(size)} of pinned RAM: see that it is free; {_ON_GPU}",
    )


def beside_terms(server: Server, pool: Pool, taken: Allocated) -> Iterator[Term]:
    """Yield what states take beside the pools that the release budgets."""
    running, resolved = pool.running, server.resolved
    if not server.rules.budgets_padding_slot and not is_zero(running):
        drafted = resolved.speculation.num_draft_tokens if resolved.speculation else 0
        per_slot = pool.geometry.stage_slot_bytes
        yield Term(
            name=PADDING,
            kind=Kind.RECURRENT_STATE,
            nbytes=choose(running > 0, PADDING_SLOTS * (1 + drafted) * per_slot, 0),
            confidence=Confidence.ENGINE_RULE,
            formula="padding slots x (1 + draft tokens) x bytes per slot",
            values={
                "padding slots": PADDING_SLOTS,
                "draft tokens": drafted,
                "bytes per slot": per_slot,
            },
            source=Source(where=f"SGLang {server.rules.version} mem_cache/memory_pool.py"),
        )
    size = taken.beside
    if not is_zero(size):
        yield Term(
            name=BESIDE,
            kind=Kind.RECURRENT_STATE,
            nbytes=size,
            confidence=Confidence.ASSUMED,
            formula="slots x window + requests x ring",
            values={
                "slots": (size - pool.running * pool.geometry.ring_bytes)
                // max(1, pool.geometry.window_bytes),
                "window": pool.geometry.window_bytes,
                "requests": pool.running,
                "ring": pool.geometry.ring_bytes,
            },
            source=Source(
                where=f"SGLang {server.rules.version} mem_cache/qsa_kv_pool.py, models/qwen4_exp.py"
            ),
        )
