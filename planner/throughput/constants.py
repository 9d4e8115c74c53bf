"""The constants of the one rule, with where each comes from, and how a device finds its own.

They are data: `data/devices.toml` says which facts make a device class, `data/kernel.toml` and
`data/serving.toml` hold the two presets (the latter written by benchmarks/calibrate_throughput.py),
`data/rules.toml` bands and known failures, `data/links.toml` what a collective costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Literal

from hardware_db import Accelerator, System
from hardware_db.records import frozen
from hardware_db.regex import is_like
from planner.memo import Key, remembered
from planner.shipped import read_toml

Preset = Literal["kernel", "serving"]
Basis = Literal["kernel tables", "fitted", "sibling", "unmeasured"]
Constants = Mapping[str, float]
"""Constant -> value; `data/serving.toml` says what each one is, with its unit."""


@frozen
class Calibration:
    """Constants and how well founded they are for a device class under an engine.

    Attributes:
        preset: kernel sums, or real serving.
        constants: the numbers.
        device_class: id of the class the device belongs to; None if it belongs to none.
        title: what the constants were fitted on, in words.
        basis: fitted on this class and engine, on one of both, or on neither.
        source: where the constants come from.
        older: (title, constants) of the classes that this one followed, whose kernels run here too.
        wide: the constants of 16-bit weights, where the weights are narrower and differ in them.
    """

    preset: Preset
    constants: Constants
    device_class: str | None
    title: str
    basis: Basis
    source: str
    older: tuple[tuple[str, Constants], ...] = ()
    wide: Constants | None = None


STREAMS = ("bandwidth", "experts", "kv", "state", "link", "cpu")
"""Shares of a nominal bandwidth."""

HIGHEST_SHARE = 0.89
"""No measured decode point streams more of its nominal bandwidth."""


@frozen
class Link:
    """What one all-reduce over a kind of link costs.

    Attributes:
        name: kind of link, in words.
        latency_us: (ranks, microseconds) in ascending order of ranks.
        efficiency: share of the link's bandwidth that the ring reaches.
        source: where the figures come from.
    """

    name: str
    latency_us: tuple[tuple[int, float], ...]
    efficiency: float
    source: str

    def latency(self, ranks: int) -> float:
        """Seconds of one small all-reduce over `ranks` ranks: of the next size known."""
        known = [us for size, us in self.latency_us if size >= ranks]
        return (known[0] if known else self.latency_us[-1][1]) * 1e-6


@remembered(lambda accelerator: ((accelerator,), None))
def device_class(accelerator: Accelerator) -> str | None:
    """Id of the first class whose facts `accelerator` has, or None."""
    for row in table("devices")["class"]:
        if has_facts(accelerator, row["facts"]):
            return str(row["id"])
    return None


def _of_class(system: System, engine: str, *, preset: Preset, width: int = 16) -> Key:
    return (), (device_class(system.accelerator), engine, preset, width)


@remembered(_of_class)
def calibration(system: System, engine: str, *, preset: Preset, width: int = 16) -> Calibration:
    """Return the constants for `system` under `engine`.

        constant = default x factor of the class's kin x factor of the class x factor of the engine
                 x factor of class and engine x factor of both for weights of this width

    Factors that nothing was measured for are 1: what is known of the class and what is known of the
    engine then speak for themselves (partial pooling).

    Args:
        system: where it runs.
        engine: what serves it.
        preset: "kernel" or "serving".
        width: bits that most weights have (16, 8 or 4): kernels differ.
    """
    found = device_class(system.accelerator)
    if preset == "kernel":
        kernel = table("kernel")
        return Calibration(
            preset=preset,
            constants=kernel["constants"],
            device_class=found,
            title=kernel["title"],
            basis="kernel tables" if found in kernel["devices"] else "unmeasured",
            source=kernel["source"],
        )
    serving = table("serving")
    rows = effects(found, engine, width)
    narrow = any(row.get("width", _WIDEST) != _WIDEST for row in rows)
    return Calibration(
        preset=preset,
        constants=pooled(serving["default"], rows),
        device_class=found,
        title="; ".join(row["title"] for row in rows) or "the median of all classes",
        basis=_basis(rows),
        source=serving["source"],
        older=tuple(
            (name, pooled(serving["default"], effects(name, engine, width)))
            for name in _older(found)
        ),
        wide=pooled(serving["default"], effects(found, engine, _WIDEST)) if narrow else None,
    )


_WIDEST = 16
"""Bits of weights that are multiplied as they are."""


def effects(device: str | None, engine: str, width: int) -> tuple[Mapping[str, Any], ...]:
    """Return the rows of factors that hold for a device class under an engine, widest first."""
    engines, kin = (engine, family(engine)), kin_of(device)
    return tuple(
        row
        for row in table("serving")["effect"]
        if row.get("device", device) == device
        and row.get("kin", kin) == kin
        and row.get("engine", engine) in engines
        and row.get("width", width) == width
    )


def kin_of(device: str | None) -> str | None:
    """Return what a device class has in common with others, None if it stands alone."""
    kin = _class_row(device).get("kin")
    return None if kin is None else str(kin)


def _older(device: str | None) -> Iterator[str]:
    """The classes that a class followed, the last one first."""
    while (before := _class_row(device).get("after")) is not None:
        yield before
        device = before


@lru_cache(maxsize=256)
def _class_row(device: str | None) -> Mapping[str, Any]:
    return next((row for row in table("devices")["class"] if row["id"] == device), {})


def family(engine: str) -> str:
    """Return the engine whose kernels `engine` runs on: itself, unless the data name another."""
    return str(table("rules")["family"].get(engine, engine))


def under_backend(engine: str, system: System) -> str:
    """Return the variant of `engine` that runs where accelerators share one backend alone."""
    known = [set(one.backends) for one in system.accelerators if one.backends]
    common = set.intersection(*known) if known else set[str]()
    names = table("rules")["backend"].get(common.pop(), {}) if len(common) == 1 else {}
    return str(names.get(engine, engine))


def pooled(default: Constants, rows: Iterable[Mapping[str, Any]]) -> Constants:
    """Return `default` with the factors of `rows`; shares of bandwidth stay below the ceiling."""
    values = dict(default)
    for row in rows:
        for name, factor in row["times"].items():
            values[name] *= factor
    for name in STREAMS:
        values[name] = min(values[name], HIGHEST_SHARE)
    return MappingProxyType(values)


def _basis(rows: Sequence[Mapping[str, Any]]) -> Basis:
    devices = [row for row in rows if "device" in row]
    if any("engine" in row for row in devices):
        return "fitted"
    return "sibling" if devices else "unmeasured"


def link(system: System, *, ranks: int) -> Link | None:
    """What all-reduces among `ranks` accelerators run over; None if its bandwidth is unknown."""
    links = table("links")
    rate = link_bandwidth(system, ranks=ranks)
    if rate is None:
        return None
    if _crosses_nodes(system, ranks):
        return _links()["between nodes"]
    return _links()["fast" if rate >= links["fast_from_gb_s"] * 1e9 else "bus"]


@cache
def _links() -> dict[str, Link]:
    """Return every kind of link by its name."""
    return {
        row["kind"]: Link(
            name=row["name"],
            latency_us=tuple((int(size), float(us)) for size, us in row["latency_us"]),
            efficiency=row["efficiency"],
            source=row["source"],
        )
        for row in table("links")["link"]
    }


def link_bandwidth(system: System, *, ranks: int) -> float | None:
    """Bytes per second and direction of the narrowest link that `ranks` ranks share.

    Over a bus without peer access all ranks take turns on the path through the host's memory.
    """
    if _crosses_nodes(system, ranks):
        figure = system.inter_node_gb_s
    elif ranks > system.accelerators_per_node:
        figure = system.accelerator.nvlink_gb_s
    else:
        figure = system.intra_node_gb_s
    if figure is None:
        return None
    turns = ranks if _through_host(system, figure.value) else 1
    return figure.value * 1e9 / turns


def unknown_link(system: System, *, ranks: int) -> str:
    """Return what to say where `link_bandwidth` knows none."""
    if ranks > system.accelerators_per_node:
        return f"the link between the {system.nodes} machines is not known"
    return f"the link between the accelerators of {system.name} is not known"


def _through_host(system: System, rate: float) -> bool:
    return bool(rate < table("links")["fast_from_gb_s"]) and _is_barred(system.accelerator)


@remembered(lambda accelerator: ((accelerator,), None))
def _is_barred(accelerator: Accelerator) -> bool:
    """Say whether its driver lets no peer read its memory over the bus."""
    return any(is_like(accelerator.name, name) for name in table("links")["through_host"])


def _crosses_nodes(system: System, ranks: int) -> bool:
    """Whether `ranks` neighbouring ranks reach beyond a node and beyond its fast link."""
    return ranks > max(system.accelerators_per_node, system.link_domain or 0)


@lru_cache(maxsize=256)
def compute_dtypes(kernel: str, vendor: str = "") -> tuple[str, ...]:
    """Dtypes in which weights of this kernel family may be multiplied, fastest first.

    The first one for which the device has a rate is taken; 16 bits for all that is unpacked first.
    """
    devices = table("devices")
    own = devices["compute_of"].get(vendor, {})
    if kernel in own:
        return tuple(own[kernel])
    kinds = devices["compute"]
    pattern = next(pattern for pattern in kinds if is_like(kernel, pattern))
    return tuple(kinds[pattern])


ACCEPTANCE_SOURCE = "InferenceX's reference run of the 397B on code, thinking on"


DRAFTER_SOURCE = "six speeds of DFlash on one card"


def acceptance(tokens: int, *, separate: bool = False) -> float:
    """Return reference tokens per step for `tokens` drafted ones; beyond 4 as for 4.

    Args:
        tokens: tokens drafted per step.
        separate: a separate model drafts, not the model's own MTP module.
    """
    rules = table("rules")["acceptance"]
    known = {int(n): float(value) for n, value in rules["tokens"].items()}
    found = known[min(tokens, max(known))]
    return min(found, float(rules["drafter"])) if separate else found


@lru_cache(maxsize=256)
def table(name: str) -> Mapping[str, Any]:
    """Return a file of `data/` as it stands."""
    return read_toml("throughput", "data", f"{name}.toml")


def has_facts(accelerator: Accelerator, facts: Mapping[str, Any]) -> bool:
    """Whether `accelerator` has all `facts`: patterns on texts, least values on figures."""
    for name, wanted in facts.items():
        if name.startswith("least_"):
            figure = getattr(accelerator, name.removeprefix("least_"))
            if figure is None or figure.value < wanted:
                return False
        elif name == "unified":
            if accelerator.is_unified is not wanted:
                return False
        else:
            value = getattr(accelerator, name)
            if value is None or not any(is_like(value, pattern) for pattern in wanted):
                return False
    return True
