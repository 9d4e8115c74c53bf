"""How far the truth may lie from an estimate, and where the law is known to fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hardware_db.regex import is_like
from planner.throughput.answer import Banded
from planner.throughput.constants import Basis, Calibration, table
from planner.throughput.decode import Serving
from planner.throughput.workload import Workload

Kind = Literal["decode", "serving", "ram", "cpu", "prefill", "prefill-ram"]
"""What a band was measured on: one user, several, weights in RAM, no accelerator; prompts."""


def kind_of(serving: Serving, workload: Workload) -> Kind:
    """The kind of decoding that a serving asks for."""
    if serving.where.cpu_alone:
        return "cpu"
    if serving.where.on_host or serving.where.over_link:
        return "ram"
    return "serving" if workload.concurrency > 1 else "decode"


def prefill_kind(serving: Serving) -> Kind:
    """The kind of its prompts."""
    return "prefill-ram" if serving.where.on_host or serving.where.over_link else "prefill"


Rule = Mapping[str, Any]
"""A row of `data/rules.toml`: when it holds, the reason, a band of its own if it has one."""

Bands = Mapping[str, Mapping[str, Sequence[float]]]
"""Both ends of a band by kind and basis; `rough` and `drafted` widen any of them."""


def band(
    found: Calibration, kind: Kind, *, rough: Sequence[Rule] = (), drafted: bool = False
) -> tuple[float, float]:
    """Truth / estimate of the speed at the lower and the upper end of the band."""
    bands = table("serving")["band"]
    if found.preset != "kernel":
        return ends_of(bands, kind, found.basis, rough=rough, drafted=drafted)
    kernel = table("kernel")
    known = kernel["devices"]
    ends = kernel["band" if found.device_class in known else "band_elsewhere"]
    if kind.startswith("prefill"):
        ends = kernel["band_prefill"]
    return _widened(ends, bands, rough=rough, drafted=drafted)


def ends_of(
    bands: Bands, kind: str, basis: Basis, *, rough: Sequence[Rule], drafted: bool
) -> tuple[float, float]:
    """Truth / estimate of the speed at both ends, by a table of bands (`data/serving.toml`)."""
    return _widened(bands[kind][basis], bands, rough=rough, drafted=drafted)


def _widened(
    ends: Sequence[float], bands: Bands, *, rough: Sequence[Rule], drafted: bool
) -> tuple[float, float]:
    wider = [rule.get("band", bands["rough"]["any"]) for rule in rough]
    wider += [bands["drafted"]["any"]] if drafted else []
    return min([ends[0], *(one[0] for one in wider)]), max([ends[1], *(one[1] for one in wider)])


def gain_band(gain: float) -> Banded:
    """Return what drafting brings with the band of measured pairs."""
    low, high = table("rules")["gain"]["band"]
    return Banded(value=gain, low=gain * low, high=gain * high)


def unknown_engine(engine: str) -> str | None:
    """Why nothing is said of an engine's speed; None where something is known."""
    for rule in table("rules")["unknown"]:
        if any(is_like(engine, pattern) for pattern in rule["engine"]):
            return str(rule["reason"])
    return None


def rough_rules(
    serving: Serving, found: Calibration, *, engine: str, precision: str
) -> tuple[Rule, ...]:
    """Return the rules of `data/rules.toml` that apply: why the figure is rough."""
    facts = _facts(serving, found, engine, precision)
    return tuple(rule for rule in table("rules")["rough"] if _applies(rule["when"], facts))


def rough_prompts(
    serving: Serving, found: Calibration, *, engine: str, precision: str
) -> tuple[Rule, ...]:
    """Return the rules that hold for prompts alone: why their time is rough."""
    facts = _facts(serving, found, engine, precision)
    return tuple(rule for rule in table("rules")["rough_prompt"] if _applies(rule["when"], facts))


def _facts(serving: Serving, found: Calibration, engine: str, precision: str) -> Mapping[str, Any]:
    layout, system = serving.layout, serving.system
    kernels = (*serving.weights.dense.elements, *serving.weights.experts.elements)
    return {
        "engine": (engine,),
        "device": (found.device_class or "",),
        "accelerator": (system.accelerator.name,),
        "precision": (precision,),
        "kernel": kernels,
        "vendor": (system.accelerator.vendor,),
        "more_sequences_than": serving.sequences,
        "more_stages_than": layout.pipeline_parallel,
        "more_ranks_than_a_node": layout.accelerators > system.accelerators_per_node,
        "expert_parallel": layout.expert_parallel and layout.expert_ranks > 1,
        "streamed": serving.where.over_link,
        "narrow_slices": serving.narrow_slices,
        "cpu_alone": serving.where.cpu_alone,
        "separate_drafter": serving.drafter is not None,
        "quantized_cache": serving.cache_format.bits < 16,
    }


def _applies(when: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """All conditions hold: patterns on names, exceeded counts, plain yes or no."""
    for name, wanted in when.items():
        value = facts[name]
        if isinstance(wanted, bool):
            if value is not wanted:
                return False
        elif isinstance(wanted, int):
            if not value > wanted:
                return False
        elif not any(is_like(one, pattern) for one in value for pattern in wanted):
            return False
    return True
