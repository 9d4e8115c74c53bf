"""`vllm serve ...` read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.flags import (
    Sorted,
    degree,
    json_object,
    names_yarn,
    number,
    sort_words,
    told_layout,
    whole,
)
from planner.engines.vllm.command_flags import OPTIONS, TABLE
from planner.errors import InputError
from planner.layout import Layout

_HUMAN = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([kKmMgGtT])")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_HUMAN_FLAGS = ("max-num-batched-tokens", "kv-cache-memory-bytes")
_NUMBERS = ("gpu-memory-utilization", "cpu-offload-gb")
_COUNTS = ("max-num-seqs", "block-size", "decode-context-parallel-size")
_LONGEST = ("-1", "auto")
_SIXTEEN_BITS = ("auto", "bfloat16", "float16", "half")
_TRUE = ("1", "true")


def starts(words: Sequence[str]) -> int | None:
    """How many of `words` name the program; None if another program is meant."""
    name = words[0].rpartition("/")[2]
    if name in ("vllm", "vllm.exe") and words[1:2] == ["serve"]:
        return 2
    if tuple(words[:2]) in (
        ("-m", "vllm.entrypoints.openai.api_server"),
        ("-m", "vllm.entrypoints.api_server"),
    ):
        return 2
    return None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """The words behind `vllm serve` as a `Command`.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, TABLE)
    model = found.last("model") or (found.positional[0] if found.positional else None)
    unplanned = [*found.unplanned, *_environment_notes(environment)]
    if degree(found, "prefill-context-parallel-size") > 1:
        raise InputError("--prefill-context-parallel-size: it is not planned")
    if found.last("dtype") not in (None, *_SIXTEEN_BITS):
        raise InputError(f"--dtype: {found.last('dtype')} is not planned; the model's own dtype is")
    overrides = _document(found, "hf-overrides")
    context = found.last("max-model-len")
    if context in _LONGEST:
        unplanned.append(
            f"--max-model-len {context}: planned at the model's own length; vLLM takes what fits"
        )
        context = None
    return Command(
        model=model,
        revision=found.last("revision"),
        context=None if context is None else human_integer("--max-model-len", context),
        layout=told_layout(
            found,
            (
                "tensor-parallel-size",
                "pipeline-parallel-size",
                "data-parallel-size",
                "enable-expert-parallel",
            ),
            Layout(
                tensor_parallel=degree(found, "tensor-parallel-size"),
                pipeline_parallel=degree(found, "pipeline-parallel-size"),
                data_parallel=degree(found, "data-parallel-size"),
                expert_parallel=found.switched.get("enable-expert-parallel", False),
            ),
        ),
        kv_cache_dtype=found.last("kv-cache-dtype"),
        options=_options(found, unplanned),
        yarn=names_yarn(overrides)
        or environment.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "").lower() in _TRUE,
        quantization=found.last("quantization"),
        kept=(*found.ignored, *(word for word in found.positional if word != model)),
        unplanned=tuple(unplanned),
        environment=environment,
    )


def human_integer(flag: str, text: str) -> int:
    """A whole number as vLLM reads it: 128K is 131,072, and 128k is 128,000.

    Source: vLLM 0.33.0 engine/arg_utils.py (human_readable_int).

    Raises:
        InputError: unreadable.
    """
    match = _HUMAN.fullmatch(text.strip())
    if match is None:
        value = whole(flag, text.strip())
        assert value is not None
        return value
    digits, unit = match.groups()
    if unit in _BINARY:
        if "." in digits:
            raise InputError(
                f"{flag}: vLLM takes no decimals before {unit}; {digits}{unit.lower()} counts in"
                f" steps of {_DECIMAL[unit.lower()]:,}"
            )
        return int(digits) * _BINARY[unit]
    return int(float(digits) * _DECIMAL[unit])


def _options(found: Sorted, unplanned: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in OPTIONS:
        text = found.last(name)
        if text is None:
            continue
        flag, value = f"--{name}", text
        options[name.replace("-", "_")] = (
            human_integer(flag, value)
            if name in _HUMAN_FLAGS
            else number(flag, value)
            if name in _NUMBERS
            else whole(flag, value)
            if name in _COUNTS
            else value
        )
    for name in ("enable-prefix-caching", "enforce-eager", "language-model-only"):
        if name in found.switched:
            options[name.replace("-", "_")] = found.switched[name]
    options |= _speculation(_document(found, "speculative-config"))
    images = _images(found, unplanned)
    if images is not None:
        options["limit_images"] = images
    return options


def _document(found: Sorted, name: str) -> dict[str, Any]:
    return json_object(f"--{name}", found.last(name)) | found.dotted.get(name, {})


def _speculation(config: Mapping[str, Any]) -> dict[str, Any]:
    """`--speculative-config` as options; the model's own module unless it names a drafter."""
    if not config:
        return {}
    method = str(config.get("method") or ("dflash" if config.get("model") else "mtp")).lower()
    if method.endswith("mtp"):
        method = "mtp"
    if method not in ("mtp", "dflash"):
        raise InputError(
            f"--speculative-config: method {method} is not planned; mtp and dflash are"
        )
    tokens = config.get("num_speculative_tokens")
    if tokens is None:
        if method != "mtp":
            raise InputError("--speculative-config: num_speculative_tokens is missing")
        tokens = 1  # vLLM drafts as many as the module has layers
    options = {"speculative_method": method, "num_speculative_tokens": tokens}
    if method == "dflash" and config.get("model"):
        options["draft_model"] = str(config["model"])
    return options


def _images(found: Sorted, unplanned: list[str]) -> int | None:
    """The largest number of images per prompt that the flag allows; None for the default."""
    flag, text = "--limit-mm-per-prompt", found.last("limit-mm-per-prompt")
    if text is not None and "=" in text and not text.lstrip().startswith("{"):
        limits: dict[str, Any] = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    else:
        limits = json_object(flag, text)
    limits |= found.dotted.get("limit-mm-per-prompt", {})
    counts = {}
    for kind, limit in limits.items():
        count = limit.get("count") if isinstance(limit, dict) else limit
        counts[kind] = whole(flag, None if count is None else str(count))
    images = counts.get("image")
    if images == 0 and counts.get("video") != 0:
        unplanned.append(f"{flag}: without video 0 the vision tower is still loaded")
        return None
    return images


def _environment_notes(environment: Mapping[str, str]) -> list[str]:
    """Variables that change memory and are not planned."""
    name = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"
    if name in environment:
        return [f"{name}: the plan takes the release's default"]
    return []
