"""Where the constants of `planner/throughput/data/serving.toml` come from.

    python -m benchmarks.calibrate_throughput --cases DIR [--write]

Reads the measured points of the suites `throughput` and `throughput_more` in DIR, fits the constants
(`benchmarks.speed_fit`) and prints first how well points are met whose rig, source or device class
was left out of the fit. Bands are those that hold 94 % of points of rigs left out. Takes minutes.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.fidelity import find_cases
from benchmarks.speed_fit import LEVELS, Key, Pool, Sample
from benchmarks.suites import throughput, throughput_more
from benchmarks.suites.speed_points import SpeedPoint
from planner.throughput.bands import rough_rules
from planner.throughput.constants import acceptance, calibration, device_class, family, kin_of
from planner.throughput.estimate import output_token_parts, prompt_parts
from planner.throughput.host import host_memory
from planner.throughput.part import Part, UnknownFigureError
from planner.throughput.serving import chunk_of, resolve_serving
from planner.throughput.traffic import width_of

FOLDS = 10
KEPT = 0.03
"""Share of points left outside a band at each end."""
SHOWN = 0.02
"""Factors nearer to one than this are left out."""
OUT = Path(__file__).parent.parent / "planner" / "throughput" / "data" / "serving.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A measured point ready to be fitted.

    Attributes:
        point: the point.
        sample: its parts.
        kind: which band it belongs to.
        rough: the planner says that its figure is rough.
    """

    point: SpeedPoint
    sample: Sample
    kind: str
    rough: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, hold out, print; with --write renew the data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrate_throughput")
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    parser.add_argument("--write", action="store_true", help=f"renew {OUT.name}")
    options = parser.parse_args(argv)
    asked = list(points(options.cases))
    pool = Pool([one.sample for one in asked])
    everything = np.ones(len(asked), dtype=bool)
    found = pool.fit(everything)
    by_rig = held_out(pool, asked, lambda one: one.sample.rig, found)
    by_source = held_out(pool, asked, lambda one: one.point.source, found)
    by_class = held_out(pool, asked, lambda one: one.sample.device, found)
    report("rigs held out", asked, by_rig)
    report(
        "the same, had every class under every engine its best factor",
        asked,
        by_rig * best_factors(asked, by_rig),
    )
    report("sources held out", asked, by_source)
    report("device classes held out", asked, by_class)
    report("in sample", asked, pool.ratios(found))
    if options.write:
        bands = bands_of(asked, by_rig, by_source, by_class)
        OUT.write_text(document(asked, found, bands), encoding="utf-8")
        print(f"wrote {OUT}")
    return 0


def points(cases: Path) -> Iterator[Asked]:
    """Every measured point that can be asked; drafts only where it is told how many."""
    suites: tuple[
        tuple[Sequence[str], Callable[[Path], Iterator[tuple[str, Callable[[], SpeedPoint]]]]], ...
    ] = (
        (throughput.FILES, lambda folder: throughput.questions(folder, drafts=True)),
        (throughput.FILES, throughput.prompts),
        (throughput_more.FILES, throughput_more.questions),
    )
    for files, questions in suites:
        folder = find_cases(cases, files)
        if folder is None:
            raise SystemExit(f"no {' and '.join(files)} in {cases} or beside it")
        for _, read in questions(folder):
            try:
                yield _asked(read())
            except (LookupError, ValueError, UnknownFigureError):
                continue


def _asked(point: SpeedPoint) -> Asked:
    host = host_memory(point.system, bandwidth=point.ram)
    question = resolve_serving(
        point.checkpoint,
        point.system,
        point.layout,
        workload=point.workload,
        host=host,
        kv_cache_dtype=point.cache,
        ssm_dtype=point.state,
        speculation=point.speculation,
        placement=point.placement,
    )
    chunk = chunk_of(point.engine, point.chunk, point.placement)
    prompt = prompt_parts(question, point.workload, chunk)
    parts: tuple[Part, ...] = prompt
    seconds = point.workload.prompt_tokens / point.rate
    if not point.prefill:
        drafts = point.speculation
        accepted = acceptance(drafts.tokens) if drafts else 1.0
        parts = output_token_parts(question, point.workload, prompt=prompt, accepted=accepted)
        seconds = 1 / point.rate
        if point.wall and point.workload.output_tokens:
            share = 1 / point.workload.output_tokens
            parts = (*parts, *(part.scaled(share) for part in prompt))
    engine, precision = point.engine, point.checkpoint.scheme.name
    known = calibration(point.system, engine, preset="serving")
    device = "" if point.lies == "CPU" else device_class(point.system.accelerator) or "other"
    kind = point.group.partition(",")[0]
    if point.lies.startswith("RAM"):
        kind = "prefill-ram" if point.prefill else "ram"
    if point.lies == "CPU":
        kind = "prefill-ram" if point.prefill else "cpu"
    sample = Sample(
        parts=parts,
        seconds=seconds,
        device=device,
        kin=kin_of(device) or "",
        engines=tuple(dict.fromkeys((family(engine), engine))),
        rig=point.rig,
        width=width_of(point.checkpoint),
        doubt=point.doubt,
    )
    rough = rough_rules(question, known, engine=engine, precision=precision)
    if point.speculation:
        kind = f"{kind}, drafts"
    return Asked(point=point, sample=sample, kind=kind, rough=bool(rough))


