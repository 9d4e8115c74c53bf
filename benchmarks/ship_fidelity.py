"""Write the fidelity run that ships: what the web app and docs/fidelity.md show.

python -m benchmarks.ship_fidelity --cases DIR

``planner/web/fidelity.json`` is the one source of both. Its suites have counts and errors, the same
for each group of cases, the worst cases by name with the reason, and ``sample``: whether constants
were fitted on cases of the suite.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.fidelity import SUITES, run
from planner.version import package_version
from planner.web.fidelity import ABOUT, IN_GIB

TARGET = Path(__file__).resolve().parent.parent / "planner" / "web" / "fidelity.json"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "fidelity.md"
SAMPLE = {
    "overheads": "in sample",
    "throughput": "in sample",
    "speed": "in sample",
    "throughput_more": "in sample",
}
"""Suites of estimates: whether their constants were fitted on such cases. All others hold rules that
are read from an engine's code or a file's format, and nothing is fitted."""
RULES = "nothing fitted"
WORST = 5
LONGEST = 80
"""Characters of a value that are shown."""
KEPT = (
    "cases",
    "exact",
    "agree",
    "failed",
    "unasked",
    "median_error",
    "p90_error",
    "max_error",
    "within_band",
)


def shipped_suite(name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a suite's summary what ships."""
    row = _figures(summary) | {"sample": SAMPLE.get(name, RULES)}
    if groups := summary.get("groups"):
        row["groups"] = {group: _figures(inner) for group, inner in groups.items()}
    row["worst"] = [_worst(case) for case in summary["worst"][:WORST]]
    return row


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in KEPT if key in summary}


def _worst(case: Mapping[str, Any]) -> dict[str, Any]:
    fields = case.get("fields", {})
    why = case.get("failure") or "; ".join(
        f"{name}: {_short(both['expected'])} expected, {_short(both['answered'])} planned"
        for name, both in list(fields.items())[:2]
    )
    return {"case": case["case"], "error": case["error"], "why": why}


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def page(document: Mapping[str, Any]) -> str:
    """Return docs/fidelity.md."""
    suites: Mapping[str, Any] = document["suites"]
    lines = [
        "# How right it is",
        "",
        f"Written by `python -m benchmarks.ship_fidelity` on {document['date']}, version"
        f" {document['version']}, with the cases in `{document['cases']}`; the app's Trust page shows the"
        " same run. `tests/reference` is a sample of all cases by a hash of their names, failures"
        " kept: `python -m benchmarks.fidelity --cases tests/reference` asks it again.",
        "",
        "*Exact*: every compared field is equal, bytes and tokens to the last digit. *Agree*: exact, or"
        " off by no more than the reference itself allows (a printed rounding, say). *Cannot be"
        " asked*: the source leaves out what a plan needs. Errors are relative; those of"
        f" {', '.join(f'`{name}`' for name in IN_GIB)} are GiB.",
    ]
    for sample, title in SECTIONS.items():
        chosen = {name: row for name, row in suites.items() if row["sample"] == sample}
        if not chosen:
            continue
        lines += ["", f"## {title}", *ABOVE.get(sample, ()), "", *TABLE]
        for name, row in chosen.items():
            lines.append(_line(name, f"`{name}`: {ABOUT.get(name, '')}".rstrip(": "), row))
            for group, inner in row.get("groups", {}).items():
                lines.append(_line(name, f"– {group}", inner))
    lines += ["", "## The worst cases", ""]
    for name, row in suites.items():
        for case in row["worst"]:
            lines.append(f"- `{name}`: {_cell(case['case'])}: {_cell(case['why'])}")
    return "\n".join([*lines, ""])


SECTIONS = {
    RULES: "Rules: nothing is fitted",
    "in sample": "Estimates, on cases like those that constants were fitted on",
}
ABOVE = {
    "in sample": (
        "",
        "Constants of speed and of overheads were fitted on rows of these suites; a band that held a"
        " case here says less than one that held a case nobody had seen. What the same rules answer"
        " for machines that were left out of the fit, each in turn:"
        " `python -m benchmarks.calibrate_throughput --help`.",
    )
}
TABLE = (
    "| suite | cases | exact | agree | failed | cannot be asked | median error | 9 in 10 below | largest | in band |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def _line(suite: str, title: str, row: Mapping[str, Any]) -> str:
    errors = [_error(suite, row[key]) for key in ("median_error", "p90_error", "max_error")]
    band = f"{row['within_band']:.0%}" if "within_band" in row else ""
    counts = [str(row.get(key, 0)) for key in ("cases", "exact", "agree", "failed", "unasked")]
    return "| " + " | ".join([_cell(title), *counts, *errors, band]) + " |"


def _error(suite: str, error: float) -> str:
    if error == 0:
        return "0"
    return f"{error:.2f} GiB" if suite in IN_GIB else f"{error:.2%}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main(argv: Sequence[str] | None = None) -> int:
    """Run every suite and keep the summaries."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship_fidelity", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(argv)
    report = run(options.cases, SUITES)
    document = {
        "version": package_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "cases": options.cases.as_posix(),
        "suites": {name: shipped_suite(name, summary) for name, summary in report.items()},
    }
    TARGET.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(document), encoding="utf-8")
    print(f"{TARGET.name}: {', '.join(report)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
