from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.formats import FORMATS, ggml_format_name
from planner.model.catalog import catalog
from planner.model.gguf_file import mmproj_file, model_file
from planner.model.gguf_mix import GgufScheme, get_mix, gguf_schemes, mixes
from planner.model.gguf_tensors import converts_mtp
from planner.model.parameters import count_parameters

MODELS = {entry.id.rpartition("/")[2]: entry.model for entry in catalog()}


def test_every_type_a_mix_uses_is_a_format() -> None:
    for mix in mixes().values():
        used = {mix.default, *(type_ for rules in mix.rules.values() for _, type_ in rules)}
        assert {ggml_format_name(name) for name in used} <= set(FORMATS)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(gguf_schemes())))
def test_nothing_is_lost(model_name: Any, scheme_name: Any) -> None:
    model, scheme = MODELS[model_name], gguf_schemes()[scheme_name]
    counts = count_parameters(model)
    stored = scheme.store(model)
    for part, expected in (
        ("text", counts.text),
        ("mtp", counts.mtp if scheme.mtp and converts_mtp(model) else 0),
        ("vision", counts.vision),
    ):
        assert sum(row.tensor.parameters for row in stored if row.tensor.part == part) == expected


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(mixes())))
def test_sizes_agree_with_the_stored_rows(model_name: Any, mix_name: Any) -> None:
    model, scheme = MODELS[model_name], GgufScheme(mix=mix_name)
    size = model_file(model, scheme)
    language = [row for row in scheme.store(model) if row.tensor.part != "vision"]
    assert size.tensor_bytes == sum(row.nbytes for row in language)
    assert size.tensor_bytes <= size.data_bytes < size.file_bytes


@pytest.mark.parametrize("model_name", sorted(MODELS))
def test_more_bits_take_more_room(model_name: str) -> None:
    model = MODELS[model_name]
    ladder = ("IQ1_S", "IQ2_XXS", "IQ3_XXS", "IQ4_XS", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "BF16")
    sizes = [model_file(model, GgufScheme(mix=mix)).file_bytes for mix in ladder]
    assert sizes == sorted(sizes)


def test_names_are_unique_within_a_file() -> None:
    for model in MODELS.values():
        names = [n for row in GgufScheme(mix="Q4_K_M").tensors(model) for n in row.held.names]
        assert len(names) == len(set(names))


def test_names_of_schemes() -> None:
    assert get_mix("q4_k_m").name == "Q4_K_M"
    assert gguf_schemes()["q4_k_m"].title == "GGUF Q4_K_M"
    assert gguf_schemes()["gguf-bf16"].mix == "BF16"
    assert "without MTP" in gguf_schemes()["q4_k_m-nomtp"].title
    assert gguf_schemes()["iq4_xs-imatrix"].imatrix
    assert gguf_schemes()["iq2_xxs"].imatrix, "llama-quantize refuses it without"


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"unknown GGUF type 'Q9_K'.*Q4_K_M"):
        get_mix("Q9_K")


def test_text_only_models_have_no_vision_file() -> None:
    text_only = next(model for model in MODELS.values() if model.vision is None)
    assert mmproj_file(text_only, GgufScheme(mix="Q8_0")).tensor_bytes == 0
