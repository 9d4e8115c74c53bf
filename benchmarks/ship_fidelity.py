"""Write the fidelity run that ships: what the web app and docs/fidelity.md show.

    python -m benchmarks.ship_fidelity --cases tests/reference [--suite NAME]
    python -m benchmarks.ship_fidelity --full REPORT.json ...    # of benchmarks.fidelity --json

``planner/web/fidelity.json`` holds the run over the kept cases, which a test asks again;
``benchmarks/fidelity_full.json`` a run over all of them, with its date. Suites have counts and errors,
the same for each group of cases, the worst cases by name with the reason, ``sample``: whether constants
were fitted on cases of the suite, and where a report has it ``held_out``: the same estimates with
constants that saw nothing of the case's machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.fidelity import SUITES, run
from benchmarks.suites.known import known_failures
from planner.version import package_version
from planner.web.fidelity import ABOUT, IN_GIB, in_band

TARGET = Path(__file__).resolve().parent.parent / "planner" / "web" / "fidelity.json"
FULL = Path(__file__).resolve().parent / "fidelity_full.json"
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
    "too_fast",
)


def shipped_suite(name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a suite's summary what ships."""
    row = _figures(summary) | {"sample": SAMPLE.get(name, RULES)}
    if groups := summary.get("groups"):
        row["groups"] = {group: _figures(inner) for group, inner in groups.items()}
    if held := summary.get("rigs_held_out"):
        row["held_out"] = _figures(held)
        if groups := held.get("groups"):
            row["held_out"]["groups"] = {group: _figures(inner) for group, inner in groups.items()}
    row["worst"] = _distinct(_worst(case) for case in summary["worst"])[:WORST]
    return row


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in KEPT if key in summary}


