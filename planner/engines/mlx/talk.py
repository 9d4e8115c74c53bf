"""Read `mlx_lm.server ...` back, and say how mlx-lm is talked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.face import CommandReader, Face
from planner.engines.mlx.options import MlxOptions
from planner.engines.words import FlagTable, flags, sort_words

FLAGS = FlagTable(
    options=MlxOptions,
    parts={"model": ("--model",)},
    kept=flags(
        "host port allowed-origins log-level chat-template chat-template-args temp top-p top-k",
        "min-p max-tokens num-draft-tokens",
    ),
    kept_switches=flags("trust-remote-code use-default-chat-template"),
    unplanned={
        "--draft-model": "a separate drafter is not planned",
        "--adapter-path": "adapters take memory that is not counted",
        "--prompt-cache-bytes": "the plan bounds kept caches by their number",
        "--pipeline": "several machines are not planned",
    },
)
"""Source: mlx-lm 0.32.2 server.py (main)."""


def starts(words: Sequence[str]) -> int | None:
    """Return how many of `words` name the program; None if another program is meant."""
    if words[0].rpartition("/")[2] == "mlx_lm.server":
        return 1
    if tuple(words[:2]) in (("-m", "mlx_lm.server"), ("mlx_lm", "server")):
        return 2
    return 3 if tuple(words[:3]) == ("-m", "mlx_lm", "server") else None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return the words behind `mlx_lm.server` as a `Command`; the server does not bound a request.

    Raises:
        InputError: a flag or value that cannot be read.
    """
    found = sort_words(words, FLAGS)
    return Command(
        model=found.last("model"),
        options=found.options,
        kept=(*found.kept, *found.positional),
        unplanned=tuple(found.unplanned),
        environment=environment,
    )


FACE = Face(
    command=CommandReader(program="mlx_lm.server", starts=starts, read=read_command, flags=FLAGS)
)
