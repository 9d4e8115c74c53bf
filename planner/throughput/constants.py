"""The constants of the one rule, with where each comes from, and how a device finds its own.

They are data: `data/devices.toml` says which facts make a device class, `data/kernel.toml` and
`data/serving.toml` hold the two presets, `data/links.toml` what a collective costs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from hardware_db import Accelerator, System

Preset = Literal["kernel", "serving"]
Basis = Literal["kernel tables", "fitted", "sibling", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """How a device class does under one engine.

    Attributes:
        bandwidth: share of nominal bandwidth at which dense weights stream.
        experts: the same for routed experts.
        kv: the same for the KV cache.
        state: the same for the recurrent state.
        compute: share of the format's peak in a decode step.
        layer_us: microseconds per layer and step: launches, norms, small kernels, scheduler.
        sequence_us: microseconds per layer, step and sequence.
        collective: multiple of a link's latency that an all-reduce takes.
        verification: multiple of its parts' sum that a cycle of drafts and verification takes.
        prefill_dense: share of peak in the matrix products of a prompt, dense model.
        prefill_moe: the same for a mixture of experts.
        prefill_narrow: what of these shares is left where weights and activations have fewer
            than 16 bits and the peak is higher.
        prefill_attention: share of the 16-bit peak in the attention of a prompt.
        prefill_delta: share of the 16-bit peak in the DeltaNet recurrence of a prompt.
        prefill_layer_us: microseconds per layer and chunk of a prompt.
        prefill_link: share of the link that a prompt's all-reduces reach.
        interference: how much of other users' prefill a decoding user waits for (0..1 and over).
    """

    bandwidth: float
    experts: float
    kv: float
    state: float
    compute: float
    layer_us: float
    sequence_us: float
    collective: float
    verification: float
    prefill_dense: float
    prefill_moe: float
    prefill_narrow: float
    prefill_attention: float
    prefill_delta: float
    prefill_layer_us: float
    prefill_link: float
    interference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Constants and how well founded they are for a device class under an engine.

    Attributes:
        preset: kernel sums, or real serving.
        constants: the numbers.
        device_class: id of the class the device belongs to; None if it belongs to none.
        title: what the constants were fitted on, in words.
        basis: fitted on this class and engine, on a sibling, or on nothing like it.
        low: truth/estimate of the speed at the band's lower end.
        high: the same at the upper end.
        claim: share of measured points that the band is meant to hold.
        source: where the constants come from.
    """

    preset: Preset
    constants: Constants
    device_class: str | None
    title: str
    basis: Basis
    low: float
    high: float
    claim: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
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


def device_class(accelerator: Accelerator) -> str | None:
    """Id of the first class whose facts `accelerator` has, or None."""
    for row in _table("devices")["class"]:
        if _has(accelerator, row["facts"]):
            return str(row["id"])
    return None


def calibration(system: System, engine: str, *, preset: Preset, precision: str = "") -> Calibration:
    """The constants for `system` under `engine`, best founded first.

    Args:
        system: where it runs.
        engine: what serves it.
        preset: "kernel" or "serving".
        precision: name of the checkpoint's scheme; some fits hold for some schemes only.
    """
    found = device_class(system.accelerator)
    if preset == "kernel":
        table = _table("kernel")
        known = found in table["devices"]
        low, high = table["band"] if known else _table("serving")["bands"]["unmeasured"]
        return Calibration(
            preset=preset,
            constants=_constants(table["constants"]),
            device_class=found,
            title=table["title"],
            basis="kernel tables" if known else "unmeasured",
            low=low,
            high=high,
            claim=_table("serving")["bands"]["claim"],
            source=table["source"],
        )
    table = _table("serving")
    rows = [row for row in table["fit"] if row["device"] == found]
    held = [row for row in rows if row["engine"] == engine and _holds_for(row, precision)]
    if held:
        return _calibration(table, held[0], found, "fitted")
    if rows:
        # Of the same class: rather for this precision, rather of this engine.
        nearest = max(rows, key=lambda row: (_holds_for(row, precision), row["engine"] == engine))
        return _calibration(table, nearest, found, "sibling")
    low, high = table["bands"]["unmeasured"]
    return Calibration(
        preset=preset,
        constants=_constants(table["default"]),
        device_class=found,
        title="the median of all classes",
        basis="unmeasured",
        low=low,
        high=high,
        claim=table["bands"]["claim"],
        source=table["source"],
    )


