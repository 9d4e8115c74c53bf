"""Say what a release of vLLM does by itself: its memory rules, and what it chooses from the GPU.

The rules are data (`data/releases.toml`): adding a release is a row there and a reference case.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import fields
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.errors import InputError
from planner.memo import Key, remembered
from planner.provenance import Source
from planner.shipped import read_toml
from planner.units import GIB

Version = tuple[int, int, int]
StartCheck = Literal["first group", "all groups", "all groups and null block"]
TokensLine = Literal["blocks per group", "concurrency x length"]

SMALL_BATCH_NAME = "a100"
"""Device names with this get the small batch defaults (engine/arg_utils.py, get_batch_defaults)."""

INTEGRATED_SMALL_BATCH = "12.1"
"""So does this compute capability: by rule in 0.33.0, before because NVML reports no memory."""


def _table() -> dict[str, Any]:
    """Return the table of rules by release."""
    return read_toml("engines", "vllm", "data", "releases.toml")


_TABLE = _table()
NEWEST: str = _TABLE["newest"]
OLDEST: str = _TABLE["oldest"]
READ: str = _TABLE["read"]


def source(where: str, version: str = NEWEST) -> Source:
    """Return the source of a rule: release and file."""
    return Source(where=f"vLLM {version} {where}", when=READ)


def parse_version(text: str) -> Version:
    """Return (major, minor, patch) of a release name such as "0.28.0" or "0.27".

    Raises:
        InputError: not a release name, or older than the first release that serves this family.
    """
    version = _parsed(text)
    if version is None:
        raise InputError(f"vLLM version {text!r} is not a release such as {NEWEST}")
    if version < _OLDEST:
        raise InputError(
            f"vLLM {text} is older than any whose rules were read: {OLDEST} is the first that serves"
            " all of this family"
        )
    return version


def _parsed(text: str) -> Version | None:
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 0))


_OLDEST = _parsed(OLDEST) or (0, 0, 0)


@frozen
class Rules:
    """The memory rules of one release.

    Attributes:
        version: the release, as it was named.
        gpu_memory_utilization: default share.
        subtracts_cuda_graphs: the estimate of CUDA-graph memory is taken off the pool.
        prefix_caching: on by default for hybrids.
        tokens_line: what "GPU KV cache size: N tokens" counts.
        start_check: what the check "at least one request" counts.
        grouping_factor: the larger kind of layers sets the group size if it is smaller than this
            many times the other.
        wide_alignment: block alignment 32 on compute capability 10 with heads of 256.
        prefill_checkpoints: DeltaNet prefill on FlashInfer exports checkpoints: blocks are
            multiples of 64 and one more state block is kept (with prefix caching).
        seqs_check: what happens if max_num_seqs exceeds the blocks, with full CUDA graphs.
        model_runner: default runner for hybrids.
        largest_tier: GPUs from 160 GiB on get their own batch defaults.
        activation_line: what the log calls "peak activation".
        refines_blocks: FP8 blocks that a rank's experts cut are refined instead of refused.
        host_tables: tables of n-grams lie in host memory by default.
        index_dtypes: dtypes that an indexer keeps its keys in.
        indexed_kv_dtypes: KV cache dtypes that indexed attention takes.
        nvfp4_families: major compute capabilities with kernels for an NVFP4 KV cache.
        expert_padding: on compute capability 10.x, 16-bit experts that are cut are padded to a
            multiple of so many columns.
        tower_on_every_stage: the vision tower is loaded on every pipeline stage.
        head_on_every_stage: `model_type`s whose output head is made on every stage.
        gptq_column_index: GPTQ weights keep the group of every input column (g_idx).
        gptq_expert_bias: GPTQ experts get a bias.
        startup_plan: what a start measured can be kept for the next one.
        no_memory_error: what is raised where no memory is left for the cache.
        short_memory_error: what is raised where the longest request does not fit.
    """

    version: str
    gpu_memory_utilization: float
    subtracts_cuda_graphs: bool
    prefix_caching: bool
    tokens_line: TokensLine
    start_check: StartCheck
    grouping_factor: Fraction
    wide_alignment: bool
    prefill_checkpoints: bool
    seqs_check: Literal["none", "caps graphs", "refuses"]
    model_runner: Literal["V1", "V2"]
    largest_tier: bool
    activation_line: Literal["activations", "activations and CUDA graphs"]
    refines_blocks: bool
    host_tables: bool
    index_dtypes: tuple[str, ...]
    indexed_kv_dtypes: tuple[str, ...]
    nvfp4_families: tuple[int, ...]
    expert_padding: int
    tower_on_every_stage: bool
    head_on_every_stage: tuple[str, ...]
    gptq_column_index: bool
    gptq_expert_bias: bool
    startup_plan: bool
    no_memory_error: str
    short_memory_error: str


@lru_cache(maxsize=256)
def rules_of(text: str) -> Rules:
    """Return the rules of release `text`; releases after the newest one read get its rules.

    Raises:
        InputError: see `parse_version`.
    """
    version = parse_version(text)
    values = {
        rule.name: _value(rule.name, version) for rule in fields(Rules) if rule.name != "version"
    }
    return Rules(**{**values, "version": text})


def _value(rule: str, version: Version) -> Any:
    """Return the value of the last row that had come by `version`."""
    rows = _TABLE[rule]
    held = [row for row in rows if (_parsed(row.get("since", OLDEST)) or _OLDEST) <= version]
    value = held[-1]["value"]
    if isinstance(value, list):
        return tuple(value)
    return Fraction(value) if rule == "grouping_factor" else value


def first_releases() -> tuple[str, ...]:
    """Return the first release of every set of rules, the newest first."""
    since = {
        row.get("since", OLDEST)
        for rows in _TABLE.values()
        if isinstance(rows, list)
        for row in rows
    }
    return tuple(sorted(since, key=parse_version, reverse=True))


def is_newer_than_read(text: str) -> bool:
    """Say whether the release is newer than the newest whose code was read."""
    return parse_version(text) > parse_version(NEWEST)


@frozen
class BatchDefaults:
    """max_num_batched_tokens and max_num_seqs of the API server."""

    max_num_batched_tokens: int
    max_num_seqs: int


def _both(accelerator: Accelerator, rules: Rules) -> Key:
    return (accelerator, rules), None


@remembered(_both)
def batch_defaults(accelerator: Accelerator, rules: Rules) -> BatchDefaults:
    """Return the batch defaults of a GPU class.

        >= 160 GiB: 16384 / 1024 (from 0.28.0);  >= 70 GiB, not A100, not GB10: 8192 / 1024;
        else 2048 / 256

    Source: vLLM 0.33.0 engine/arg_utils.py (get_batch_defaults), run for eight GPU classes.
    """
    figure = accelerator.memory_driver_mib or accelerator.memory_cuda_mib
    total = int(figure.value) * 2**20 if figure else accelerator.total_bytes
    names = (accelerator.id, accelerator.name, *accelerator.nvml_names)
    small = (
        any(SMALL_BATCH_NAME in name.lower() for name in names)
        or accelerator.compute_capability == INTEGRATED_SMALL_BATCH
    )
    if rules.largest_tier and total >= 160 * GIB and not small:
        return BatchDefaults(max_num_batched_tokens=16384, max_num_seqs=1024)
    if total >= 70 * GIB and not small:
        return BatchDefaults(max_num_batched_tokens=8192, max_num_seqs=1024)
    return BatchDefaults(max_num_batched_tokens=2048, max_num_seqs=256)


def capability(accelerator: Accelerator) -> tuple[int, int] | None:
    """Return (major, minor) of an NVIDIA device; None for others or where unknown."""
    return accelerator.capability if accelerator.vendor == "nvidia" else None


def generation(accelerator: Accelerator) -> int:
    """Return the major compute capability of an NVIDIA device; 0 for others or where unknown."""
    return (capability(accelerator) or (0, 0))[0]


BLACKWELL = 10
"""Generation of data-center Blackwell, of which most is the engine's special case."""
FLASHINFER = (9, 10, 12)
"""Generations on which FlashInfer has kernels for DeltaNet prefill."""


