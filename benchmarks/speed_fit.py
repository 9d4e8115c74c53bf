"""The constants of the law of speed, fitted to measured points with partial pooling.

    log constant = base + kin + device class + engine (family, then variant)
                 + class and engine together + both together for weights of one width

Every summand but the base is drawn towards zero by a prior (`LEVELS`), so a class or engine with few
points stays near what all others have in common. Each rig has an offset of its own, which no plan
knows: it keeps the many points of one rig from counting as many machines. Log errors are minimised
robustly by reweighted Gauss-Newton steps; the law's parts come from the planner itself.

Of a roof only the longer side counts, so the cost has an edge wherever both sides are alike, and steps
that meet one stop there, far from the least. So roofs are round at first and edges come last
(`ROUNDED`): fits that begin anywhere end close by, and every one begins at the priors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isinf, log

import numpy as np
import numpy.typing as npt

from planner.throughput.constants import HIGHEST_SHARE, STREAMS
from planner.throughput.part import COMPUTE, MEMORY, Part

Vector = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LEVELS: dict[str, tuple[float, float, float, float, float, float]] = {
    # constant: centre, then how far (in logs) base, class, engine, both, both at a width stray
    "bandwidth": (0.80, 0.05, 0.06, 0.06, 0.05, 0.05),
    "experts": (0.75, 0.2, 0.12, 0.09, 0.12, 0.09),
    "plain_experts": (0.4, 0.4, 0.2, 0.0, 0.0, 0),
    "kv": (0.55, 0.3, 0.15, 0.15, 0.12, 0),
    "compute": (0.5, 0.3, 0.18, 0.12, 0.06, 0),
    "layer_us": (100.0, 0.3, 0.12, 0.18, 0.21, 0.12),
    "routing_us": (40.0, 0.5, 0.12, 0.18, 0.18, 0),
    "slice_us": (150.0, 0.5, 0.2, 0.0, 0.0, 0),
    "sequence_us": (0.3, 0.6, 0.18, 0.3, 0.15, 0),
    "collective": (2.0, 0.3, 0.18, 0.12, 0.18, 0),
    "verification": (1.35, 0.20, 0.12, 0.15, 0.15, 0.0),
    "interference": (1.0, 0.3, 0.06, 0.18, 0.15, 0),
    "host": (0.45, 0.30, 0.0, 0.30, 0.0, 0.0),
    # What dense models of other families reach of one to twelve channels: 0.49 to 0.87, median 0.7
    # (facts and sources in data/host.toml); none of this family that is dense and large is measured.
    "cpu": (0.70, 0.10, 0.0, 0.15, 0.0, 0.0),
    "cpu_layer_us": (250.0, 0.60, 0.0, 0.30, 0.0, 0.0),
    "cpu_routing_us": (400.0, 0.60, 0.0, 0.30, 0.0, 0.0),
    "host_step_ms": (5.0, 0.70, 0.0, 0.30, 0.0, 0.0),
    "link": (0.80, 0.30, 0.20, 0.20, 0.0, 0.0),
    "host_compute": (0.50, 0.60, 0.0, 0.40, 0.0, 0.0),
    "prefill_dense": (0.45, 0.30, 0.40, 0.40, 0.30, 0.10),
    "prefill_moe": (0.20, 0.30, 0.40, 0.40, 0.30, 0.10),
    "prefill_narrow": (0.50, 0.30, 0.20, 0.30, 0.0, 0.0),
    "prefill_attention": (1.5, 0.40, 0.40, 0.40, 0.40, 0.0),
    "prefill_flash": (0.45, 0.40, 0.30, 0.30, 0.30, 0.0),
    "prefill_delta": (0.15, 0.40, 0.20, 0.20, 0.0, 0.0),
    "prefill_layer_us": (150.0, 0.50, 0.30, 0.40, 0.20, 0.0),
    "prefill_link": (0.50, 0.50, 0.40, 0.30, 0.50, 0.0),
}
NAMES = tuple(LEVELS)

RIG = 0.05
"""How far (in logs) one rig strays from what its class and engine say."""

NOISE = 0.10
"""Log error of a measurement on its rig, by which points weigh against priors."""

OUTLIER = 1.0
"""Errors beyond this many times the noise count less. Of 1.5, 1.0 and, with other spreads of rigs, 0.12
and 0.2, this meets most kinds best whose rigs were held out (docs/speed.md)."""

ROUNDED = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0, inf)
"""Sides of a roof come together to (memory^p + compute^p)^(1/p), p by turns: their sum, at last the
longer one. Shares of bandwidth meet their ceiling by the same p."""

STEPS = 60
"""Steps at one p."""

ENOUGH = 1e-6
"""A step that gains less than this share of the cost is the last one at this p."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured time and the parts that the law says it has.

    Attributes:
        parts: of the planner's law, without constants.
        seconds: measured time (per token while decoding, of the whole prompt in prefill).
        device: class of the accelerator; empty for a machine without one.
        kin: what that class has in common with others; empty if it stands alone.
        engines: engine family, and the variant where it is another one.
        rig: whose machine.
        width: bits of most weights.
        doubt: how many times the usual noise.
    """

    parts: tuple[Part, ...]
    seconds: float
    device: str
    kin: str
    engines: tuple[str, ...]
    rig: str
    width: int
    doubt: float = 1.0


Key = tuple[str, str, str, int]
"""A summand: constant, device class or kin, engine, width in bits; empty words and zero for "any"."""


class Pool:
    """Samples as arrays: parts, the summands that each constant of each sample has."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Lay out the arrays."""
        self.samples = samples
        rows = [(i, part) for i, sample in enumerate(samples) for part in sample.parts]
        rows = [(i, part) for i, part in rows if part.amount > 0]
        self.sample: Integers = np.array([i for i, _ in rows])
        self.begins: Integers = np.searchsorted(self.sample, np.arange(len(samples)))
        self.amount = np.array([log(part.amount) for _, part in rows])
        self.signs = np.zeros((len(rows), len(NAMES)))
        for k, (_, part) in enumerate(rows):
            for names, sign in ((part.times, 1), (part.over, -1)):
                for name in names:
                    known = "bandwidth" if name == "state" else name
                    self.signs[k, NAMES.index(known)] += sign
        self.memory = np.array(
            [part.roof is not None and part.roof[1] == MEMORY for _, part in rows]
        )
        self.compute = np.array(
            [part.roof is not None and part.roof[1] == COMPUTE for _, part in rows]
        )
        roofs = {("step", 0)}
        roofs |= {(part.roof[0], i) for i, part in rows if part.roof is not None}
        order = {roof: n for n, roof in enumerate(sorted(roofs))}
        self.roof: Integers = np.array(
            [order[(part.roof[0], i)] if part.roof else 0 for i, part in rows]
        )
        self.roofs = len(order)
        self.target = np.array([log(sample.seconds) for sample in samples])
        self.doubt = np.array([sample.doubt for sample in samples])
        self.keys: list[Key] = []
        index: dict[Key, int] = {}
        entries: list[tuple[int, int, int]] = []
        touched = np.zeros((len(samples), len(NAMES)), dtype=bool)
        np.logical_or.at(touched, self.sample, self.signs != 0)
        widths: dict[tuple[str, str], set[int]] = defaultdict(set)
        for sample in samples:
            widths[sample.device, sample.engines[0]].add(sample.width)
        for i, sample in enumerate(samples):
            several = len(widths[sample.device, sample.engines[0]]) > 1
            for c in np.flatnonzero(touched[i]):
                for key in keys_of(NAMES[c], sample, by_width=several):
                    p = index.setdefault(key, len(index))
                    entries.append((i, int(c), p))
        self.keys = list(index)
        of_entry: Integers = np.array(entries)
        self.place: Integers = of_entry[:, 0] * len(NAMES) + of_entry[:, 1]
        self.summand: Integers = of_entry[:, 2]
        rigs = sorted({sample.rig for sample in samples})
        self.rig: Integers = np.array([rigs.index(sample.rig) for sample in samples])
        self.rigs = len(rigs)
        self.spread = np.array([spread_of(key) for key in self.keys])
        self.blocks = list(self._blocks(of_entry))
        own = [block.columns[: block.own] for block in self.blocks]
        every = np.arange(len(self.keys) + self.rigs)
        self.common: Integers = np.setdiff1d(every, np.concatenate(own))

    def logs(self, x: Vector, power: float = inf) -> tuple[Vector, Vector]:
        """Log constants by sample and constant, and how each answers to its summands.

        `power`: how sharply shares of bandwidth end at their ceiling (`ROUNDED`).
        """
        found = np.tile([log(LEVELS[name][0]) for name in NAMES], (len(self.samples), 1))
        found += _sums(self.place, x[self.summand], found.size).reshape(found.shape)
        answers = np.ones_like(found)
        columns = [NAMES.index(name) for name in STREAMS if name in NAMES]
        beyond = found[:, columns] - log(HIGHEST_SHARE)
        if isinf(power):
            answers[:, columns] = beyond < 0
            found[:, columns] -= np.maximum(beyond, 0.0)
        else:
            answers[:, columns] = 1 / (1 + np.exp(power * beyond))
            found[:, columns] -= np.logaddexp(0.0, power * beyond) / power
        return found, answers

    def times(self, logs: Vector, power: float = inf) -> tuple[Vector, Vector]:
        """Log of each sample's time, and how it answers to each log constant."""
        seconds = np.exp(self.amount + np.einsum("kc,kc->k", self.signs, logs[self.sample]))
        memory = _sums(self.roof, seconds * self.memory, self.roofs)
        compute = _sums(self.roof, seconds * self.compute, self.roofs)
        counted, other = _counted(memory, compute, power), _counted(compute, memory, power)
        seconds *= np.where(self.memory, counted[self.roof], 1.0)
        seconds *= np.where(self.compute, other[self.roof], 1.0)
        whole = _sums(self.sample, seconds, len(self.samples))
        shares = (seconds / whole[self.sample])[:, None] * self.signs
        slope: Vector = np.add.reduceat(shares, self.begins, axis=0)
        found: Vector = np.log(whole)
        return found, slope

    def fit(self, used: npt.NDArray[np.bool_], seed: int | None = None) -> dict[Key, float]:
        """The summands that bring the `used` samples nearest, weighed against the priors.

        `seed`: begin at a draw from the priors, not in their middle; it ends at the same place.
        """
        spread = np.concatenate([self.spread, np.full(self.rigs, RIG)])
        state = np.zeros(len(spread))
        if seed is not None:
            state = spread * np.random.default_rng(seed).normal(size=len(spread))
        for power in ROUNDED:
            state = self._nearest(used, state, power)
        return dict(zip(self.keys, state[: len(self.keys)].tolist(), strict=True))

    def _nearest(self, used: npt.NDArray[np.bool_], state: Vector, power: float) -> Vector:
        """Summands and offsets of rigs of the least cost near `state`, with roofs of this `power`."""
        width, active = len(self.keys), np.flatnonzero(used)
        prior = np.concatenate([1 / self.spread, np.full(self.rigs, 1 / RIG)]) ** 2
        scale = np.where(used, NOISE * self.doubt, np.inf)

        def error(of: Vector) -> tuple[Vector, Vector, float]:
            logs, answers = self.logs(of[:width], power)
            times, slope = self.times(logs, power)
            off = times + of[width:][self.rig] - self.target
            bent = (off[active] / scale[active] / OUTLIER) ** 2
            cost = OUTLIER**2 * float((np.sqrt(1 + bent) - 1).sum())
            return off, slope * answers, cost + 0.5 * float(prior @ of**2)

        off, slope, cost = error(state)
        damping, rise = 1e-3, 4.0  # after Nielsen: by what was gained of what was hoped for
        for _ in range(STEPS):
            weight = (1 + (off / scale / OUTLIER) ** 2) ** -0.5 / scale**2
            step, hoped = self._step(slope, weight, off, prior, state, damping)
            tried = state + np.clip(step, -0.7, 0.7)
            new_off, new_slope, new_cost = error(tried)
            gain = cost - new_cost
            if gain <= 0:
                damping, rise = damping * rise, 2 * rise
                continue
            damping, rise = damping * max(0.1, 1 - (2 * gain / hoped - 1) ** 3), 4.0
            state, off, slope, cost = tried, new_off, new_slope, new_cost
            if gain < ENOUGH * cost:
                break
        return state

    def _step(
        self,
        slope: Vector,
        weight: Vector,
        off: Vector,
        prior: Vector,
        state: Vector,
        damping: float,
    ) -> tuple[Vector, float]:
        """The damped Gauss-Newton step, and what the cost would fall by if slopes stayed.

        What one device class has alone (its summands, its rigs) meets the others only by way of what
        they have in common, and is eliminated.
        """
        pull, diagonal = prior * state, prior.copy()
        normal, parts = np.zeros((len(state), len(state))), []
        answers = np.concatenate([slope, np.ones((len(slope), 1))], axis=1)
        for block in self.blocks:
            columns, own = block.columns, block.columns[: block.own]
            mine = answers[np.ix_(block.rows, block.constants)] * block.held
            found = (mine.T * weight[block.rows]) @ mine
            pull[columns] += mine.T @ (weight * off)[block.rows]
            diagonal[columns] += np.diag(found)
            within = found[: block.own, : block.own] + np.diag(prior[own])
            within[np.diag_indices(block.own)] *= 1 + damping
            beside = found[: block.own, block.own :]
            solved = np.linalg.solve(within, np.column_stack([beside, pull[own]]))
            rest = np.ix_(columns[block.own :], columns[block.own :])
            normal[rest] += found[block.own :, block.own :] - beside.T @ solved[:, :-1]
            parts.append((own, columns[block.own :], beside, solved))
        common, step = self.common, np.zeros(len(state))
        left = pull[common]
        reduced = normal[np.ix_(common, common)]
        reduced[np.diag_indices(len(common))] += prior[common] + damping * diagonal[common]
        for _, rest_of, beside, solved in parts:
            left[np.searchsorted(common, rest_of)] -= beside.T @ solved[:, -1]
        step[common] = -np.linalg.solve(reduced, left)
        for own, rest_of, _, solved in parts:
            step[own] = -solved[:, -1] - solved[:, :-1] @ step[rest_of]
        return step, 0.5 * float(step @ (damping * diagonal * step - pull))

    def _blocks(self, entries: Integers) -> Iterator[_Block]:
        """The samples of each device class; `entries`: sample, constant and summand."""
        summands = len(self.keys)
        held = np.zeros((len(self.samples), summands + self.rigs))
        held[entries[:, 0], entries[:, 2]] = 1.0
        held[np.arange(len(held)), summands + self.rig] = 1.0
        names = [NAMES.index(key[0]) for key in self.keys]
        constants: Integers = np.array(names + [len(NAMES)] * self.rigs)
        devices = np.array([sample.device for sample in self.samples])
        classes = [np.flatnonzero(devices == device) for device in np.unique(devices)]
        known = np.array([held[rows].any(axis=0) for rows in classes])
        alone = known.sum(axis=0) == 1
        for rows, here in zip(classes, known, strict=True):
            columns = np.concatenate([np.flatnonzero(here & alone), np.flatnonzero(here & ~alone)])
            own = int((here & alone).sum())
            yield _Block(rows, columns, constants[columns], held[np.ix_(rows, columns)], own)

    def ratios(self, found: dict[Key, float]) -> Vector:
        """Estimated over measured time of every sample, rig offsets left out."""
        x = np.array([found.get(key, 0.0) for key in self.keys])
        times, _ = self.times(self.logs(x)[0])
        found_ratios: Vector = np.exp(times - self.target)
        return found_ratios


