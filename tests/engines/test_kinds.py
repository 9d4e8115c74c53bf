"""Layers of a kind, or in shapes, that an engine's rules do not cover are refused by that name."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, cast

import pytest

from hardware_db import resolve
from hardware_db.records import frozen
from planner.engines import ENGINES
from planner.engines.engine import Deployment
from planner.engines.kinds import kind_refusals, served
from planner.layout import Layout
from planner.model.catalog import bundled_checkpoint
from planner.model.checkpoint import Checkpoint
from planner.model.spec import FullAttention, Layer, LayerType, ModelSpec, MoE


@frozen
class Sliding(FullAttention):
    """A kind that no engine here knows."""

    @property
    def kind(self) -> LayerType:
        return cast("LayerType", "sliding_attention")


def asked(engine: str, checkpoint: Checkpoint, **options: Any) -> Deployment:
    return Deployment(
        checkpoint=checkpoint,
        system=resolve("h100"),
        layout=Layout(),
        context=4096,
        concurrency=1,
        kv_cache_dtype="auto",
        options=ENGINES[engine].options_type(**options),
    )


def reasons(engine: str, change: Callable[[int, Layer], Layer]) -> list[str]:
    checkpoint = bundled_checkpoint("Qwen3.5-35B-A3B")
    model: ModelSpec = checkpoint.model
    layers = tuple(change(index, layer) for index, layer in enumerate(model.layers))
    deployment = asked(engine, replace(checkpoint, model=replace(model, layers=layers)))
    return [refusal.reason for refusal in ENGINES[engine].refusals(deployment)]


@pytest.mark.parametrize("engine", list(ENGINES))
def test_an_unknown_kind_is_refused_by_its_name(engine: str) -> None:
    def slide(index: int, layer: Layer) -> Layer:
        if not isinstance(layer.mixer, FullAttention):
            return layer
        sizes = {f.name: getattr(layer.mixer, f.name) for f in fields(layer.mixer)}
        return replace(layer, mixer=Sliding(**sizes))

    said = reasons(engine, slide)
    assert said == [f"no release of {ENGINES[engine].title} that serves sliding attention is known"]


@pytest.mark.parametrize("engine", list(ENGINES))
def test_shapes_that_differ_within_a_kind_are_refused(engine: str) -> None:
    def widen(index: int, layer: Layer) -> Layer:
        if index != 3:
            return layer
        assert isinstance(layer.mixer, FullAttention)
        return replace(layer, mixer=replace(layer.mixer, head_dim=128))

    def thin(index: int, layer: Layer) -> Layer:
        assert isinstance(layer.mlp, MoE)
        return replace(layer, mlp=replace(layer.mlp, num_experts=8)) if index == 0 else layer

    assert "full attention that differ in shape" in reasons(engine, widen)[0]
    assert "feed-forward part" in reasons(engine, thin)[0]


def test_known_layers_are_not_refused() -> None:
    assert reasons("vllm", lambda index, layer: layer) == []


NEW = ("indexed_attention", "hyper_connections", "ngram_embedding")


@pytest.mark.parametrize("engine", list(ENGINES))
def test_every_engine_says_what_it_knows_of_the_newest_kinds(engine: str) -> None:
    """A model of them is planned or refused: by the kinds, with the release that serves them."""
    found = [row for kind in NEW if (row := served().get((engine, kind)))]
    said = kind_refusals(ENGINES[engine], asked(engine, bundled_checkpoint("Qwen3.8-Flash-Next")))
    if all(row.planned for row in found) and found:
        assert said == ()
        return
    assert len(said) == 1
    for words in ("indexed attention", "hyper-connections", "n-gram embeddings"):
        assert words in said[0].reason
    assert "planned for under SGLang, llama.cpp, transformers and vLLM" in str(said[0].remedy)
    assert not found or found[0].words in str(said[0].remedy)


def test_an_older_release_is_refused_with_the_first_that_serves_them() -> None:
    row = served()["sglang", "indexed_attention"]
    assert row.since is not None
    older = {"sglang": "0.5.19", "vllm": "0.28.0"}
    for engine, version in older.items():
        deployment = asked(engine, bundled_checkpoint("Qwen3.8-Flash-Next"), version=version)
        (refusal,) = kind_refusals(ENGINES[engine], deployment)
        since = served()[engine, "indexed_attention"].since
        assert version in refusal.reason
        assert f"{since} is the first release" in str(refusal.remedy)
