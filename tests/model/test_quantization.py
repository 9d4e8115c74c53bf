"""Schemes: what is quantized how, to the byte, and what names mean."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError, UnsupportedModelError
from planner.formats import FORMATS, NumberFormat
from planner.model.catalog import bundled_checkpoint, catalog
from planner.model.compare import PRECISIONS, compare_precisions
from planner.model.parameters import count_parameters
from planner.model.quantization import (
    ALIASES,
    SCHEMES,
    ModelScheme,
    RoleScheme,
    bits_per_weight,
    get_scheme,
    kernels,
    recipe,
    scheme_notes,
)
from tests.model.stored_tensors import written

MODELS = {entry.id.rpartition("/")[2]: entry.model for entry in catalog()}
NAMES = sorted(SCHEMES)


def size(scheme: str, model: str) -> int:
    return sum(row.nbytes for row in get_scheme(scheme).store(MODELS[model]))


@given(st.sampled_from(NAMES), st.sampled_from(sorted(MODELS)))
def test_nothing_is_lost(name: Any, model_name: Any) -> None:
    model = MODELS[model_name]
    scheme, counts = get_scheme(name), count_parameters(model)
    rows = scheme.store(model)
    drops = getattr(recipe(scheme, model), "drops", ())
    for part in ("text", "vision", "mtp"):
        held = sum(row.tensor.parameters for row in rows if row.tensor.part == part)
        assert held == (0 if part in drops else getattr(counts, part))
    assert sum(row.nbytes for row in rows) <= size("bf16", model_name)
    assert 0 < bits_per_weight(rows) <= Fraction(1601, 100)


@given(
    st.sampled_from(sorted(FORMATS)),
    st.integers(1, 64).map(lambda n: n * 256),
    st.integers(1, 64).map(lambda n: n * 256),
)
def test_bytes_of_a_format_follow_its_bits(name: Any, rows: Any, columns: Any) -> None:
    number_format = FORMATS[name]
    exact = rows * columns * number_format.bits_per_weight / 8
    beside = rows * number_format.row_bytes + columns * number_format.column_bytes
    beside += number_format.tensor_bytes
    slack = (number_format.block_bytes if number_format.block else 0) * 2 + 1
    assert exact + beside <= number_format.nbytes((rows, columns)) <= exact + beside + slack
    assert number_format.nbytes((3, rows, columns)) == 3 * number_format.nbytes((rows, columns))


def test_flat_blocks_run_over_rows() -> None:
    flat = NumberFormat(
        name="x", bits=Fraction(4), block=(1, 64), block_bytes=Fraction(4), flat=True
    )
    assert flat.nbytes((3, 32)) == 48 + 2 * 4
    assert replace(flat, flat=False).nbytes((3, 32)) == 48 + 3 * 4


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("bnb")])
@pytest.mark.parametrize("model_name", ["Qwen3.5-0.8B", "Qwen3.6-35B-A3B"])
def test_formats_weigh_what_tools_write(name: str, model_name: str) -> None:
    model = MODELS[model_name]
    if model.moe is not None:
        few = replace(model.moe, num_experts=3, num_experts_per_tok=1)
        model = model.with_layers(mlp=few)
    rows = get_scheme(name).store(model)
    assert sum(row.nbytes for row in rows) == sum(
        tensor.nbytes for tensor in written(get_scheme(name), model).tensors
    )


# Totals of published checkpoints; their sources are in models.toml and reference/checkpoints.json.
@pytest.mark.parametrize(
    ("repository", "nbytes"),
    [
        ("nvidia/Qwen3.5-122B-A10B-NVFP4", 83_474_870_752),
        ("Inferact/Qwen3.8-2.4T-A95B-NVFP4", 1_447_265_951_488),
        ("lmstudio-community/Qwen3.6-27B-MLX-4bit", 16_054_262_240),
        ("lmstudio-community/Qwen3.6-35B-A3B-MLX-4bit", 20_401_929_952),
        ("Qwen/Qwen3.6-27B", 55_562_855_904),
        ("Qwen/Qwen3.5-397B-A17B", 806_795_875_168),
    ],
)
def test_published_totals(repository: str, nbytes: int) -> None:
    assert bundled_checkpoint(repository).nbytes() == nbytes


def test_the_largest_model_quantizes_experts_only_in_fp8() -> None:
    big = MODELS["Qwen3.8-2.4T-A95B"]
    rows = get_scheme("fp8").store(big)
    quantized = {row.tensor.component for row in rows if row.format.name == "fp8-block128"}
    assert quantized == {"moe.routed_experts"}
    assert size("fp8", "Qwen3.6-27B") == 30_866_663_264


def test_nvfp4_means_what_nvidia_publishes_for_the_model() -> None:
    chosen = {name: recipe(get_scheme("nvfp4"), model).name for name, model in MODELS.items()}
    assert chosen["Qwen3.5-122B-A10B"] == chosen["Qwen3.5-397B-A17B"] == "nvfp4-experts"
    assert chosen["Qwen3.6-27B"] == chosen["Qwen3.5-35B-A3B"] == "nvfp4-mixed"


def test_bitsandbytes_leaves_experts_alone_and_says_so() -> None:
    moe, dense = MODELS["Qwen3.5-122B-A10B"], MODELS["Qwen3.5-27B"]
    scheme = get_scheme("nf4")
    experts = [r for r in scheme.store(moe) if r.tensor.component == "moe.routed_experts"]
    assert {row.format.name for row in experts} == {"bfloat16"}
    assert any("nn.Linear" in note for note in scheme_notes(scheme, moe))
    assert not any("nn.Linear" in note for note in scheme_notes(scheme, dense))
    heads = [row for row in scheme.store(dense) if row.tensor.component == "lm_head"]
    assert {row.format.name for row in heads} == {"bfloat16"}


def test_mxfp6_is_a_hypothesis_with_a_number() -> None:
    scheme = recipe(get_scheme("mxfp6"), MODELS["Qwen3.5-122B-A10B"])
    assert isinstance(scheme, RoleScheme)
    assert scheme.evidence == "hypothesis"
    assert any("as if" in note for note in scheme.notes)
    assert FORMATS["mxfp6"].bits_per_weight == Fraction(25, 4)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("INT4", "awq-int4"),
        ("4bit", "awq-int4"),
        ("nf4", "bnb-nf4"),
        ("q4", "q4_k_m"),
        ("Q4_K_M", "q4_k_m"),
        ("gguf-Q8_0", "q8_0"),
        ("mxfp6", "mxfp6"),
        ("w4a16", "w4a16"),
        ("fp16", "bf16"),
        ("fp8_dynamic", "fp8-dynamic"),
        ("mlx4", "mlx-4bit"),
    ],
)
def test_what_people_type(typed: str, meant: str) -> None:
    assert get_scheme(typed).name == meant


def test_every_alias_leads_somewhere() -> None:
    for alias in ALIASES:
        assert get_scheme(alias).name


@pytest.mark.parametrize("typed", ["int5", "", "fp", "q4_k_xxl", "9" * 400, "nvpf4"])
def test_unknown_precisions_are_refused_in_one_line(typed: str) -> None:
    with pytest.raises(InputError, match="unknown precision") as caught:
        get_scheme(typed)
    assert "\n" not in str(caught.value)


def test_a_name_without_meaning_for_a_model_is_refused() -> None:
    both = SCHEMES["mxfp4"]
    assert isinstance(both, ModelScheme)
    only_moe = replace(both, variants=both.variants[:1])
    with pytest.raises(UnsupportedModelError, match="no recipe"):
        only_moe.store(MODELS["Qwen3.5-0.8B"])


def test_kernels_follow_from_what_is_stored() -> None:
    model = MODELS["Qwen3.6-27B"]
    assert kernels(get_scheme("bf16").store(model)) == ()
    assert kernels(get_scheme("fp8").store(model)) == ("fp8-block",)
    assert kernels(get_scheme("nvfp4").store(model)) == ("fp8", "nvfp4-marlin")
    assert kernels(get_scheme("gptq-int4").store(model)) == ("marlin-int4",)


def test_precisions_side_by_side() -> None:
    rows = compare_precisions(MODELS["Qwen3.5-27B"])
    assert [row.nbytes for row in rows] == sorted((row.nbytes for row in rows), reverse=True)
    by_name = {row.name: row for row in rows}
    assert set(PRECISIONS) <= set(by_name)
    assert by_name["fp8"].id == "Qwen/Qwen3.5-27B-FP8"
    assert by_name["fp8"].evidence == by_name["bf16"].evidence == "official"
    assert by_name["mxfp6"].evidence == "hypothesis"
    assert by_name["mxfp6"].id is None
    assert by_name["q4_k_m"].evidence == by_name["mlx-8bit"].evidence == "tool rule"
    assert "text.full_attn.q_proj" in by_name["gptq-int4"].unquantized
    assert "text.full_attn.q_proj" not in by_name["fp8"].unquantized
    for row in rows:
        assert sum(row.bytes_by_part.values()) == row.nbytes
    published = {row.id: row.evidence for row in compare_precisions(MODELS["Qwen3.6-27B"])}
    assert published["nvidia/Qwen3.6-27B-NVFP4"] == "published"


def test_models_that_nobody_bundles_are_compared_too() -> None:
    private = replace(MODELS["Qwen3.5-27B"], name="somebody/own-27b")
    (row,) = compare_precisions(private, ["int4"])
    assert (row.name, row.id, row.evidence) == ("awq-int4", None, "hypothesis")