def held_out(
    pool: Pool, asked: Sequence[Asked], group: Callable[[Asked], str], start: dict[Key, float]
) -> np.ndarray:
    """Estimated over measured time of points whose whole group was left out of the fit."""
    classes = {group(one): one.sample.device for one in asked}
    # Neighbours in this order are alike and fall into different folds.
    groups = sorted(classes, key=lambda name: (classes[name], name))
    ratios = np.ones(len(asked))
    for fold in range(min(FOLDS, len(groups))):
        left = set(groups[fold :: min(FOLDS, len(groups))])
        out = np.array([group(one) in left for one in asked])
        ratios[out] = pool.ratios(pool.fit(~out, start))[out]
    return ratios


def report(title: str, asked: Sequence[Asked], ratios: np.ndarray) -> None:
    """Print errors by kind, and how far 94 % of the points lie."""
    print(f"== {title}")
    kinds: dict[str, list[float]] = defaultdict(list)
    for one, ratio in zip(asked, ratios, strict=True):
        kinds[f"{one.kind}{', rough' if one.rough else ''}"].append(float(ratio))
    for kind, values in sorted(kinds.items()):
        errors = sorted(abs(value - 1) for value in values)
        low, high = np.quantile(values, [KEPT, 1 - KEPT])
        print(
            f"{kind:24} {len(values):5} points; error median {median(errors):.1%},"
            f" p90 {errors[int(0.9 * len(errors))]:.1%}; truth/estimate {low:.2f} to {high:.2f}"
        )


def best_factors(asked: Sequence[Asked], ratios: np.ndarray) -> np.ndarray:
    """Return the factor of each point that suits its kind, class and engine best.

    What is left is what no constant of a class under an engine mends: rigs, releases and sources
    that contradict each other.
    """
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, one in enumerate(asked):
        groups[one.kind, one.sample.device, *one.sample.engines].append(i)
    factors = np.ones(len(asked))
    tried = np.exp(np.linspace(-1.2, 1.2, 121))
    for rows in groups.values():
        errors = np.median(np.abs(np.outer(tried, ratios[rows]) - 1), axis=1)
        factors[rows] = tried[int(np.argmin(errors))]
    return factors


def bands_of(
    asked: Sequence[Asked], *held: np.ndarray
) -> dict[str, dict[str, tuple[float, float]]]:
    """Truth over estimate of the speed at a band's ends, by kind and by how well founded it is.

    `held`: ratios with rigs, sources and device classes left out. The first gives the bands of
    constants that were measured on such machines under this engine, the second under other engines,
    the third on none. Rigs count by n^3/4 of their n points, so that none makes a band alone.
    """
    bands: dict[str, dict[str, tuple[float, float]]] = {}
    kinds = sorted({one.kind.partition(",")[0] for one in asked})
    for kind in kinds:
        rows = [
            i
            for i, one in enumerate(asked)
            if one.kind == kind and (not one.rough or kind in ("ram", "prefill-ram", "cpu"))
        ]
        found = [_ends(asked, ratios, rows) for ratios in held]
        # What is known of fewer machines is never claimed more narrowly.
        fitted = found[0]
        sibling = (min(fitted[0], found[1][0]), max(fitted[1], found[1][1]))
        unmeasured = (min(sibling[0], found[2][0]), max(sibling[1], found[2][1]))
        bands[kind] = {"fitted": fitted, "sibling": sibling, "unmeasured": unmeasured}
    rough = [i for i, one in enumerate(asked) if one.rough]
    drafts = [i for i, one in enumerate(asked) if one.point.speculation and not one.rough]
    bands["rough"] = {"any": _ends(asked, held[0], rough)}
    bands["drafted"] = {"any": _ends(asked, held[0], drafts)}
    return bands


def _ends(asked: Sequence[Asked], ratios: np.ndarray, rows: Sequence[int]) -> tuple[float, float]:
    """The weighted quantiles of some ratios; a band always holds its estimate."""
    counts = Counter(asked[i].sample.rig for i in rows)
    order = sorted(rows, key=lambda i: float(ratios[i]))
    weights = np.cumsum([counts[asked[i].sample.rig] ** -0.25 for i in order])
    weights /= weights[-1]
    low = float(ratios[order[int(np.searchsorted(weights, KEPT))]])
    high = float(ratios[order[min(len(order) - 1, int(np.searchsorted(weights, 1 - KEPT)))]])
    return min(low, 0.9), max(high, 1.1)


