"""Lists as people type them on a command line."""

from __future__ import annotations

from planner.errors import InputError


def names_in(text: str | None) -> tuple[str, ...] | None:
    """Return names between commas, or between semicolons where there is one; None: nothing was given.

    A machine's name may hold commas ("4090 + 64GB DDR5, 2 channels").

    Raises:
        InputError: commas without names.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(";" if ";" in text else ",") if name.strip())
    if not names:
        raise InputError(f"{text!r} names nothing; write names with commas between")
    return names
