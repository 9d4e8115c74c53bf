"""How close the planner is to what engines compute and people measured.

    python -m benchmarks.fidelity --cases DIR [--suite NAME] [--json]

DIR is a folder of case files; its neighbours `facts/`, `field/` and `oracles/` are searched, too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.suites.result import CaseResult

SUITES = (
    "params",
    "flash_next_params",
    "vllm",
    "vllm_extra",
    "flash_next_vllm",
    "vllm_versions",
    "overheads",
    "sglang",
    "llamacpp",
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


def find_cases(folder: Path, files: Sequence[str]) -> Path | None:
    """The folder (DIR or a neighbour of it) that has all of `files`, or None."""
    places = [folder, *(folder.parent / name for name in ("oracles", "facts", "field"))]
    places += [folder / name for name in ("oracles", "facts", "field")]
    for place in places:
        if all((place / name).is_file() for name in files):
            return place
    return None


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def summarise(results: Iterable[CaseResult]) -> dict[str, Any]:
    """Cases, exact, errors and the worst cases of a suite; groups by their own."""
    cases = list(results)
    errors = [case.size_of_error for case in cases]
    summary: dict[str, Any] = {
        "cases": len(cases),
        "exact": sum(case.exact for case in cases),
        "failed": sum(case.failure is not None for case in cases),
        "median_error": median(errors) if errors else 0.0,
        "p90_error": quantile(errors, 0.9),
        "max_error": max(errors, default=0.0),
        "worst": [_worst(case) for case in sorted(cases, key=_severity, reverse=True)[:WORST]],
    }
    banded = [case.within_band for case in cases if case.within_band is not None]
    if banded:
        summary["within_band"] = sum(banded) / len(banded)
    groups = sorted({case.group for case in cases if case.group})
    if groups:
        summary["groups"] = {
            name: summarise([_ungrouped(case) for case in cases if case.group == name])
            for name in groups
        }
    summary["worst"] = [row for row in summary["worst"] if row]
    return summary


def _severity(case: CaseResult) -> tuple[bool, float]:
    return case.failure is not None, case.size_of_error


def _ungrouped(case: CaseResult) -> CaseResult:
    return CaseResult(
        name=case.name,
        expected=case.expected,
        answered=case.answered,
        failure=case.failure,
        error=case.error,
        tolerance=case.tolerance,
        within_band=case.within_band,
    )


def _worst(case: CaseResult) -> dict[str, Any] | None:
    if case.exact:
        return None
    row: dict[str, Any] = {"case": case.name, "error": case.size_of_error}
    if case.failure is not None:
        row["failure"] = case.failure
        return row
    row["fields"] = {
        name: {"expected": case.expected[name], "answered": case.answered.get(name)}
        for name, error in case.errors.items()
        if error > case.tolerance
    }
    return row


def run(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Suite name -> summary, for every named suite whose files are found."""
    report: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            module = import_module(f"benchmarks.suites.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"benchmarks.suites.{name}":
                raise
            continue
        place = find_cases(folder, module.FILES)
        if place is None:
            if len(names) == 1:
                raise SystemExit(f"no {' or '.join(module.FILES)} in {folder} or beside it")
            continue
        report[name] = summarise(module.run(place))
    return report


def _print(report: dict[str, dict[str, Any]]) -> None:
    for name, s in report.items():
        band = f"  in band {s['within_band']:.0%}" if "within_band" in s else ""
        print(
            f"{name:14} {s['exact']}/{s['cases']} exact, {s['failed']} failed;"
            f" error median {s['median_error']:.4g}, p90 {s['p90_error']:.4g},"
            f" max {s['max_error']:.4g}{band}"
        )
        for group, inner in s.get("groups", {}).items():
            band = f"  in band {inner['within_band']:.0%}" if "within_band" in inner else ""
            print(
                f"  - {group:24} {inner['cases']} cases; median {inner['median_error']:.4g},"
                f" p90 {inner['p90_error']:.4g}{band}"
            )
        for row in s["worst"]:
            print(f"    {row['error']:.3g}  {row['case']}: {row.get('failure') or row['fields']}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suites and print their summaries."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    parser.add_argument("--suite", choices=SUITES, action="append")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    if not options.cases.is_dir():
        parser.error(f"--cases: {options.cases} is not a folder")
    report = run(options.cases, options.suite or SUITES)
    if options.json:
        print(json.dumps(report, default=str))
    else:
        _print(report)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
