"""What a browser says that a field holds is of that field's kind, or counts as an emptied field.

Who speaks to the server without a browser can say that a number is a text. Streamlit hands it to the
field's reader as it came, which fails in the middle of a page, and again with every later click.

Source: Streamlit 1.67 runtime/state/session_state.py (`WStates.__getitem__`: where each value is read).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from streamlit.runtime.state.session_state import Serialized, Value, WStates

_NUMBERS = frozenset(("double_value", "int_value"))


@cache
def read_by_kind() -> None:
    """Once: let every value be read so."""
    read = WStates.__getitem__

    def read_whole(self: WStates, name: str) -> Any:
        state, field = self.states.get(name), self.widget_metadata.get(name)
        if not isinstance(state, Serialized) or field is None:
            return read(self, name)
        if _is_of(field.value_type, state.value.WhichOneof("value")):
            try:
                return read(self, name)
            except Exception:
                pass  # of the kind, and still nothing that the field can hold
        emptied = field.deserializer(None)
        self.states[name] = Value(emptied)
        return emptied

    WStates.__getitem__ = read_whole  # type: ignore[method-assign]


def _is_of(kind: str | None, said: str | None) -> bool:
    """Whether a value may be a field's; both are names of protobuf fields, None of an emptied one."""
    return None in (kind, said) or kind == said or {kind, said} == _NUMBERS
