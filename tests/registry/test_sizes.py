"""A row becomes a checkpoint: published bytes over the roles, a band where something is not known."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.errors import PlannerError, UnsupportedModelError
from planner.memory.breakdown import Kind
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import get_scheme
from planner.provenance import Band, Confidence
from planner.registry import (
    Entry,
    bundled_checkpoint,
    checkpoint_of,
    effective_bits,
    entries,
    find,
    spread_of,
    stored_as,
)
from planner.registry.scaled import ScaledScheme, scale_to
from planner.registry.sizing import parts_of, recipe_bytes, tensor_bytes
from planner.units import MIB

BUNDLED = {entry.id for entry in catalog.catalog()}
MODELS = [row for row in entries() if row.part == "model" and row.base in BUNDLED]


def entry(name: str) -> Entry:
    found = find(name)
    assert found is not None
    return found


@given(st.sampled_from(MODELS))
@settings(max_examples=200)
def test_bytes_are_the_published_ones(row: Entry) -> None:
    checkpoint = checkpoint_of(row)
    assert checkpoint.id == row.repo
    if row.nbytes is None:
        assert checkpoint.band is not None
        return
    got = checkpoint.nbytes(*parts_of(row, checkpoint.model))
    most = max(row.within, recipe_bytes(row) // 500) + 200_000
    assert abs(got - tensor_bytes(row)) <= most
    if row.within:
        assert checkpoint.band is not None
        assert min(checkpoint.band.below, checkpoint.band.above) >= row.within


def test_an_exact_file_of_another_mix_loads_what_was_logged() -> None:
    """W28: unsloth's plain Q4_K_S of the 9B is mapped as 5,134 MiB (start-up log)."""
    checkpoint = checkpoint_of(entry("unsloth/Qwen3.5-9B-GGUF:Q4_K_S"))
    assert round(checkpoint.nbytes("text", "mtp") / MIB) == 5134
    assert checkpoint.band is not None
    assert checkpoint.band.above < 100 * MIB


@pytest.mark.parametrize(
    ("name", "host", "accelerator"),
    [
        ("unsloth/Qwen3.5-9B-GGUF:UD-Q4_K_XL", 545.62, 5133.63),  # Vulkan, RTX 3080 Ti
        ("unsloth/Qwen3.8-27B-GGUF:UD-Q4_K_XL", 682.03, 15718.48),  # ROCm, Strix Halo
    ],
)
def test_a_file_is_spread_as_start_ups_log_it(name: str, host: float, accelerator: float) -> None:
    """The table on the host to the byte; the rest within 0.5 %: the MTP block is not loaded."""
    checkpoint = checkpoint_of(entry(name))
    table = checkpoint.bytes_by_component["text", "embed_tokens", "Q4_K"]
    assert round(table / MIB, 2) == host
    rest = (checkpoint.nbytes("text") - table) / MIB
    assert rest == pytest.approx(accelerator, rel=0.005)
    band = checkpoint.band_on(checkpoint.nbytes("text") - table)
    assert band is not None
    assert rest - band.below / MIB <= accelerator <= rest + band.above / MIB + 0.1


def test_llama_cpp_loads_what_the_log_says() -> None:
    plan = planner.plan(
        "unsloth/Qwen3.5-9B-GGUF:UD-Q4_K_XL", on="rtx-3090", engine="llamacpp", context=8192
    )
    assert plan.ranks[0].of_kind(Kind.WEIGHTS) / MIB == pytest.approx(5133.63, abs=0.1)


def test_llama_cpp_plans_a_file_by_its_own_size() -> None:
    rows = ["unsloth/Qwen3.5-27B-GGUF:Q4_K_M", "unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL"]
    plans = [planner.plan(name, on="rtx-3090", engine="llamacpp", context=8192) for name in rows]
    for name, plan in zip(rows, plans, strict=True):
        assert plan.fits, plan.verdict
        assert plan.launch is not None
        assert plan.launch.argv[:3] == ("llama-server", "-hf", name)
    small, large = (plan.ranks[0].of_kind(Kind.WEIGHTS) for plan in plans)
    assert large - small == pytest.approx(17_621_125_024 - 16_740_812_704, abs=MIB)


