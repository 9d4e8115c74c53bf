"""The answer as a notebook shows it: one verdict, a bar of the memory, the command, a table."""

from __future__ import annotations

from html import escape

from planner.recommending.answer import Recommendation
from planner.recommending.choice import Choice
from planner.recommending.text import first_better, headline
from planner.recommending.words import listed_name, short_word
from planner.report.html import commands_html, memory_html
from planner.throughput.answer import two_digits
from planner.units import format_gib, format_tokens

_HEADS = ("checkpoint", "engine", "quality", "tok/s", "longest context", "spare", "better in")


def recommendation_html(answer: Recommendation) -> str:
    """Return the answer as HTML."""
    parts = [f"<p><strong>{escape(headline(answer))}</strong></p>"]
    parts += [f"<p>Better: {escape(line)}</p>" for line in first_better(answer)]
    pick = answer.pick
    if pick is not None and pick.plan.ranks:
        parts.append(memory_html(pick.plan.ranks))
    if pick is not None and pick.plan.launch is not None:
        parts.append(commands_html(pick.plan.launch))
    if pick is not None:
        heads = "".join(f"<th>{head}</th>" for head in _HEADS)
        rows = "".join(_row(choice) for choice in answer)
        parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
    if answer.misses:
        items = "".join(
            f"<li>{escape(miss.change)}: {escape(listed_name(miss.choice))}</li>"
            for miss in answer.misses
        )
        parts.append(f"<ul>{items}</ul>")
    return "".join(parts)


def _row(choice: Choice) -> str:
    cells = (
        listed_name(choice),
        choice.plan.engine_title,
        short_word(choice.said),
        two_digits(choice.per_user) if choice.per_user is not None else "not known",
        format_tokens(choice.longest),
        format_gib(choice.plan.headroom or 0),
        choice.better,
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
