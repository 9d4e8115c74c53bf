"""Say which release first knows the architecture that a program refuses: data/architectures.toml has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hardware_db.records import frozen
from planner.shipped import read_toml

_SUFFIX = re.compile(r"for(?:conditionalgeneration|causallm)$|text$")


@frozen
class Unserved:
    """A line that says that an architecture is not known.

    Attributes:
        line: the line.
        name: the architecture, as it is printed.
        engines: whose words they are, or their library's.
        of_library: they are a library's, not a server's.
    """

    line: str
    name: str
    engines: tuple[str, ...]
    of_library: bool = False

    @property
    def engine(self) -> str | None:
        """The server whose words they are; None where several print them."""
        return self.engines[0] if len(self.engines) == 1 and not self.of_library else None


def cues() -> frozenset[str]:
    """Return characters of which every such line holds some."""
    return frozenset(row["cue"] for row in _data()["said"])


def unserved_in(lines: Iterable[str]) -> Iterator[Unserved]:
    """Yield the lines that say that an architecture is not known, in their order."""
    for line in lines:
        for row in _data()["said"]:
            match = re.search(row["pattern"], line) if row["cue"] in line else None
            if match is not None:
                yield Unserved(
                    line=line,
                    name=match["name"].split(",")[0].strip(" '\""),
                    engines=tuple(row["engines"]),
                    of_library=row.get("library", False),
                )
                break


def first_releases(found: Unserved, engine: str | None) -> str:
    """Return what would help: the first releases that know the architecture, and how to get them.

    Args:
        found: what was said.
        engine: whose start it is, where that is known; None names every program that prints it.
    """
    known = [row for row in _data()["known"] if _plain(found.name) in row["types"]]
    own = () if engine is None else (engine,)
    wanted = dict.fromkeys((*found.engines, *own) if found.of_library else own or found.engines)
    rows = [row for name in wanted for row in known if row["engine"] == name]
    if not rows:
        return f"no release that knows {found.name} is listed here"
    first = " and ".join(f"{row['title']} {row['since']}" for row in rows)
    updates = "; ".join(dict.fromkeys(row["update"] for row in rows))
    several = "are the first releases that know" if len(rows) > 1 else "is the first that knows"
    return f"{first} {several} {found.name} ({updates})"


@cache
def _data() -> Mapping[str, Any]:
    return read_toml("engines", "data", "architectures.toml")


def _plain(name: str) -> str:
    """Return an architecture's name whichever program wrote it: ``Qwen3_5MoeForCausalLM``."""
    return _SUFFIX.sub("", re.sub(r"[^a-z0-9]", "", name.lower()))
