"""How close the planner is to what engines compute and people measured.

    python -m benchmarks.fidelity --cases DIR [--suite NAME] [--json]

DIR is a folder of case files; its neighbours `facts/`, `field/` and `oracles/` are searched, too.
For suites of speeds the constants are fitted again without each rig, and what comes out for it is
printed first: nothing of that machine was seen. That takes a minute.

"exact" counts cases in which every compared field is equal; a case that agrees only within what its
reference allows (a rounded print, say) is counted beside it, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.suites.known import reason_of
from benchmarks.suites.result import SECONDS, CaseResult
from planner.web.fidelity import in_band

SUITES = (
    "params",
    "flash_next_params",
    "vllm",
    "vllm_extra",
    "flash_next_vllm",
    "vllm_more",
    "vllm_quant",
    "vllm_versions",
    "overheads",
    "sglang",
    "sglang_more",
    "sglang_logs",
    "llamacpp",
    "llamacpp_more",
    "llamacpp_gpu",
    "transformers",
    "transformers_gpu",
    "gguf",
    "checkpoints",
    "recipes",
    "field",
    "throughput",
    "throughput_more",
    "speed",
    "tp_validity",
)
WORST = 8
FITTED = ("throughput", "throughput_more")
"""Suites on whose cases constants were fitted: what holds for rigs left out is printed first."""


def find_cases(folder: Path, files: Sequence[str]) -> Path | None:
    """Return the folder (DIR or a neighbour of it) that has all of `files`, or None."""
    places = [folder, *(folder.parent / name for name in ("oracles", "facts", "field"))]
    places += [folder / name for name in ("oracles", "facts", "field", "speed")]
    for place in places:
        if all((place / name).is_file() for name in files):
            return place
    return None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def summarise(results: Iterable[CaseResult], suite: str = "") -> dict[str, Any]:
    """Count a suite's cases: exact, agreeing, failed, not askable; errors, reasons, the worst."""
    cases = list(results)
    known = {
        id(case): reason
        for case in cases
        if case.problem is None
        and case.wrong
        and (reason := reason_of(suite, case.name, case.group))
    }
    errors = [case.size_of_error for case in cases]
    summary: dict[str, Any] = {
        "cases": len(cases),
        "exact": sum(case.exact for case in cases),
        "agree": sum(case.agrees for case in cases),
        "failed": sum(case.problem is not None and case.unasked is None for case in cases),
        "unasked": sum(case.unasked is not None for case in cases),
        "median_error": median(errors) if errors else 0.0,
        "p90_error": quantile(errors, 0.9),
        "max_error": max(errors, default=0.0),
        "reasons": dict(Counter(reason for case in cases for reason in case.reasons)),
        "differs": dict(Counter(known.values())),
        "worst": [
            _worst(case, known.get(id(case)))
            for case in sorted(cases, key=_severity, reverse=True)[:WORST]
        ],
    }
    banded = [case.within_band for case in cases if case.within_band is not None]
    if banded:
        summary["within_band"] = sum(banded) / len(banded)
        if any(SECONDS in case.expected for case in cases):
            summary["too_fast"] = sum(case.too_fast for case in cases) / len(banded)
    groups = sorted({case.group for case in cases if case.group})
    if groups:
        summary["groups"] = {
            name: summarise([replace(case, group=None) for case in cases if case.group == name])
            for name in groups
        }
    summary["worst"] = [row for row in summary["worst"] if row]
    return summary


def _severity(case: CaseResult) -> tuple[bool, bool, bool, float]:
    """Order by how bad it is; what could not be asked says nothing of the planner and comes last."""
    off = max(case.size_of_error, case.factor - 1)
    return case.unasked is None, not case.agrees, case.failure is not None, off


def _worst(case: CaseResult, reason: str | None) -> dict[str, Any] | None:
    if case.agrees and case.error is None:
        return None
    row: dict[str, Any] = {"case": case.name, "error": case.size_of_error}
    if reason is not None:
        row["reason"] = reason
    if case.problem is not None:
        row["failure"] = case.problem
        return row
    row["fields"] = {
        name: {"expected": case.expected[name], "answered": case.answered.get(name)}
        for name in (case.wrong or case.expected)
    }
    if SECONDS in case.answered:
        slow = case.answered[SECONDS] > case.expected[SECONDS]
        row["off"] = f"{case.factor:.2f} times too {'slow' if slow else 'fast'}"
    return row


