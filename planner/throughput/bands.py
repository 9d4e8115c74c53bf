"""How far the truth may lie from an estimate, and where a roofline is known to fail."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from planner.throughput.constants import Calibration, serving_rules
from planner.throughput.decode import Question

SPECULATION_WIDENS = 0.15
"""Drafting widens the band by this share at each end (speed of real drafts spreads that much)."""


def band(found: Calibration, *, rough: bool, drafted: int) -> tuple[float, float]:
    """Truth / estimate of the speed at the lower and the upper end of the band."""
    low, high = found.low, found.high
    if rough:
        wide = serving_rules()["bands"]["rough"]
        low, high = min(low, wide[0]), max(high, wide[1])
    if drafted:
        low, high = low * (1 - SPECULATION_WIDENS), high * (1 + SPECULATION_WIDENS)
    return low, high


def prefill_band(found: Calibration) -> tuple[float, float]:
    """The same for the speed of a prompt alone: wider, as prompts were timed less often."""
    low, high = serving_rules()["bands"]["prefill"]
    return min(found.low, low), max(found.high, high)


def unknown_engine(engine: str) -> str | None:
    """Why nothing is said of an engine's speed; None where something is known."""
    for rule in serving_rules()["unknown"]:
        if any(fnmatchcase(engine, pattern) for pattern in rule["engine"]):
            return str(rule["reason"])
    return None


def rough_reasons(
    question: Question, found: Calibration, *, engine: str, precision: str
) -> tuple[str, ...]:
    """Why the figure is rough, one clause each: the rules of `data/serving.toml` that apply."""
    facts = _facts(question, found, engine, precision)
    return tuple(
        str(rule["reason"]) for rule in serving_rules()["rough"] if _applies(rule["when"], facts)
    )


def _facts(
    question: Question, found: Calibration, engine: str, precision: str
) -> Mapping[str, Any]:
    layout, system = question.layout, question.system
    kernels = (*question.weights.dense.elements, *question.weights.experts.elements)
    return {
        "engine": (engine,),
        "device": (found.device_class or "",),
        "precision": (precision,),
        "kernel": kernels,
        "vendor": (system.accelerator.vendor,),
        "more_sequences_than": question.sequences,
        "more_stages_than": layout.pipeline_parallel,
        "more_ranks_than_a_node": layout.accelerators > system.accelerators_per_node,
        "expert_parallel": layout.expert_parallel and layout.expert_ranks > 1,
        "quantized_cache": question.cache_format.bits < 16,
        "experts_on_host": question.host is not None,
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
        elif not any(fnmatchcase(one, pattern) for one in value for pattern in wanted):
            return False
    return True
