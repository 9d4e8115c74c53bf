"""How much of pasted logs `qwenplan check` recovers: whole logs, and a few lines quoted by others.

    python -m benchmarks.check_logs --logs ../shared/findings/logs --quotes ../shared/field/cases.json

A stated field is a number of the case's ``measured`` that stands anywhere in its quote, in the
server's words or in somebody's own ("about 12 GiB"). It is recovered if the reader finds a figure of
that value. Quotes in which no line of a log is recognised are counted apart, their fields likewise.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner import logs
from planner.errors import PlannerError

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What came of one text.

    Attributes:
        name: whose text.
        said: what was recognised, or why nothing was.
        stated: figures that the text prints, by name.
        missed: those that were not recovered.
        worded: the text is in somebody's own words, no log.
    """

    name: str
    said: str
    stated: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    worded: bool = False


def read(text: str) -> tuple[str, tuple[float, ...]] | None:
    """Return what was recognised in a text and the figures in it; None if no engine is in it.

    Raises:
        PlannerError: it holds arguments that are not planned.
    """
    try:
        log = logs.read_log(text)
    except PlannerError:
        return None
    found = tuple(reading.value for reading in log.figures.values())
    command = log.command
    parts = [log.engine, log.version or "", (command.model or "") if command else "", log.hardware]
    return ", ".join(part for part in parts if part), found


def of_logs(folder: Path) -> Iterator[Read]:
    """Yield what came of every log of a folder."""
    for path in sorted(folder.glob("*.log")):
        try:
            found = read(path.read_text("utf-8", errors="replace"))
        except PlannerError as error:
            yield Read(name=path.name, said=f"error: {error}")
            continue
        if found is None:
            yield Read(name=path.name, said="error: no engine is recognised")
        else:
            yield Read(name=path.name, said=f"{found[0]}: {len(found[1])} figures")


def of_quotes(cases: Sequence[Mapping[str, Any]]) -> Iterator[Read]:
    """Yield what came of every quote of a file of field cases."""
    for case in cases:
        quote = case.get("quote") or ""
        lines = re.split(r" \| |; ", quote)
        printed = {float(number.replace(",", "")) for number in _NUMBER.findall(quote)}
        measured = case.get("measured") or {}
        stated = {
            name: float(value)
            for name, value in measured.items()
            if isinstance(value, int | float) and float(value) in printed
        }
        try:
            found = read("\n".join(lines))
        except PlannerError as error:
            yield Read(
                name=case["id"], said=f"error: {error}", stated=(*stated,), missed=(*stated,)
            )
            continue
        if found is None or not found[1]:
            yield Read(name=case["id"], said="no line of a log", stated=(*stated,), worded=True)
            continue
        missed = tuple(name for name, value in stated.items() if value not in found[1])
        yield Read(name=case["id"], said=found[0], stated=(*stated,), missed=missed)


def main(argv: Sequence[str] | None = None) -> int:
    """Read, print what was missed and the shares; 1 where a text ended in an error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check_logs", description=__doc__)
    parser.add_argument("--logs", type=Path, metavar="DIR")
    parser.add_argument("--quotes", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    wrong = 0
    if asked.logs:
        found = list(of_logs(asked.logs))
        for each in found:
            print(f"{each.name:24} {each.said}")
        wrong += sum(each.said.startswith("error") for each in found)
        print(f"{len(found) - wrong} of {len(found)} logs read without an error")
    if asked.quotes:
        quotes = list(of_quotes(json.loads(asked.quotes.read_text("utf-8"))["cases"]))
        errors = [each for each in quotes if each.said.startswith("error")]
        lines = [each for each in quotes if not each.worded]
        for each in quotes:
            if each.missed or each in errors:
                print(f"{each.name:40} {each.said}: missed {', '.join(each.missed) or 'nothing'}")
        stated = sum(len(each.stated) for each in lines)
        recovered = stated - sum(len(each.missed) for each in lines)
        wrong += len(errors)
        print(
            f"{len(quotes) - len(errors)} of {len(quotes)} quotes read without an error;"
            f" {len(quotes) - len(lines)} without a line of a log"
            f" ({sum(len(each.stated) for each in quotes if each.worded)} fields in them)"
        )
        print(f"{recovered} of {stated} stated fields recovered ({recovered / max(stated, 1):.1%})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
