"""How well speed is estimated of machines that the constants were not fitted on.

Measured points become samples of the law; the fit is made again without each tenth of the rigs (or
sources, or device classes), which are then estimated. A rig is one publisher's cards of one kind, so
many of them. Bands are those between which 94 % of such points lie.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import NormalDist, median

import numpy as np
import numpy.typing as npt

from benchmarks.speed_fit import Pool, Sample, Vector
from benchmarks.suites import throughput, throughput_more
from benchmarks.suites.result import SECONDS, CaseResult
from benchmarks.suites.speed_points import SpeedPoint, SpeedQuestion
from planner.throughput.bands import Bands, Rule, ends_of, rough_rules
from planner.throughput.constants import (
    Basis,
    acceptance,
    calibration,
    device_class,
    family,
    kin_of,
    table,
)
from planner.throughput.estimate import output_token_parts, prompt_parts
from planner.throughput.host import host_memory
from planner.throughput.part import Part, UnknownFigureError
from planner.throughput.serving import chunk_of, resolve_serving
from planner.throughput.traffic import width_of

FOLDS = 10
KEPT = 0.03
"""Share of points left outside a band at each end."""

FEWEST = 4
"""Rigs from which on their spread is asked."""

ON_HOST = ("ram", "prefill-ram", "cpu")
"""Kinds of too few points to leave those out of their bands that the planner calls rough."""

Grouping = Callable[["Asked"], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A measured point ready to be fitted.

    Attributes:
        point: the point.
        suite: whose it is.
        sample: its parts.
        kind: which band it belongs to.
        rough: the rules by which the planner says that its figure is rough.
    """

    point: SpeedPoint
    suite: str
    sample: Sample
    kind: str
    rough: tuple[Rule, ...]

    @property
    def drafts(self) -> bool:
        """Whether the run drafts."""
        return self.point.speculation is not None

    @property
    def sound(self) -> bool:
        """Neither the source leaves open what the figure is of, nor does the planner call it rough."""
        return not self.rough and not self.point.untold


def points(places: Mapping[str, Path]) -> Iterator[Asked]:
    """Every measured point that can be asked, by suite; drafts only where it is told how many."""
    for suite, place in places.items():
        for _, read in _questions(suite, place):
            try:
                yield _asked(read(), suite)
            except (LookupError, ValueError, UnknownFigureError):
                continue


def _questions(suite: str, place: Path) -> Iterator[SpeedQuestion]:
    if suite == "throughput":
        yield from throughput.questions(place, drafts=True)
        yield from throughput.prompts(place)
    else:
        yield from throughput_more.questions(place)


