"""Say what builds of llama.cpp do differently from the commit whose rules are used.

Adding a build: a row, its source, and a case that its log confirms.
"""

from __future__ import annotations

import re

from hardware_db.records import frozen
from planner.errors import InputError
from planner.provenance import Source

NEWEST = "0c1e570"
"""The commit whose rules are used where nobody names a build."""

NEWEST_BUILD = 11151
"""The number of the build of that commit."""

SOURCE = f"llama.cpp {NEWEST}"

MEASURED = 11434
"""The build that the last row was read from and measured with."""

_BUILD = re.compile(r"b?(\d{3,6})(?:[ (-].*)?")


def source(file: str) -> Source:
    """Return a file of the commit whose rules are used."""
    return Source(where=f"{SOURCE} {file}", when="2026-10-01")


@frozen
class Rules:
    """What a build does.

    Attributes:
        until: last build number that the row is known to hold for; None: the newest.
        half_mask: with flash attention the attention mask is F16 from the start; before, it was an
            F32 input that was converted once per batch.
        few_outputs: llama-server reserves logits for one token per slot (and drafted token);
            before, for a whole batch.
        new_kinds: it has indexers, hyper-connections and tables of n-grams (pull request 27742,
            2026-08-27).
        scratch: compute buffers hold the F16 copies that flash attention makes of other caches.
        mixed: a batch may hold tokens and embeddings together, for which every start reserves
            memory: three more rows of the model's width per token of a micro-batch on the host.
        source: where it was read.
    """

    until: int | None
    half_mask: bool
    few_outputs: bool
    scratch: bool
    new_kinds: bool
    mixed: bool
    source: str


RELEASES = (
    Rules(
        until=9235,
        half_mask=False,
        few_outputs=False,
        scratch=False,
        new_kinds=False,
        mixed=False,
        source="before llama.cpp pull requests 23764 (2026-05-29), 23861 (2026-06-01) and 23907;"
        " start-up logs of b9010",
    ),
    Rules(
        until=NEWEST_BUILD,
        half_mask=True,
        few_outputs=True,
        scratch=True,
        new_kinds=True,
        mixed=False,
        source=f"llama.cpp {NEWEST} src/llama-graph.cpp, tools/server/server-context.cpp,"
        " ggml/src/ggml-cuda/fattn.cu",
    ),
    Rules(
        until=None,
        half_mask=True,
        few_outputs=True,
        scratch=True,
        new_kinds=True,
        mixed=True,
        source="llama.cpp b11434 src/llama-graph.cpp (build_inp_embd), and its starts on an H200",
    ),
)
"""Oldest first."""


def build_number(version: str) -> int | None:
    """Return the number of a build such as ``b9010``; None for a commit."""
    match = _BUILD.fullmatch(version)
    return int(match[1]) if match else None


def check_version(text: str, what: str) -> str:
    """Return the name of a build or commit.

    Raises:
        InputError: it is neither.
    """
    if build_number(text) is None and re.fullmatch(r"[0-9a-f]{7,40}", text) is None:
        raise InputError(f"{what}: {text!r} is neither a build such as b9010 nor a commit")
    return text


def others() -> tuple[str, ...]:
    """Return a build of every row but that of `NEWEST`, newest first."""
    own = rules_of(NEWEST)
    return tuple(f"b{row.until or MEASURED}" for row in reversed(RELEASES) if row is not own)


def rules_of(version: str) -> Rules:
    """Return the rules of a build; other commits than `NEWEST`, of unknown age, are taken as the newest."""
    number = NEWEST_BUILD if version.startswith(NEWEST) else build_number(version)
    for row in RELEASES:
        if row.until is None or (number is not None and number <= row.until):
            return row
    raise AssertionError("the last row holds for every build")
