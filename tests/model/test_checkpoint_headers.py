"""Headers to roles: every byte has its place, whatever tool wrote it and whatever it calls things."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats import FORMATS
from planner.layout import Layout
from planner.memory.weights import LoadRules, weight_bytes
from planner.model.catalog import catalog
from planner.model.gguf_mix import GgufScheme
from planner.model.headers import StoredCheckpoint, StoredTensor
from planner.model.quantization import SCHEMES, get_scheme
from planner.model.spec import DenseMLP, ModelSpec
from planner.model.stored import Stored
from planner.model.stored_formats import Pieces, infer_format
from planner.model.stored_headers import checkpoint_from_headers, classify, differences
from tests.model.stored_tensors import stored, written
from tests.present import some

MODELS = {entry.id.rpartition("/")[2]: entry.model for entry in catalog()}
DENSE = MODELS["Qwen3.5-0.8B"]
_MOE = MODELS["Qwen3.6-35B-A3B"]
MOE = _MOE.with_layers(mlp=replace(some(_MOE.moe), num_experts=3, num_experts_per_tok=1))


def total(found: StoredCheckpoint) -> int:
    return sum(tensor.nbytes for tensor in found.tensors)


def by_role(rows: tuple[Stored, ...]) -> dict[str, tuple[frozenset[str], int]]:
    found: dict[str, tuple[frozenset[str], int]] = {}
    for row in rows:
        role = f"{row.tensor.part}.{row.tensor.component}"
        names, size = found.get(role, (frozenset(), 0))
        found[role] = (names | {row.format.name}, size + row.nbytes)
    return found


def renamed(found: StoredCheckpoint, change: Callable[..., Any]) -> StoredCheckpoint:
    tensors = tuple(replace(tensor, name=change(tensor.name)) for tensor in found.tensors)
    return replace(found, tensors=tensors)


# Two formats that weigh the same are one to a header; these pairs have the same layout.
TWINS = {"awq-int4-g128": "autoround-int4-g128"}


@pytest.mark.parametrize("name", [n for n in sorted(SCHEMES) if not n.startswith("bnb")])
@pytest.mark.parametrize("model", [DENSE, MOE], ids=["dense", "moe"])
def test_formats_are_recognised_by_what_lies_there(name: str, model: ModelSpec) -> None:
    scheme = get_scheme(name)
    files = written(scheme, model)
    table = classify(model, files)
    assert table.other == ()
    assert table.nbytes == total(files)
    assert set(table.missing) == set()
    expected = by_role(scheme.store(model))
    for role, (names, size) in by_role(table.rows).items():
        wanted = frozenset(TWINS.get(one, one) for one in expected[role][0])
        assert (names, size) == (wanted, expected[role][1]), role
    assert not any(
        "files hold" in note and "no mtp" not in note for note in differences(table, scheme)
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model.language_model.", "language_model.model."),
        ("model.language_model.", "model."),
        ("model.language_model.", "language_model."),
        ("model.visual.", "visual."),
        ("model.visual.", "vision_tower."),
        ("lm_head.", "language_model.lm_head."),
    ],
)
def test_every_spelling_of_the_way_leads_to_the_same_roles(old: str, new: str) -> None:
    files = written(get_scheme("fp8"), MOE)
    plain = by_role(classify(MOE, files).rows)
    changed = renamed(files, lambda name: name.replace(old, new) if name.startswith(old) else name)
    table = classify(MOE, changed)
    assert table.other == ()
    assert by_role(table.rows) == plain


def stacked(names: Any, suffix: str = "") -> Any:
    """BF16 files in which a layer's experts are stacked under other names."""
    experts, hidden, width = 3, MOE.hidden_size, some(MOE.moe).moe_intermediate_size
    plain = [
        (tensor.name, tensor.dtype, tensor.shape)
        for tensor in written(get_scheme("bf16"), MOE).tensors
        if ".experts." not in tensor.name
    ]
    for prefix in [f"model.language_model.layers.{i}" for i in range(40)] + ["mtp.layers.0"]:
        for name, rows, columns in names(width, hidden):
            plain.append((f"{prefix}.mlp.{name}{suffix}", "BF16", (experts, rows, columns)))
    return stored(plain)


