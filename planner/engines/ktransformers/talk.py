"""Read `sglang serve` with ``--kt-*`` flags back, and say how KTransformers is talked to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.face import CommandReader, Face
from planner.engines.ktransformers.engine import KTransformersAnswer
from planner.engines.ktransformers.options import KTransformersOptions
from planner.engines.ktransformers.refusals import as_sglang
from planner.engines.log_figure import Bounds, Reading
from planner.engines.options import declared
from planner.engines.sglang import talk as sglang
from planner.engines.sglang.log import given_memory as sglang_given_memory
from planner.engines.sglang.log import loading_lines, pool_lines
from planner.engines.sglang.options import SGLangOptions
from planner.engines.words import sort_words

_SGLANG_ALONE = {
    flag: "not planned for KTransformers"
    for name, option in declared(SGLangOptions).items()
    if name not in declared(KTransformersOptions)
    for flag in option.flags
}

FLAGS = dataclasses.replace(
    sglang.FLAGS,
    options=KTransformersOptions,
    own={**sglang.FLAGS.own, "--disable-shared-experts-fusion": 0},
    unplanned={**sglang.FLAGS.unplanned, **_SGLANG_ALONE},
)
"""Source: kvcache-ai/ktransformers doc/en/kt-kernel/; the other flags are SGLang's."""


def starts(words: Sequence[str]) -> int | None:
    """Return how many words name the program; None: another, or SGLang without kt-kernel."""
    length = sglang.starts(words)
    return length if any(word.startswith(("--kt-", "--kt_")) for word in words) else None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return the words behind the program's name as a `Command`.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, FLAGS)
    served = sglang.command_of(found, environment)
    options = dict(served.options)
    weights = options.get("kt_weight_path")
    if weights == served.model and not str(weights).startswith(("/", ".", "~")):
        options.pop("kt_weight_path", None)
    known = declared(KTransformersOptions)
    alone = [name for name in options if name not in known]
    return dataclasses.replace(
        served,
        options={name: value for name, value in options.items() if name in known},
        unplanned=(
            *served.unplanned,
            *(f"--{name.replace('_', '-')}: not planned for KTransformers" for name in alone),
        ),
    )


def logged_command(lines: Sequence[str]) -> Command | None:
    """Return what the server was told: SGLang prints kt-kernel's arguments among its own."""
    return sglang.logged_command(lines, FLAGS, read_command)


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """Yield the lines of SGLang's start, with the pools beside the weights that stay on the GPUs."""
    if isinstance(allocation, KTransformersAnswer):
        yield from loading_lines(allocation.budget)
        yield from pool_lines(allocation.server, allocation.pool)


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """Return what SGLang's log does."""
    return sglang_given_memory(as_sglang(deployment), logged)


FACE = Face(
    log=dataclasses.replace(
        sglang.LOG_READER,
        # kt_method is no mark: SGLang itself has printed a default of it, kt_method='AMXINT4'.
        marks=(*sglang.LOG_READER.marks, "kt_weight_path='", "kt-kernel"),
        command=logged_command,
        also=also,
        given_memory=given_memory,
    ),
    command=CommandReader(
        program="sglang serve --kt-method ...", starts=starts, read=read_command, flags=FLAGS
    ),
)
