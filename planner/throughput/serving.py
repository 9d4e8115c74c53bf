"""Settle what is served and its load for the law of speed."""

from __future__ import annotations

from hardware_db import System
from planner.errors import InputError
from planner.formats import CACHE_FORMATS, FORMATS, CacheFormat, get_cache_format
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.throughput.constants import family, table
from planner.throughput.decode import SSM_BYTES, Serving
from planner.throughput.host import HostMemory
from planner.throughput.traffic import rank_weights
from planner.throughput.unequal import longest_stage, seen_as_one_kind
from planner.throughput.where import where
from planner.throughput.workload import Speculation, Workload
from planner.units import ceil_div


def resolve_serving(
    checkpoint: Checkpoint,
    system: System,
    layout: Layout,
    *,
    engine: str,
    workload: Workload,
    host: HostMemory,
    kv_cache_dtype: str = "auto",
    ssm_dtype: str = "auto",
    speculation: Speculation | None = None,
    placement: Placement | None = None,
) -> Serving:
    """Return the serving with every "auto" resolved; arguments as `estimate_speed`.

    Raises:
        InputError: an unknown dtype, or drafting without an MTP module.
    """
    model = checkpoint.model
    drafter = speculation.drafter if speculation else None
    if speculation is not None and drafter is None and not any(checkpoint.rows("mtp")):
        raise InputError(
            f"{checkpoint.id} as {checkpoint.scheme.title} has no MTP module to draft with"
        )
    cache = model.dtype if kv_cache_dtype == "auto" else kv_cache_dtype
    replica = ceil_div(workload.concurrency, layout.data_parallel)
    in_turn = family(engine) in table("rules")["turns"]["engines"]
    return Serving(
        engine=engine,
        model=model,
        system=seen_as_one_kind(system, placement),
        layout=layout,
        weights=rank_weights(checkpoint, layout),
        # Pipeline stages work on one share of the sequences each, unless they take turns with all.
        sequences=replica if in_turn else ceil_div(replica, layout.pipeline_parallel),
        depth=workload.mean_depth,
        shared_prefix=workload.shared_prefix,
        drafted=speculation.tokens if speculation else 0,
        cache_format=_cache_format(cache),
        ssm_bytes=_ssm_bytes(checkpoint, ssm_dtype),
        where=where(checkpoint, system, placement),
        ram=host.gb_s * 1e9,
        cores=host.cores_gb_s * 1e9,
        longest_stage=longest_stage(system, placement, layout.pipeline_parallel),
        drafter=drafter,
    )


def chunk_of(engine: str, chunk: int | None, placement: Placement | None) -> int:
    """Return the tokens of a prompt computed at a time: as told, as placed, or by default."""
    if chunk is None and placement is not None:
        chunk = placement.chunk
    if chunk is not None:
        return chunk
    known = table("rules")["chunk"]
    return int(known.get(engine, known.get(family(engine), known["default"])))


def _cache_format(name: str) -> CacheFormat:
    """A cache format, or a block format of weights in which an engine keeps its cache as well."""
    if name.lower() in CACHE_FORMATS:
        return CACHE_FORMATS[name.lower()]
    for known in (name, name.lower(), name.upper()):
        if known in FORMATS:
            return CacheFormat(name=known, bits=FORMATS[known].bits_per_weight)
    return get_cache_format(name)


def _ssm_bytes(checkpoint: Checkpoint, dtype: str) -> int:
    linear = checkpoint.model.linear
    if dtype == "auto":
        dtype = (linear.mamba_ssm_dtype if linear else None) or checkpoint.model.dtype
    try:
        return SSM_BYTES[dtype]
    except KeyError:
        known = ", ".join(sorted(SSM_BYTES))
        raise InputError(f"unknown SSM state dtype {dtype!r}; known: auto, {known}") from None
