"""`qwenplan layouts`: every layout of a model on a system, legal or why not, ranked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import terminal
from planner.cli.asking import Typed, asks
from planner.cli.plan import status
from planner.errors import InputError
from planner.planning import Outcome
from planner.units import shown

if TYPE_CHECKING:
    from planner.ranking import Objective

ObjectiveName = Annotated[
    str,
    typer.Option("--objective", help="What ranks: latency, throughput, cost or memory."),
]


@asks()
def layouts(
    asked: Typed,
    objective: ObjectiveName = "latency",
    every: Annotated[
        bool, typer.Option("--all", help="Notes on every layout, and all that cannot run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Every layout of MODEL on this hardware: legal or why not, memory, speed, the best first.

    Further flags are the engine's own options.
    """
    from planner.search import suggest_layouts

    best = as_objective(objective)
    picked = asked.picked(objective=best)
    question = picked if picked is not None else asked.searched(objective=best)
    found = suggest_layouts(question)
    if as_json:
        from planner.report.answers import suggestion_document

        document = {"layouts": [suggestion_document(entry) for entry in found]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import layouts_text

        terminal.show(layouts_text(found, every=every))
    return 3 if found[0].plan.outcome is Outcome.CANNOT_RUN else status(found[0].plan)


def as_objective(text: str) -> Objective:
    """Return the objective that a user named.

    Raises:
        InputError: there is no such objective.
    """
    from planner.ranking import OBJECTIVES

    for name in OBJECTIVES:
        if name == text.lower():
            return name
    raise InputError(f"unknown objective {shown(text)}; known: {', '.join(OBJECTIVES)}")
