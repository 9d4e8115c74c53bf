"""Asking NVML: every call guarded, every answer either a value or the name of what went wrong."""

from __future__ import annotations

from typing import Any

from hardware_db.records import frozen

_PREFIX = "NVMLError_"

# What an older binding or a newer driver throws instead of an NVMLError: a missing function or
# argument, a name that is not UTF-8, an access violation in the library.
_MISFITS = (AttributeError, TypeError, ValueError, OSError)


@frozen
class Reply:
    """One answer.

    Attributes:
        value: what the call returned, or None.
        error: NVML's word for the failure ("NotSupported", "NoPermission"), or None.
    """

    value: Any = None
    error: str | None = None


class Nvml:
    """The binding, with guarded calls; start-up and shutdown are the session's business."""

    def __init__(self, module: Any) -> None:
        self._module = module
        mismatch = getattr(module, "NVMLLibraryMismatchError", None)
        extra = (mismatch,) if isinstance(mismatch, type) else ()
        self._expected: tuple[type[BaseException], ...] = (module.NVMLError, *extra, *_MISFITS)

    def ask(self, function: str, *arguments: Any, **options: Any) -> Reply:
        """Call one function of the binding."""
        try:
            return Reply(value=getattr(self._module, function)(*arguments, **options))
        except self._expected as error:
            return Reply(error=_word(error))

    def get(self, function: str, *arguments: Any, **options: Any) -> Any:
        """Call one function; None whatever goes wrong."""
        return self.ask(function, *arguments, **options).value

    def text(self, function: str, *arguments: Any) -> str | None:
        """Call one function that returns a name; old bindings return bytes."""
        value = self.get(function, *arguments)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        return value.strip() or None if isinstance(value, str) else None

    def whole(self, function: str, *arguments: Any) -> int | None:
        """Call one function that returns a whole number."""
        value = self.get(function, *arguments)
        return value if isinstance(value, int) else None

    def constant(self, name: str, otherwise: int) -> int:
        """A constant of the binding; one of them is a tuple by mistake, which counts as missing."""
        value = getattr(self._module, name, None)
        return value if isinstance(value, int) else otherwise

    def structure(self, name: str) -> Any:
        """A fresh structure of the binding for calls that fill one, or None."""
        kind = getattr(self._module, name, None)
        return None if kind is None else kind()


def _word(error: BaseException) -> str:
    name = type(error).__name__
    if name.startswith(_PREFIX):
        return name.removeprefix(_PREFIX)
    value = getattr(error, "value", None)
    return f"code {value}" if value is not None else name
