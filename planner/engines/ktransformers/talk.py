"""Read `sglang serve` with ``--kt-*`` flags back, and say how KTransformers is talked to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.face import CommandReader, Face
from planner.engines.ktransformers.options import KTransformersOptions
from planner.engines.options import declared
from planner.engines.sglang import talk as sglang
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
    if options.get("kt_weight_path") == served.model:
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


FACE = Face(
    command=CommandReader(
        program="sglang serve --kt-method ...", starts=starts, read=read_command, flags=FLAGS
    ),
)
