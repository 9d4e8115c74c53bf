"""`qwenplan fits`: which hardware holds a workload, in which precision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from planner.asking import ANYWHERE, known_objective, left_open
from planner.cli import terminal
from planner.cli.asking import Typed, asks
from planner.cli.lists import names_in
from planner.engines import get_engine
from planner.engines.choice import PROPOSED
from planner.errors import InputError
from planner.loading import load_checkpoint
from planner.systems import resolve_hardware, with_ram
from planner.wanting import base_of, check_stored

if TYPE_CHECKING:
    from hardware_db import System
    from planner.search import Suggestion


@asks(on=False, hardware="Accelerators to try, with commas; without it all of them.")
def fits(
    asked: Typed,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="Order: price, power, speed, memory; with --precision: cost, memory, latency,"
            " throughput over the whole database.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every accelerator of the database, by precision.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Which machine runs MODEL with this workload: common machines, with what each would run.

    With --on: the same for the machines or cards that you name, with commas; of a card the smallest
    number that does. With --precision (several, with commas), --all or flags of an engine: how many
    of each accelerator hold it, by precision.
    """
    if not every and (by is None or by.lower() not in OVER_THE_DATABASE):
        listed = _machines(asked, by, as_json=as_json)
        if listed is not None:
            return listed
    from planner.search import fits_table, headline_precisions, smallest_systems

    if by is not None and asked.on is not None:
        raise InputError("--by looks through the whole database: leave --on out")
    precisions = names_in(asked.said["precision"])
    if precisions and asked.said["engine"] is not None and asked.model is not None:
        base, engine = base_of(asked.model), get_engine(asked.said["engine"]).name
        for name in precisions if base is not None and engine in PROPOSED else ():
            check_stored(base, name, engine)
    first = precisions[0] if precisions else None
    question = replace(asked, on=ANYWHERE, said={**asked.said, "precision": first}).as_said()
    question = asked.plain(question)
    if by is not None:
        question = question.with_(objective=known_objective(by.lower()))
    wanted = (
        headline_precisions(question)
        if precisions is None
        else tuple(load_checkpoint(str(asked.model), precision=name) for name in precisions)
    )
    if by is not None:
        return _ranked(smallest_systems(question, wanted), as_json=as_json)
    names = names_in(asked.on)
    chosen = None if names is None else [resolve_hardware(name).accelerator for name in names]
    found = fits_table(question, wanted, chosen)
    if as_json:
        from planner.report.answers import fit_document

        document = {"fits": [fit_document(fit) for fit in found]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import fits_text

        terminal.show(fits_text(found))
    return 0 if any(fit.holds for fit in found) else 3


OVER_THE_DATABASE = ("cost", "latency", "throughput")
"""Orders of whole systems of the database; the others are those of common machines."""


def _machines(asked: Typed, by: str | None, *, as_json: bool) -> int | None:
    """Print what common machines would run; None where the question is another one."""
    if asked.words or asked.said["precision"] is not None or asked.layout is not None:
        return None
    wanted = left_open(**replace(asked, on=ANYWHERE).words_said)
    if wanted is None:
        return None
    from planner.recommending.listing import machine_documents, machines_text
    from planner.recommending.machines import machines

    order, names = by.lower() if by is not None else None, names_in(asked.on)
    named = None if names is None else [resolve_hardware(name) for name in names]
    found = machines(wanted, by=order, on=named, equipped=partial(_equipped, asked))
    if as_json:
        typer.echo(json.dumps({"machines": list(machine_documents(found))}, indent=2, default=str))
    else:
        terminal.show(machines_text(found, wanted, by=by))
    return 0 if any(machine.choice is not None for machine in found) else 3


def _equipped(asked: Typed, system: System) -> System:
    """Return a machine with the RAM that was said; what shares its memory, or says its own, keeps it."""
    own = system.host_memory_gib
    if system.accelerator.is_unified or system.is_cpu_only or (own is not None and own.is_given):
        return system
    return with_ram(system, asked.said["ram"], asked.bandwidth)


def _ranked(systems: Sequence[Suggestion], *, as_json: bool) -> int:
    """Print ranked systems; the exit status says whether there is one."""
    if as_json:
        from planner.report.answers import suggestion_document

        document = {"systems": [suggestion_document(entry) for entry in systems]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import systems_text

        terminal.show(systems_text(systems))
    return 0 if systems else 3
