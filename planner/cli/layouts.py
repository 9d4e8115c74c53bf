"""`qwenplan layouts`: every layout of a model on a system, legal or why not, ranked."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from planner.asking import known_objective
from planner.cli import terminal
from planner.cli.asking import Typed, asks
from planner.cli.plan import status
from planner.planning import Outcome

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

    found = suggest_layouts(asked.searched(objective=known_objective(objective.lower())))
    if as_json:
        from planner.report.answers import suggestion_document

        document = {"layouts": [suggestion_document(entry) for entry in found]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import layouts_text

        terminal.show(layouts_text(found, every=every, cost=objective.lower() == "cost"))
    return 2 if found[0].plan.outcome is Outcome.CANNOT_RUN else status(found[0].plan)