def test_stacked_experts_are_experts() -> None:
    plain = by_role(classify(MOE, written(get_scheme("bf16"), MOE)).rows)

    def transformers(w: Any, h: Any) -> Any:
        return [("experts.gate_up_proj", 2 * w, h), ("experts.down_proj", h, w)]

    def mlx(w: Any, h: Any) -> Any:
        names = [("gate_proj", w, h), ("up_proj", w, h), ("down_proj", h, w)]
        return [(f"switch_mlp.{name}", rows, columns) for name, rows, columns in names]

    for files in (stacked(transformers), stacked(mlx, ".weight")):
        table = classify(MOE, files)
        assert table.other == ()
        assert table.missing == ()
        assert by_role(table.rows) == plain
        experts = [r for r in table.rows if r.tensor.component == "moe.routed_experts"]
        assert {row.tensor.experts for row in experts} == {3}


def test_projection_before_expert_number() -> None:
    files = renamed(
        written(get_scheme("nvfp4-experts"), MOE),
        lambda name: name.replace(".experts.1.gate_proj.", ".experts.gate_proj.1."),
    )
    assert classify(MOE, files).other == ()


def test_fused_projections_are_shared_out() -> None:
    hidden = DENSE.hidden_size
    assert isinstance(DENSE.mlp, DenseMLP)
    width = DENSE.mlp.intermediate_size
    files = written(get_scheme("bf16"), DENSE)
    kept = [t for t in files.tensors if "gate_proj" not in t.name and "up_proj" not in t.name]
    fused = [
        (f"{prefix}.mlp.gate_up_proj.weight", "BF16", (2 * width, hidden))
        for prefix in [f"model.layers.{i}" for i in range(24)] + ["mtp.layers.0"]
    ]
    table = classify(DENSE, replace(files, tensors=(*kept, *stored(fused).tensors)))
    assert table.other == ()
    assert table.missing == ()
    assert by_role(table.rows) == by_role(
        get_scheme("bf16").store(replace(DENSE, float32_components=DENSE.float32_components))
    )


@pytest.mark.parametrize("mix", ["Q4_K_M", "Q8_0", "BF16", "MXFP4_MOE"])
@pytest.mark.parametrize("model", [DENSE, _MOE], ids=["dense", "moe"])
def test_gguf_types_are_formats(mix: str, model: ModelSpec) -> None:
    scheme = GgufScheme(mix=mix)

    def entries(typed: Any) -> Any:
        return tuple(
            StoredTensor(
                name=name,
                dtype=row.ggml_type,
                shape=row.held.tensor.shape,
                nbytes=row.held.tensor.experts * row.stored.format.nbytes(row.held.tensor.shape),
                file="f",
            )
            for row in typed
            for name in row.held.names
        )

    own, tower = entries(scheme.tensors(model)), entries(scheme.vision_tensors(model))
    sets = [
        StoredCheckpoint(kind="gguf", label=mix, tensors=tensors, files=(), metadata={})
        for tensors in (own, tower)
    ]
    table = classify(model, *sets)
    assert table.other == ()
    assert table.missing == table.absent == ()
    assert by_role(table.rows) == by_role(scheme.store(model))
    alone = classify(model, sets[0])
    assert alone.absent == ("vision",)
    assert checkpoint_from_headers(model, *sets, id="x", source="test").scheme.name == mix.lower()


def test_what_is_not_recognised_is_counted_and_shown() -> None:
    files = written(get_scheme("bf16"), DENSE)
    strange = stored(
        [
            ("model.language_model.layers.0.mlp.adapter.weight", "BF16", (10, 10)),
            ("model.language_model.layers.99.mlp.up_proj.weight", "BF16", (4, 4)),
            ("model.language_model.layers.0.self_attn.q_proj.weight", "BF16", (2, 2)),
            ("rotary.inv_freq", "F32", (32,)),
        ]
    )
    found = checkpoint_from_headers(
        DENSE, replace(files, tensors=files.tensors + strange.tensors), id="x", source="test"
    )
    assert found.other == total(strange)
    assert found.nbytes() == total(files) + total(strange)
    assert sum(found.bytes_by_part.values()) == found.nbytes()
    (line,) = [note for note in found.differences if "not recognised" in note]
    assert "4 tensors" in line
    assert "rotary.inv_freq" in line


def test_an_expert_too_many_is_not_recognised() -> None:
    files = stored([("model.layers.0.mlp.experts.3.up_proj.weight", "BF16", (2, 2))])
    assert len(classify(MOE, files).other) == 1