def _asked(point: SpeedPoint, suite: str) -> Asked:
    host = host_memory(point.system, bandwidth=point.ram)
    question = resolve_serving(
        point.checkpoint,
        point.system,
        point.layout,
        engine=point.engine,
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
    return Asked(point=point, suite=suite, sample=sample, kind=kind, rough=rough)


def results(places: Mapping[str, Path]) -> dict[str, list[CaseResult]]:
    """Every point of every suite, estimated without its rig; in the band that it then has."""
    asked = list(points(places))
    ratios = held_out(Pool([one.sample for one in asked]), asked, by_rig)
    inside = hits(asked, ratios, basis_without(asked, by_rig), table("serving")["band"])
    found: dict[str, list[CaseResult]] = {suite: [] for suite in places}
    for one, ratio, hit in zip(asked, ratios, inside, strict=True):
        seconds = one.sample.seconds
        found[one.suite].append(
            CaseResult(
                name=one.point.name,
                expected={SECONDS: seconds},
                answered={SECONDS: seconds * float(ratio)},
                within_band=hit,
                group=one.point.group if one.sound else f"{one.point.group}, rough or untold",
            )
        )
    return found


def by_rig(one: Asked) -> str:
    """What is held out together: one publisher's machine."""
    return one.sample.rig


def by_source(one: Asked) -> str:
    """All that one publisher measured."""
    return one.point.source


def by_class(one: Asked) -> str:
    """All cards of a class."""
    return one.sample.device


def folds_of(asked: Sequence[Asked], group: Grouping) -> list[npt.NDArray[np.bool_]]:
    """Which points each fold leaves out: groups that are alike fall into different folds."""
    classes = {group(one): one.sample.device for one in asked}
    groups = sorted(classes, key=lambda name: (classes[name], name))
    count = min(FOLDS, len(groups))
    fold = {name: i % count for i, name in enumerate(groups)}
    of_point = np.array([fold[group(one)] for one in asked])
    return [of_point == i for i in range(count)]


def held_out(
    pool: Pool, asked: Sequence[Asked], group: Grouping, seed: int | None = None
) -> Vector:
    """Estimated over measured time of points whose whole group was left out of the fit."""
    ratios = np.ones(len(asked))
    for out in folds_of(asked, group):
        ratios[out] = pool.ratios(pool.fit(~out, seed))[out]
    return ratios


def basis_without(asked: Sequence[Asked], group: Grouping) -> list[Basis]:
    """What the constants of each point would rest on if its group had never been measured."""
    pairs, classes = defaultdict[tuple[str, str], set[str]](set), defaultdict[str, set[str]](set)
    for one in asked:
        pairs[one.sample.device, one.sample.engines[0]].add(group(one))
        classes[one.sample.device].add(group(one))
    found: list[Basis] = []
    for one in asked:
        mine = {group(one)}
        if pairs[one.sample.device, one.sample.engines[0]] - mine:
            found.append("fitted")
        else:
            found.append("sibling" if classes[one.sample.device] - mine else "unmeasured")
    return found


def hits(
    asked: Sequence[Asked], ratios: Vector, bases: Sequence[Basis], bands: Bands
) -> list[bool]:
    """Whether the band that the planner would print holds each point."""
    found = []
    for one, ratio, basis in zip(asked, ratios, bases, strict=True):
        drafted = one.drafts and not one.point.prefill
        low, high = ends_of(bands, one.kind, basis, rough=one.rough, drafted=drafted)
        found.append(bool(low <= ratio <= high))
    return found


def hits_of_bands_without(
    asked: Sequence[Asked], held: Sequence[Vector], group: Grouping
) -> list[bool]:
    """The same with bands that were made without the point's own fold: nothing of it was seen."""
    found = [False] * len(asked)
    bases = basis_without(asked, group)
    for out in folds_of(asked, group):
        rest = np.flatnonzero(~out).tolist()
        bands = bands_of([asked[i] for i in rest], *(ratios[rest] for ratios in held))
        mine = np.flatnonzero(out).tolist()
        here = hits([asked[i] for i in mine], held[0][mine], [bases[i] for i in mine], bands)
        for i, hit in zip(mine, here, strict=True):
            found[i] = hit
    return found


def bands_of(asked: Sequence[Asked], *held: Vector) -> dict[str, dict[str, tuple[float, float]]]:
    """Truth over estimate of the speed at a band's ends, by kind and by how well founded it is.

    `held`: ratios with rigs, sources and device classes left out. The first gives the bands of
    constants that were measured on such machines under this engine, the second under other engines,
    the third on none. Rigs count by n^3/4 of their n points, so that none makes a band alone;
    points whose source leaves open what they are of make none.
    """
    bands: dict[str, dict[str, tuple[float, float]]] = {}
    for kind in sorted({one.kind for one in asked}):
        rows = [
            i
            for i, one in enumerate(asked)
            if one.kind == kind and not one.drafts and not one.point.untold
            if not one.rough or kind in ON_HOST
        ]
        found = [ends(asked, ratios, rows) for ratios in held]
        # What is known of fewer machines is never claimed more narrowly.
        fitted = found[0]
        sibling = (min(fitted[0], found[1][0]), max(fitted[1], found[1][1]))
        unmeasured = (min(sibling[0], found[2][0]), max(sibling[1], found[2][1]))
        bands[kind] = {"fitted": fitted, "sibling": sibling, "unmeasured": unmeasured}
    rough = [i for i, one in enumerate(asked) if one.rough and not one.point.untold]
    drafts = [i for i, one in enumerate(asked) if one.drafts and not one.rough]
    bands["rough"] = {"any": ends(asked, held[0], rough)}
    bands["drafted"] = {"any": ends(asked, held[0], drafts)}
    return bands


def ends(asked: Sequence[Asked], ratios: Vector, rows: Sequence[int]) -> tuple[float, float]:
    """The weighted quantiles of some ratios; a band always holds its estimate.

    A new rig is as likely to lie beyond n rigs as between any two of them, so of few rigs a smaller
    share than `KEPT` is left out, of 16 and fewer none (each stands in the middle of its step). Of
    these the ends are those of Student's prediction of a new one as well (`_of_a_new_rig`): a new
    rig lies beyond all of eleven in one case of six.
    """
    if not rows:
        return 0.9, 1.1
    counts = Counter(asked[i].sample.rig for i in rows)
    kept = max(0.0, ((len(counts) + 1) * KEPT - 0.5) / len(counts))
    order = sorted(rows, key=lambda i: float(ratios[i]))
    weights = np.cumsum([counts[asked[i].sample.rig] ** -0.25 for i in order])
    weights /= weights[-1]
    low = float(ratios[order[int(np.searchsorted(weights, kept))]])
    high = float(ratios[order[min(len(order) - 1, int(np.searchsorted(weights, 1 - kept)))]])
    if not kept:
        new = _of_a_new_rig(asked, ratios, rows)
        low, high = min(low, new[0]), max(high, new[1])
    return min(low, 0.9), max(high, 1.1)


def _of_a_new_rig(
    asked: Sequence[Asked], ratios: Vector, rows: Sequence[int]
) -> tuple[float, float]:
    """Between what a rig that was not measured is expected to lie, by the few that were.

    exp(mean +- t s sqrt(1 + 1 / n)) of the logs of n rigs, each point weighing as in `ends`
    """
    counts = Counter(asked[i].sample.rig for i in rows)
    if len(counts) < FEWEST:
        return 0.9, 1.1
    weights = np.array([counts[asked[i].sample.rig] ** -0.25 for i in rows])
    logs, free = np.log(ratios[list(rows)]), len(counts) - 1
    mean = float(np.average(logs, weights=weights))
    spread = float(np.average((logs - mean) ** 2, weights=weights)) * len(counts) / free
    reach = _student(free) * (spread * (1 + 1 / len(counts))) ** 0.5
    return float(np.exp(mean - reach)), float(np.exp(mean + reach))


def _student(free: int) -> float:
    """Student's quantile at 1 - `KEPT`, by the expansion of Cornish and Fisher."""
    z = NormalDist().inv_cdf(1 - KEPT)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / free + second / free**2


def scatter(asked: Sequence[Asked], ratios: Vector) -> dict[str, tuple[int, float]]:
    """By kind: pairs of publishers, and how far the second is from the first, at the median.

    Publishers who measured the same card, so many of them, the same engine, model's shape and width
    of weights; what their prompts and depths differ by is taken out by the law. No law that knows no
    more of a machine is nearer than this to a publisher whom it has not seen.
    """
    cells: dict[tuple[object, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one, ratio in zip(asked, ratios, strict=True):
        if not one.sound or one.drafts:
            continue
        point, model = one.point, one.point.checkpoint.model
        shape = (model.hidden_size, model.num_hidden_layers)
        cell = (one.kind, point.system.accelerator.id, point.layout.accelerators)
        cells[(*cell, point.engine, shape, one.sample.width)][point.source].append(float(ratio))
    pairs: dict[str, list[float]] = defaultdict(list)
    for (kind, *_), sources in cells.items():
        levels = [median(values) for values in sources.values()]
        for one_level, other in combinations(levels, 2):
            apart = max(one_level, other) / min(one_level, other)
            pairs[str(kind)].append(apart - 1)
    return {kind: (len(values), median(values)) for kind, values in pairs.items()}


def best_factors(asked: Sequence[Asked], ratios: Vector) -> Vector:
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
