"""Layers of a kind, or in shapes, that an engine's rules do not cover are refused by that name."""

from dataclasses import dataclass, fields, replace

import pytest

from hardware_db import resolve
from planner.engines import ENGINES
from planner.engines.engine import Deployment
from planner.layout import Layout
from planner.model.catalog import bundled_checkpoint
from planner.model.spec import FullAttention, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliding(FullAttention):
    """A kind that no engine here knows."""

    @property
    def kind(self):
        return "sliding_attention"


def reasons(engine: str, change) -> list[str]:
    checkpoint = bundled_checkpoint("Qwen3.5-35B-A3B")
    model: ModelSpec = checkpoint.model
    layers = tuple(change(index, layer) for index, layer in enumerate(model.layers))
    deployment = Deployment(
        checkpoint=replace(checkpoint, model=replace(model, layers=layers)),
        system=resolve("h100"),
        layout=Layout(),
        context=4096,
        concurrency=1,
        kv_cache_dtype="auto",
        options=ENGINES[engine].options_type(),
    )
    return [refusal.reason for refusal in ENGINES[engine].refusals(deployment)]


@pytest.mark.parametrize("engine", list(ENGINES))
def test_an_unknown_kind_is_refused_by_its_name(engine: str) -> None:
    def slide(index, layer):
        if not isinstance(layer.mixer, FullAttention):
            return layer
        sizes = {f.name: getattr(layer.mixer, f.name) for f in fields(layer.mixer)}
        return replace(layer, mixer=Sliding(**sizes))

    said = reasons(engine, slide)
    assert said == [
        f"layers of kind sliding_attention are not planned for under {ENGINES[engine].title}"
    ]


@pytest.mark.parametrize("engine", list(ENGINES))
def test_shapes_that_differ_within_a_kind_are_refused(engine: str) -> None:
    def widen(index, layer):
        if index != 3:
            return layer
        return replace(layer, mixer=replace(layer.mixer, head_dim=128))

    def thin(index, layer):
        return replace(layer, mlp=replace(layer.mlp, num_experts=8)) if index == 0 else layer

    assert "full_attention that differ in shape" in reasons(engine, widen)[0]
    assert "feed-forward part" in reasons(engine, thin)[0]


def test_known_layers_are_not_refused() -> None:
    assert reasons("vllm", lambda index, layer: layer) == []