def document(
    asked: Sequence[Asked],
    found: Mapping[Key, float],
    bands: Mapping[str, Mapping[str, tuple[float, float]]],
) -> str:
    """serving.toml: defaults, factors with what they rest on, bands."""
    rows: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
    for (name, device, engine, width), value in found.items():
        if (device or engine) and abs(value) > SHOWN:
            rows[device, engine, width][name] = exp(value)
    kins = {one.sample.kin for one in asked if one.sample.kin}
    lines = [HEADER, "[default]"]
    for name, meaning in MEANINGS.items():
        known = "bandwidth" if name == "state" else name
        value = LEVELS[known][0] * exp(found.get((known, "", "", 0), 0.0))
        lines.append(f"{name} = {value:.3g} # {meaning}")
    for (device, engine, width), factors in sorted(rows.items()):
        here = [one.sample for one in asked if _concerns(one.sample, device, engine, width)]
        if device and len({one.rig for one in here}) < 1:
            continue
        lines += ["", "[[effect]]"]
        lines += [f'{"kin" if device in kins else "device"} = "{device}"'] if device else []
        lines += [f'engine = "{engine}"'] if engine else []
        lines += [f"width = {width}"] if width else []
        rigs = len({one.rig for one in here})
        title = " under ".join(word for word in (device, engine) if word)
        title += f" at {width} bits" if width else ""
        lines.append(f'title = "{title}: {len(here)} points of {rigs} rigs"')
        if "bandwidth" in factors:
            factors["state"] = factors["bandwidth"]
        pairs = ", ".join(f"{name} = {factor:.3g}" for name, factor in sorted(factors.items()))
        lines.append(f"times = {{ {pairs} }}")
    lines += ["", "# Truth / estimate of the speed between which 94 % of the points held out lie."]
    lines += ["[band]"]
    for kind, ends in sorted(bands.items()):
        pairs = ", ".join(
            f"{basis} = [{low:.2f}, {high:.2f}]" for basis, (low, high) in ends.items()
        )
        lines.append(f"{kind} = {{ {pairs} }}")
    return "\n".join(lines) + "\n"


def _concerns(sample: Sample, device: str, engine: str, width: int) -> bool:
    fits_device = not device or device in (sample.device, sample.kin)
    fits_engine = not engine or engine in sample.engines
    return fits_device and fits_engine and (not width or sample.width == width)


HEADER = """\
# Serving preset: what people measure on real machines, scheduler and CPU included.
# Written by `python -m benchmarks.calibrate_throughput --write`; `python -m benchmarks.speed_fit` says
# how. A constant is its default times the factors of every row that holds: device class, engine,
# both, both at a width of weights. Factors within 2 % of one are left out.

source = "measured serving, decode and prefill points, spring to autumn 2026 (InferenceX, sglang cookbooks, rtx6kpro, Strix Halo toolboxes, localmaxxing users, MI100, DGX Spark, Apple and 3090 benchmarks, guides of single machines)"
"""

MEANINGS = {
    "bandwidth": "share of nominal bandwidth at which dense weights stream",
    "experts": "the same for routed experts",
    "kv": "the same for the KV cache",
    "state": "the same for the recurrent state: as dense weights",
    "compute": "share of the format's peak in a decode step",
    "layer_us": "microseconds per layer and step: launches, norms, small kernels, scheduler",
    "sequence_us": "microseconds per layer, step and sequence",
    "collective": "multiple of a link's latency that an all-reduce takes",
    "verification": "multiple of its parts' sum that a cycle of drafts and verification takes",
    "interference": "how much of other users' prefill a decoding user waits for",
    "host": "share of RAM bandwidth (bent, see decode.py) at which the CPU streams weights",
    "host_step_ms": "milliseconds per step that hand-overs between accelerator and CPU take",
    "link": "share of the link to the host at which weights are copied",
    "host_compute": "share of 10 FLOP per byte of RAM bandwidth at which the CPU computes prompts",
    "prefill_dense": "share of peak in the matrix products of a prompt, dense model",
    "prefill_moe": "the same for a mixture of experts",
    "prefill_narrow": "what of it is left where weights have fewer than 16 bits and the peak is higher",
    "prefill_attention": "share of 30 FLOP per byte of bandwidth in the attention of a prompt",
    "prefill_delta": "the same in the DeltaNet recurrence",
    "prefill_layer_us": "microseconds per layer and chunk of a prompt",
    "prefill_link": "share of the link that a prompt's all-reduces reach",
}


if __name__ == "__main__":
    raise SystemExit(main())
