"""The constants of the law of speed, fitted to measured points with partial pooling.

    log constant = base + kin + device class + engine (family, then variant)
                 + class and engine together + both together for weights of one width

Every summand but the base is drawn towards zero by a prior (`LEVELS`), so a class or engine with few
points stays near what all others have in common. Each rig has an offset of its own, which no plan
knows: it keeps the many points of one rig from counting as many machines. Log errors are minimised
robustly by reweighted Gauss-Newton steps; the law's parts come from the planner itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

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

STEPS = 60
ENOUGH = 1e-6
"""A step that gains less than this share of the cost is the last."""


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
        self.entries = np.array(entries)
        self.cells = list(_cells(samples, self.entries))
        rigs = sorted({sample.rig for sample in samples})
        self.rig: Integers = np.array([rigs.index(sample.rig) for sample in samples])
        self.rigs = len(rigs)
        self.spread = np.array([spread_of(key) for key in self.keys])

    def logs(self, x: Vector) -> Vector:
        """Log constants by sample and constant."""
        found = np.tile([log(LEVELS[name][0]) for name in NAMES], (len(self.samples), 1))
        np.add.at(found, (self.entries[:, 0], self.entries[:, 1]), x[self.entries[:, 2]])
        for name in STREAMS:
            if name in NAMES:
                c = NAMES.index(name)
                found[:, c] = np.minimum(found[:, c], log(HIGHEST_SHARE))
        return found

    def times(self, logs: Vector) -> tuple[Vector, Vector]:
        """Log of each sample's time, and how it answers to each log constant."""
        seconds = np.exp(self.amount + np.einsum("kc,kc->k", self.signs, logs[self.sample]))
        memory = np.bincount(self.roof, seconds * self.memory, self.roofs)
        compute = np.bincount(self.roof, seconds * self.compute, self.roofs)
        wins = compute > memory
        hidden = (self.memory & wins[self.roof]) | (self.compute & ~wins[self.roof])
        seconds = np.where(hidden, 0.0, seconds)
        whole = np.bincount(self.sample, seconds, len(self.samples))
        shares = seconds / whole[self.sample]
        slope = np.zeros((len(self.samples), len(NAMES)))
        np.add.at(slope, self.sample, shares[:, None] * self.signs)
        for name in STREAMS:
            if name in NAMES:  # at the ceiling a constant no longer answers
                c = NAMES.index(name)
                slope[logs[:, c] >= log(HIGHEST_SHARE), c] = 0.0
        found: Vector = np.log(whole)
        return found, slope

    def fit(
        self, used: npt.NDArray[np.bool_], start: dict[Key, float] | None = None
    ) -> dict[Key, float]:
        """The summands that bring the `used` samples nearest, weighed against the priors."""
        width, active = len(self.keys), np.flatnonzero(used)
        state = np.zeros(width + self.rigs)
        if start is not None:
            state[:width] = [start[key] for key in self.keys]
        prior = np.concatenate([1 / self.spread, np.full(self.rigs, 1 / RIG)]) ** 2
        scale = np.where(used, NOISE * self.doubt, np.inf)

        def error(of: Vector) -> tuple[Vector, Vector, float]:
            times, slope = self.times(self.logs(of[:width]))
            off = times + of[width:][self.rig] - self.target
            bent = (off[active] / scale[active] / OUTLIER) ** 2
            cost = OUTLIER**2 * float((np.sqrt(1 + bent) - 1).sum())
            return off, slope, cost + 0.5 * float(prior @ of**2)

        off, slope, cost = error(state)
        damping = 1e-3
        for _ in range(STEPS):
            weight = (1 + (off / scale / OUTLIER) ** 2) ** -0.5 / scale**2
            step = self._step(slope, weight, off, prior, state, damping)
            tried = state + np.clip(step, -0.7, 0.7)
            new_off, new_slope, new_cost = error(tried)
            if new_cost >= cost:
                damping *= 10
                continue
            gain, damping = cost - new_cost, max(damping / 5, 1e-6)
            state, off, slope, cost = tried, new_off, new_slope, new_cost
            if gain < ENOUGH * cost:
                break
        return dict(zip(self.keys, state[:width].tolist(), strict=True))

    def _step(
        self,
        slope: Vector,
        weight: Vector,
        off: Vector,
        prior: Vector,
        state: Vector,
        damping: float,
    ) -> Vector:
        """The damped Gauss-Newton step.

        Samples of a cell have the same summands, so its part of the normal equations is that of
        its constants. Offsets of rigs do not meet each other and are eliminated.
        """
        width = len(self.keys)
        normal, cross = np.zeros((width, width)), np.zeros((self.rigs, width))
        pull = prior * state
        pulled, own = weight * off, prior[width:] + np.bincount(self.rig, weight, self.rigs)
        pull[width:] += np.bincount(self.rig, pulled, self.rigs)
        for rows, constants, summands in self.cells:
            mine = slope[rows]
            weighed = mine * weight[rows, None]
            normal[np.ix_(summands, summands)] += (mine.T @ weighed)[np.ix_(constants, constants)]
            pull[summands] += (mine.T @ pulled[rows])[constants]
            rigs, places = np.unique(self.rig[rows], return_inverse=True)
            shares = np.zeros((len(rigs), mine.shape[1]))
            np.add.at(shares, places, weighed)
            cross[np.ix_(rigs, summands)] += shares[:, constants]
        diagonal = np.arange(width)
        normal[diagonal, diagonal] += prior[:width]
        normal[diagonal, diagonal] *= 1 + damping
        own *= 1 + damping
        reduced = normal - cross.T @ (cross / own[:, None])
        first = np.linalg.solve(reduced, cross.T @ (pull[width:] / own) - pull[:width])
        return np.concatenate([first, -(pull[width:] + cross @ first) / own])

    def ratios(self, found: dict[Key, float]) -> Vector:
        """Estimated over measured time of every sample, rig offsets left out."""
        x = np.array([found.get(key, 0.0) for key in self.keys])
        times, _ = self.times(self.logs(x))
        found_ratios: Vector = np.exp(times - self.target)
        return found_ratios


Cell = tuple[Integers, Integers, Integers]
"""Samples with the same summands: their rows; constant and number of every summand, in step."""


def _cells(samples: Sequence[Sample], entries: Integers) -> Iterator[Cell]:
    """Samples by device class, engines and width."""
    rows: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        rows[sample.device, sample.kin, sample.engines, sample.width].append(i)
    of_row: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for i, constant, summand in entries.tolist():
        of_row[i].add((constant, summand))
    for members in rows.values():
        summands = np.array(sorted(set().union(*(of_row[i] for i in members))))
        yield np.array(members), summands[:, 0], summands[:, 1]


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
