"""``sglang.launch_server ...`` read back."""

from __future__ import annotations

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
from planner.engines.sglang.command_flags import COUNTS, NUMBERS, SWITCHES, TABLE, WORDS
from planner.errors import InputError
from planner.layout import Layout

LONGER = "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"
_SIXTEEN_BITS = ("auto", "bfloat16", "float16", "half")
_TRUE = ("1", "true", "yes", "y")


def starts(words: Sequence[str]) -> int | None:
    """How many of `words` name the program; None if another program is meant."""
    if tuple(words[:2]) == ("-m", "sglang.launch_server"):
        return 2
    if words[0].rpartition("/")[2] == "sglang" and words[1:2] == ["serve"]:
        return 2
    return None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """The words behind ``sglang.launch_server`` as a `Command`.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, TABLE)
    model = found.last("model-path") or (found.positional[0] if found.positional else None)
    if degree(found, "attn-cp-size") > 1:
        raise InputError("--attn-cp-size: context parallelism is not planned")
    if found.last("dtype") not in (None, *_SIXTEEN_BITS):
        raise InputError(f"--dtype: {found.last('dtype')} is not planned; the model's own dtype is")
    overrides = json_object("--json-model-override-args", found.last("json-model-override-args"))
    layout, parallel = _layout(found)
    options = _options(found) | parallel
    return Command(
        model=model,
        revision=found.last("revision"),
        context=options.get("context_length"),
        layout=told_layout(
            found,
            (
                "tp-size",
                "pp-size",
                "dp-size",
                "ep-size",
                "attn-dp-size",
                "enable-dp-attention",
                "enable-ep-moe",
                "enable-deepep-moe",
            ),
            layout,
        ),
        kv_cache_dtype=found.last("kv-cache-dtype"),
        options=options,
        yarn=names_yarn(overrides) or environment.get(LONGER, "").lower() in _TRUE,
        quantization=found.last("quantization"),
        kept=(*found.ignored, *(word for word in found.positional if word != model)),
        unplanned=tuple(found.unplanned),
        environment=environment,
    )


def _layout(found: Sorted) -> tuple[Layout, dict[str, Any]]:
    """The layout, and the degrees that it has no word for as options.

    ``--dp-size`` counts replicas, or attention groups inside the tensor-parallel ranks where
    attention data parallelism is asked for.
    """
    tp, dp = degree(found, "tp-size"), degree(found, "dp-size")
    options: dict[str, Any] = {}
    attn_dp = degree(found, "attn-dp-size")
    if found.switched.get("enable-dp-attention"):
        attn_dp, dp = max(attn_dp, dp), 1
    if attn_dp > 1:
        options["attn_dp_size"] = attn_dp
    if found.switched.get("enable-deepep-moe"):
        options["moe_a2a_backend"] = "deepep"
    ep = tp if found.switched.get("enable-ep-moe") else degree(found, "ep-size")
    shared = ep == tp and tp > 1 and dp == 1
    if ep > 1 and not shared:
        options["ep_size"] = ep
    return (
        Layout(
            tensor_parallel=tp,
            pipeline_parallel=degree(found, "pp-size"),
            data_parallel=dp,
            expert_parallel=shared,
        ),
        options,
    )


def _options(found: Sorted) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in (*COUNTS, *NUMBERS, *WORDS, "cuda-graph-max-bs"):
        text = found.last(name)
        if text is None:
            continue
        value: object = text
        if name in COUNTS or name == "cuda-graph-max-bs":
            value = whole(f"--{name}", text)
        elif name in NUMBERS:
            value = number(f"--{name}", text)
        options[name.replace("-", "_")] = value
    return options | {
        name.replace("-", "_"): found.switched[name] for name in SWITCHES if name in found.switched
    }
