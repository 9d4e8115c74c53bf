"""Options of `trtllm-serve` that change memory, named as its flags and YAML fields."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import InputError
from planner.provenance import Source
from planner.units import MAX_TOKENS, check_count, check_fraction

READ_VERSION = "main 2026-09"
READ = "2026-11-21"
SSM_DTYPES = ("auto", "float16", "bfloat16", "float32")
DEFAULT_MAX_BATCH_SIZE = 2048
"""Requests that the server schedules unless told otherwise (llmapi/llm_args.py)."""


def source(where: str) -> Source:
    """A rule's source: TensorRT-LLM's main branch, read, never run."""
    return Source(where=f"TensorRT-LLM {READ_VERSION} (28295084) {where}, read, not run", when=READ)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRtLlmOptions:
    """Options of `trtllm-serve`; None means what the plan chooses.

    Attributes:
        max_batch_size: requests scheduled at once (per rank with attention data parallelism); each
            holds a state whether it runs or not. None takes the asked concurrency.
        max_num_tokens: tokens of one step.
        free_gpu_memory_fraction: share of the memory free after loading that the caches get.
        enable_attention_dp: every rank has its own requests and whole attention.
        enable_block_reuse: keep blocks of finished requests.
        periodic_snapshot_interval: tokens between kept states (needs block reuse); 0 keeps none.
        mamba_ssm_cache_dtype: dtype of the SSM state; auto is the model's.
        tokens_per_block: tokens of a KV block.

    Raises:
        InputError: a value out of range.
    """

    max_batch_size: int | None = None
    max_num_tokens: int = 8192
    free_gpu_memory_fraction: float = 0.9
    enable_attention_dp: bool = False
    enable_block_reuse: bool = True
    periodic_snapshot_interval: int = 0
    mamba_ssm_cache_dtype: str = "auto"
    tokens_per_block: int = 32

    def __post_init__(self) -> None:
        """Check every range; the error names the option."""
        if self.max_batch_size is not None:
            check_count(self.max_batch_size, what="max_batch_size")
        check_count(self.max_num_tokens, what="max_num_tokens", most=MAX_TOKENS)
        check_fraction(self.free_gpu_memory_fraction, what="free_gpu_memory_fraction")
        check_count(
            self.periodic_snapshot_interval,
            what="periodic_snapshot_interval",
            least=0,
            most=MAX_TOKENS,
        )
        check_count(self.tokens_per_block, what="tokens_per_block", most=4096)
        if self.tokens_per_block & (self.tokens_per_block - 1):
            raise InputError(f"tokens_per_block: {self.tokens_per_block} is no power of two")
        if self.mamba_ssm_cache_dtype not in SSM_DTYPES:
            raise InputError(
                f"mamba_ssm_cache_dtype: {self.mamba_ssm_cache_dtype!r};"
                f" known: {', '.join(SSM_DTYPES)}"
            )
