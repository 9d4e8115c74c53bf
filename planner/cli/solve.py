"""`qwenplan solve`: how far a deployment goes."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from planner.cli import terminal
from planner.cli.asking import Typed, asks
from planner.planning import Outcome
from planner.secrets import words_without_secrets


@asks()
def solve(
    asked: Typed,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Longest context, most requests, best precision and the engine's own limits for MODEL.

    Each is looked for while the rest of the question is held. Further flags are the engine's own
    options.
    """
    from planner.search import solve_limits

    question = asked.searched()
    limits = solve_limits(question)
    if as_json:
        from planner.report.answers import limits_document

        typer.echo(json.dumps(limits_document(limits), indent=2, default=str))
    else:
        from planner.report.tables import limits_text

        text = limits_text(limits)
        if limits.context.value is None and asked.model is not None:
            model = shlex.join(words_without_secrets([asked.model]))
            text += f"\n\nWhat would do it: qwenplan plan {model}{asked.where}"
        terminal.show(text)
    if limits.sequences.value is not None:
        return 0
    return 2 if question.plan().outcome is Outcome.CANNOT_RUN else 3