@pytest.mark.parametrize("name", ["Lorbus/Qwen3.6-27B-int4-AutoRound", "nvidia/Qwen3.6-27B-NVFP4"])
def test_vllm_serves_the_repository_that_was_asked(name: str) -> None:
    plan = planner.plan(name, on="rtx-5090", context=8192)
    assert plan.launch is not None, plan.verdict
    assert plan.launch.argv[:3] == ("vllm", "serve", name)


def test_exact_recipes_carry_no_band() -> None:
    for name in ("Qwen/Qwen3.5-27B", "unsloth/Qwen3.5-27B-GGUF:Q8_0", "Qwen/Qwen3.8-27B-FP8"):
        checkpoint = checkpoint_of(entry(name))
        assert checkpoint.band is None, name
        assert checkpoint.band_on(10**9) is None
        assert checkpoint.confidence(Confidence.ENGINE_RULE) is Confidence.ENGINE_RULE


def test_a_band_goes_to_the_weights_by_share() -> None:
    model = catalog.catalog()[0].model
    checkpoint = Checkpoint(
        id="x",
        model=model,
        scheme=get_scheme("bf16"),
        source="test",
        band=Band(below=100, above=300),
    )
    whole = checkpoint.nbytes("text", "mtp")
    assert checkpoint.band_on(whole) == Band(below=100, above=300)
    assert checkpoint.band_on(whole // 2) == Band(below=50, above=150)
    assert checkpoint.band_on(2 * whole) == Band(below=100, above=300)
    assert checkpoint.band_on(0) is None
    assert checkpoint.confidence(Confidence.ENGINE_RULE) is Confidence.PUBLISHED
    assert checkpoint.confidence(Confidence.EXACT) is Confidence.PUBLISHED
    assert checkpoint.confidence(Confidence.ASSUMED) is Confidence.ASSUMED


def test_mtp_is_where_the_row_says() -> None:
    without = checkpoint_of(entry("unsloth/Qwen3.5-27B-GGUF:Q4_K_M"))
    inside = checkpoint_of(entry("unsloth/Qwen3.8-27B-GGUF:UD-Q4_K_XL"))
    assert without.nbytes("mtp") == 0
    assert inside.nbytes("mtp") > 0
    assert without.model.mtp is not None
    assert not without.model.mtp.shipped


def test_what_is_no_model_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match="vision tower"):
        checkpoint_of(entry("unsloth/Qwen3.8-27B-GGUF:mmproj-F16"))
    with pytest.raises(UnsupportedModelError, match="drafter"):
        checkpoint_of(entry("z-lab/Qwen3.6-27B-DFlash"))
    assert effective_bits(entry("z-lab/Qwen3.6-27B-DFlash")) is None


def test_notes_say_what_is_not_exact() -> None:
    named = checkpoint_of(entry("someone/Qwen3.5-27B-NVFP4"))
    assert "it was not read" in named.remarks[0]
    assert named.source == "by its name, not read"
    assert not named.published
    tuned = checkpoint_of(entry("HauhauCS/Qwen3.5-27B-Uncensored-HauhauCS-Aggressive:Q4_K_M"))
    assert any("fine-tune" in note for note in tuned.remarks)
    rounded = checkpoint_of(entry("Lorbus/Qwen3.6-27B-int4-AutoRound"))
    assert "its size is published to about" in rounded.remarks[0]


@given(st.sampled_from(["q4_k_m", "q8_0", "nvfp4", "mlx-4bit", "bf16"]), st.integers(1, 10**12))
def test_scaling_reaches_any_total(name: str, nbytes: int) -> None:
    model = next(e.model for e in catalog.catalog() if e.id == "Qwen/Qwen3.5-4B")
    like = get_scheme(name)
    rows = [row for row in like.store(model) if row.tensor.part != "vision"]
    factor, everything = scale_to(rows, nbytes)
    scaled = ScaledScheme(
        name="x", title="x", source="x", like=like, factor=factor, everything=everything
    )
    got = sum(row.nbytes for row in scaled.store(model) if row.tensor.part != "vision")
    assert abs(got - nbytes) <= 1_000_000 + nbytes // 10**6
    kernels = {row.format.kernel for row in scaled.store(model)}
    assert kernels == {row.format.kernel for row in like.store(model)}


