"""Layers with an indexer, residual streams and an n-gram table: config, tensors, checkpoints."""

import json
from typing import Any

import pytest

from planner.errors import UnsupportedModelError
from planner.model.catalog import bundled_checkpoint, find
from planner.model.gguf_tensors import GgufTensor, gguf_tensors
from planner.model.hf_config import read_config
from planner.model.ngram_rows import ngram_rows
from planner.model.parameters import count_parameters
from planner.model.quantization import kernels
from planner.model.quantization_config import read_quantization
from planner.model.spec import FULL, LINEAR
from planner.model.stored_headers import classify
from planner.model.tensors import NGRAM_TABLE, tensor_table
from tests.model.stored_tensors import Entry, stored

NAME = "Qwen/Qwen3.8-Flash-Next"


def config() -> dict[str, Any]:
    found = find(NAME)
    assert found is not None
    document: dict[str, Any] = json.loads(json.dumps(found[0].config))
    return document


def test_a_copy_without_the_keys_of_its_kinds_is_refused_with_all_of_them() -> None:
    document = config()
    for key in ("hc_count", "ple_layer_ids", "indexer_budget"):
        del document["text_config"][key]
    with pytest.raises(UnsupportedModelError, match="lacks hc_count, indexer_budget, ple_layer_"):
        read_config(document, name="copy")


@pytest.mark.parametrize(
    "spelling", ["full_attention", "indexed_attention", "qwen_sparse_attention"]
)
def test_attention_layers_are_known_by_all_their_names(spelling: str) -> None:
    document = config()
    document["text_config"]["layer_types"] = [LINEAR, LINEAR, LINEAR, spelling] * 12
    assert read_config(document, name="x") == read_config(config(), name="x")
    plain = config()
    plain["model_type"] = "qwen3_5_moe"
    plain["text_config"]["layer_types"] = [LINEAR, LINEAR, LINEAR, "indexed_attention"] * 12
    with pytest.raises(UnsupportedModelError, match="indexed_attention"):
        read_config(plain, name="x")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ple_layer_ids", [49]),
        ("ple_layer_ids", [0]),
        ("ple_layer_ids", [2, 2]),
        ("ple_layer_ids", 2),
        ("ple_embed_dim", 2561),
        ("hc_count", 1),
        ("indexer_compress_ratio", 0),
        ("heads_per_ngram", 10**6),
    ],
)
def test_a_field_that_makes_no_sense_is_named(key: str, value: object) -> None:
    document = config()
    document["text_config"][key] = value
    with pytest.raises(UnsupportedModelError, match=key):
        read_config(document, name="x")


def test_rows_of_a_table_are_consecutive_primes() -> None:
    assert ngram_rows(10, heads=3, table=0, multiple=1) == 11 + 13 + 17
    assert ngram_rows(10, heads=3, table=1, multiple=1) == 19 + 23 + 29
    assert ngram_rows(10, heads=3, table=0, multiple=8) == 48
    assert ngram_rows(20_000_000, heads=16, table=0, multiple=128) == 320_001_536


def test_a_second_table_is_a_second_layer_with_rows_of_its_own() -> None:
    document = config()
    document["text_config"]["ple_layer_ids"] = [2, 5]
    tables = [
        t for t in tensor_table(read_config(document, name="x")) if t.component == NGRAM_TABLE
    ]
    assert [table.layers for table in tables] == [(1,), (4,)]
    assert tables[0].shape[0] < tables[1].shape[0]


def test_what_is_looked_up_is_not_active() -> None:
    model = read_config(config(), name="x")
    counts = count_parameters(model)
    table = counts.components[f"text.{NGRAM_TABLE}"]
    document = config()
    document["text_config"]["ngram_vocab_size_base"] //= 2
    smaller = count_parameters(read_config(document, name="x"))
    assert smaller.active_named == counts.active_named
    assert smaller.text < counts.text - table // 3


def test_kinds_are_named() -> None:
    model = read_config(config(), name="x")
    assert set(model.kinds) == {LINEAR, "indexed_attention", "hyper_connections", "ngram_embedding"}
    plain = find("Qwen3.5-35B-A3B")
    assert plain is not None
    assert set(plain[0].model.kinds) == {LINEAR, FULL}


