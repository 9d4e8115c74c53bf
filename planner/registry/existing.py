"""Say what there is, where a file or a precision is named that does not exist."""

from __future__ import annotations

from planner.errors import InputError
from planner.model.catalog import LONGEST
from planner.model.quantization import get_scheme, near_schemes
from planner.registry.written import read_written
from planner.units import letters, shown


def check_file(name: str, precision: str | None) -> None:
    """Refuse a file that a repository of the registry does not have.

    Args:
        name: as it was typed: ``repository:quant``, or a repository.
        precision: which file of it, where the name does not say.

    Raises:
        InputError: the repository is known, and that file of it is not; the line lists its files.
    """
    written = read_written(name) if 0 < len(name) <= LONGEST else None
    asked = None if written is None else written.label or precision
    if written is None or written.repo is None or asked is None:
        return
    from planner.registry.names import rows_of_repository

    rows = rows_of_repository(written.repo)
    labels = sorted({row.label for row in rows if row.gguf and row.part == "model" and row.label})
    if labels:
        raise InputError(f"{written.repo}: no file {asked} is known; it has {', '.join(labels)}")


def check_precision(base: str, precision: str) -> None:
    """Refuse a precision that is none.

    Args:
        base: bundled id of the model.
        precision: as it was typed.

    Raises:
        InputError: no such scheme; the line names what was meant, or how the model is stored.
    """
    try:
        get_scheme(precision)
    except InputError:
        from planner.registry.store import entries_of

        rows = [row for row in entries_of(base) if row.recommendable]
        files = sorted({row.label for row in rows if row.gguf and row.label})
        kinds = sorted({row.recipe for row in rows if not row.gguf})
        meant = [name for name in (*kinds, *files) if letters(name) == letters(precision)]
        if meant:
            raise InputError(
                f"unknown precision {shown(precision)}; did you mean {' or '.join(meant)}?"
            ) from None
        if near_schemes(precision) or not (files or kinds):
            raise
        listed = [*kinds, *([f"GGUF {', '.join(files)}"] if files else [])]
        model = base.rpartition("/")[2]
        raise InputError(
            f"unknown precision {shown(precision)}; {model} is stored as {'; '.join(listed)}"
        ) from None
