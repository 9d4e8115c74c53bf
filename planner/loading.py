"""The checkpoint that a name means, for every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner import sources
from planner.keywords import checked
from planner.model.checkpoint import Checkpoint
from planner.units import check_text

if TYPE_CHECKING:
    from planner.model.headers import Progress


@checked()
def load_checkpoint(
    name: str | Checkpoint,
    *,
    precision: str | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
    anonymous: bool = False,
    local: bool = True,
) -> Checkpoint:
    """Return the checkpoint that `name` means.

    Args:
        name: a bundled id (with or without organisation), a Hub repository or URL, a folder or
            file on this machine, or a `Checkpoint`, which is returned as it is.
        precision: name of a scheme, or which GGUF of several; None takes what is stored.
        revision: branch, tag or commit on the Hub.
        progress: told (done, total, file) after each file whose header was read.
        anonymous: ask the Hub as anybody: no token, no cache of this machine.
        local: paths on this machine may be read.

    Raises:
        UnknownModelError: nobody knows it; carries the nearest names.
        UnsupportedModelError: it is there, but cannot be planned for.
        InputError: `precision` is unknown or contradicts the checkpoint.
        SourceError: the Hub could not be reached or refused.
    """
    if isinstance(name, Checkpoint):
        return name
    if " " in str(name):
        from planner.engines import commands

        commands.refuse_command(name)
    return sources.load(
        name,
        precision=None if precision is None else check_text(precision, what="precision"),
        revision=None if revision is None else check_text(revision, what="revision"),
        progress=progress,
        anonymous=anonymous,
        local=local,
    )
