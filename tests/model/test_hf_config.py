"""Configs as they are found in the wild."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import UnsupportedModelError
from planner.model.catalog import catalog, find
from planner.model.hf_config import read_config
from planner.model.parameters import count_parameters
from planner.model.spec import FULL, LINEAR, ModelSpec

ENTRY = {entry.id: entry for entry in catalog()}


def config(name: str = "Qwen/Qwen3.5-27B") -> dict[str, Any]:
    config: dict[str, Any] = json.loads(json.dumps(ENTRY[name].config))
    return config


def read(document: Any, **facts: Any) -> ModelSpec:
    return read_config(document, name="wild", **facts)


def test_flat_and_nested_text_fields_mean_the_same() -> None:
    nested = config("Qwen/Qwen3.5-35B-A3B")
    flat = {**nested["text_config"], "architectures": ["Qwen3_5MoeForCausalLM"]}
    assert flat["model_type"] == "qwen3_5_moe_text"
    one, other = read(nested), read(flat)
    assert other.vision is None
    assert (one.attention, one.linear, one.mlp) == (other.attention, other.linear, other.mlp)
    assert count_parameters(one).text == count_parameters(other).text


def test_dtype_is_found_wherever_it_stands() -> None:
    document = config()
    del document["text_config"]["dtype"]
    for place in (document, document["text_config"]):
        for key in ("dtype", "torch_dtype"):
            place[key] = "torch.float16"
            assert read(document).dtype == "float16"
            del place[key]
    with pytest.raises(UnsupportedModelError, match="dtype"):
        read(document)


def test_layer_types_follow_from_the_interval_or_are_listed() -> None:
    document = config()
    by_interval = read(document)
    document["text_config"]["layer_types"] = list(by_interval.layer_types)
    del document["text_config"]["full_attention_interval"]
    assert read(document) == by_interval
    assert by_interval.full_attention_layers == tuple(range(3, 64, 4))
    document["text_config"]["layer_types"][5] = FULL
    assert len(read(document).full_attention_layers) == 17
    document["text_config"]["layer_types"] = [LINEAR]
    with pytest.raises(UnsupportedModelError, match="layer_types"):
        read(document)
    del document["text_config"]["layer_types"]
    with pytest.raises(UnsupportedModelError, match="full_attention_interval"):
        read(document)


def test_mtp_declared_but_not_shipped_and_the_other_way_round() -> None:
    document = config()
    assert count_parameters(read(document)).mtp > 0
    absent = read(document, mtp_shipped=False)
    assert absent.mtp is not None
    assert count_parameters(absent).mtp == 0
    del document["text_config"]["mtp_num_hidden_layers"]
    assert read(document).mtp is None
    assert count_parameters(read(document, mtp_shipped=True)).mtp == 424_699_392


def test_plain_models_keep_kv_on_every_layer() -> None:
    plain = read(
        {
            "model_type": "qwen3",
            "architectures": ["Qwen3ForCausalLM"],
            "hidden_size": 5120,
            "num_hidden_layers": 64,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 25600,
            "vocab_size": 151_936,
            "tie_word_embeddings": False,
            "max_position_embeddings": 40_960,
            "torch_dtype": "bfloat16",
        }
    )
    assert count_parameters(plain).total == 32_762_123_264  # the published figure of Qwen3-32B
    assert len(plain.full_attention_layers) == 64
    assert plain.linear is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "llama"}, "llama"),
        ({"model_type": None}, "not supported"),
        ({"text_config": []}, "text_config"),
        ({"vision_config": "x"}, "vision_config"),
    ],
)
def test_what_is_unknown_is_refused_by_name(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UnsupportedModelError, match=says):
        read(config() | change)


@pytest.mark.parametrize("value", ["many", -1, 0, 2.5, True, 10**18, None, float("nan")])
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads"])
def test_a_field_that_makes_no_sense_is_named(key: str, value: object) -> None:
    document = config()
    document["text_config"][key] = value
    with pytest.raises(UnsupportedModelError, match=key):
        read(document)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("vision_config", "depth"),
        ("text_config", "mtp_num_hidden_layers"),
        ("text_config", "num_hidden_layers"),
    ],
)
def test_an_absurd_number_of_layers_is_refused_before_they_are_counted(
    section: str, key: str
) -> None:
    document = config()
    document[section][key] = 10**9
    with pytest.raises(UnsupportedModelError, match=f"{key} is 1000000000, out of range"):
        read(document)


@pytest.mark.parametrize("level", ["top", "text_config"])
def test_a_tie_is_true_or_false_wherever_it_stands(level: str) -> None:
    document = config()
    document["text_config"].pop("tie_word_embeddings", None)
    place = document if level == "top" else document["text_config"]
    place["tie_word_embeddings"] = True
    assert read(document).tie_word_embeddings
    place["tie_word_embeddings"] = "false"
    with pytest.raises(UnsupportedModelError, match="tie_word_embeddings"):
        read(document)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(data=st.data())
def test_any_damage_is_either_read_or_refused(data: st.DataObject) -> None:
    document = copy.deepcopy(config("Qwen/Qwen3.5-35B-A3B"))
    section = data.draw(
        st.sampled_from([document, document["text_config"], document["vision_config"]])
    )
    key = data.draw(st.sampled_from(sorted(section)))
    section[key] = data.draw(_JUNK)
    refusal = ""
    try:
        assert count_parameters(read(document)).total > 0
    except UnsupportedModelError as error:
        refusal = str(error)
    assert "\n" not in refusal


@given(_JUNK)
def test_any_document_is_either_read_or_refused(document: Any) -> None:
    with pytest.raises(UnsupportedModelError):
        read(document)


def test_bundled_names_work_with_and_without_their_organisation() -> None:
    for name in ("Qwen/Qwen3.5-27B", "qwen3.5-27b", "QWEN/QWEN3.5-27B-FP8"):
        found = find(name)
        assert found is not None
        assert found[0].id == "Qwen/Qwen3.5-27B"
