"""Tables as Markdown: light, readable by assistive technology, nothing to scroll sideways on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MARKS = {ord(c): f"\\{c}" for c in "|*_`$[]<>~"}


def escape(text: object) -> str:
    """`text` as it stands, without Markdown meaning."""
    return " ".join(str(text).translate(_MARKS).split())


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = ()
) -> str:
    """A table; `numbers` are the columns to align right. Cells are Markdown: escape foreign text."""
    right = set(numbers)
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
