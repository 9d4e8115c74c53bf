"""List the lines with which a start of SGLang fails, and what to change after each."""

from __future__ import annotations

from types import MappingProxyType

from planner.engines.log_figure import Stage

REFUSALS = (
    "Not enough memory. Please try to increase --mem-fraction-static",
    "Not enough GPU memory for hybrid (mamba/linear-attention) state cache",
    "Hybrid (mamba/linear-attention) state cache is too small",
    "Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static",
    "Error: The memory capacity is unbalanced",
    "alloc_req_slots runs out of memory",
)
"""With these words a start ends for want of memory. Unbalanced memory can be a mere warning.

Source: SGLang pool_configurator.py (MemoryPoolConfig) and model_runner.py.
"""

OBJECTIONS = (
    "is greater than the derived context_length",
    "SGLang only supports sm75 and above",
    " has no SGlang implementation",
    "is not compatible with radix cache when using --mamba-scheduler-strategy no_buffer",
    "extra_buffer needs CUDA/MUSA/NPU",
)
"""With these words a start ends for another reason than memory.

Source: SGLang model_config.py, model_runner.py; model_loader/utils.py ("SGlang" so spelt: with "SGLang" it
only warns that it takes Transformers' implementation).
"""

SUGGESTS = MappingProxyType(
    {
        r"derived context_length \((?P<tokens>\d+)\)": "it starts with --context-length {tokens} at most",
        r"out of memory\. Tried to allocate [\d.]+ [KMG]iB": "{asked}: a lower"
        " --mem-fraction-static leaves more for activations, a lower --chunked-prefill-size"
        " or --cuda-graph-max-bs asks for less, and while weights load nothing but smaller ones helps",
        r"alloc_req_slots runs out of memory": "fewer requests at once (--max-running-requests), or more"
        " state slots for them (--max-mamba-cache-size), as far as memory goes",
        r"with radix cache when using --mamba-scheduler-strategy no_buffer": "it starts with"
        " --mamba-scheduler-strategy extra_buffer, or without a prefix cache (--disable-radix-cache)",
        r"extra_buffer needs": "it starts with --mamba-scheduler-strategy no_buffer",
        r"only supports sm75": "no release of SGLang serves this GPU; llama.cpp does",
        r"try to increase --mem-fraction-static.*?=(?P<now>0\.\d+)": "SGLang asks for more than"
        " --mem-fraction-static {now}",
        r"Not enough memory\. Please try to increase --mem-fraction-static": "the weights leave too little for"
        " the pools: a higher --mem-fraction-static, smaller weights or more GPUs (--tp-size) leave more",
    }
)
"""What to change after a failed start, by the line that it ends with."""

STAGES = (
    Stage(
        cues=(", in load_model", ", in load_weights", ", in create_weights"),
        words="it loaded the weights",
        helps="smaller weights or more GPUs (--tp-size) ask for less; no --mem-fraction-static helps",
        loads=True,
    ),
    Stage(
        cues=(", in _init_mamba_pool", "mamba_pool = MambaPool(", "self.temporal_state = "),
        words="it reserved the states of requests",
        helps="fewer slots (--max-mamba-cache-size) or a lower --mem-fraction-static reserve less",
        fills=True,
    ),
    Stage(
        cues=(", in _create_buffers", ", in init_memory_pool", ", in _init_pools"),
        words="it reserved the KV cache",
        helps="a lower --mem-fraction-static or --max-total-tokens reserves less",
        fills=True,
    ),
    Stage(
        cues=(", in capture_one_batch_size", "Capture cuda graph failed"),
        words="it captured CUDA graphs",
        helps="a lower --mem-fraction-static leaves more beside the cache, a lower --cuda-graph-max-bs or"
        " --disable-cuda-graph asks for less",
    ),
    Stage(
        cues=(", in forward_extend", ", in forward_decode", ", in run_batch"),
        words="it answered requests",
        helps="a lower --mem-fraction-static leaves more beside the cache, a lower --chunked-prefill-size"
        " asks for less",
    ),
)
"""What SGLang does when memory runs out, by the functions that its traceback names, in their order.

A captured step computes attention as a request does: forward_decode names no stage below a capture.

Source: SGLang model_executor/model_runner.py, model_runner_kv_cache_mixin.py (_init_pools),
cuda_graph_runner.py, piecewise_cuda_graph_runner.py; mem_cache/memory_pool.py, managers/scheduler.py.
"""