def test_a_factor_is_exact_to_a_millionth() -> None:
    model = next(e.model for e in catalog.catalog() if e.id == "Qwen/Qwen3.5-4B")
    factor, _ = scale_to(get_scheme("q4_k_m").store(model), 3_000_000_000)
    assert factor.denominator <= 10**7
    assert Fraction(1, 2) < factor < 3


def test_a_precision_is_a_checkpoint_that_exists() -> None:
    plain = bundled_checkpoint("Qwen/Qwen3.5-27B", precision="q4_k_m")
    assert not plain.hypothetical
    assert plain.scheme == get_scheme("q4_k_m")
    assert plain.band == spread_of("Qwen/Qwen3.5-27B", "q4_k_m")
    assert "bartowski/Qwen_Qwen3.5-27B-GGUF:Q4_K_M (16.0 GiB)" in plain.notes[0]
    dynamic = bundled_checkpoint("Qwen/Qwen3.5-397B-A17B", precision="fp8-dynamic")
    assert (dynamic.id, dynamic.hypothetical) == ("RedHatAI/Qwen3.5-397B-A17B-FP8-dynamic", False)
    assert (
        dynamic.nbytes()
        == catalog.bundled_checkpoint("Qwen/Qwen3.5-397B-A17B", precision="fp8-dynamic").nbytes()
    )
    official = bundled_checkpoint("Qwen/Qwen3.5-27B", precision="fp8")
    assert (official.id, official.band) == ("Qwen/Qwen3.5-27B-FP8", None)


def test_another_recipe_of_the_same_name_does_not_stand_for_it() -> None:
    """xega-ai's FP8-Dynamic of the 35B is 6.5 % smaller than llm-compressor's recipe."""
    found = bundled_checkpoint("Qwen/Qwen3.5-35B-A3B", precision="fp8-dynamic")
    assert found.hypothetical
    assert found.scheme == get_scheme("fp8-dynamic")


def test_a_precision_that_nobody_publishes_stays_a_hypothesis() -> None:
    assert stored_as("Qwen/Qwen3.5-27B", "mxfp6") is None
    assert bundled_checkpoint("Qwen/Qwen3.5-27B", precision="mxfp6").hypothetical
    base = bundled_checkpoint("Qwen/Qwen3.5-9B-Base", precision="q4_k_m")
    assert base.hypothetical  # files of the 9B hold other weights
    assert base.id == "Qwen/Qwen3.5-9B-Base"


def test_files_of_a_type_differ_by_author() -> None:
    band = spread_of("Qwen/Qwen3.5-27B", "q4_k_m")
    assert band is not None
    assert 0 <= band.below < 20 * MIB
    assert 100 * MIB < band.above < 700 * MIB
    assert spread_of("Qwen/Qwen3.5-27B", "q2_0") is None


def test_rows_never_store_a_derivative_for_a_precision() -> None:
    for base in BUNDLED:
        for scheme in ("q4_k_m", "q8_0", "fp8", "nvfp4", "mlx-4bit"):
            row = stored_as(base, scheme)
            assert row is None or (row.recommendable and row.base == base)


def test_a_row_of_a_model_that_is_not_bundled_is_an_input_error() -> None:
    row = replace(next(iter(entries())), base="Qwen/Qwen9-1B")
    with pytest.raises(PlannerError):
        checkpoint_of(row)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unsloth/Qwen3.6-27B-GGUF:Q6_K", "its size is published to about 54 MB: 21.0 GiB"),
        ("qwen3.5:35b", "its size is published to about 500 MB: 22.4 GiB"),
    ],
)
def test_a_size_that_was_printed_rounded_says_so(name: str, told: str) -> None:
    assert f"{name}: {told}" in planner.load_checkpoint(name).remarks
