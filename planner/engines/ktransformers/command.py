"""``sglang.launch_server`` with ``--kt-*`` flags read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.flags import sort_words, whole
from planner.engines.ktransformers.options import KTransformersOptions
from planner.engines.sglang import command as sglang
from planner.engines.sglang.command_flags import TABLE

_COUNTS = (
    "kt-num-gpu-experts",
    "kt-cpuinfer",
    "kt-threadpool-count",
    "kt-gpu-prefill-token-threshold",
)
_WORDS = ("kt-method", "kt-weight-path")
_KT_TABLE = dataclasses.replace(
    TABLE,
    values={**TABLE.values, **{f"--{name}": name for name in (*_COUNTS, *_WORDS)}},
)


def starts(words: Sequence[str]) -> int | None:
    """How many of `words` name the program; None if it is another, or SGLang without kt-kernel."""
    length = sglang.starts(words)
    return length if any(word.startswith(("--kt-", "--kt_")) for word in words) else None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """The words behind the program's name as a `Command`.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, _KT_TABLE)
    options: dict[str, Any] = {
        name.replace("-", "_"): whole(f"--{name}", found.last(name))
        for name in _COUNTS
        if found.last(name) is not None
    }
    for name in _WORDS:
        if found.last(name) is not None:
            options[name.replace("-", "_")] = found.last(name)
    served = sglang.read_command(_without_kt(words), environment)
    if options.get("kt_weight_path") == served.model:
        del options["kt_weight_path"]
    known = {field.name for field in dataclasses.fields(KTransformersOptions)}
    unplanned = list(served.unplanned)
    for name, value in served.options.items():
        if name in known:
            options[name] = value
        elif name != "context_length":
            unplanned.append(f"--{name.replace('_', '-')}: not planned for KTransformers")
    return dataclasses.replace(served, options=options, unplanned=tuple(unplanned))


def _without_kt(words: Sequence[str]) -> list[str]:
    """`words` without the flags of kt-kernel and their values."""
    kept: list[str] = []
    dropping = False
    for word in words:
        if word.startswith(("--kt-", "--kt_")):
            dropping = "=" not in word
        elif dropping:
            dropping = False
            if word.startswith("--"):
                kept.append(word)
        else:
            kept.append(word)
    return kept
