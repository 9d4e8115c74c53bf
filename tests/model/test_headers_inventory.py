"""Stored tensors find their place in the table; what has none is "other"; headers win."""

from dataclasses import replace

import pytest

from planner.model import catalog
from planner.model.gguf_mix import GgufScheme
from planner.model.header_scheme import header_scheme
from planner.model.headers import FileHeader, StoredCheckpoint, StoredTensor, join
from planner.model.inventory import take_inventory
from planner.model.quantization import get_scheme
from planner.model.tensors import tensor_table

DENSE, MOE = "Qwen/Qwen3.5-27B", "Qwen/Qwen3.5-35B-A3B"
LABELS = {"bfloat16": "BF16", "float32": "F32", "float16": "F16"}


def spec(name):
    return catalog.bundled_checkpoint(name).model


def checkpoint(tensors, kind="safetensors") -> StoredCheckpoint:
    header = FileHeader(file="f", nbytes=0, header_nbytes=0, tensors=tuple(tensors), metadata={})
    return join(kind, kind, [header])


def tensor(name, nbytes=8, dtype="BF16") -> StoredTensor:
    return StoredTensor(name=name, dtype=dtype, shape=(nbytes,), nbytes=nbytes, file="f")


def files_of(scheme, model) -> StoredCheckpoint:
    """A checkpoint whose files hold exactly what a scheme says, expert by expert."""
    found = []
    for row in scheme.store(model):
        dtype = LABELS.get(row.format.name, row.format.name)
        for layer in row.tensor.layers or (0,):
            for expert in range(row.tensor.experts):
                name = row.tensor.name.replace("{layer}", str(layer))
                name = name.replace("{expert}", str(expert))
                nbytes = row.format.nbytes(row.tensor.shape)
                found.append(replace(tensor(name, nbytes, dtype), shape=row.tensor.shape))
    return checkpoint(found)


@pytest.mark.parametrize("name", catalog.known_ids())
def test_every_bundled_model_finds_all_of_its_tensors(name):
    bundled = catalog.bundled_checkpoint(name)
    model = replace(bundled.model, name="x")
    one_expert = [
        tensor(kind.name.replace("{layer}", str(layer)).replace("{expert}", "0"))
        for kind in tensor_table(model)
        for layer in kind.layers or (0,)
    ]
    inventory = take_inventory(checkpoint(one_expert), model)
    assert inventory.other == ()
    assert sum(row.tensors for row in inventory.rows) == len(one_expert)


@pytest.mark.parametrize("name", [DENSE, MOE])
@pytest.mark.parametrize("scheme", ["bf16", "fp8"])
def test_files_that_hold_what_the_scheme_says_change_nothing(name, scheme):
    model, declared = spec(name), catalog.bundled_checkpoint(name, precision=scheme).scheme
    if name == MOE:
        model = replace(model, mlp=replace(model.mlp, num_experts=3, num_experts_per_tok=2))
    found = header_scheme(files_of(declared, model), model, declared)
    assert found.differences == ()
    assert found.notes == ()
    assert sum(row.nbytes for row in found.store(model)) == sum(
        row.nbytes for row in declared.store(model)
    )
    assert {row.format.name for row in found.rows} == {
        row.format.name for row in declared.store(model)
    }


