"""Find the engine that printed a start-up log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from planner.engines import FACES, get_engine
from planner.engines.log_figure import LogReader
from planner.engines.out_of_memory import OUT_OF_MEMORY
from planner.engines.unserved import unserved_in


def readers() -> Mapping[str, LogReader]:
    """Return the readers of all engines whose start-up logs are read, by name."""
    faces = ((name, face.log) for name, face in FACES.items())
    return {name: reader for name, reader in faces if reader is not None}


def engine_of(lines: Iterable[str]) -> str | None:
    """The engine that printed `lines`: the one most of whose marks are in them."""
    known = readers()
    seen: dict[str, set[str]] = {name: set() for name in known}
    for line in lines:
        shared = any(words in line for words in OUT_OF_MEMORY)
        for name, reader in known.items():
            ends = () if shared else (*reader.refusals, *reader.objections)
            seen[name].update(mark for mark in (*reader.marks, *ends) if mark in line)
        for found in unserved_in((line,)):
            if found.engine in seen:
                seen[found.engine].add(found.name)
    best = max(seen, key=lambda name: len(seen[name]))
    return best if seen[best] else None


def version_of(lines: Sequence[str], reader: LogReader) -> str | None:
    """The release that a log names; the last one, if it names several."""
    patterns = [re.compile(pattern) for pattern in reader.version]
    for line in reversed(lines):
        for pattern in patterns:
            match = pattern.search(line)
            if match is not None:
                return match["version"].rstrip(".")
    return None


def of_any_server() -> str:
    """Return what helps where PyTorch found no memory, and nobody says under which server."""
    shares: dict[str, list[str]] = {}
    for name, reader in readers().items():
        if reader.share and reader.shared_refusals:
            shares.setdefault(reader.share, []).append(get_engine(name).title)
    lower = " or ".join(
        f"--{share.replace('_', '-')} in {' and '.join(titles)}" for share, titles in shares.items()
    )
    return (
        f"no server is named in it (--engine names it): a lower {lower} leaves more beside the cache,"
        " smaller prefill chunks ask for less, and while weights load nothing but smaller ones helps"
    )