def _distinct(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows, those of one case with the same reason once."""
    return list({(row["case"], row["why"]): row for row in rows}.values())


def _worst(case: Mapping[str, Any]) -> dict[str, Any]:
    fields = case.get("fields", {})
    why = case.get("failure") or "; ".join(
        f"{name}: {_short(both['expected'])} expected, {_short(both['answered'])} planned"
        for name, both in list(fields.items())[:2]
    )
    if "off" in case:
        why += f" ({case['off']})"
    known = f" ({case['reason']})" if "reason" in case else ""
    return {"case": case["case"], "error": case["error"], "why": f"{why}{known}"}


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def page(document: Mapping[str, Any], full: Mapping[str, Any]) -> str:
    """Return docs/fidelity.md: the kept cases and, beside them, the last run over all."""
    suites: Mapping[str, Any] = document["suites"]
    everything: Mapping[str, Any] = full["suites"]
    names = [name for name in SUITES if name in suites or name in everything]
    lines = [
        "# How right it is",
        "",
        f"Written by `python -m benchmarks.ship_fidelity`. *Kept* is the run over `{document['cases']}`"
        f" on {document['date']}, version {document['version']}: a sample of all cases by a hash of"
        " what they ask, whatever came out, so that its largest error may be smaller than that of all;"
        " tests ask it again, and the app's Trust page shows it. *All* is"
        f" the run over every case on {full['date']}, version {full['version']}.",
        "",
        "*Exact*: every compared field is equal, bytes and tokens to the last digit. *Agree*: exact, or"
        " off by no more than the reference itself allows (a printed rounding, say). *Cannot be"
        " asked*: the source leaves out what a plan needs; it counts as an error of 100 %. Errors are"
        " relative; those of"
        f" {', '.join(f'`{name}`' for name in IN_GIB)} are GiB.",
        "",
        "*Too fast*: the truth took longer than the band of the answer allows. The relative error of"
        " such an answer is below 100 %, however far off it is, so the worst cases of speed are ordered"
        " by the factor, too slow or too fast.",
    ]
    for sample, title in SECTIONS.items():
        chosen = [name for name in names if SAMPLE.get(name, RULES) == sample]
        if not chosen:
            continue
        lines += ["", f"## {title}", *ABOVE.get(sample, ()), "", *TABLE]
        for name in chosen:
            about = f"`{name}`: {ABOUT.get(name, '')}".rstrip(": ")
            for which, run_ in (("kept", suites), ("all", everything)):
                if row := run_.get(name):
                    lines.append(_line(name, f"{about} ({which})", row))
                    about = f"`{name}`"
            shown = everything.get(name) or suites[name]
            for group, inner in shown.get("groups", {}).items():
                lines.append(_line(name, f"– {group}", inner))
    lines += _held_out(everything, suites)
    lines += ["", "## The worst cases", ""]
    for name in names:
        for case in (everything.get(name) or suites[name])["worst"]:
            lines.append(f"- `{name}`: {_cell(case['case'])}: {_cell(case['why'])}")
    lines += ["", "## Published verdicts that differ, and why", "", *VERDICTS, ""]
    for row in known_failures():
        if row["suite"] == "recipes" or row.get("group") == "verdicts":
            lines.append(f"- `{row['suite']}`: {_cell(row['case'])}: {_cell(row['reason'])}")
    return "\n".join([*lines, ""])


def _held_out(*runs: Mapping[str, Any]) -> list[str]:
    """Return the section on estimates whose machine was left out of the fit, where a run has them."""
    rows: dict[str, Any] = {}
    for run_ in runs:
        for name, row in run_.items():
            if "held_out" in row:
                rows.setdefault(name, row["held_out"])
    if not rows:
        return []
    lines = ["", "## The same suites, each machine left out of the fit", "", *TABLE]
    for name, row in rows.items():
        lines.append(_line(name, f"`{name}`", row))
        for group, inner in row.get("groups", {}).items():
            lines.append(_line(name, f"– {group}", inner))
    return lines


VERDICTS = (
    "Of the whole collection: deployments that somebody published and whose verdict the planner does"
    " not share, or that leave out what decides it.",
)
SECTIONS = {
    RULES: "Rules: nothing is fitted",
    "in sample": "Estimates, on cases like those that constants were fitted on",
}
ABOVE = {
    "in sample": (
        "",
        "Constants of speed and of overheads were fitted on rows of these suites; a band that held a"
        " case here says less than one that held a case nobody had seen. What the same rules answer"
        " for machines that were left out of the fit, each in turn, stands below or is printed by"
        " `python -m benchmarks.calibrate_throughput --cases DIR`; [speed.md](speed.md) has it.",
    )
}
TABLE = (
    "| suite | cases | exact | agree | failed | cannot be asked | median error | 9 in 10 below | largest | in band |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def _line(suite: str, title: str, row: Mapping[str, Any]) -> str:
    errors = [_error(suite, row[key]) for key in ("median_error", "p90_error", "max_error")]
    counts = [str(row.get(key, 0)) for key in ("cases", "exact", "agree", "failed", "unasked")]
    return "| " + " | ".join([_cell(title), *counts, *errors, in_band(row)]) + " |"


def _error(suite: str, error: float) -> str:
    if error == 0:
        return "0"
    return f"{error:.2f} GiB" if suite in IN_GIB else f"{error:.2%}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main(argv: Sequence[str] | None = None) -> int:
    """Run every suite on the kept cases, or take reports of all; keep the summaries, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship_fidelity", description=__doc__)
    parser.add_argument("--cases", type=Path, metavar="DIR")
    parser.add_argument(
        "--suite",
        choices=SUITES,
        action="append",
        help="renew this one of the kept, keep the others",
    )
    parser.add_argument("--full", type=Path, nargs="+", metavar="REPORT")
    options = parser.parse_args(argv)
    made = {"version": package_version(), "date": datetime.now(UTC).date().isoformat()}
    if options.cases:
        summaries = shipped_run(options.cases, options.suite or SUITES)
        others = _kept(TARGET)["suites"] if options.suite else {}
        _keep(TARGET, {**made, "cases": options.cases.as_posix(), "suites": others | summaries})
    if options.full:
        report: dict[str, Any] = {}
        for path in options.full:
            report |= json.loads(path.read_text("utf-8"))
        suites = {name: shipped_suite(name, report[name]) for name in SUITES if name in report}
        _keep(FULL, {**_kept(FULL), **made, "suites": suites})
    PAGE.write_text(page(_kept(TARGET), _kept(FULL)), encoding="utf-8")
    return 0


def shipped_run(cases: Path, names: Sequence[str] = SUITES) -> dict[str, Any]:
    """Return what ships of a run over a folder of cases."""
    return {name: shipped_suite(name, summary) for name, summary in run(cases, names).items()}


def _keep(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _kept(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
