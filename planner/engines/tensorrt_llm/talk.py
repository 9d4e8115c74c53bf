"""Read `trtllm-serve ...` back, and say how TensorRT-LLM is talked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.option_kinds import whole_number
from planner.engines.tensorrt_llm.options import TensorRtLlmOptions
from planner.engines.words import FlagTable, Sorted, flags, sort_words
from planner.errors import InputError
from planner.layout import Layout

_FROM_A_FILE = "what the file says is not known here: give it as options of the plan"

FLAGS = FlagTable(
    options=TensorRtLlmOptions,
    parts={
        "model": ("--model",),
        "revision": ("--revision",),
        "tp_size": ("--tp-size", "--tensor-parallel-size"),
        "pp_size": ("--pp-size", "--pipeline-parallel-size"),
        "ep_size": ("--ep-size", "--moe-expert-parallel-size"),
        "max_seq_len": ("--max-seq-len",),
    },
    kept=flags(
        "host port backend tokenizer gpus-per-node num-postprocess-workers reasoning-parser",
        "tool-parser log-level max-beam-width cluster-size server-role metadata-server-config-file",
        "served-model-name chat-template moe-cluster-parallel-size",
        "fail-fast-on-attention-window-too-large",
    ),
    kept_switches=flags("trust-remote-code enable-chunked-prefill otlp-traces-endpoint"),
    unplanned={
        "--config": _FROM_A_FILE,
        "--extra-llm-api-options": _FROM_A_FILE,
        "--kv-cache-dtype": "write it as an option of the plan",
    },
)
"""Source: TensorRT-LLM main 2026-09 commands/serve.py."""

DEGREES = ("tp_size", "pp_size", "ep_size")


def starts(words: Sequence[str]) -> int | None:
    """Return how many of `words` name the program; None if another program is meant."""
    if words[0].rpartition("/")[2] != "trtllm-serve":
        return None
    return 2 if words[1:2] == ["serve"] else 1


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return the words behind `trtllm-serve` as a `Command`; its configuration file is not read.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, FLAGS)
    model = found.model()
    longest = found.last("max_seq_len")
    return Command(
        model=model,
        revision=found.last("revision"),
        context=None if longest is None else whole_number(longest, "--max_seq_len"),
        layout=_layout(found),
        options=found.options,
        kept=(*found.kept, *found.strays(model)),
        unplanned=tuple(found.unplanned),
        environment=environment,
    )


def _layout(found: Sorted) -> Layout | None:
    """Return the layout; None where no degree is given.

    Raises:
        InputError: experts shared out over some of the ranks.
    """
    tp, pp, ep = (found.degree(part) or 1 for part in DEGREES)
    if ep not in (1, tp):
        raise InputError(f"--ep_size: {ep} is not planned; 1 and all {tp} ranks are")
    if not any(part in found.parts for part in DEGREES):
        return None
    return Layout(tensor_parallel=tp, pipeline_parallel=pp, expert_parallel=ep > 1)


FACE = Face(
    command=CommandReader(program="trtllm-serve", starts=starts, read=read_command, flags=FLAGS),
    container=Container(
        images=MappingProxyType({"nvidia": "nvcr.io/nvidia/tensorrt-llm/release:{version}"}),
        port=8000,
        listen=("--host", "0.0.0.0"),
    ),
)
