"""The release whose rules were read, and how a rule cites it."""

from __future__ import annotations

import re

from planner.errors import InputError
from planner.provenance import Source

NEWEST = "5.23.0"
OLDEST = "5.2.0"
READ = "2026-11-21"


def source(where: str) -> Source:
    """A rule's source: release and file."""
    return Source(where=f"transformers {NEWEST} {where}", when=READ)


def accelerate_source(where: str) -> Source:
    """The same for accelerate, which transformers calls for placement."""
    return Source(where=f"transformers {NEWEST}, accelerate 1.15.0 {where}", when=READ)


def parse_version(text: str) -> tuple[int, int]:
    """(major, minor) of a release name such as "5.23.0".

    Raises:
        InputError: not a release name, or older than the first release with this family.
    """
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})(?:\.|$)", text)
    if match is None:
        raise InputError(f"transformers version {text!r} is not a release such as {NEWEST}")
    version = (int(match[1]), int(match[2]))
    if version < (5, 2):
        raise InputError(f"transformers {text} does not know this family; {OLDEST} is the first")
    return version


def is_newer_than_read(text: str) -> bool:
    """The release is newer than the newest whose code was read."""
    return parse_version(text) > parse_version(NEWEST)
