"""What published measurements call things, in the planner's words: precisions, engines, machines.

A translation, nothing more: names that cannot be told are a LookupError, which fails the case.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from benchmarks.suites.gguf_names import nearest_type
from benchmarks.suites.hardware_names import system_named
from planner.model.quantization import get_scheme

# (pattern on the source's word for a precision, scheme); the first match wins. Files that were
# mixed to somebody's own taste ("UD", "_XL") are asked for as the nearest type of llama-quantize.
_SCHEMES = (
    ("bf16*", "bf16"),
    ("fp16", "bf16"),
    ("fp8-static", "fp8-dynamic"),
    ("fp8*", "fp8"),
    ("int8 w8a8", "w8a8-int8"),
    ("int8-w8a8", "w8a8-int8"),
    ("gptq4", "gptq-int4-g32-all"),
    ("gptq8", "gptq-int8-all"),
    ("awq4-experts", "awq-int4-experts"),
    ("awq-int4", "awq-int4"),
    ("awq4", "awq-int4"),
    ("int4 autoround", "autoround-int4"),
    ("autoround-int4", "autoround-int4"),
    ("int4+fp8 hybrid*", "autoround-int4"),
    ("nvfp4-experts", "nvfp4-experts"),
    ("nvfp4-mixed", "nvfp4-mixed"),
    ("nvfp4-unsloth27", "nvfp4-all"),
    ("nvfp4*", "nvfp4"),
    ("mxfp4-amd", "mxfp4-experts"),
    ("mlx4", "mlx-4bit"),
    ("mlx5", "mlx-5bit"),
    ("mlx8", "mlx-8bit"),
    ("mlx-nvfp4", "mlx-4bit"),  # as many bits per weight
    ("mlx-mxfp4", "mlx-4bit"),  # a quarter of a bit less
    ("gguf*bf16", "gguf-bf16"),
    ("gguf*int4", "q4_0"),
    ("gguf*nvfp4", "q4_0"),  # as many bits per weight
    ("gguf*ud-q2_k_xl", "q2_k"),
    ("gguf*q3_k_s", "q3_k_s"),
    ("gguf*iq4_ks*", "iq4_xs"),
    ("gguf*iq4_xs", "iq4_xs"),
    ("gguf*ud-q4_k*", "q4_k_m"),
    ("gguf*q4_k_m", "q4_k_m"),
    ("gguf*q5_k*", "q5_k_m"),
    ("gguf*q6_k*", "q6_k"),
    ("gguf*q8_k_xl", "q8_0"),
    ("gguf*iq1_m", "iq1_m"),
)

_ENGINES = (
    ("sglang", "sglang"),
    ("vllm", "vllm"),
    ("atom", "atom"),
    ("tensorrt-llm*", "tensorrt-llm"),
    ("ollama (mlx)", "mlx"),
    ("mlx-vlm", "mlx-vlm"),
    ("ollama", "ollama"),
    ("llama*", "llamacpp"),
    ("*mlx*", "mlx"),
    ("qwisp", "mlx"),
    ("*vllm*", "vllm"),
    ("*ktransformers*", "ktransformers"),
    ("*sglang-kt*", "ktransformers"),
    ("*sglang*", "sglang"),
    ("*llama.cpp*", "llamacpp"),
    ("koboldcpp*", "llamacpp"),
    ("transformers*", "transformers"),
)

_SIXTEEN_BITS = ("bf16", "f16", "f32")
"""GGUF types whose bare names mean other files."""
_MLX = re.compile(r"mlx\W*(\d)")
_COUNT = re.compile(r"^\d+\s*[x×]\s*")

_MACHINES = (
    ("dgx spark*", "gb10"),
    ("strix halo*", "strix-halo-128"),
    ("rtx pro 6000*", "rtx-pro-6000-ws"),
    ("radeon ai pro r9700*", "r9700"),
    ("rtx 5080*", "rtx-5080"),
    ("rtx 5090*", "rtx-5090"),
    ("rtx 4090*", "rtx-4090"),
    ("rtx 3090*", "rtx-3090"),
    ("l4 *", "l4"),
)

_CACHES = {
    "tq4bit": "turboquant_4bit_nc",
    "kv4": "mlx-4bit-g64",
    "kv2": "mlx-2bit-g64",
    "q8": "q8_0",
    "q4_0/q8_0 (varies)": "q8_0",
    "auto(bf16)": "bfloat16",
}

_STATES = {"fp32": "float32", "bf16": "bfloat16", None: "auto"}


def scheme_name(precision: str | None) -> str:
    """The scheme that a source means by `precision`.

    Raises:
        LookupError: it cannot be told.
    """
    try:
        return _first(_SCHEMES, precision, what="precision")
    except LookupError:
        found = _told(precision or "")
        if found is None:
            raise
        return found


def _told(precision: str) -> str | None:
    """The scheme that a precision names by itself: a GGUF type, an MLX width, or our own name."""
    text = precision.strip().lower()
    if (gguf := nearest_type(text)) is not None:
        return gguf.mix.lower() if gguf.mix.lower() not in _SIXTEEN_BITS else f"gguf-{gguf.mix}"
    if match := _MLX.match(text):
        return f"mlx-{match[1]}bit"
    words = re.split(r"[\s_/,]+", text)
    for name in (text, "-".join(words), "-".join(reversed(words)), *words):
        try:
            return get_scheme(name).name
        except ValueError:
            continue
    return None


def engine_name(engine: str | None) -> str:
    """The engine that a source means.

    Raises:
        LookupError: it cannot be told.
    """
    return _first(_ENGINES, engine, what="engine")


def machine_name(hardware: str | None) -> str:
    """The accelerator that a source means.

    Raises:
        LookupError: it cannot be told.
    """
    try:
        return _first(_MACHINES, hardware, what="hardware")
    except LookupError:
        name = _COUNT.sub("", (hardware or "").strip())
        if not name or "+" in name:
            raise
        accelerator = system_named(name, 1).accelerator
        if accelerator.vendor == "custom":
            raise  # only a size is told, and no speed follows from that
        return accelerator.id


def cache_name(dtype: str | None) -> str:
    """The KV-cache dtype that a source means; unsaid is "auto"."""
    return "auto" if dtype is None else _CACHES.get(dtype, dtype)


def state_name(dtype: str | None) -> str:
    """The dtype of the SSM state that a source means; unsaid is "auto"."""
    return _STATES[dtype]


def model_name(name: str) -> str:
    """The model without what sources add to its name: a note in parentheses, a precision."""
    plain = re.sub(r"\s*\(.*\)$", "", name).removesuffix("-FP8")
    return {
        "Qwen3-Next-80B-A3B": "Qwen3-Next-80B-A3B-Instruct",
        "Qwen3.5-122B": "Qwen3.5-122B-A10B",
    }.get(plain, plain)


def _first(rows: tuple[tuple[str, str], ...], text: str | None, *, what: str) -> str:
    for pattern, name in rows:
        if text is not None and fnmatchcase(text.lower(), pattern):
            return name
    raise LookupError(f"{what} {text!r} of the source cannot be told")
