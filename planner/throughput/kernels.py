"""Where an engine's usual kernel for routed experts does not run, so that another takes its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hardware_db import Accelerator
from hardware_db.regex import is_like
from planner.layout import Layout
from planner.model.spec import ModelSpec
from planner.throughput.constants import family, has_facts, table
from planner.throughput.traffic import RankWeights


def narrow_slices(
    engine: str, model: ModelSpec, layout: Layout, weights: RankWeights, on: Accelerator
) -> bool:
    """Whether tensor parallelism leaves slices of experts that no fast kernel was written for."""
    if model.moe is None:
        return False
    ranks = 1 if layout.expert_parallel else layout.tensor_parallel
    return any(
        model.moe.moe_intermediate_size < ranks * rule["least"] and _on(rule["cards"], on)
        for rule in _rules("narrow_slices", engine, weights)
    )


def plain_experts(engine: str, weights: RankWeights, on: Accelerator) -> bool:
    """Whether a card lacks the kernel by which the engine multiplies such experts elsewhere."""
    return any(_on(rule["cards"], on) for rule in _rules("plain_experts", engine, weights))


def _rules(name: str, engine: str, weights: RankWeights) -> Iterable[dict[str, Any]]:
    """Rules of `data/rules.toml` for an engine and a number format of experts."""
    return (
        rule
        for rule in table("rules")[name]
        if family(engine) in rule["engines"]
        if any(is_like(kernel, rule["kernel"]) for kernel in weights.experts.elements)
    )


def _on(cards: Iterable[dict[str, Any]], accelerator: Accelerator) -> bool:
    return any(has_facts(accelerator, facts) for facts in cards)
