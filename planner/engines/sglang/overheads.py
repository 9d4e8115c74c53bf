"""Account for one rank: the memory that SGLang finds, what it budgets, and what it leaves outside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from hardware_db import Accelerator
from hardware_db.records import frozen_with_cache
from planner.columns import is_zero, larger, smaller
from planner.engines.sglang.defaults import Resolved
from planner.engines.sglang.pool import Allocated, Pool
from planner.engines.sglang.releases import source_of
from planner.engines.sglang.server import Server
from planner.engines.sglang.tables import BESIDE, PADDING, beside_terms, table_takes_gpu
from planner.engines.sglang.weights import Stage, draft_weights, target_weights
from planner.learning import Lesson
from planner.memo import Key, remembered
from planner.memory.breakdown import KEPT_FREE, Kind, Term
from planner.memory.weights import is_packed
from planner.provenance import Band, Confidence, Source
from planner.units import GIB, MIB, round_up


def _gib(value: float) -> int:
    return int(value * GIB)


LOGS = Source(where="SGLang start-up logs (L40S, GB10, H200), 0.5.x", when="2026-11-21")
CONTEXT = _gib(0.39)
"""CUDA context on one discrete GPU: 44.01 of 44.40 GiB were free before loading (L40S)."""
CONTEXT_BAND = Band(below=_gib(0.15), above=_gib(0.25))
COLLECTIVES = _gib(1.0)
"""NCCL and the like with several ranks: 1.0 GiB at TP 2 on H200; one log, hence the band."""
COLLECTIVES_BAND = Band(below=_gib(0.5), above=_gib(0.5))
HOST_RESERVE = _gib(8.0)
"""RAM that system and engine need on unified memory: 6.3 to 9.4 GiB were taken on GB10."""
HOST_BAND = Band(below=_gib(1.7), above=_gib(1.4))
LEFTOVERS = _gib(0.15)
"""What loading takes beyond the parameters (L40S)."""
LEFTOVERS_BAND = Band(below=_gib(0.15), above=_gib(0.15))
SAFE_UNIFIED_FRACTION = 0.70
"""On GB10 a fraction of 0.70 passed and 0.75 did not (25 to 40 GB of transient allocations)."""
UNIFIED_SOURCE = "sgl-project/sglang#34872, hasso5703/dgx-spark-qwen38"


@frozen_with_cache
class Budget:
    """Memory of one device under one server.

    Attributes:
        total: bytes that the driver lets programs allocate.
        usable: bytes of them that the system leaves on unified memory; all of them elsewhere.
        free_before_load: bytes free before weights (``pre``).
        stages: the pipeline stages.
        runtime_band: how far `total - free_before_load` may lie off.
        runtime_name: what the engine has taken before loading is called.
        leftovers: bytes that loading takes beyond the parameters.
    """

    total: int
    usable: int
    free_before_load: int
    stages: tuple[Stage, ...]
    runtime_band: Band
    runtime_name: str
    leftovers: int = LEFTOVERS

    @cached_property
    def free_after_load(self) -> int:
        """Bytes free on the fullest rank once everything is loaded."""
        return self.free_before_load - max(stage.nbytes for stage in self.stages) - self.leftovers

    @cached_property
    def taken_before(self) -> Term:
        """What the engine has taken before loading."""
        return Term(
            name=self.runtime_name,
            kind=Kind.RUNTIME,
            nbytes=self.usable - self.free_before_load,
            confidence=Confidence.CALIBRATED,
            formula="usable - free before loading",
            values={"usable": self.usable, "free before loading": self.free_before_load},
            source=LOGS,
            band=self.runtime_band,
        )

    @cached_property
    def left_over(self) -> Term:
        """What loading takes beyond the parameters."""
        return Term(
            name="left over from loading",
            kind=Kind.RUNTIME,
            nbytes=self.leftovers,
            confidence=Confidence.CALIBRATED,
            formula="what the logs leave over",
            values={"what the logs leave over": self.leftovers},
            source=LOGS,
            band=LEFTOVERS_BAND,
        )


def _loading(server: Server) -> Key:
    held = (server.checkpoint, server.options, server.parallel)
    return held, (server.drafting, table_takes_gpu(server))


def _on(server: Server, accelerator: Accelerator, lesson: Lesson | None = None) -> Key:
    held, said = _loading(server)
    return (*held, accelerator), (said, lesson)


@remembered(_on, most=4096)
def budget_of(server: Server, accelerator: Accelerator, lesson: Lesson | None = None) -> Budget:
    """Return what `server` finds on `accelerator`; a start that was measured there corrects it.

        discrete: free = CUDA total - context - collectives (several ranks)
        unified:  free = total RAM - what the system needs

    Source: SGLang 0.5.23 distributed/bootstrap.py (measure_pre_model_load_memory); the constants
    are calibrated on start-up logs.
    """
    total, several = accelerator.total_bytes, server.parallel.tp_size * server.parallel.pp_size > 1
    unified = server.gpu.integrated
    if unified:
        reserve = accelerator.unified.os_reserve_mib if accelerator.unified is not None else None
        runtime = int(reserve.value * MIB) if reserve is not None else HOST_RESERVE
        band = HOST_BAND
    else:
        runtime, band = CONTEXT, CONTEXT_BAND
    if several:
        runtime += COLLECTIVES
        band = Band(
            below=band.below + COLLECTIVES_BAND.below, above=band.above + COLLECTIVES_BAND.above
        )
    leftovers = LEFTOVERS
    if lesson is not None:
        runtime += lesson.difference - lesson.loading
        leftovers += lesson.loading
    return Budget(
        leftovers=leftovers,
        total=total,
        usable=accelerator.usable_bytes,
        free_before_load=max(MIB, min(total - runtime, accelerator.usable_bytes)),
        stages=_stages(server),
        runtime_band=band,
        runtime_name="engine (shared memory)" if unified else "CUDA context and collectives",
    )


@remembered(_loading)
def _stages(server: Server) -> tuple[Stage, ...]:
    """Return what every pipeline stage loads; nothing of that depends on the workload."""
    layers = server.parallel.stages(server.checkpoint.model.num_hidden_layers)
    return tuple(
        Stage(
            index=index,
            layers=held,
            target=target_weights(server, stage=index, layers=held),
            draft=draft_weights(server),
        )
        for index, held in enumerate(layers)
    )


REPACK_BAND = 0.05
"""INT4 and NVFP4 weights take up to 5 % more than stored once repacked (start-up logs)."""
DRAFT_POOL = "drafter's KV pool (outside the budget)"
REQUEST_TABLE = "request table and padding page (outside the budget)"
OUTSIDE = (DRAFT_POOL, REQUEST_TABLE, PADDING, BESIDE)
"""Names of the terms that SGLang allocates without having counted them."""


def rule(version: str, file: str) -> Source:
    """Return the source: an engine file of a release."""
    return Source(where=f"SGLang {version} {file}")


def rank_terms(
    server: Server, budget: Budget, pool: Pool, *, sequences: int, context: int
) -> Iterator[tuple[Term, ...]]:
    """Yield all terms of a rank of every stage with `sequences` of `context` tokens on its group.

    Both may be columns (`planner.columns`).
    """
    taken = server.allocated(pool)
    outside = (*_outside(server, pool, taken), *beside_terms(server, pool, taken))
    reserve = tuple(_reserve(server, budget, sum(term.nbytes for term in outside)))
    for stage in budget.stages:
        caches = _caches(server, stage, pool, sequences=sequences, context=context)
        yield (*_weights(server, stage), budget.left_over, *caches, *outside, *reserve)


def _of_stage(server: Server, stage: Stage) -> Key:
    return (server.checkpoint, stage), server.rules.version


@remembered(_of_stage)
def _weights(server: Server, stage: Stage) -> tuple[Term, ...]:
    """Return the terms of what `stage` loads."""
    return tuple(_weight_terms(server, stage))


def _weight_terms(server: Server, stage: Stage) -> Iterator[Term]:
    version = server.rules.version
    repacked = is_packed(server.checkpoint)
    for name, size, formula, file in (
        (
            "weights (text)",
            stage.text_bytes - stage.table_bytes,
            "bytes of the rank's tensors",
            "models/qwen3_5.py",
        ),
        ("n-gram table", stage.table_bytes, "bytes of the rank's rows", "models/qwen4_exp.py"),
        (
            "vision tower",
            stage.vision_bytes,
            "bytes of the rank's vision tensors",
            "models/qwen3_vl.py",
        ),
        (
            "MTP draft worker",
            stage.draft_bytes,
            "MTP module + its own embedding and output head",
            "models/qwen3_5_mtp.py",
        ),
    ):
        if size:
            uncertain = repacked and name == "weights (text)"
            yield Term(
                name=name,
                kind=Kind.WEIGHTS,
                nbytes=size,
                confidence=Confidence.CALIBRATED if uncertain else Confidence.ENGINE_RULE,
                formula=formula,
                values=_draft_values(stage) if name == "MTP draft worker" else {formula: size},
                source=rule(version, file),
                band=Band(below=0, above=int(size * REPACK_BAND)) if uncertain else None,
            )


def _draft_values(stage: Stage) -> dict[str, int]:
    module = stage.draft_module_bytes
    return {"MTP module": module, "its own embedding and output head": stage.draft_bytes - module}


def _caches(
    server: Server, stage: Stage, pool: Pool, *, sequences: int, context: int
) -> Iterator[Term]:
    resolved, geometry = server.resolved, pool.geometry
    source = source_of(server.rules, "state_by_stage")
    cell, tokens = geometry.cells[stage.index], sequences * round_up(context, resolved.page_size)
    yield Term(
        name="KV cache",
        kind=Kind.KV_CACHE,
        nbytes=tokens * cell,
        confidence=Confidence.ENGINE_RULE,
        formula="sequences x tokens (whole pages) x bytes per token",
        values={
            "sequences": sequences,
            "tokens (whole pages)": tokens // sequences,
            "bytes per token": cell,
        },
        source=source,
    )
    size, pad = geometry.stage_slot_bytes, int(server.rules.budgets_padding_slot)
    slots = sequences * geometry.mamba_ratio
    yield Term(
        name="recurrent state pool",
        kind=Kind.RECURRENT_STATE,
        nbytes=(slots + pad) * size,
        confidence=Confidence.ENGINE_RULE,
        formula="(sequences x slots per request + padding slot) x bytes per slot",
        values={
            "sequences": sequences,
            "slots per request": geometry.mamba_ratio,
            "padding slot": pad,
            "bytes per slot": size,
        },
        source=source,
    )
    if resolved.speculation is not None:
        drafted = resolved.speculation.num_draft_tokens
        yield Term(
            name="states under verification",
            kind=Kind.RECURRENT_STATE,
            nbytes=(sequences + pad) * drafted * size,
            confidence=Confidence.ENGINE_RULE,
            formula="(sequences + padding slot) x draft tokens x bytes per slot",
            values={
                "sequences": sequences,
                "padding slot": pad,
                "draft tokens": drafted,
                "bytes per slot": size,
            },
            source=source,
        )
    if reserved := server.images_mib * MIB:
        yield Term(
            name="cache of image embeddings",
            kind=Kind.ACTIVATIONS,
            nbytes=reserved,
            confidence=Confidence.ENGINE_RULE,
            formula="SGLANG_VLM_CACHE_SIZE_MB",
            values={"SGLANG_VLM_CACHE_SIZE_MB": reserved},
            source=source,
        )


def _outside(server: Server, pool: Pool, taken: Allocated) -> Iterator[Term]:
    """Yield what is allocated after sizing and was not counted in it."""
    resolved = server.resolved
    version = server.rules.version
    if taken.draft_kv:
        yield Term(
            name=DRAFT_POOL,
            kind=Kind.KV_CACHE,
            nbytes=taken.draft_kv,
            confidence=Confidence.ENGINE_RULE,
            formula="(pool tokens + page) x bytes per token",
            values={
                "pool tokens": pool.max_total_num_tokens or 0,
                "page": resolved.page_size,
                "bytes per token": pool.geometry.draft_kv_bytes,
            },
            source=rule(version, "mem_cache/kv_cache_configurator.py"),
        )
    if not is_zero(taken.request_table):
        running = pool.running
        yield Term(
            name=REQUEST_TABLE,
            kind=Kind.RUNTIME,
            nbytes=taken.request_table + taken.padding_page,
            confidence=Confidence.ENGINE_RULE,
            formula="(requests + 1) x row x 4 + page x bytes per token",
            values={
                "requests": running,
                "row": taken.request_table // (4 * (running + 1)),
                "page": resolved.page_size,
                "bytes per token": max(pool.geometry.cells),
            },
            source=rule(version, "mem_cache/memory_pool.py"),
        )


def captured(resolved: Resolved) -> tuple[int, int]:
    """Return the largest decode batch and the number of prefill sizes that graphs are captured of."""
    decode = resolved.decode_cuda_graph_max_bs
    prefill = resolved.prefill_graph_buckets
    return (
        decode if resolved.decode_graph_backend != "disabled" else 0,
        prefill if resolved.prefill_graph_backend != "disabled" else 0,
    )


def _reserve(server: Server, budget: Budget, outside: int) -> Iterator[Term]:
    """Yield what the engine leaves free for computing, and what is gone before it starts."""
    resolved, version = server.resolved, server.rules.version
    share = 1 - resolved.mem_fraction_static
    left = larger(0, int(budget.free_before_load * share) - outside)
    decode, prefill = captured(resolved)
    graphs = smaller(left, (2 * decode + 8 * prefill) * MIB)
    source = rule(version, "arg_groups/memory_hook.py")
    if not is_zero(graphs):
        yield Term(
            name="CUDA graphs (as SGLang reckons them)",
            kind=Kind.CUDA_GRAPHS,
            nbytes=graphs,
            confidence=Confidence.ENGINE_RULE,
            formula="min(2 MiB x largest decode batch + 8 MiB x prefill sizes, reserve)",
            values={
                "reserve": left,
                "largest decode batch": decode,
                "prefill sizes": prefill,
            },
            source=source,
        )
    yield Term(
        name=KEPT_FREE,
        kind=Kind.ACTIVATIONS,
        nbytes=left - graphs,
        confidence=Confidence.ENGINE_RULE,
        formula="max(free before loading x (1 - mem_fraction_static) - outside the budget, 0)"
        " - graphs",
        values={
            "free before loading": budget.free_before_load,
            "mem_fraction_static": resolved.mem_fraction_static,
            "graphs": graphs,
            "outside the budget": outside,
        },
        source=source,
    )
    yield budget.taken_before