def missing(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return suite -> the files that it lacks, for every named suite that cannot run."""
    lacking: dict[str, str] = {}
    for name in names:
        files = import_module(f"benchmarks.suites.{name}").FILES
        if find_cases(folder, files) is None:
            lacking[name] = f"no {' and '.join(files)} in {folder} or beside it"
    return lacking


def run(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return suite name -> summary, for every named suite whose files are there."""
    report: dict[str, dict[str, Any]] = {}
    for name in names:
        module = import_module(f"benchmarks.suites.{name}")
        place = find_cases(folder, module.FILES)
        if place is not None:
            report[name] = summarise(module.run(place), name)
    return report


def unseen(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return suite -> summary of its points, each estimated without its rig; fitted suites alone."""
    places = {}
    for name in FITTED:
        place = find_cases(folder, import_module(f"benchmarks.suites.{name}").FILES)
        if place is not None:
            places[name] = place
    wanted = [name for name in names if name in places]
    if not wanted:
        return {}
    results = import_module("benchmarks.held_out").results(places)
    return {name: summarise(results[name]) for name in wanted}


def _print_unseen(report: Mapping[str, Mapping[str, Any]]) -> None:
    for name, s in report.items():
        print(f"{name:14} rigs held out: {_spread(s)}")
        for group, inner in s.get("groups", {}).items():
            print(f"  - {group:32} {_spread(inner)}")


def _spread(s: Mapping[str, Any]) -> str:
    median_error, p90 = s["median_error"], s["p90_error"]
    return f"{s['cases']:5} points; median {median_error:.1%}, p90 {p90:.1%}{_band(s)}"


def _print(report: Mapping[str, Mapping[str, Any]]) -> None:
    for name, s in report.items():
        print(
            f"{name:14} {_counts(s)};"
            f" error median {s['median_error']:.4g}, p90 {s['p90_error']:.4g},"
            f" max {s['max_error']:.4g}{_band(s)}"
        )
        for group, inner in s.get("groups", {}).items():
            print(
                f"  - {group:24} {_counts(inner)}; median {inner['median_error']:.4g},"
                f" p90 {inner['p90_error']:.4g}{_band(inner)}"
            )
        for reason, count in s["reasons"].items():
            print(f"    {count} x {reason}")
        for reason, count in s["differs"].items():
            print(f"    {count} x differs: {reason}")
        for row in s["worst"]:
            why = f" ({row['reason']})" if "reason" in row else ""
            found = row.get("failure") or row["fields"]
            print(f"    {row['error']:.3g}  {row['case']}: {found}{why}")


def _counts(s: Mapping[str, Any]) -> str:
    parts = [f"{s['exact']}/{s['cases']} exact"]
    if s["agree"] != s["exact"]:
        parts.append(f"{s['agree'] - s['exact']} more within what is allowed")
    parts.append(f"{s['failed']} failed")
    if s["unasked"]:
        parts.append(f"{s['unasked']} cannot be asked")
    return ", ".join(parts)


def _band(s: Mapping[str, Any]) -> str:
    return f"  in band {in_band(s)}" if "within_band" in s else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suites and print their summaries; 1 if a suite that was named lacks its files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    parser.add_argument("--suite", choices=SUITES, action="append")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    if not options.cases.is_dir():
        parser.error(f"--cases: {options.cases} is not a folder")
    names = options.suite or SUITES
    lacking = missing(options.cases, names)
    held = unseen(options.cases, names)
    if not options.json:
        _print_unseen(held)
    report = run(options.cases, names)
    if options.json:
        for name, summary in held.items():
            report[name] = {"rigs_held_out": summary, **report[name]}
        print(json.dumps(report, default=str))
    else:
        _print(report)
    for name, files in lacking.items():
        print(f"{name:14} not run: {files}", file=sys.stderr)
    return 1 if options.suite and lacking else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