def link(system: System, *, ranks: int) -> Link | None:
    """What all-reduces among `ranks` accelerators run over; None if its bandwidth is unknown."""
    table = _table("links")
    rate = link_bandwidth(system, ranks=ranks)
    if rate is None:
        return None
    if _crosses_nodes(system, ranks):
        wanted = "between nodes"
    else:
        wanted = "fast" if rate >= table["fast_from_gb_s"] * 1e9 else "bus"
    row = next(row for row in table["link"] if row["kind"] == wanted)
    return Link(
        name=row["name"],
        latency_us=tuple((int(size), float(us)) for size, us in row["latency_us"]),
        efficiency=row["efficiency"],
        source=row["source"],
    )


def link_bandwidth(system: System, *, ranks: int) -> float | None:
    """Bytes per second and direction of the narrowest link that `ranks` ranks share."""
    if _crosses_nodes(system, ranks):
        figure = system.inter_node_gb_s
    elif ranks > system.accelerators_per_node:
        figure = system.accelerator.nvlink_gb_s
    else:
        figure = system.intra_node_gb_s
    return figure.value * 1e9 if figure is not None else None


def _crosses_nodes(system: System, ranks: int) -> bool:
    """Whether `ranks` neighbouring ranks reach beyond a node and beyond its fast link."""
    return ranks > max(system.accelerators_per_node, system.link_domain or 0)


def compute_dtypes(kernel: str) -> tuple[str, ...]:
    """Dtypes in which weights of this kernel family may be multiplied, fastest first.

    The first one for which the device has a rate is taken; 16 bits for all that is unpacked first.
    """
    table = _table("devices")["compute"]
    pattern = next(pattern for pattern in table if fnmatchcase(kernel, pattern))
    return tuple(table[pattern])


ACCEPTANCE_SOURCE = "InferenceX's reference run of the 397B on code, thinking on"


def acceptance(tokens: int) -> float:
    """Reference tokens per step for `tokens` drafted tokens (MTP); beyond 4 as for 4."""
    known = {int(n): float(value) for n, value in _table("serving")["acceptance"]["tokens"].items()}
    return known[min(tokens, max(known))]


def serving_rules() -> Mapping[str, Any]:
    """The bands and the rules of roughness of `data/serving.toml`."""
    return _table("serving")


@cache
def _table(name: str) -> Mapping[str, Any]:
    text = (files("planner.throughput") / "data" / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def _has(accelerator: Accelerator, facts: Mapping[str, Any]) -> bool:
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
            if value is None or not any(fnmatchcase(value, pattern) for pattern in wanted):
                return False
    return True


def _holds_for(row: Mapping[str, Any], precision: str) -> bool:
    schemes = row.get("schemes")
    return schemes is None or any(fnmatchcase(precision, pattern) for pattern in schemes)


def _calibration(
    table: Mapping[str, Any], row: Mapping[str, Any], found: str | None, basis: Basis
) -> Calibration:
    low, high = (
        row.get("band", table["bands"]["fitted"]) if basis == "fitted" else table["bands"][basis]
    )
    return Calibration(
        preset="serving",
        constants=replace(_constants(table["default"]), **row["constants"]),
        device_class=found,
        title=row["title"],
        basis=basis,
        low=low,
        high=high,
        claim=table["bands"]["claim"],
        source=row.get("source", table["source"]),
    )


def _constants(row: Mapping[str, Any]) -> Constants:
    return Constants(**{item.name: float(row[item.name]) for item in fields(Constants)})
