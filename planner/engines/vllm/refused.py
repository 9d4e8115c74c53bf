"""List the lines with which a start of vLLM fails, and what to change after each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from planner.engines.log_figure import Stage, Suggestion, Suggests

REFUSALS = (
    "KV cache is needed, which is larger than the available KV cache memory",
    "than the maximum number of tokens that can be stored in KV cache",
    "exceeds available Mamba cache blocks",
    "No available memory for the cache blocks",
    "is less than desired GPU memory utilization",
    "when warming up sampler with",
    "CUDA Error: out of memory at ",
)
"""With these words a start ends for want of memory.

Source: vLLM v1/worker/gpu_model_runner.py (sampler), csrc/cumem_allocator.cpp (the path behind "at" is
that of the build), worker/worker.py of 0.x (tokens that can be stored).
"""

OBJECTIONS = (
    "In Mamba cache align mode, block_size (",
    "Chunked MM input disabled but max_tokens_per_mm_item",
    "is greater than the derived max_model_len",
    "Bfloat16 is only supported on GPUs with compute capability",
    "must be divisible by tensor parallel size",
    "is larger than the number of available GPUs",
)
"""With these words a start ends for another reason than memory."""


def _as_much_as_free(groups: Mapping[str, str]) -> Suggestion:
    """Return the share of the GPU of which vLLM asks for no more than was free."""
    free, total = float(groups["free"]), float(groups["total"])
    share = math.floor(100 * (free - DIGIT) / total) / 100 if total else 0.0
    if share <= 0:
        return Suggestion(words="vLLM starts once others have freed their memory")
    return Suggestion(
        words=f"vLLM asks for no more than was free ({groups['free']} of {groups['total']} GiB) with"
        f" --gpu-memory-utilization {share:g}, or starts once others have freed theirs",
        within={"gpu_memory_utilization": share},
    )


def _shorter_or_more(groups: Mapping[str, str]) -> Suggestion:
    """Return the length that vLLM names, and what holds the one that was asked for."""
    missing = float(groups["needed"]) - float(groups["left"])
    return Suggestion(
        words=f"by vLLM's own estimate it starts with --max-model-len {groups['tokens']}; the length that was"
        f" asked for takes {missing:.2f} GiB more of cache: a higher --gpu-memory-utilization, a lower"
        " --max-num-batched-tokens or --kv-cache-dtype fp8 may make room"
    )


DIGIT = 0.005
"""GiB by which what is printed with two digits may be above what was free."""

SUGGESTS: Suggests = MappingProxyType(
    {
        r"\((?P<needed>\d+\.?\d*) GiB KV cache is needed, which is larger than the available KV cache memory"
        r" \((?P<left>\d+\.?\d*) GiB\).*?estimated maximum model length is (?P<tokens>\d+)": (
            _shorter_or_more
        ),
        r"estimated maximum model length is (?P<tokens>\d+)": "by vLLM's own estimate it starts with"
        " --max-model-len {tokens}",
        r"No available memory for the cache blocks": "weights and activations leave nothing for the cache: a"
        " higher --gpu-memory-utilization, a lower --max-num-batched-tokens, smaller weights or more GPUs"
        " (--tensor-parallel-size) leave some",
        r"that can be stored in KV cache \((?P<tokens>\d+)\)": "it starts with --max-model-len {tokens}",
        r"\((?P<free>\d+\.?\d*)/(?P<total>\d+\.?\d*) GiB\) on startup is less than desired": (
            _as_much_as_free
        ),
        r"max_num_seqs \(\d+\) exceeds available Mamba cache blocks \((?P<blocks>\d+)\)": "it starts"
        " with --max-num-seqs {blocks}",
        r"block_size \((?P<tokens>\d+)\) must be <= max_num_batched_tokens": "it starts with"
        " --max-num-batched-tokens {tokens} or more",
        r"max_tokens_per_mm_item \((?P<tokens>\d+)\) is larger than": "it starts with"
        " --max-num-batched-tokens {tokens}, or without pictures (--language-model-only)",
        r"derived max_model_len \(\w+=(?P<tokens>\d+)": "it starts with --max-model-len {tokens} at"
        " most; beyond it the model needs YaRN (qwenplan plan ... --yarn writes it)",
        r"Bfloat16 is only supported": "it starts with --dtype half",
        r"attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size": "it starts"
        " with a --tensor-parallel-size that divides {heads}",
        r"out of memory\. Tried to allocate [\d.]+ [KMG]iB": "{asked}: a lower"
        " --gpu-memory-utilization leaves more beside vLLM's pool, a lower"
        " --max-num-batched-tokens or --max-num-seqs asks for less, and while weights load nothing but"
        " smaller ones helps",
        r"out of memory at \S*cumem_allocator": "the allocator of sleep mode found no room: a lower --gpu-memory-utilization"
        " leaves more, and without --enable-sleep-mode PyTorch's own allocates",
        r"warming up sampler with (?P<requests>\d+) dummy requests": "vLLM tries the sampler with"
        " {requests} requests at once: a lower --max-num-seqs asks for less, a lower"
        " --gpu-memory-utilization leaves more room",
        r"number of available GPUs \((?P<gpus>\d+)\)": "it starts with --tensor-parallel-size times"
        " --pipeline-parallel-size of {gpus} at most, or with CUDA_VISIBLE_DEVICES naming more",
    }
)
"""What to change after a failed start, by the line that it ends with."""

STAGES = (
    Stage(
        cues=(", in load_model", ", in load_weights", ", in create_weights"),
        words="it loaded the weights",
        helps="smaller weights, more GPUs (--tensor-parallel-size) or some in RAM (--cpu-offload-gb) ask for"
        " less; no share of the GPU helps",
        loads=True,
    ),
    Stage(
        cues=(", in profile_run", ", in determine_available_memory"),
        words="it tried out a step of the largest size",
        helps="a lower --max-num-batched-tokens or --max-num-seqs asks for less",
    ),
    Stage(
        cues=(", in initialize_kv_cache", ", in _allocate_kv_cache"),
        words="it reserved the cache",
        helps="a lower --gpu-memory-utilization reserves less",
        fills=True,
    ),
    Stage(
        cues=(", in capture_model", ", in _capture_cudagraphs", ", in compile_or_warm_up_model"),
        words="it captured CUDA graphs",
        helps="a lower --gpu-memory-utilization leaves more beside the cache, a lower --max-num-seqs or"
        " --enforce-eager asks for less",
    ),
    Stage(
        cues=(", in execute_model",),
        words="it answered requests",
        helps="a lower --gpu-memory-utilization leaves more beside the cache, a lower"
        " --max-num-batched-tokens asks for less",
    ),
)
"""What vLLM does when memory runs out, by the functions that its traceback names, in their order.

Source: vLLM v1/worker/gpu_worker.py, gpu_model_runner.py, gpu/model_runner.py and gpu/attn_utils.py. The
trial step of the newer runner calls execute_model, and so does its warm-up: these name no stage where an
outer function does.
"""
