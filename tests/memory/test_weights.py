"""Weights per rank: what the stages hold together is the model, and no rank holds more than all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.engines.vllm.weights import stage_layers
from planner.layout import Layout
from planner.memory.weights import LoadRules, table_bytes, weight_bytes
from planner.model.catalog import bundled_checkpoint, catalog
from planner.model.tensors import NGRAM_TABLE

MODELS = [entry.id for entry in catalog()]
PLAIN = LoadRules()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("precision", ["bf16", "fp8", "q4_k_m"])
def test_layers_are_listed_upwards(model: str, precision: str) -> None:
    for row in bundled_checkpoint(model, precision=precision).stored:
        assert list(row.tensor.layers) == sorted(set(row.tensor.layers))


@given(
    model=st.sampled_from(MODELS),
    precision=st.sampled_from(["bf16", "fp8"]),
    stages=st.integers(1, 9),
)
def test_the_stages_together_hold_the_text_model(model: str, precision: str, stages: int) -> None:
    checkpoint = bundled_checkpoint(model, precision=precision)
    layout = Layout(pipeline_parallel=stages)
    held = 0
    for stage, layers in enumerate(stage_layers(checkpoint.model.num_hidden_layers, stages)):
        sizes = weight_bytes(
            checkpoint,
            layout=layout,
            rules=PLAIN,
            parts=("text",),
            stage=stage,
            stage_layers=layers,
        )
        held += sum(sizes.values())
    table = sum(
        row.nbytes for row in checkpoint.rows("text") if row.tensor.component == "embed_tokens"
    )
    apart = sum(
        row.nbytes
        for row in checkpoint.rows("text")
        if row.tensor.component == NGRAM_TABLE or row.tensor.constant
    )
    twice = table if checkpoint.model.tie_word_embeddings and stages > 1 else 0
    assert held == checkpoint.nbytes("text") + twice - apart


@given(model=st.sampled_from(MODELS), ranks=st.sampled_from([2, 4, 8]))
def test_a_rank_holds_at_least_its_share_and_less_than_the_whole(model: str, ranks: int) -> None:
    checkpoint = planner.load_checkpoint(model)
    whole = checkpoint.nbytes("text") - table_bytes(checkpoint)
    cut = weight_bytes(
        checkpoint, layout=Layout(tensor_parallel=ranks), rules=PLAIN, parts=("text",)
    )
    assert whole / ranks <= sum(cut.values()) < whole
