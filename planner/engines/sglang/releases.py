"""Say what changed between releases of SGLang, as data with boundaries.

Each row was read from that release's wheel; `SOURCES` says where in it each cell stands (paths are
relative to ``sglang/srt``). A release between two rows follows the older one; the plan says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from hardware_db.records import frozen
from planner.errors import InputError
from planner.memo import remembered
from planner.provenance import Source

DEFAULT_VERSION = "0.5.23"


@frozen
class Rules:
    """The rules of one release, as far as memory depends on them.

    Attributes:
        version: the release that they were read from.
        small_gpu_chunk: chunked prefill size on GPUs of 20 to 35 GiB.
        small_gpu_graph: decode graph batch there, below and from tensor parallel size 4 on.
        clamp_graph_to_running: the automatic decode graph batch never exceeds a given
            max_running_requests.
        reserve_decode_graph_always: the reserve counts decode graphs even if they are off.
        mtp_reserve_mib: MiB that speculation adds to the reserve, after its floor.
        deepep_reserve_mib: MiB for DeepEP's buffers, after the floor.
        deepep_prefill_reserve_mib: MiB more if prefill graphs are captured with DeepEP.
        prefill_graphs: prefill CUDA graphs by default: "off", "text-only" or "on".
        prefill_graphs_attn_dp: they stay on with attention data parallelism.
        prefill_graphs_pipeline: they stay on with pipeline parallelism.
        prefill_graphs_a2a: all-to-all backends that they stay on with.
        prefill_graphs_in_context: they are captured no longer than a given context.
        no_buffer_stops_overlap: no_buffer switches the overlap schedule off by itself; later
            releases refuse the combination.
        auto_strategy: what mamba_radix_cache_strategy "auto" becomes.
        strategy_flag: how that flag is spelled.
        lazy_strategy: extra_buffer_lazy exists.
        attn_dp_flags: flags of attention data parallelism, ``{n}`` for its size.
        graph_flag: flag of the decode graph batch.
        prefill_off_flag: flag that captures no prefill graphs; None: the release has none, since
            it captures none by default.
        sm100_backend_by_speculation: SM100 takes trtllm_mha when speculation (with a stated
            topk), a buffer strategy or no radix cache allows it; else triton.
        mtp_without_buffer: what MTP with a radix cache and no_buffer does: "radix off", "refused"
            or "runs".
        mtp_extra_slots: slots of extra_buffer beyond 3 with MTP, None for the usual ones.
        budgets_padding_slot: the slot that every state buffer has beyond those asked is taken off
            before the pools are sized; before, it came on top.
        uncapped_intermediate: MTP's intermediate state is taken off first, for every request
            that max_running_requests allows.
        state_by_stage: pipeline stages are charged their own layers' state (the largest share).
        multimodal_reserve_mib: MiB kept for post-sizing multimodal caches.
        pool_errors: a pool that is too small raises; before, it came out negative.
        running_cap: bound on a given max_running_requests: "none", "estimate", "half the tokens".
        estimate_by_tokens: the automatic cap is also bound by half the tokens.
        pipeline_speculation_error: what speculation across pipeline stages raises.
        replica_nodes_error: what replicas on several nodes raise.
    """

    version: str
    small_gpu_chunk: int = 2048
    small_gpu_graph: tuple[int, int] = (24, 80)
    clamp_graph_to_running: bool = False
    reserve_decode_graph_always: bool = False
    mtp_reserve_mib: int = 0
    deepep_reserve_mib: int = 2048
    deepep_prefill_reserve_mib: int = 1024
    prefill_graphs: str = "on"
    prefill_graphs_attn_dp: bool = True
    prefill_graphs_a2a: tuple[str, ...] = ("none", "deepep", "megamoe", "flashinfer")
    prefill_graphs_pipeline: bool = False
    prefill_graphs_in_context: bool = False
    auto_strategy: str = "extra_buffer"
    strategy_flag: str = "--mamba-radix-cache-strategy"
    lazy_strategy: bool = True
    no_buffer_stops_overlap: bool = False
    attn_dp_flags: tuple[str, ...] = ("--dp-size", "{n}", "--enable-dp-attention")
    graph_flag: str = "--cuda-graph-max-bs-decode"
    prefill_off_flag: str | None = "--disable-prefill-cuda-graph"
    sm100_backend_by_speculation: bool = True
    mtp_without_buffer: str = "runs"
    mtp_extra_slots: int | None = None
    budgets_padding_slot: bool = True
    uncapped_intermediate: bool = False
    state_by_stage: bool = True
    multimodal_reserve_mib: int = 100
    pool_errors: bool = True
    running_cap: str = "half the tokens"
    estimate_by_tokens: bool = True
    pipeline_speculation_error: str = (
        "AssertionError: PP + speculative decoding (MTP) is only supported on prefill nodes"
        " (disaggregation-mode=prefill)"
    )
    replica_nodes_error: str = (
        "AssertionError: multi-node data-parallel replicas are not supported; use attention DP"
        " (--attn-dp-size) across nodes"
    )


_V0_5_23 = Rules(
    version="0.5.23",
    small_gpu_chunk=4096,
    small_gpu_graph=(48, 160),
    clamp_graph_to_running=True,
    attn_dp_flags=("--attn-dp-size", "{n}"),
)
_V0_5_20 = replace(
    _V0_5_23,
    version="0.5.20",
    clamp_graph_to_running=False,
    attn_dp_flags=("--dp-size", "{n}", "--enable-dp-attention"),
    pipeline_speculation_error=(
        "AssertionError: Pipeline parallelism is not compatible with overlap schedule, speculative"
        " decoding"
    ),
    replica_nodes_error=(
        "AssertionError: multi-node data parallel is not supported unless dp attention!"
    ),
)
_V0_5_18 = replace(
    _V0_5_20,
    version="0.5.18",
    small_gpu_chunk=2048,
    small_gpu_graph=(24, 80),
    prefill_graphs_pipeline=True,
)
_V0_5_17 = replace(_V0_5_18, version="0.5.17", multimodal_reserve_mib=0)
_V0_5_16 = replace(
    _V0_5_17,
    version="0.5.16",
    deepep_prefill_reserve_mib=0,
    prefill_graphs_attn_dp=False,
    prefill_graphs_a2a=("none",),
    prefill_graphs_in_context=True,
    budgets_padding_slot=False,
    state_by_stage=False,
)
_V0_5_15 = replace(_V0_5_16, version="0.5.15", prefill_graphs="text-only")
_V0_5_12 = replace(
    _V0_5_15,
    version="0.5.12.post1",
    reserve_decode_graph_always=True,
    prefill_graphs_pipeline=False,
    mtp_reserve_mib=4096,
    deepep_reserve_mib=0,
    auto_strategy="no_buffer",
    strategy_flag="--mamba-scheduler-strategy",
    lazy_strategy=False,
    no_buffer_stops_overlap=True,
    graph_flag="--cuda-graph-max-bs",
    prefill_off_flag="--disable-piecewise-cuda-graph",
    mtp_without_buffer="refused",
    uncapped_intermediate=True,
    pool_errors=False,
    running_cap="estimate",
)
_V0_5_9 = replace(
    _V0_5_12,
    version="0.5.9",
    mtp_reserve_mib=2048,
    prefill_graphs="off",
    prefill_off_flag=None,
    sm100_backend_by_speculation=False,
    mtp_without_buffer="radix off",
    mtp_extra_slots=1,
    running_cap="none",
    estimate_by_tokens=False,
    pipeline_speculation_error=(
        "AssertionError: Pipeline parallelism is not compatible with overlap schedule, speculative"
        " decoding, mixed chunked prefill."
    ),
)

RULES = (
    *(_V0_5_9, _V0_5_12, _V0_5_15, _V0_5_16, _V0_5_17, _V0_5_18, _V0_5_20),
    _V0_5_23,
)
"""Oldest first."""

SOURCES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    dict.fromkeys(
        (
            *("small_gpu_chunk", "small_gpu_graph", "clamp_graph_to_running"),
            *("reserve_decode_graph_always", "mtp_reserve_mib", "deepep_reserve_mib"),
            "deepep_prefill_reserve_mib",
        ),
        (("0.5.9", "server_args.py"), ("0.5.20", "arg_groups/memory_hook.py")),
    )
    | dict.fromkeys(
        (
            *("prefill_graphs", "prefill_graphs_attn_dp", "prefill_graphs_a2a"),
            *("prefill_graphs_pipeline", "prefill_graphs_in_context", "graph_flag"),
            "prefill_off_flag",
        ),
        (("0.5.9", "server_args.py"), ("0.5.20", "arg_groups/cuda_graph_hook.py")),
    )
    | dict.fromkeys(
        (
            *("auto_strategy", "strategy_flag", "lazy_strategy", "no_buffer_stops_overlap"),
            "mtp_without_buffer",
        ),
        (("0.5.9", "server_args.py"), ("0.5.20", "arg_groups/mamba_hook.py")),
    )
    | dict.fromkeys(
        ("attn_dp_flags",), (("0.5.9", "server_args.py"), ("0.5.20", "arg_groups/parallel_hook.py"))
    )
    | dict.fromkeys(
        ("sm100_backend_by_speculation",),
        (("0.5.9", "server_args.py"), ("0.5.20", "arg_groups/model_overrides/qwen3_5.py")),
    )
    | dict.fromkeys(
        (
            *("mtp_extra_slots", "uncapped_intermediate", "state_by_stage", "pool_errors"),
            *("multimodal_reserve_mib", "running_cap", "estimate_by_tokens"),
            "budgets_padding_slot",
        ),
        (
            ("0.5.9", "model_executor/model_runner_kv_cache_mixin.py"),
            ("0.5.16", "mem_cache/kv_cache_configurator.py"),
        ),
    )
    | dict.fromkeys(
        ("pipeline_speculation_error", "replica_nodes_error"),
        (("0.5.9", "server_args.py"), ("0.5.20", "arg_groups/validation_hook.py")),
    )
)
"""Cell -> (release, file that it stands in from there on), oldest first."""

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:\.post(\d{1,3}))?")


def version_key(version: object) -> tuple[int, ...]:
    """Return a release as numbers that sort: ``0.5.12.post1`` comes after ``0.5.12``.

    Raises:
        InputError: not a release number.
    """
    found = _numbers(version) if isinstance(version, str) else None
    if found is None:
        raise InputError(f"version: write an SGLang release such as {DEFAULT_VERSION}")
    return found


@lru_cache(maxsize=256)
def _numbers(version: str) -> tuple[int, ...] | None:
    match = _VERSION.fullmatch(version.strip())
    return None if match is None else tuple(int(part or 0) for part in match.groups())


def rules_for(version: str) -> Rules:
    """Return the newest rules that are not newer than `version`.

    Raises:
        InputError: not a release number, or older than the oldest release that was read.
    """
    wanted = version_key(version)
    for rules in reversed(RULES):
        if version_key(rules.version)[:3] <= wanted[:3]:
            return rules
    raise InputError(f"version: rules are known from SGLang {RULES[0].version} on, not {version}")


@remembered(lambda rules, cell: ((rules,), cell))
def source_of(rules: Rules, cell: str) -> Source:
    """Return where a cell of a release's rules was read."""
    read = version_key(rules.version)
    (*_, file) = (file for since, file in SOURCES[cell] if version_key(since) <= read)
    return Source(where=f"SGLang {rules.version} {file}")