def kernels_of(accelerator: Accelerator) -> tuple[bool, bool]:
    """Return what of its generation decides sizes: whether it is 10.x, whether FlashInfer prefills."""
    major = generation(accelerator)
    return major == BLACKWELL, major in FLASHINFER


def gdn_prefill_backend(accelerator: Accelerator, asked: str) -> str:
    """Return the kernels of DeltaNet prefill: FlashInfer on SM 9.0, 10.x and 12.x, else Triton.

    SM 10.x and 12.x need a CUDA 13 runtime, which the 0.33.0 wheel brings. CuteDSL runs on SM 10.x,
    if asked for; what the device cannot run becomes Triton.

    Source: vLLM 0.33.0 (_resolve_gdn_prefill_backend).
    """
    major = generation(accelerator)
    if asked == "cutedsl" and major == BLACKWELL:
        return asked
    return "flashinfer" if asked in ("auto", "flashinfer") and major in FLASHINFER else "triton"


def attention_backend(accelerator: Accelerator, kv_cache_dtype: str) -> str:
    """Return the attention kernels by device and KV cache dtype.

    FlashAttention reads FP8 (e4m3) on Hopper only, and FlashInfer every other format that is not
    Triton's own; both need compute capability 8.0.

    Source: vLLM 0.33.0 platforms/cuda.py, v1/attention/backends/fa_utils.py, as resolved on eight
    GPU classes.
    """
    if kv_cache_dtype.startswith("turboquant"):
        return "TURBOQUANT"
    have = capability(accelerator)
    if kv_cache_dtype.endswith("_per_token_head") or have is None or have < (8, 0):
        return "TRITON_ATTN"
    if have[0] == 10 or kv_cache_dtype.startswith(("fp8_e5m2", "nvfp4")):
        return "FLASHINFER"
    return "FLASHINFER" if kv_cache_dtype.startswith("fp8") and have[0] != 9 else "FLASH_ATTN"


def capture_sizes(
    accelerator: Accelerator, *, max_num_seqs: int, num_speculative_tokens: int
) -> tuple[int, ...]:
    """Return the batch sizes of CUDA graphs: 1, 2, 4, by 8 to 256, by 16 to the cap.

        cap = min(2 * max_num_seqs * (1 + n), 512);  1024 instead of 512 on SM 10.x

    Source: vLLM 0.33.0 config/vllm.py (_set_cudagraph_sizes); counts agree with the logs.
    """
    most = 1024 if generation(accelerator) == BLACKWELL else 512
    cap = min(2 * max_num_seqs * (1 + num_speculative_tokens), most)
    sizes = (1, 2, 4, *range(8, 256, 8), *range(256, cap + 1, 16))
    return sizes[: bisect_right(sizes, cap)]
