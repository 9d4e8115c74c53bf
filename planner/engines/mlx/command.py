"""`mlx_lm.server ...` read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.flags import FlagTable, flags, sort_words, whole
from planner.engines.mlx.options import MlxOptions
from planner.errors import InputError
from planner.layout import Layout

COUNTS = (
    "kv-bits",
    "kv-group-size",
    "quantized-kv-start",
    "prefill-step-size",
    "decode-concurrency",
    "prompt-concurrency",
    "prompt-cache-size",
)

TABLE = FlagTable(
    values={"--model": "model"} | {f"--{name}": name for name in COUNTS},
    neutral=flags(
        "host port allowed-origins log-level chat-template chat-template-args temp top-p top-k",
        "min-p max-tokens num-draft-tokens",
    ),
    neutral_switches=flags("trust-remote-code use-default-chat-template"),
    unplanned={
        "--draft-model": "a separate drafter is not planned",
        "--adapter-path": "adapters take memory that is not counted",
        "--prompt-cache-bytes": "the plan bounds kept caches by their number",
        "--pipeline": "several machines are not planned",
    },
)


def starts(words: Sequence[str]) -> int | None:
    """How many of `words` name the program; None if another program is meant."""
    if words[0].rpartition("/")[2] == "mlx_lm.server":
        return 1
    if tuple(words[:2]) in (("-m", "mlx_lm.server"), ("mlx_lm", "server")):
        return 2
    return 3 if tuple(words[:3]) == ("-m", "mlx_lm", "server") else None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """The words behind `mlx_lm.server` as a `Command`; the server does not bound a request.

    Raises:
        InputError: a flag or value that cannot be read.
    """
    found = sort_words(words, TABLE)
    model = found.last("model")
    if model is None:
        raise InputError("command: mlx_lm.server needs --model")
    options = {
        name.replace("-", "_"): whole(f"--{name}", found.last(name))
        for name in COUNTS
        if found.last(name) is not None
    }
    return Command(
        model=model,
        layout=Layout(),
        options=MlxOptions(**options),  # type: ignore[arg-type]  # given ones are not None
        ignored=(*found.ignored, *found.positional),
        unplanned=tuple(found.unplanned),
        environment=environment,
    )
