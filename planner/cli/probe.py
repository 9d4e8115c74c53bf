"""`qwenplan probe`: what is in this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def probe(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if there is nothing to plan for.")
    ] = False,
) -> int:
    """Accelerators, memory and links of this machine, and what the database knows of them."""
    from planner.probing import probe as look
    from planner.probing.report import report_lines

    machine = look()
    if as_json:
        typer.echo(json.dumps(machine.to_dict(), indent=2, default=str))
    else:
        typer.echo("\n".join(report_lines(machine)))
    return 3 if strict and machine.reason is not None else 0
