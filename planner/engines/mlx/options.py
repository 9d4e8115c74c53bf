"""Options of `mlx_lm.server` that change memory, named as its flags."""

from __future__ import annotations

import re
from dataclasses import dataclass

from planner.errors import InputError
from planner.provenance import Source
from planner.units import MAX_TOKENS, check_count

NEWEST = "0.32.2"
READ = "2026-11-21"
KV_BITS = (2, 4, 8)
GROUP_SIZES = (32, 64, 128)


def source(where: str) -> Source:
    """A rule's source: release and file."""
    return Source(where=f"mlx-lm {NEWEST} {where}", when=READ)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlxOptions:
    """Options of `mlx_lm.server`; None means its default.

    Attributes:
        version: release of mlx-lm whose rules apply.
        kv_bits: bits of a quantized KV cache; None keeps the model's dtype.
        kv_group_size: elements that share a scale and a bias.
        quantized_kv_start: tokens after which the cache is quantized.
        prefill_step_size: tokens of a prompt per forward pass.
        decode_concurrency: requests decoded at once.
        prompt_concurrency: prompts processed at once.
        prompt_cache_size: finished caches that are kept for reuse; None for the default of 10, or
            as many as fit.
        iogpu_wired_limit_mb: the sysctl `iogpu.wired_limit_mb` (MiB), which replaces macOS's
            default share of the memory (no flag of mlx-lm's).

    Raises:
        InputError: a value out of range.
    """

    version: str = NEWEST
    kv_bits: int | None = None
    kv_group_size: int = 64
    quantized_kv_start: int = 5000
    prefill_step_size: int = 2048
    decode_concurrency: int = 32
    prompt_concurrency: int = 8
    prompt_cache_size: int | None = None
    iogpu_wired_limit_mb: int | None = None

    def __post_init__(self) -> None:
        """Check every range; the error names the flag."""
        if re.fullmatch(r"v?\d{1,4}(\.\d{1,4}){1,2}", self.version) is None:
            raise InputError(f"mlx-lm version {self.version!r} is not a release such as {NEWEST}")
        if self.kv_bits is not None and self.kv_bits not in KV_BITS:
            raise InputError(f"kv_bits: {self.kv_bits!r}; known: 2, 4, 8")
        if self.kv_group_size not in GROUP_SIZES:
            raise InputError(f"kv_group_size: {self.kv_group_size!r}; known: 32, 64, 128")
        check_count(self.quantized_kv_start, what="quantized_kv_start", least=0, most=MAX_TOKENS)
        check_count(self.prefill_step_size, what="prefill_step_size", most=MAX_TOKENS)
        check_count(self.decode_concurrency, what="decode_concurrency")
        check_count(self.prompt_concurrency, what="prompt_concurrency")
        if self.prompt_cache_size is not None:
            check_count(self.prompt_cache_size, what="prompt_cache_size", least=0)
        if self.iogpu_wired_limit_mb is not None:
            check_count(self.iogpu_wired_limit_mb, what="iogpu_wired_limit_mb", most=2**24)