@pytest.mark.parametrize(
    ("precision", "published", "unit", "tolerance"),
    [
        ("bf16", 335.3, 2**30, 0.05),
        ("fp8", 172.8, 2**30, 0.05),
        ("nvfp4", 126, 2**30, 0.5),
        ("nvfp4-experts-table", 105.0, 2**30, 0.05),
        ("nvfp4-experts", 173.6, 2**30, 0.05),
    ],
)
def test_sizes_are_those_that_cards_print(
    precision: str, published: float, unit: int, tolerance: float
) -> None:
    size = bundled_checkpoint(NAME, precision=precision).nbytes()
    assert size / unit == pytest.approx(published, abs=tolerance)


def test_the_tables_format_is_a_key_of_its_own() -> None:
    document = config() | {
        "quantization_config": {
            "quant_method": "fp8",
            "weight_block_size": [128, 128],
            "modules_to_not_convert": [
                "*attn*",
                "*shared*",
                "*hyper*",
                "ple",
                "mlp.gate",
                "visual",
                "mtp.fc_embedding",
                "mtp.fc_hidden",
            ],
        }
    }
    model = read_config(document, name="x")

    def table_format(**keys: str) -> str:
        changed = document | {"text_config": document["text_config"] | keys}
        scheme = read_quantization(changed, name="x")
        assert scheme is not None
        return next(
            row.format.name for row in scheme.store(model) if row.tensor.component == NGRAM_TABLE
        )

    assert table_format() == "bfloat16"
    assert table_format(ple_embedding_dtype="float8_e4m3fn") == "table-fp8"
    assert table_format(ple_embedding_dtype="nvfp4") == "table-nvfp4"
    with pytest.raises(UnsupportedModelError, match="ple_embedding_dtype is 'int3'"):
        table_format(ple_embedding_dtype="int3")


def small() -> dict[str, Any]:
    document = config()
    document["text_config"] |= {
        "num_experts": 3,
        "num_experts_per_tok": 1,
        "num_hidden_layers": 4,
        "ngram_vocab_size_base": 1000,
        "make_ngram_vocab_size_divisible_by": 128,
    }
    return document


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_a_table_in_shards_is_one_row_of_the_table_of_tensors(dtype: str) -> None:
    """As published: shards of rows, constants of the hashes beside them, in FP8 one scale."""
    model = read_config(small(), name="x")
    entries: list[Entry] = []
    shards = 128
    for tensor in tensor_table(model):
        for layer in tensor.layers or (0,):
            for expert in range(tensor.experts):
                name = tensor.name.replace("{layer}", str(layer)).replace("{expert}", str(expert))
                if tensor.component != NGRAM_TABLE:
                    kind = "I64" if tensor.constant else "BF16"
                    entries.append((name, kind, tensor.shape))
                    continue
                rows, width = tensor.shape
                stem = name.removesuffix(".weight")
                entries += [
                    (f"{stem}.shard_{i}.weight", dtype, (rows // shards, width))
                    for i in range(shards)
                ]
                if dtype != "BF16":
                    entries.append((f"{stem}.weight_scale", "F32", ()))
    found = classify(model, stored(entries))
    assert (found.other, found.missing, found.absent) == ((), (), ())
    assert found.nbytes == sum(tensor.nbytes for tensor in stored(entries).tensors)
    table = next(row for row in found.rows if row.tensor.component == NGRAM_TABLE)
    assert table.format.name == ("bfloat16" if dtype == "BF16" else "table-fp8")
    assert not kernels(found.rows)


def test_gguf_names_are_recognised_and_hold_every_parameter() -> None:
    """The table is one tensor; the indexer's projection is two; constants are metadata."""
    model = read_config(small(), name="x")
    held = gguf_tensors(model)
    names = {name for tensor in held for name in tensor.names}
    assert {
        "per_layer_token_embd.weight",
        "blk.3.indexer.q_proj.weight",
        "blk.3.indexer.k_proj.weight",
        "blk.1.ple_conv1d.weight",
        "blk.0.hc_ffn_inject.weight",
        "output_hc_norm.weight",
        "blk.4.nextn.eh_proj.weight",
        "blk.4.nextn.hc_head_up.weight",
    } <= names
    assert "output_norm.weight" not in names
    counts = count_parameters(model)
    text = sum(t.tensor.parameters for t in held if t.tensor.part == "text")
    mtp = sum(t.tensor.parameters for t in held if t.tensor.part == "mtp")
    assert (text, mtp) == (counts.text, counts.mtp)
    file = stored([(name, "F16", shape_of(t)) for t in held for name in t.names], kind="gguf")
    found = classify(model, file)
    assert (found.other, found.missing) == ((), ())


def shape_of(held: GgufTensor) -> tuple[int, ...]:
    shape = held.tensor.shape
    return (held.tensor.experts, *shape) if held.tensor.experts > 1 else shape
