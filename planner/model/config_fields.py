"""One level of a config document, read with errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.errors import UnsupportedModelError, clip

DTYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float32": "float32",
    "half": "float16",
    "float": "float32",
}
"""dtype as configs spell it -> its plain name."""

_LARGEST = 2**31 - 1


class Fields:
    """One level of a config document.

    Every reader raises `UnsupportedModelError` with one line that names the field.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        """Keep the values; nothing is checked until it is read."""
        self._values, self._where = values, where

    def refuse(self, key: str, problem: str) -> UnsupportedModelError:
        """Return the error that says what is wrong with `key`."""
        return UnsupportedModelError(f"{self._where}: {key} {problem}")

    def get(self, key: str) -> Any:
        """Return the value as it stands; None where there is none."""
        return self._values.get(key)

    def whole(
        self, key: str, default: int | None = None, *, least: int = 1, most: int = _LARGEST
    ) -> int:
        """Return a whole number from `least` to `most`; without `default` it must be there."""
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            raise self.refuse(key, "is missing")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(key, f"is {clip(repr(value))}, not a whole number")
        if not least <= value <= most:
            raise self.refuse(key, f"is {clip(repr(value))}, out of range ({least} to {most:,})")
        return value

    def whole_numbers(self, key: str, *, most: int, entries: int) -> tuple[int, ...]:
        """Return a list of at most `entries` different whole numbers from 1 to `most`."""
        value = self._values.get(key)
        if not isinstance(value, list | tuple) or len(value) > entries:
            raise self.refuse(key, f"is {clip(repr(value))}, not a list of up to {entries} numbers")
        for item in value:
            if isinstance(item, bool) or not isinstance(item, int) or not 1 <= item <= most:
                raise self.refuse(key, f"has {clip(repr(item))}, not a number from 1 to {most}")
        if len(set(value)) < len(value):
            raise self.refuse(key, f"is {clip(repr(value))}: a number twice")
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(key, f"is {clip(repr(value))}, not true or false")
        return value

    def section(self, key: str) -> Fields | None:
        """Return the level below `key`; None where there is none."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.refuse(key, "is not an object")
        return Fields(value, f"{self._where} {key}")
