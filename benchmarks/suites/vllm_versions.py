"""Suite `vllm_versions`: the same core answers from earlier releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.suites.result import CaseResult
from benchmarks.suites.vllm_cases import cases, compare_release

FILES = ("vllm_versions.json",)
FIELDS = {
    "mamba_cache_mode": "mamba_cache_mode",
    "block_size": "block_size",
    "page_bytes": "attn_page_bytes",
    "mamba_page_unpadded": "mamba_page_bytes_unpadded",
    "num_blocks": "num_blocks",
    "max_concurrency": "max_concurrency",
    "logged_tokens": "kv_cache_size_tokens",
}


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every case, grouped by release."""
    for case in cases(folder / FILES[0]):
        yield compare_release(case, folder, FIELDS)
