"""Where the constants of `planner/throughput/data/serving.toml` come from.

    python -m benchmarks.calibrate_throughput --cases DIR [--write]

Reads the measured points of the suites `throughput` and `throughput_more` in DIR, fits the constants
(`benchmarks.speed_fit`) and prints first how well points are met whose rig, source or device class
was left out of the fit (`benchmarks.held_out`), how often their bands hold, and how far publishers of
the same card are from each other. Takes a minute or two of one core.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.fidelity import find_cases
from benchmarks.held_out import (
    KEPT,
    Asked,
    bands_of,
    basis_without,
    best_factors,
    by_class,
    by_rig,
    by_source,
    held_out,
    hits,
    hits_of_bands_without,
    points,
    scatter,
)
from benchmarks.speed_fit import LEVELS, Key, Pool, Sample, Vector
from benchmarks.suites import throughput, throughput_more
from planner.throughput.constants import family, table

SHOWN = 0.02
"""Factors nearer to one than this are left out."""
OUT = Path(__file__).parent.parent / "planner" / "throughput" / "data" / "serving.toml"


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, hold out, print; with --write renew the data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrate_throughput")
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    parser.add_argument("--write", action="store_true", help=f"renew {OUT.name}")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="begin every fit at a draw from the priors"
    )
    options = parser.parse_args(argv)
    asked = list(points(_places(options.cases)))
    pool = Pool([one.sample for one in asked])
    found = pool.fit(np.ones(len(asked), dtype=bool), options.seed)
    held = [held_out(pool, asked, group, options.seed) for group in (by_rig, by_source, by_class)]
    bands = bands_of(asked, *held)
    report("rigs held out", asked, held[0])
    report("sources held out", asked, held[1])
    report("device classes held out", asked, held[2])
    for name, group, ratios in (("rigs", by_rig, held[0]), ("sources", by_source, held[1])):
        printed = hits(asked, ratios, basis_without(asked, group), bands)
        unseen = hits_of_bands_without(asked, [ratios, *held[1:]], group)
        report_hits(name, asked, printed, unseen)
    report(
        "rigs held out, had every class under every engine its best factor",
        asked,
        held[0] * best_factors(asked, held[0]),
    )
    fitted = pool.ratios(found)
    print("== publishers of the same card, engine, shape of model and width of weights")
    for kind, (pairs, apart) in sorted(scatter(asked, fitted).items()):
        print(f"{kind:16} {pairs:4} pairs; {apart:.1%} apart at the median")
    report("in sample", asked, fitted)
    print("== points that the answer calls rough, rigs held out")
    rules: dict[str, list[float]] = defaultdict(list)
    for one, ratio in zip(asked, held[0], strict=True):
        for rule in one.rough:
            rules[str(rule["reason"])].append(abs(float(ratio) - 1))
    for reason, errors in sorted(rules.items()):
        print(f"{len(errors):5} points, median {median(errors):.1%}: {reason}")
    print("== doubts: points whose source leaves something open")
    doubts = Counter(doubt.reason for one in asked for doubt in one.point.doubts)
    for reason, count in doubts.most_common():
        print(f"{count:5} {reason}")
    if options.write:
        OUT.write_text(document(asked, found, bands), encoding="utf-8")
        print(f"wrote {OUT}")
    elif table("serving")["band"] != _rounded(bands):
        print(f"{OUT.name} was fitted on other points or by another law: --write renews it")
    return 0


def _places(cases: Path) -> dict[str, Path]:
    places = {}
    for name, files in (
        ("throughput", throughput.FILES),
        ("throughput_more", throughput_more.FILES),
    ):
        place = find_cases(cases, files)
        if place is None:
            raise SystemExit(f"no {' and '.join(files)} in {cases} or beside it")
        places[name] = place
    return places


def report(title: str, asked: Sequence[Asked], ratios: Vector) -> None:
    """Print errors by kind: all points, the sound ones, rigs counted alike; and where 94 % lie."""
    print(f"== {title}")
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, one in enumerate(asked):
        kinds[f"{one.kind}, drafts" if one.drafts else one.kind].append(i)
    off = np.abs(ratios - 1)
    for kind, rows in sorted(kinds.items()):
        rigs: dict[str, list[float]] = defaultdict(list)
        for i in rows:
            rigs[asked[i].sample.rig].append(float(off[i]))
        sound = [i for i in rows if asked[i].sound]
        low, high = np.quantile(ratios[rows], [KEPT, 1 - KEPT])
        print(
            f"{kind:16} {len(rows):4} points, {len(rigs):3} rigs; error median"
            f" {np.median(off[rows]):.1%}, p90 {np.quantile(off[rows], 0.9):.1%};"
            f" {len(sound):4} sound: {np.median(off[sound]):.1%}, {np.quantile(off[sound], 0.9):.1%};"
            f" median of rigs {median(median(errors) for errors in rigs.values()):.1%};"
            f" truth/estimate {low:.2f} to {high:.2f}"
        )


def report_hits(
    name: str, asked: Sequence[Asked], printed: Sequence[bool], unseen: Sequence[bool]
) -> None:
    """Print how often bands hold: those that the planner prints, those made without the fold."""
    print(f"== how often bands hold, {name} held out: those printed; those made without the fold")
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, one in enumerate(asked):
        kinds[f"{one.kind}, drafts" if one.drafts else one.kind].append(i)
    for kind, rows in sorted(kinds.items()):
        first, second = (sum(found[i] for i in rows) / len(rows) for found in (printed, unseen))
        sound = [i for i in rows if asked[i].sound]
        third = sum(unseen[i] for i in sound) / len(sound)
        print(
            f"{kind:16} {len(rows):4} points; {first:.1%}; {second:.1%}, of sound ones {third:.1%}"
        )


def _rounded(bands: Mapping[str, Mapping[str, tuple[float, float]]]) -> dict[str, object]:
    return {
        kind: {basis: [round(low, 2), round(high, 2)] for basis, (low, high) in ends.items()}
        for kind, ends in bands.items()
    }


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
    lines = [HEADER, *measured(asked), "", "[default]"]
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


def measured(asked: Sequence[Asked]) -> list[str]:
    """Lines of serving.toml: how often each class was measured, all weights on the accelerator."""
    found: dict[tuple[str, str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in asked:
        what = {"decode": "decode", "serving": "decode"}.get(one.kind)
        if one.kind == "prefill":
            what = "dense" if one.point.checkpoint.model.moe is None else "moe"
        if what and one.sample.device:
            key = (one.sample.device, family(one.point.engine), one.sample.width)
            found[key][what].append(one.sample.rig)
    lines = [
        "# Points and rigs: decoding, prompts of dense models, prompts of mixtures of experts."
    ]
    lines += ["measured = ["]
    for (device, engine, width), rigs in sorted(found.items()):
        pairs = ", ".join(
            f"{what} = [{len(rigs[what])}, {len(set(rigs[what]))}]"
            for what in ("decode", "dense", "moe")
        )
        lines.append(
            f'    {{ device = "{device}", engine = "{engine}", width = {width}, {pairs} }},'
        )
    return [*lines, "]"]


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
    "plain_experts": "the same, a byte a weight, where a card lacks the engine's kernel (rules.toml)",
    "kv": "the same for the KV cache",
    "state": "the same for the recurrent state: as dense weights",
    "compute": "share of the format's peak in a decode step",
    "layer_us": "microseconds per layer and step: launches, norms, small kernels, scheduler",
    "routing_us": "microseconds per layer of experts and step: router, sorting tokens by expert",
    "slice_us": "the same for experts whose slices are too narrow for a fast kernel (rules.toml)",
    "sequence_us": "microseconds per layer, step and sequence",
    "collective": "multiple of a link's latency that an all-reduce takes",
    "verification": "multiple of its parts' sum that a cycle of drafts and verification takes",
    "interference": "how much of other users' prefill a decoding user waits for",
    "host": "share of RAM bandwidth (bent, see decode.py) at which a CPU beside a card streams weights",
    "cpu": "share of RAM bandwidth at which a CPU alone streams weights",
    "cpu_layer_us": "microseconds per layer and step of a CPU alone: threads that meet, small products",
    "cpu_routing_us": "the same for what a layer of experts adds",
    "host_step_ms": "milliseconds per step that hand-overs between accelerator and CPU take",
    "link": "share of the link to the host at which weights are copied",
    "host_compute": "share of 10 FLOP per byte of RAM bandwidth at which the CPU computes prompts",
    "prefill_dense": "share of peak in the matrix products of a prompt, dense model",
    "prefill_moe": "the same for a mixture of experts",
    "prefill_narrow": "what of it is left where weights have fewer than 16 bits and the peak is higher",
    "prefill_attention": "share of 30 FLOP per byte of bandwidth in the attention of a prompt",
    "prefill_flash": "share of the 16-bit peak in the attention of a prompt, engines of rules.toml",
    "prefill_delta": "the same in the DeltaNet recurrence",
    "prefill_layer_us": "microseconds per layer and chunk of a prompt",
    "prefill_link": "share of the link that a prompt's all-reduces reach",
}


if __name__ == "__main__":
    raise SystemExit(main())