def test_where_files_and_scheme_disagree_the_files_win_and_it_is_said():
    model, declared = spec(DENSE), get_scheme("bf16")
    stored = files_of(declared, model)
    name = "model.language_model.layers.3.self_attn.q_proj.weight"
    tensors = [
        replace(t, dtype="F8_E4M3", nbytes=t.nbytes // 2) if t.name == name else t
        for t in stored.tensors
        if not t.name.startswith("mtp.")
    ]
    tensors.append(tensor("model.language_model.layers.99.mlp.up_proj.weight", 64))
    found = header_scheme(checkpoint(tensors), model, declared)
    held = sum(t.nbytes for t in tensors)
    assert sum(row.nbytes for row in found.rows) + found.other_nbytes == held
    queries = [row for row in found.rows if row.tensor.component == "full_attn.q_proj"]
    assert {
        (row.format.name, row.tensor.layers) for row in queries if row.tensor.part == "text"
    } == {
        ("bfloat16", tuple(range(7, 64, 4))),
        ("float8_e4m3fn", (3,)),
    }
    assert not [row for row in found.rows if row.tensor.part == "mtp"]
    notes = "\n".join(found.notes)
    assert "text full_attn.q_proj: 1.88 GiB by the scheme, 1.82 GiB of BF16 in the files" in notes
    assert "mtp fc: 100.00 MiB by the scheme, none in the files" in notes
    assert "other: 1 tensors with 64 B that the model has no place for" in notes


def test_bytes_that_no_format_has_are_spread_over_the_elements():
    model = spec(DENSE)
    shape = (5120, 17408)
    odd = shape[0] * shape[1] // 2 + 12345
    name = "model.language_model.layers.0.mlp.down_proj"
    tensors = [tensor(f"{name}.qweight", odd - 1000, "I32"), tensor(f"{name}.scales", 1000, "F16")]
    found = header_scheme(checkpoint(tensors), model)
    assert [(row.tensor.component, row.tensor.layers) for row in found.rows] == [
        ("dense_mlp", (0,))
    ]
    assert found.rows[0].nbytes == odd
    assert found.rows[0].format.name == "i32-as-stored"


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("model.language_model.layers.0.mlp.experts.7.up_proj.weight", "moe.routed_experts"),
        (
            "model.language_model.layers.0.mlp.experts.255.up_proj.weight_scale_inv",
            "moe.routed_experts",
        ),
        ("model.language_model.layers.0.mlp.experts.gate_up_proj", "moe.routed_experts"),
        ("model.language_model.layers.0.mlp.experts.down_proj_scale_inv", "moe.routed_experts"),
        ("model.language_model.layers.0.mlp.experts.gate_up_proj_blocks", "moe.routed_experts"),
        ("language_model.model.layers.0.mlp.switch_mlp.up_proj.biases", "moe.routed_experts"),
        ("model.layers.0.mlp.shared_expert.up_proj.weight_packed", "moe.shared_expert"),
        ("model.language_model.layers.0.mlp.gate.weight", "moe.router"),
        ("model.language_model.layers.3.self_attn.k_proj.k_scale", "full_attn.k_proj"),
        ("model.language_model.layers.3.self_attn.o_proj.weight.absmax", "full_attn.o_proj"),
        (
            "model.language_model.layers.3.self_attn.o_proj.weight.quant_state.bitsandbytes__nf4",
            "full_attn.o_proj",
        ),
        ("model.language_model.layers.0.linear_attn.A_log", "gdn.A_log"),
        ("lm_head.weight", "lm_head"),
        ("language_model.lm_head.scales", "lm_head"),
        ("model.language_model.embed_tokens.qweight", "embed_tokens"),
        ("vision_tower.blocks.5.attn.qkv.bias", "blocks"),
        ("model.visual.merger.linear_fc2.weight", "merger"),
        ("mtp.layers.0.mlp.experts.3.gate_proj.weight_scale_2", "moe.routed_experts"),
        ("mtp.fc.weight", "fc"),
    ],
)
def test_names_as_the_tools_write_them_find_their_place(name, component):
    row = take_inventory(checkpoint([tensor(name)]), spec(MOE)).rows[0]
    assert row.component == component


@pytest.mark.parametrize(
    "name",
    [
        "",
        "model.language_model.layers.40.mlp.gate.weight",
        "model.language_model.layers.0.self_attn.q_proj.weight",  # a linear-attention layer
        "model.language_model.layers.0.mlp.experts.256.up_proj.weight",
        "model.language_model.layers.3.self_attn.q_proj.lora_A.weight",
        "model.language_model.layers.99999999999999999999.mlp.gate.weight",
        "base_model.model.model.layers.0.mlp.gate.weight",
        "mtp.layers.1.mlp.gate.weight",
        "talker.model.layers.0.mlp.gate.weight",
    ],
)
def test_what_has_no_place_is_counted_as_other(name):
    inventory = take_inventory(checkpoint([tensor(name, 24)]), spec(MOE))
    assert inventory.other == (name,)
    assert inventory.nbytes("other") == inventory.nbytes() == 24


def test_fused_experts_are_shared_out_to_the_rows_they_hold():
    name = "model.language_model.layers.0.mlp.experts.gate_up_proj"
    inventory = take_inventory(checkpoint([tensor(name, 101)]), spec(MOE))
    assert sorted(held.nbytes for held in inventory.held.values()) == [50, 51]
    assert inventory.nbytes("text") == 101


@pytest.mark.parametrize("mix", ["Q4_K_M", "MXFP4_MOE", "IQ4_XS"])
def test_a_ggufs_own_types_are_its_scheme(mix):
    model, declared = spec(MOE), GgufScheme(mix=mix)

    def tensors(rows):
        return [
            tensor(
                name,
                row.held.tensor.experts * row.stored.format.nbytes(row.held.tensor.shape),
                row.ggml_type,
            )
            for row in rows
            for name in row.held.names
        ]

    language = checkpoint(tensors(declared.tensors(model)), "gguf")
    vision = checkpoint(tensors(declared.vision_tensors(model)), "gguf")
    alone = header_scheme(language, model)
    assert alone.other == ()
    assert sum(row.nbytes for row in alone.rows) == language.tensor_nbytes
    assert not [row for row in alone.rows if row.tensor.part == "vision"]
    both = header_scheme(language, model, declared, companion=vision)
    assert both.differences == ()
    assert sum(row.nbytes for row in both.rows) == language.tensor_nbytes + vision.tensor_nbytes
    assert {row.format.name for row in both.rows} == {
        row.format.name for row in declared.store(model)
    }
