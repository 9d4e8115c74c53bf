"""Declare the options of `mlx_lm.server` that change memory."""

from __future__ import annotations

import re

from hardware_db.records import frozen
from planner.engines.option_kinds import Count, CountChoice, Text
from planner.engines.options import Options, option
from planner.errors import InputError
from planner.provenance import Source
from planner.units import MAX_TOKENS

NEWEST = "0.32.2"
READ = "2026-11-21"

KEPT_CACHES = 10
"""Finished caches that the server keeps by default (`--prompt-cache-size`)."""

PROMPTS = 8
"""Prompts that the server processes at once by default (`--prompt-concurrency`)."""


def source(where: str) -> Source:
    """Return the source of a rule: release and file."""
    return Source(where=f"mlx-lm {NEWEST} {where}", when=READ)


def _release(text: str, what: str) -> str:
    if re.fullmatch(r"v?\d{1,4}(\.\d{1,4}){1,2}", text) is None:
        raise InputError(f"{what}: {text!r} is not a release of mlx-lm such as {NEWEST}")
    return text


@frozen
class MlxOptions(Options):
    """Options of `mlx_lm.server`; None means its default."""

    version: str = option(
        NEWEST, Text(checked=_release), meaning="release of mlx-lm that is planned for"
    )
    kv_bits: int | None = option(
        None,
        CountChoice(numbers=(2, 4, 8)),
        "--kv-bits",
        meaning="bits of a quantized KV cache",
        memory="less KV cache; the server then answers one request at a time",
        default_words="the model's dtype",
    )
    kv_group_size: int = option(
        64,
        CountChoice(numbers=(32, 64, 128)),
        "--kv-group-size",
        meaning="elements that share a scale and a bias",
        memory="smaller groups take more scales",
    )
    quantized_kv_start: int = option(
        5000,
        Count(least=0, most=MAX_TOKENS),
        "--quantized-kv-start",
        meaning="tokens after which the cache is quantized",
        memory="the tokens before it stay in the model's dtype",
    )
    prefill_step_size: int = option(
        2048,
        Count(most=MAX_TOKENS),
        "--prefill-step-size",
        meaning="tokens of a prompt per forward pass",
        memory="a larger step takes a larger activation peak",
    )
    decode_concurrency: int = option(
        32, Count(), "--decode-concurrency", meaning="requests decoded at once"
    )
    prompt_concurrency: int | None = option(
        None,
        Count(),
        "--prompt-concurrency",
        meaning="prompts processed at once",
        memory="a larger activation peak",
        default_words=f"{PROMPTS}, or as many as are safe",
        written=False,
    )
    prompt_cache_size: int | None = option(
        None,
        Count(least=0),
        "--prompt-cache-size",
        meaning="finished caches that are kept for reuse",
        memory="each keeps the cache of its request",
        default_words=f"{KEPT_CACHES}, or as many as fit",
        written=False,
    )
    iogpu_wired_limit_mb: int | None = option(
        None,
        Count(most=2**24),
        meaning="the sysctl iogpu.wired_limit_mb (MiB), set before the server is started",
        memory="replaces the share of the memory that macOS lends the GPU",
        default_words="macOS's own share",
    )

    @property
    def prompts(self) -> int:
        """Prompts that the server processes at once: one where the KV cache is quantized."""
        if self.kv_bits is not None:
            return 1
        return PROMPTS if self.prompt_concurrency is None else self.prompt_concurrency
