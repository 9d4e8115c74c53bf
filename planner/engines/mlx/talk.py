"""Read `mlx_lm.server ...` back, and say how mlx-lm is talked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.face import CommandReader, Face
from planner.engines.mlx.bench import BENCH
from planner.engines.mlx.log import log_reader
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
    own=dict.fromkeys(
        flags(
            "prompt system-prompt prefill-response seed image extra-eos-token xtc-probability",
            "xtc-threshold min-tokens-to-keep chat-template-config verbose prompt-cache-file",
        ),
        1,
    )
    | {"--ignore-chat-template": 0},
    unplanned={
        "--draft-model": "a separate drafter is not planned",
        "--adapter-path": "adapters take memory that is not counted",
        "--prompt-cache-bytes": "the plan bounds kept caches by their number",
        "--pipeline": "several machines are not planned",
    },
)
"""Source: mlx-lm 0.32.2 server.py (main); flags of its own are those of generate.py and chat.py that the
server, which is what a plan writes, has not."""


_PROGRAMS = ("server", "generate", "chat")
"""Programs of mlx-lm that load a model; one answers requests, the others one prompt."""
_MODULES = tuple(f"mlx_lm.{program}" for program in _PROGRAMS)


def starts(words: Sequence[str]) -> int | None:
    """Return how many of `words` name the program; None if another program is meant."""
    length = _named(words)
    if length is None or words[length - 1].endswith("server"):
        return length
    return length - 1  # its name stays for the reader to see


def _named(words: Sequence[str]) -> int | None:
    if words[0].rpartition("/")[2] in _MODULES:
        return 1
    module, program = tuple(words[:2]), tuple(words[1:3])
    if (module[0] == "-m" and module[1:] and module[1] in _MODULES) or (
        module[0] == "mlx_lm" and module[1:] and module[1] in _PROGRAMS
    ):
        return 2
    named = words[0] == "-m" and program[:1] == ("mlx_lm",) and program[1:]
    return 3 if named and program[1] in _PROGRAMS else None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return the words behind `mlx_lm.server` as a `Command`; the server does not bound a request.

    Raises:
        InputError: a flag or value that cannot be read.
    """
    alone = bool(words) and words[0].rpartition("/")[2].rpartition(".")[2] in _PROGRAMS[1:]
    found = sort_words(words[1:] if alone else words, FLAGS)
    single = {"prompt_concurrency": 1, "decode_concurrency": 1} if alone else {}
    return Command(
        model=found.last("model"),
        named=(name,) if (name := found.last("model")) is not None else (),
        bounds=False,
        options=single | found.options,
        kept=(*found.kept, *found.positional),
        unplanned=tuple(found.unplanned),
        environment=environment,
    )


FACE = Face(
    log=log_reader(read_command),
    command=CommandReader(program="mlx_lm.server", starts=starts, read=read_command, flags=FLAGS),
    bench=BENCH,
)