def test_headers_win_and_the_difference_is_told() -> None:
    scheme, said = get_scheme("gptq-int4"), get_scheme("fp8")
    files = written(scheme, DENSE)
    found = checkpoint_from_headers(DENSE, files, id="x", source="test", scheme=said)
    assert found.nbytes() == total(files)
    assert found.scheme.name == "fp8"
    (line,) = [note for note in found.differences if note.startswith("text.dense_mlp")]
    assert "gptq-int4-g128" in line
    assert "fp8-block128" in line
    assert found.kernels == ("marlin-int4",)
    assert (
        checkpoint_from_headers(DENSE, files, id="x", source="t", scheme=scheme).differences == ()
    )


def test_mtp_is_what_the_files_hold() -> None:
    files = written(get_scheme("bf16"), DENSE)
    kept = tuple(tensor for tensor in files.tensors if not tensor.name.startswith("mtp."))
    without = checkpoint_from_headers(DENSE, replace(files, tensors=kept), id="x", source="t")
    assert without.model.mtp is not None
    assert not without.model.mtp.shipped
    assert "the files hold no mtp tensors" in without.differences
    undeclared = checkpoint_from_headers(replace(DENSE, mtp=None), files, id="x", source="t")
    assert undeclared.model.mtp is not None
    assert undeclared.model.mtp.shipped
    assert undeclared.other == 0


def test_mtp_as_one_more_layer() -> None:
    files = renamed(
        written(get_scheme("bf16"), DENSE),
        lambda name: name.replace("mtp.layers.0.", "model.language_model.layers.24."),
    )
    table = classify(DENSE, files)
    assert table.other == ()
    assert table.absent == ()


def test_missing_roles_are_named() -> None:
    files = written(get_scheme("bf16"), DENSE)
    kept = tuple(
        tensor
        for tensor in files.tensors
        if "embed_tokens" not in tensor.name and "layers.3.mlp.up_proj" not in tensor.name
    )
    table = classify(DENSE, replace(files, tensors=kept))
    assert set(table.missing) == {"text.embed_tokens", "text.dense_mlp (71 of 72)"}


def test_layers_stored_differently_become_rows_of_their_own() -> None:
    one, other = written(get_scheme("w4a16"), DENSE), written(get_scheme("w8a16"), DENSE)
    first = tuple(t for t in one.tensors if ".layers.0." not in t.name)
    second = tuple(t for t in other.tensors if ".layers.0." in t.name)
    table = classify(DENSE, replace(one, tensors=first + second))
    rows = [r for r in table.rows if r.tensor.name.endswith("layers.{layer}.mlp.up_proj.weight")]
    trunk = {r.format.name: r.tensor.layers for r in rows if r.tensor.part == "text"}
    assert trunk == {"ct-int8-g128": (0,), "ct-int4-g128": tuple(range(1, 24))}
    assert table.nbytes == sum(t.nbytes for t in first + second)


def test_an_engine_can_load_what_headers_show() -> None:
    files = written(get_scheme("bf16"), DENSE)
    odd = tuple(
        replace(t, dtype="U8", nbytes=t.nbytes // 3) if "mlp.up_proj" in t.name else t
        for t in files.tensors
    )
    found = checkpoint_from_headers(DENSE, replace(files, tensors=odd), id="x", source="t")
    held = weight_bytes(found, layout=Layout(), rules=LoadRules(), parts=("text", "vision", "mtp"))
    assert sum(held.values()) == found.nbytes()


@given(
    st.sampled_from(["BF16", "U8", "I32", "F8_E4M3", "X99"]),
    st.integers(1, 10**6),
    st.dictionaries(
        st.sampled_from(["weight_scale", "absmax", "qzeros", "odd"]), st.integers(1, 10**5)
    ),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_made_up_formats_weigh_what_was_found(
    dtype: Any, nbytes: Any, beside: Any, shape: Any
) -> None:
    pieces = Pieces(
        dtypes=(dtype,),
        nbytes=Fraction(nbytes),
        beside=tuple(sorted((kind, Fraction(size)) for kind, size in beside.items())),
    )
    assert infer_format(pieces, shape).nbytes(shape) == pieces.total


def test_every_inferred_family_exists() -> None:
    pieces = Pieces(dtypes=("Q4_K",), nbytes=Fraction(144), beside=(), ggml=True)
    assert infer_format(pieces, (1, 256)) is FORMATS["Q4_K"]
