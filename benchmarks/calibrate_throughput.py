"""Where the constants of `planner/throughput/data/serving.toml` come from.

    python -m benchmarks.calibrate_throughput --cases DIR

Reads the measured points of suite `throughput` in DIR and fits, per device class and engine, the
constants that decoding depends on: log errors of the planner's own step time, minimised robustly
(Levenberg-Marquardt, reweighted) with weak priors around [default]. Whole deployments are held out
in turn; the error and the band that are printed beside the constants are those of points held out.
Prefill shares are taken as they stand in the data. Takes minutes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

import hardware_db
from benchmarks.fidelity import find_cases, quantile
from benchmarks.suites.throughput import FILES, Point, questions
from planner.throughput.constants import Constants, calibration, serving_rules
from planner.throughput.decode import Question
from planner.throughput.estimate import (
    output_token_terms,
    prompt_terms,
    request_seconds,
    resolve_question,
)
from planner.throughput.step import CEILING, UnknownFigureError, total

SPREAD = {
    "bandwidth": 0.08,
    "experts": 0.4,
    "kv": 0.4,
    "layer_us": 0.5,
    "sequence_us": 1.2,
    "collective": 0.4,
    "interference": 0.5,
}
"""What is fitted, and how far (in logs) it strays from [default] unless the points insist."""

NOISE = 0.15
"""Log error of a measurement, by which points weigh against priors."""

OUTLIER = 1.5
"""Errors beyond this many times the noise count less."""

FEWEST = 8
FOLDS = 4
SHUFFLES = 3
STEPS = 25

Values = dict[str, float]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One point, ready to be asked again and again with other constants."""

    point: Point
    question: Question
    deployment: str
    prompt: float

    def error(self, constants: Constants) -> float:
        """Log of estimated over measured time per output token."""
        question, workload = replace(self.question, constants=constants), self.point.workload
        time = total(output_token_terms(question, workload, prompt=self.prompt))
        if self.point.wall:
            time = request_seconds(workload, time, self.prompt)
        return log(time / self.point.seconds)

    @property
    def atypical(self) -> bool:
        """A roofline is known to fail there; it would bend the constants."""
        local = self.point.engine.startswith("mlx") or self.point.engine == "ollama"
        quantized = self.question.cache_format.bits < 16
        return self.point.layout.expert_parallel or (
            local and (self.question.sequences > 1 or quantized)
        )


def samples(folder: Path) -> Iterator[tuple[tuple[str, str, str], Sample]]:
    """(device class, engine, pattern of schemes) and sample of every point that can be asked."""
    rows = json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]
    deployments = {row["id"]: row["set"] for row in rows}
    for name, read in questions(folder):
        try:
            point: Point = read()
            system = hardware_db.resolve(point.machine)
            precision = point.checkpoint.scheme.name
            found = calibration(system, point.engine, preset="serving", precision=precision)
            question = resolve_question(
                point.checkpoint,
                system,
                point.layout,
                workload=point.workload,
                constants=found.constants,
                kv_cache_dtype=point.cache,
                ssm_dtype=point.state,
            )
            prompt = total(prompt_terms(question, point.workload))
            total(output_token_terms(question, point.workload, prompt=prompt))
        except (LookupError, ValueError, UnknownFigureError):
            continue
        key = (found.device_class or "", point.engine, _schemes(found.device_class, point))
        deployment = deployments.get(name, name.partition("#")[0])
        yield key, Sample(point=point, question=question, deployment=deployment, prompt=prompt)


def _schemes(found: str | None, point: Point) -> str:
    """The schemes among which a row is shared, where the data hold some apart."""
    precision = point.checkpoint.scheme.name
    for row in serving_rules()["fit"]:
        if row["device"] == found and row["engine"] == point.engine:
            for pattern in row.get("schemes", ()):
                if precision.startswith(pattern.rstrip("*")):
                    return str(pattern)
    return ""


