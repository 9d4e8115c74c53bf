"""A checkpoint's own word: what each method's document quantizes, and what is refused by name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import UnsupportedModelError
from planner.model.catalog import catalog
from planner.model.module_names import NamePattern, PatternList, spellings
from planner.model.module_scheme import ModuleScheme
from planner.model.quantization import get_scheme
from planner.model.quantization_config import read_quantization
from tests.present import some

MODELS = {entry.id.rpartition("/")[2]: entry.model for entry in catalog()}
DENSE, MOE = "Qwen3.6-27B", "Qwen3.6-35B-A3B"
BIG = "Qwen3.5-397B-A17B"
TRUNK = "model.language_model.layers"

GPTQ = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": 128,
    "sym": True,
    "dynamic": {
        "lm_head": {},
        "-:.*attn.*": {},
        "-:.*shared_expert.*": {},
        "-:.*mtp.*": {},
        "-:.*visual.*": {},
    },
}
IGNORED = [
    "re:.*lm_head",
    "re:visual.*",
    "re:.*mlp.gate$",
    "re:.*shared_expert_gate$",
    "re:.*linear_attn.*",
    "re:^mtp.*",
]


def groups(ignore: list[str], **weights: Any) -> Any:
    group = {"targets": ["Linear"], "weights": {"symmetric": True, **weights}}
    if weights.get("type") == "float":
        group["input_activations"] = {"num_bits": 8, "type": "float", "dynamic": True}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ignore,
        "config_groups": {"group_0": group},
    }


def read(
    document: dict[str, Any] | list[Any] | str, key: str = "quantization_config"
) -> ModuleScheme:
    return some(read_quantization({key: document}, name="repo"))


def stored(scheme: ModuleScheme, model_name: str) -> Any:
    rows = scheme.store(MODELS[model_name])
    found: dict[str, set[str]] = {}
    for row in rows:
        role = f"{row.tensor.part}.{row.tensor.component}"
        found.setdefault(role, set()).add(row.format.name)
    return found, sum(row.nbytes for row in rows)


def same_as(
    document: dict[str, Any], model_name: str, scheme_name: str, key: str = "quantization_config"
) -> None:
    read_rows = read(document, key).store(MODELS[model_name])
    meant = get_scheme(scheme_name).store(MODELS[model_name])
    assert {(r.tensor.name, r.tensor.layers, r.format.name) for r in read_rows} == {
        (r.tensor.name, r.tensor.layers, r.format.name) for r in meant
    }


@pytest.mark.parametrize("model_name", [DENSE, MOE, "Qwen3.5-27B"])
def test_official_gptq(model_name: str) -> None:
    same_as(GPTQ, model_name, "gptq-int4")


def test_official_fp8_lists_what_stays() -> None:
    kept = [f"{TRUNK}.{i}.linear_attn.in_proj_{x}" for i in range(64) for x in "ab"]
    document = {
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": [*kept, "lm_head", "model.visual", "mtp.fc"],
    }
    same_as(document, DENSE, "fp8")


@pytest.mark.parametrize(
    ("weights", "scheme_name"),
    [
        ({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}, "w4a16"),
        ({"num_bits": 8, "type": "float", "strategy": "channel"}, "fp8-dynamic"),
        (
            {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
            "nvfp4-ct",
        ),
    ],
)
@pytest.mark.parametrize("model_name", [DENSE, MOE])
def test_compressed_tensors(weights: dict[str, Any], scheme_name: str, model_name: str) -> None:
    same_as(groups(IGNORED, **weights), model_name, scheme_name)


def test_int8_is_packed_only_where_the_format_says_so() -> None:
    document = groups(IGNORED, num_bits=8, type="int", strategy="channel")
    document["format"] = "int-quantized"
    same_as(document, DENSE, "w8a8-int8")


def test_groups_of_their_own_override_the_rest() -> None:
    document = groups(["lm_head"], num_bits=4, type="int", strategy="group", group_size=32)
    document["config_groups"]["group_1"] = {
        "targets": [r"re:.*layers\.(0|1)\.mlp.*", f"{TRUNK}.5.self_attn.q_proj"],
        "weights": {"num_bits": 8, "type": "int", "strategy": "group", "group_size": 128},
    }
    rows = read(document).store(MODELS[DENSE])
    mlp = {
        r.format.name: r.tensor.layers for r in rows if r.tensor.name.endswith("mlp.up_proj.weight")
    }
    trunk = [r for r in rows if r.tensor.component == "dense_mlp" and r.tensor.part == "text"]
    assert mlp
    assert {
        layer for r in trunk if r.format.name == "ct-int8-g128" for layer in r.tensor.layers
    } == {0, 1}
    assert sum(len(r.tensor.layers) for r in trunk) == 3 * 64


def test_modelopt_globs_and_parts() -> None:
    excluded = [f"{TRUNK}.{i}.{x}" for i in range(60) for x in ("self_attn*", "linear_attn*")]
    excluded += [f"{TRUNK}.{i}.mlp.{x}" for i in range(60) for x in ("gate", "shared_expert*")]
    document = {
        "producer": {"name": "modelopt"},
        "quantization": {
            "quant_algo": "NVFP4",
            "group_size": 16,
            "exclude_modules": [*excluded, "lm_head", "mtp*", "model.visual*"],
        },
    }
    scheme = read_quantization({}, name="repo", hf_quant_config=document)
    expected = get_scheme("nvfp4").store(MODELS[BIG])
    assert sum(r.nbytes for r in some(scheme).store(MODELS[BIG])) == sum(r.nbytes for r in expected)


def test_modelopt_mixed_precision_lists_its_layers() -> None:
    layers = {}
    for i in range(40):
        for name in ("experts", "shared_expert"):
            layers[f"{TRUNK}.{i}.mlp.{name}"] = {"quant_algo": "W4A16_NVFP4", "group_size": 16}
        attention = "self_attn" if i % 4 == 3 else "linear_attn"
        names = "qkvo" if i % 4 == 3 else ("in_proj_qkv", "in_proj_z", "out_proj")
        for name in names:
            module = f"{name}_proj" if attention == "self_attn" else name
            layers[f"{TRUNK}.{i}.{attention}.{module}"] = {"quant_algo": "FP8"}
    layers["lm_head"] = {"quant_algo": "W4A16_NVFP4", "group_size": 16}
    layers["model.visual"] = {"quant_algo": "UNQUANTIZED"}
    document = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": layers,
    }
    same_as(document, MOE, "nvfp4-mixed")


def test_mlx_modules_have_their_own_width() -> None:
    gates = {
        f"language_model.model.layers.{i}.mlp.{gate}": {"group_size": 64, "bits": 8}
        for i in range(40)
        for gate in ("gate", "shared_expert_gate")
    }
    same_as({"group_size": 64, "bits": 4, **gates}, MOE, "mlx-4bit", key="quantization")
    plain = {"group_size": 64, "bits": 4, "language_model.lm_head": False}
    roles, _ = stored(read(plain, key="quantization"), DENSE)
    assert roles["text.lm_head"] == {"bfloat16"}
    assert roles["text.embed_tokens"] == {"mlx-4bit-g64"}


def test_bitsandbytes_leaves_stacked_experts_alone() -> None:
    document = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_use_double_quant": True,
    }
    same_as(document, DENSE, "bnb-nf4-double")
    roles, _ = stored(read(document), MOE)
    assert roles["text.moe.routed_experts"] == roles["text.moe.router"] == {"bfloat16"}


def test_autoround_extra_config() -> None:
    extra = {f"{TRUNK}.{i}.linear_attn.in_proj_{x}": {"bits": 16} for i in range(64) for x in "ab"}
    document = {
        "quant_method": "auto-round",
        "bits": 4,
        "group_size": 128,
        "block_name_to_quantize": "model.language_model.layers",
        "extra_config": extra | {".*lm_head": {"bits": 8, "group_size": 128}},
    }
    roles, _ = stored(read(document), DENSE)
    assert roles["text.lm_head"] == {"autoround-int8-g128"}
    assert roles["text.gdn.out_proj"] == roles["text.dense_mlp"] == {"autoround-int4-g128"}
    assert roles["mtp.dense_mlp"] == {"bfloat16"}


def test_quark_and_awq_and_mxfp4() -> None:
    weight = {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}
    document = {
        "quant_method": "quark",
        "global_quant_config": {"weight": weight},
        "exclude": ["lm_head", "re:.*visual.*", "re:.*attn.*", "re:.*gate$", "re:mtp.*"],
    }
    same_as(document, MOE, "mxfp4")
    awq = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "modules_to_not_convert": ["visual"],
    }
    same_as(awq, DENSE, "awq-int4")
    roles, _ = stored(read({"quant_method": "mxfp4"}), MOE)
    assert roles["mtp.moe.routed_experts"] == {"mxfp4"}
    assert roles["text.moe.shared_expert"] == {"bfloat16"}


def test_one_expert_may_be_singled_out() -> None:
    document = GPTQ | {"dynamic": {r"-:.*layers\.7\.mlp\.experts\.3\..*": {}, "-:.*mtp.*": {}}}
    rows = [
        r for r in read(document).store(MODELS[MOE]) if r.tensor.component == "moe.routed_experts"
    ]
    trunk = [row for row in rows if row.tensor.part == "text"]
    kept = [row for row in trunk if row.format.name == "bfloat16"]
    assert {(row.tensor.layers, row.tensor.experts) for row in kept} == {((7,), 1)}
    assert sum(row.tensor.count for row in trunk) == 3 * 40 * 256


def test_nothing_said_means_nothing_quantized() -> None:
    assert read_quantization({}, name="repo") is None
    assert read_quantization({"text_config": {}}, name="repo") is None
    nested = read_quantization({"text_config": {"quantization_config": GPTQ}}, name="repo")
    assert nested is not None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"quant_method": "exl3", "bits": 4}, "'exl3' is not known; known: auto-round"),
        ({"quant_method": "torchao"}, "'torchao'"),
        ({"foo": 1, "bar": 2}, "found: bar, foo"),
        ({"quant_method": 5}, "quant_method is 5"),
        ({"quant_method": "gptq", "bits": "four"}, "bits is 'four'"),
        ({"quant_method": "gptq", "bits": True}, "bits is True"),
        ({"quant_method": "gptq", "bits": 10**18}, "out of range"),
        ({"quant_method": "gptq", "bits": 5, "group_size": 128}, "INT5 in groups of 128"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {r"-:(a)\1": {}}}, "not understood"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:[": {}}}, "no regular expression"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": [1]}, "dynamic is not an object"),
        ({"quant_method": "fp8", "weight_block_size": [64, 64]}, "weight_block_size"),
        ({"quant_method": "fp8", "modules_to_not_convert": 7}, "not a list of module names"),
        ({"quant_method": "compressed-tensors"}, "no config_groups"),
        ({"quant_method": "modelopt", "quant_algo": "W9A9"}, "'W9A9' is not known"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "without quantized_layers"),
        ({"quant_method": "bitsandbytes"}, "neither load_in_4bit"),
        ({"quant_method": "quark"}, "quantizes weights"),
        ("x", "is not an object"),
        ([], "is not an object"),
    ],
)
def test_refused_by_name_in_one_line(
    document: dict[str, Any] | list[Any] | str, words: str
) -> None:
    def apply() -> Any:
        return read(document).store(MODELS[DENSE])

    with pytest.raises(UnsupportedModelError) as caught:
        apply()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "repo: config.json" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "bits",
        "group_size",
        "dynamic",
        "ignore",
        "config_groups",
        "quant_algo",
        "extra_config",
        "exclude",
        "load_in_4bit",
        "modules_to_not_convert",
        "weight_block_size",
        "global_quant_config",
    ]
)
METHODS = [
    "gptq",
    "awq",
    "fp8",
    "compressed-tensors",
    "modelopt",
    "quark",
    "auto-round",
    "mxfp4",
    "mlx",
]


@given(st.sampled_from(METHODS), st.dictionaries(KEYS, JSON, max_size=5))
def test_no_document_causes_a_traceback(method: Any, document: Any) -> None:
    try:
        scheme = read({"quant_method": method, **document})
        rows = scheme.store(MODELS["Qwen3.5-0.8B"])
    except UnsupportedModelError as error:
        rows, line = (), str(error)
    else:
        line = ""
    assert bool(rows) != bool(line)
    assert "\n" not in line


@pytest.mark.parametrize(
    "pattern", [".*.*.*.*.*.*.*.*!", "(.|.)*!", "((.+))+!", "(.*)*[!]", "(a|a|.)*[!]", "(.|..)*[!]"]
)
def test_a_pattern_made_to_take_forever_takes_a_moment(pattern: str) -> None:
    read(GPTQ | {"dynamic": {f"-:{pattern}": {}}}).store(MODELS["Qwen3.5-0.8B"])


def test_a_list_made_to_take_forever_is_refused() -> None:
    rules: dict[str, Any] = {f"-:(?=(.|..)*[!])(.|..)*{'.' * index}[!]": {} for index in range(200)}
    with pytest.raises(UnsupportedModelError, match="with the others it is too complicated"):
        read(GPTQ | {"dynamic": rules}).store(MODELS["Qwen3.5-27B"])
    rules = {f"-:(a|b)*{index}": {} for index in range(20_000)}
    with pytest.raises(UnsupportedModelError, match="with those before it is too long"):
        read(GPTQ | {"dynamic": rules}).store(MODELS["Qwen3.5-27B"])


def test_the_first_pattern_that_matches_decides() -> None:
    names = spellings("model.language_model.layers.{layer}.mlp.gate.weight", 3, 0)
    assert "model.layers.3.mlp.gate" in names
    patterns = [
        NamePattern(how="exact", text="model.layers.33.mlp.gate"),
        NamePattern(how="dotted", text="mlp.gate_proj"),
        NamePattern(how="glob", text="*layers.3.*"),
        NamePattern(how="exact", text="model.layers.3.mlp.gate"),
        NamePattern(how="part", text="gate"),
    ]
    assert PatternList(tuple(patterns), "x").first(names) == 2
    assert PatternList(tuple(patterns[:2]), "x").first(names) is None
    assert PatternList((NamePattern(how="dotted", text="mlp.gate"),), "x").first(names) == 0
