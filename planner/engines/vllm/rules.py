"""How vLLM's memory rules changed over its releases.

Read from the released wheels 0.16.0 to 0.33.0 and run for 0.17.1 to 0.33.0 (2026-11-21); the
boundaries are tagged with the file that holds the rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from planner.errors import InputError
from planner.provenance import Source

NEWEST = "0.33.0"
OLDEST = "0.17.0"
READ = "2026-11-21"

StartCheck = Literal["first group", "all groups", "all groups and null block"]
TokensLine = Literal["blocks per group", "concurrency x length"]


def source(where: str, version: str = NEWEST) -> Source:
    """A rule's source: release and file."""
    return Source(where=f"vLLM {version} {where}", when=READ)


def parse_version(text: str) -> tuple[int, int, int]:
    """(major, minor, patch) of a release name such as "0.28.0" or "0.27".

    Raises:
        InputError: not a release name, or older than the first release that serves this family.
    """
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    if match is None:
        raise InputError(f"vLLM version {text!r} is not a release such as {NEWEST}")
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    if version < (0, 17, 0):
        raise InputError(f"vLLM {text} does not serve this family; {OLDEST} is the first that does")
    return version


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The memory rules of one release.

    Attributes:
        gpu_memory_utilization: default share (config/cache.py).
        subtracts_cuda_graphs: the estimate of CUDA-graph memory is taken off the pool
            (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS).
        prefix_caching: on by default for this family (is_prefix_caching_supported).
        tokens_line: what "GPU KV cache size: N tokens" counts.
        start_check: what the check "at least one request" counts.
        grouping_factor: the larger layer type sets the group size if it is smaller than this many
            times the other.
        wide_alignment: block alignment 32 on compute capability 10 with heads of 256.
        prefill_checkpoints: DeltaNet prefill on FlashInfer exports checkpoints: blocks are
            multiples of 64 and one more state block is kept (with prefix caching).
        seqs_check: what happens if max_num_seqs exceeds the blocks, with full CUDA graphs.
        model_runner: default runner for hybrids.
        largest_tier: GPUs from 160 GiB on get their own batch defaults.
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


def rules_of(text: str) -> Rules:
    """The rules of release `text`; releases after the newest one read get its rules."""
    version = parse_version(text)
    start_check: StartCheck = "all groups and null block"
    if version < (0, 19, 0):
        start_check = "first group"
    elif version < (0, 29, 0):
        start_check = "all groups"
    seqs_check: Literal["none", "caps graphs", "refuses"] = "refuses"
    if version < (0, 18, 0):
        seqs_check = "none"
    elif version < (0, 20, 0):
        seqs_check = "caps graphs"
    return Rules(
        version=text,
        gpu_memory_utilization=0.92 if version >= (0, 20, 0) else 0.90,
        subtracts_cuda_graphs=version >= (0, 20, 0),
        prefix_caching=version >= (0, 26, 0),
        tokens_line="concurrency x length" if version >= (0, 20, 1) else "blocks per group",
        start_check=start_check,
        grouping_factor=Fraction(3, 2) if version >= (0, 18, 0) else Fraction(5, 4),
        wide_alignment=version < (0, 18, 0),
        prefill_checkpoints=version >= (0, 33, 0),
        seqs_check=seqs_check,
        model_runner="V2" if version >= (0, 29, 0) else "V1",
        largest_tier=version >= (0, 28, 0),
    )


def is_newer_than_read(text: str) -> bool:
    """The release is newer than the newest whose code was read."""
    return parse_version(text) > parse_version(NEWEST)
