"""Say which release first knows the architecture that a program refuses.

The words are those that the programs print; which release of which program knows which architecture
is data (data/architectures.toml).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from planner.shipped import read_toml

LIBRARY = "transformers"
"""The library that several servers read a model's configuration with."""

OWN = MappingProxyType(
    {
        "vllm": (r"(?P<name>\w+) has no vLLM implementation",),
        "sglang": (r"(?P<name>\w+) has no SG[Ll]ang implementation",),
        "llamacpp": (r"unknown model architecture: '(?P<name>[\w.-]+)'",),
        "mlx": (r"Model type (?P<name>\w+) not supported",),
    }
)
"""Engine -> patterns of what only it says of a model that it does not know.

Source: vLLM model_executor/model_loader/utils.py, SGLang 0.5.9 srt/model_loader/utils.py, llama.cpp
src/llama-model.cpp, mlx-lm 0.30.7 utils.py.
"""

SHARED = (r"Model architectures \[(?P<name>[^\]]+)\] are not supported for now",)
"""What vLLM and SGLang say alike (their models/registry.py)."""

OF_LIBRARY = (
    r"has model type `(?P<name>\w+)` but Transformers does not recognize this architecture",
    r"KeyError: '(?P<name>qwen\w+)'",
)
"""What the library says, whoever asks it (transformers 5.2.0 models/auto/configuration_auto.py)."""

CUES = (
    " has no vLLM implementation",
    "ng implementation",
    "unknown model architecture: ",
    "Model type ",
    " are not supported for now",
    "Transformers does not recognize this architecture",
    "KeyError: 'qwen",
)
"""Characters that every such line holds."""

_SUFFIX = re.compile(r"for(?:conditionalgeneration|causallm)$|text$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """A line that says that an architecture is not known.

    Attributes:
        line: the line.
        name: the architecture, as it is printed.
        engine: whose words they are; None where several engines print them.
        of_library: they are the library's, not the server's.
    """

    line: str
    name: str
    engine: str | None
    of_library: bool = False


def unserved_in(lines: Iterable[str]) -> Iterator[Unserved]:
    """Yield the lines that say that an architecture is not known, in their order."""
    for line in lines:
        if not any(cue in line for cue in CUES):
            continue
        for engine, pattern, of_library in _patterns():
            match = pattern.search(line)
            if match is not None:
                name = match["name"].split(",")[0].strip(" '\"")
                yield Unserved(line=line, name=name, engine=engine, of_library=of_library)
                break


@cache
def _patterns() -> tuple[tuple[str | None, re.Pattern[str], bool], ...]:
    own = [(engine, re.compile(text), False) for engine, texts in OWN.items() for text in texts]
    shared = [(None, re.compile(text), False) for text in SHARED]
    library = [(None, re.compile(text), True) for text in OF_LIBRARY]
    return (*own, *shared, *library)


def first_releases(found: Unserved, engine: str | None) -> str:
    """Return what would help: the first releases that know the architecture, and how to get them.

    Args:
        found: what was said.
        engine: whose start it is, where that is known; None names every program that prints it.
    """
    known = [row for row in _known() if _plain(found.name) in row["types"]]
    own = engine or found.engine
    wanted = ([own] if own else ["vllm", "sglang"]) if not found.of_library else [LIBRARY]
    if found.of_library and own not in (None, LIBRARY):
        wanted.append(own or "")
    rows = [row for name in wanted for row in known if row["engine"] == name]
    if not rows:
        return f"no release that knows {found.name} is listed here"
    first = " and ".join(f"{row['title']} {row['since']}" for row in rows)
    updates = "; ".join(dict.fromkeys(row["update"] for row in rows))
    several = "are the first releases that know" if len(rows) > 1 else "is the first that knows"
    return f"{first} {several} {found.name} ({updates})"


@cache
def _known() -> tuple[Mapping[str, Any], ...]:
    return tuple(read_toml("engines", "data", "architectures.toml")["known"])


def _plain(name: str) -> str:
    """Return an architecture's name whichever program wrote it: ``Qwen3_5MoeForCausalLM``."""
    return _SUFFIX.sub("", re.sub(r"[^a-z0-9]", "", name.lower()))
