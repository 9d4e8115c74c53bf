"""List the lines with which a start of llama.cpp fails, or of what runs it, and what to change after each.

Source: llama.cpp (buffers, mmap, caches, Vulkan) and Ollama (system memory). The words of
ggml_aligned_malloc, of RAM under Vulkan (ErrorOutOfHostMemory) and of LM Studio were seen in logs, not read
in source.
"""

from __future__ import annotations

from types import MappingProxyType

SUGGESTS = MappingProxyType(
    {
        r"allocating (?P<size>[\d.]+) MiB on device (?P<gpu>\d+)": "{size} MiB in one piece were asked of"
        " GPU {gpu}: a smaller file, fewer layers there (-ngl) or a shorter -c ask for less",
        r"failed to allocate buffer for (?P<what>kv|rs) cache": "the cache found no room: a shorter -c, fewer"
        " slots (-np) or a cache in 8 bits (-ctk q8_0 -ctv q8_0) takes less, and fewer layers on the GPU (-ngl)"
        " leave more",
        r"more system memory \((?P<wanted>[\d.]+ GiB)\) than is available \((?P<free>[\d.]+ GiB)\)": (
            "Ollama asks for {wanted} of RAM and {free} were free: a smaller file or a shorter context"
            " takes less"
        ),
        r"this model requires approximately (?P<wanted>[\d.]+ GB) of memory": "LM Studio reckons with {wanted},"
        " more than its guardrail allows: a smaller file, a shorter context or fewer layers on the GPU take"
        " less",
        r"insufficient memory \(attempted to allocate (?P<size>[\d.]+) MB\)": "{size} MB of RAM in one piece"
        " were asked for and are not there: a smaller file, more layers or experts on the GPU, or the file"
        " mapped from disk (without --no-mmap) takes less",
        r"unable to allocate CPU buffer|cpu_buffer_type_alloc|mmap failed|OutOfHostMemory": "RAM ran out, not the GPU: a smaller file, more layers or experts on"
        " the GPU, or the file mapped from disk (without --no-mmap) takes less",
        r"error: Insufficient Memory \(0000|allocate (?:Metal|MTL\d*) buffer": "memory that macOS lends the GPU ran out: a shorter -c, fewer slots"
        " (-np), a smaller -ub, a cache in 8 bits (-ctk q8_0 -ctv q8_0) or a smaller file takes less; sudo"
        " sysctl iogpu.wired_limit_mb=MB lends it more",
        r"error: Impacting Interactivity": "macOS ended a command that kept the GPU for too long: a smaller -ub"
        " makes each one shorter",
        r"missing tensor '": "file and build do not suit each other: renew llama.cpp, or take another file",
        r"requires Flash Attention|quantization requires flash_attn": "it starts with -fa on, or with a V cache of f16 (-ctv f16)",
        r"n_seq_max must be": "it starts with fewer slots (-np)",
        r"invalid argument: (?P<flag>--?[\w-]+)": "this build does not know {flag}: a newer one may, or it is"
        " misspelt",
        r"tensor '[^']*' data is not within the file bounds": "the file is cut short: download it again",
    }
    | dict.fromkeys(
        (
            r"cudaMalloc failed",
            r"error: out of memory",
            r"unable to allocate",
            r"failed to allocate comp",
            r"ggml_vulkan: Device memory allocation",
            r"ErrorOutOfDeviceMemory",
        ),
        "the GPU is full: fewer layers there (-ngl, or --n-cpu-moe for experts; without either llama.cpp puts"
        " there what fits), a shorter -c, a cache in 8 bits (-ctk q8_0 -ctv q8_0) or a smaller file takes less",
    )
    | dict.fromkeys(
        (r"failed to open GGUF file", r"gguf_init_from_file: failed to open"),
        "the file is not there: name it with -m, or a repository with -hf",
    )
)
"""What to change after a failed start, by the line that it ends with."""

HOST_REFUSALS = (
    "model requires more system memory (",
    "unable to allocate CPU buffer",
    "ggml_aligned_malloc: insufficient memory",
    "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer",
    "mmap failed: Cannot allocate memory",
    "ErrorOutOfHostMemory",
)
"""With these words a start ends for want of RAM, not of GPU memory."""

OBJECTIONS = (
    "error: Impacting Interactivity (0000",
    "missing tensor '",
    "requires Flash Attention",
    "V cache quantization requires flash_attn",
    "n_seq_max must be",
    "error: invalid argument: ",
    "is not within the file bounds",
    "failed to open GGUF file",
    "gguf_init_from_file: failed to open",
)
"""With these words a start ends for another reason than memory."""

REFUSALS = (
    "error: Insufficient Memory (0000",
    "cudaMalloc failed: out of memory",
    "CUDA error: out of memory",
    "ROCm error: out of memory",
    "failed to allocate buffer for kv cache",
    "failed to allocate buffer for rs cache",
    "Model loading was stopped due to insufficient system resources",
    "failed to allocate compute buffers",
    "error loading model: unable to allocate",
    "ggml_vulkan: Device memory allocation of size",
    "ErrorOutOfDeviceMemory",
    *HOST_REFUSALS,
)
"""With these words a start ends for want of memory."""