def fit(rows: Sequence[Sample]) -> Constants:
    """The constants that bring `rows` nearest, weighed against the priors."""
    default = serving_rules()["default"]
    names = list(SPREAD)
    centre = np.array([log(default[name]) for name in names])
    width = np.array([SPREAD[name] for name in names])
    least, most = centre - 3 * width, centre + 3 * width
    for index, name in enumerate(names):
        if name in ("bandwidth", "experts", "kv"):
            most[index] = min(most[index], log(CEILING - 0.01))

    def residuals(x: Vector) -> Vector:
        constants = _constants(rows[0].question.constants, names, x)
        errors = np.array([sample.error(constants) for sample in rows]) / NOISE
        weights = (1 + (errors / OUTLIER) ** 2) ** -0.25
        return np.concatenate([errors * weights, (x - centre) / width])

    x, damping = centre, 1e-2
    found = residuals(x)
    for _ in range(STEPS):
        columns = []
        for index in range(len(x)):
            nudged = x.copy()
            nudged[index] += 1e-3
            columns.append((residuals(nudged) - found) / 1e-3)
        jacobian = np.stack(columns, axis=1)
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -jacobian.T @ found)
        tried = np.clip(x + step, least, most)
        better = residuals(tried)
        if better @ better < found @ found:
            x, found, damping = tried, better, max(damping / 3, 1e-6)
            if float(np.abs(step).max()) < 1e-3:
                break
        else:
            damping *= 4
    return _constants(rows[0].question.constants, names, x)


def _constants(base: Constants, names: Sequence[str], x: Vector) -> Constants:
    values: dict[str, Any] = {name: exp(value) for name, value in zip(names, x, strict=True)}
    return replace(base, **values, state=values["bandwidth"])


def held_out(rows: Sequence[Sample]) -> list[float]:
    """Estimated over measured time of points whose whole deployment was left out."""
    deployments = sorted({row.deployment for row in rows})
    ratios: list[float] = []
    for seed in range(SHUFFLES if len(deployments) > 1 else 0):
        order = deployments[:]
        random.Random(seed).shuffle(order)
        for fold in range(min(FOLDS, len(order))):
            left = set(order[fold::FOLDS])
            kept = [row for row in rows if row.deployment not in left]
            if kept:
                constants = fit(kept)
                tested = (row for row in rows if row.deployment in left)
                ratios += [exp(row.error(constants)) for row in tested]
    return ratios


def describe(
    key: tuple[str, str, str], rows: Sequence[Sample], constants: Constants, held: Sequence[float]
) -> str:
    """A row of serving.toml."""
    device, engine, schemes = key
    default: Mapping[str, float] = serving_rules()["default"]
    shown = {}
    for name in (*SPREAD, "state", "prefill_dense", "prefill_moe"):
        value = float(f"{getattr(constants, name):.{3 if name == 'layer_us' else 2}g}")
        if abs(log(value / default[name])) > 0.03:
            shown[name] = value
    error = median(abs(exp(row.error(constants)) - 1) for row in rows)
    left = f"held out {median(abs(r - 1) for r in held):.0%}" if held else "none held out"
    points = f"{len(rows)} points of {len({row.deployment for row in rows})} deployments"
    low, high = serving_rules()["bands"]["fitted" if held else "sibling"]
    if held:
        low, high = min(low, quantile(held, 0.1)), max(high, quantile(held, 0.9))
    lines = ["[[fit]]", f'device = "{device}"', f'engine = "{engine}"']
    lines += [f'schemes = ["{schemes}"]'] if schemes else []
    lines += [f'title = "{points}; median error {error:.0%}, {left}"']
    lines += [f"band = [{low:.2f}, {high:.2f}]"]
    pairs = ", ".join(f"{name} = {value:g}" for name, value in shown.items())
    return "\n".join([*lines, f"constants = {{ {pairs} }}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Fit every class and engine with enough points and print the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrate_throughput")
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(argv)
    folder = find_cases(options.cases, FILES)
    if folder is None:
        parser.error(f"no {' and '.join(FILES)} in {options.cases} or beside it")
    groups: dict[tuple[str, str, str], list[Sample]] = defaultdict(list)
    for key, sample in samples(folder):
        groups[key].append(sample)
    everything: list[float] = []
    for key, rows in sorted(groups.items()):
        typical = [row for row in rows if not row.atypical]
        used = typical if len(typical) >= FEWEST else rows
        if len(used) < FEWEST or not key[0]:
            continue
        held = held_out(used)
        everything += held
        print(describe(key, used, fit(used), held), end="\n\n", flush=True)
    errors = [abs(ratio - 1) for ratio in everything]
    low, high = quantile(everything, 0.1), quantile(everything, 0.9)
    print(f"# held out: median {median(errors):.1%}, p90 {quantile(errors, 0.9):.1%};")
    print(f"# 8 of 10 between {low:.2f} and {high:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
