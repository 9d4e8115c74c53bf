"""Declare the options of `trtllm-serve` that change memory, by its flags and YAML fields."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.engines.option_kinds import Choice, Count, CountChoice, Share, Switch
from planner.engines.options import Options, option
from planner.provenance import Source
from planner.units import MAX_TOKENS

READ_VERSION = "main 2026-09"
READ = "2026-11-21"
DEFAULT_MAX_BATCH_SIZE = 2048
"""Requests that the server schedules unless told otherwise (llmapi/llm_args.py)."""


def source(where: str) -> Source:
    """Return a rule's source: TensorRT-LLM's main branch, read, never run."""
    return Source(where=f"TensorRT-LLM {READ_VERSION} (28295084) {where}, read, not run", when=READ)


@frozen
class TensorRtLlmOptions(Options):
    """Options of `trtllm-serve`; None means what the plan chooses.

    Those without a flag are fields of its YAML file.
    """

    max_batch_size: int | None = option(
        None,
        Count(),
        "--max-batch-size",
        meaning="requests scheduled at once (per rank with attention data parallelism)",
        memory="each holds a state, whether it runs or not",
        default_words="the asked concurrency",
        written=False,
    )
    max_num_tokens: int = option(
        8192,
        Count(most=MAX_TOKENS),
        "--max-num-tokens",
        meaning="tokens computed in one step, of all requests together",
        memory="a larger activation peak",
        written=False,
    )
    free_gpu_memory_fraction: float = option(
        0.9,
        Share(),
        "--kv-cache-free-gpu-memory-fraction",
        "--free-gpu-memory-fraction",
        meaning="share of the memory free after loading that the caches get",
        memory="the rest stays free",
        written=False,
    )
    enable_attention_dp: bool = option(
        False,
        Switch(),
        meaning="every rank has its own requests and whole attention",
        memory="each rank holds attention, states and KV cache whole",
    )
    enable_block_reuse: bool = option(
        True, Switch(), meaning="keep blocks of finished requests (prefix caching)"
    )
    periodic_snapshot_interval: int = option(
        0,
        Count(least=0, most=MAX_TOKENS),
        meaning="tokens between kept states (with block reuse); 0 keeps none",
        memory="each kept state takes cache",
    )
    mamba_ssm_cache_dtype: str = option(
        "auto",
        Choice(choices=("auto", "float16", "bfloat16", "float32")),
        meaning="number format of the recurrent state; auto is the model's dtype",
        memory="float32 doubles the state",
    )
    tokens_per_block: int = option(
        32,
        CountChoice(numbers=tuple(2**power for power in range(13))),
        meaning="tokens of a KV block",
        memory="each request takes whole blocks",
    )
