"""`trtllm-serve ...` read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.flags import FlagTable, degree, flags, number, sort_words, told_layout, whole
from planner.errors import InputError
from planner.layout import Layout

_COUNTS = ("max-batch-size", "max-num-tokens")
_FROM_A_FILE = "what the file says is not known here: give it as options of the plan"

TABLE = FlagTable(
    values={
        f"--{name}": name
        for name in (
            *_COUNTS,
            "tp-size",
            "pp-size",
            "ep-size",
            "max-seq-len",
            "kv-cache-free-gpu-memory-fraction",
            "revision",
            "model",
        )
    }
    | {
        "--tensor-parallel-size": "tp-size",
        "--pipeline-parallel-size": "pp-size",
        "--moe-expert-parallel-size": "ep-size",
        "--free-gpu-memory-fraction": "kv-cache-free-gpu-memory-fraction",
    },
    neutral=flags(
        "host port backend tokenizer gpus-per-node num-postprocess-workers reasoning-parser",
        "tool-parser log-level max-beam-width cluster-size server-role metadata-server-config-file",
        "served-model-name chat-template moe-cluster-parallel-size fail-fast-on-attention-window-too-large",
    ),
    neutral_switches=flags("trust-remote-code enable-chunked-prefill otlp-traces-endpoint"),
    unplanned={
        "--config": _FROM_A_FILE,
        "--extra-llm-api-options": _FROM_A_FILE,
        "--kv-cache-dtype": "write it as an option of the plan",
    },
)


def starts(words: Sequence[str]) -> int | None:
    """How many of `words` name the program; None if another program is meant."""
    if words[0].rpartition("/")[2] != "trtllm-serve":
        return None
    return 2 if words[1:2] == ["serve"] else 1


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """The words behind `trtllm-serve` as a `Command`; its configuration file is not read.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, TABLE)
    model = found.last("model") or (found.positional[0] if found.positional else None)
    tp, ep = degree(found, "tp-size"), degree(found, "ep-size")
    if ep not in (1, tp):
        raise InputError(f"--ep_size: {ep} is not planned; 1 and all {tp} ranks are")
    options: dict[str, Any] = {
        name.replace("-", "_"): whole(f"--{name}", found.last(name))
        for name in _COUNTS
        if found.last(name) is not None
    }
    fraction = number(
        "--kv_cache_free_gpu_memory_fraction", found.last("kv-cache-free-gpu-memory-fraction")
    )
    if fraction is not None:
        options["free_gpu_memory_fraction"] = fraction
    return Command(
        model=model,
        revision=found.last("revision"),
        context=whole("--max_seq_len", found.last("max-seq-len")),
        layout=told_layout(
            found,
            ("tp-size", "pp-size", "ep-size"),
            Layout(
                tensor_parallel=tp,
                pipeline_parallel=degree(found, "pp-size"),
                expert_parallel=ep > 1,
            ),
        ),
        options=options,
        kept=(*found.ignored, *(word for word in found.positional if word != model)),
        unplanned=tuple(found.unplanned),
        environment=environment,
    )
