"""The words with which vLLM's start fails, and what they say themselves would help."""

from __future__ import annotations

from types import MappingProxyType

REFUSALS = (
    "KV cache is needed, which is larger than the available KV cache memory",
    "exceeds available Mamba cache blocks",
    "No available memory for the cache blocks",
    "is less than desired GPU memory utilization",
)
"""With these words a start ends for want of memory."""

SUGGESTS = MappingProxyType(
    {
        r"estimated maximum model length is (?P<tokens>\d+)": "by vLLM's own estimate it starts with"
        " --max-model-len {tokens}",
        r"\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than desired": "it starts with"
        " a --gpu-memory-utilization below {free} / {total}, or once others have freed theirs",
        r"max_num_seqs \(\d+\) exceeds available Mamba cache blocks \((?P<blocks>\d+)\)": "it starts"
        " with --max-num-seqs {blocks}",
    }
)
"""What a refusal says itself would help."""