def _sums(places: Integers, values: Vector, count: int) -> Vector:
    """The sums of `values` that go to each of `count` places."""
    return np.bincount(places, values, count).astype(np.float64)


def _counted(mine: Vector, other: Vector, power: float) -> Vector:
    """What share of the time of one side of a roof counts beside the other; 1 where none is."""
    if isinf(power):
        return np.where(mine >= other, 1.0, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        beside = np.where(mine > 0, (other / np.where(mine > 0, mine, 1.0)) ** power, 0.0)
    found: Vector = (1 + beside) ** (1 / power - 1)
    return found


@dataclass(frozen=True, slots=True)
class _Block:
    """The samples of a device class.

    Attributes:
        rows: which samples.
        columns: what they hang on: numbers of rigs' offsets and of summands.
        constants: the constant of each; one beyond the last for an offset.
        held: 1 where a sample (row) has it (column), else 0.
        own: how many of the columns, the first ones, no other class has.
    """

    rows: Integers
    columns: Integers
    constants: Integers
    held: Vector
    own: int


def keys_of(name: str, sample: Sample, *, by_width: bool) -> list[Key]:
    """The summands of one constant for one sample, widest first."""
    _, _, device, engine, both, width = LEVELS[name]
    first = sample.engines[0]
    keys: list[Key] = [(name, "", "", 0)]
    if device:
        keys += [(name, one, "", 0) for one in (sample.kin, sample.device) if one]
    if engine:
        keys += [(name, "", one, 0) for one in sample.engines]
    if both and sample.device:
        keys.append((name, sample.device, first, 0))
    if width and by_width and sample.device:
        keys.append((name, sample.device, first, sample.width))
    return keys


def spread_of(key: Key) -> float:
    """How far (in logs) a summand strays from zero unless the points insist."""
    name, device, engine, width = key
    _, base, by_device, by_engine, by_both, by_width = LEVELS[name]
    if width:
        return by_width
    if device and engine:
        return by_both
    return by_device if device else by_engine if engine else base
