"""Every spelling that people and programs use finds its row; nothing that is typed breaks a reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.model import catalog
from planner.model.catalog import LONGEST
from planner.registry import Entry, check_file, entries, find
from planner.registry.by_name import base_of, gguf_recipe

ROWS = st.sampled_from(entries())


def spellings(row: Entry) -> list[str]:
    if row.ollama:
        return [row.repo, row.repo.upper(), f"ollama run {row.repo}"]
    found = [row.name, row.name.lower(), row.name.upper(), f"hf.co/{row.name}"]
    found += [f"-hf {row.name}", f"--hf-repo {row.name}", f" {row.name} "]
    if not row.label:
        found.append(f"https://huggingface.co/{row.repo}/tree/main")
    if row.file:
        found.append(f"{row.repo}/{row.file}")
        found.append(f"https://huggingface.co/{row.repo}/blob/main/{row.file}")
        stem = row.file.removesuffix(".gguf")
        found.append(f"{row.repo}/{stem}-00001-of-00003.gguf")
    return found


@given(row=ROWS, pick=st.integers(0, 20))
def test_every_row_is_found_by_each_of_its_spellings(row: Entry, pick: int) -> None:
    written = spellings(row)
    assert find(written[pick % len(written)]) == row


def test_every_row_is_found_by_its_name() -> None:
    missing = [row.name for row in entries() if find(row.name) != row]
    assert missing == []


def test_a_file_alone_is_found() -> None:
    for row in entries():
        if row.file and row.part == "model":
            found = find(row.file)
            assert found is not None, row.file
            assert found.file is not None
            assert found.file.lower() == row.file.lower()
            assert found.base == row.base


def test_a_precision_names_the_file() -> None:
    for row in entries():
        if row.label and row.part == "model":
            assert find(row.repo, precision=row.label) == row


@given(st.text(max_size=LONGEST + 50), st.none() | st.text(max_size=40))
def test_nothing_that_is_typed_breaks_the_reader(text: str, precision: str | None) -> None:
    found = find(text, precision=precision)
    assert found is None or isinstance(found, Entry)


@given(
    st.sampled_from(sorted({entry.id for entry in catalog.catalog()})),
    st.text("abcMTPUDQK48_-.:/ FPi1", max_size=30),
)
def test_names_near_real_ones_break_nothing(base: str, after: str) -> None:
    for text in (base + after, base.rpartition("/")[2] + after, f"{base}-GGUF:{after}"):
        found = find(text)
        assert found is None or found.base


def test_long_names_are_not_read() -> None:
    assert find("unsloth/Qwen3.5-27B-GGUF:" + "Q" * 10_000) is None
    assert find("a" * 1_000_000) is None


@pytest.mark.parametrize(
    ("typed", "name", "base", "recipe"),
    [
        ("unsloth/Qwen3.5-27B-GGUF", "unsloth/Qwen3.5-27B-GGUF:Q4_K_M", "27B", "q4_k_m"),
        (
            "unsloth/qwen3.5-27b-gguf:q4_k_xl",
            "unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL",
            "27B",
            "q4_k_m",
        ),
        ("Qwen3.8-27B-UD-Q4_K_XL.gguf", "unsloth/Qwen3.8-27B-GGUF:UD-Q4_K_XL", "27B", "q4_k_m"),
        (
            "Qwen3.5-397B-A17B-UD-Q4_K_XL-00001-of-00006.gguf",
            "unsloth/Qwen3.5-397B-A17B-GGUF:UD-Q4_K_XL",
            "397B",
            "q4_k_m",
        ),
        (
            "Qwen3.6-27B-int4-AutoRound",
            "Lorbus/Qwen3.6-27B-int4-AutoRound",
            "27B",
            "autoround-int4",
        ),
    ],
)
def test_rows_that_are_meant(typed: str, name: str, base: str, recipe: str) -> None:
    found = find(typed)
    assert found is not None
    assert found.name == name
    assert base in found.base
    assert found.recipe.startswith(recipe)
    assert not found.named


@pytest.mark.parametrize(
    ("typed", "base", "recipe", "label"),
    [
        ("Qwen_Qwen3.8-27B-Q4_K_M.gguf", "Qwen/Qwen3.8-27B", "q4_k_m", ""),
        ("Qwen3.8-27B.Q4_K_M.gguf", "Qwen/Qwen3.8-27B", "q4_k_m", ""),
        ("bartowski/Qwen_Qwen3.8-27B-GGUF:Q4_K_M", "Qwen/Qwen3.8-27B", "q4_k_m", "Q4_K_M"),
        ("unsloth/Qwen3.6-27B-MTP-GGUF:UD-Q5_K_XL", "Qwen/Qwen3.6-27B", "q5_k_m", "UD-Q5_K_XL"),
        ("someone/Qwen3.5-27B-FP8-dynamic", "Qwen/Qwen3.5-27B", "fp8-dynamic", ""),
        ("someone/Qwen3.5-27B-AWQ-4bit", "Qwen/Qwen3.5-27B", "awq-int4-g32", ""),
        ("someone/Qwen3.8-27B-NVFP4", "Qwen/Qwen3.8-27B", "nvfp4", ""),
        ("mlx-community/Qwen3.8-27B-4bit", "Qwen/Qwen3.8-27B", "mlx-4bit", ""),
        ("mirror/Qwen3.5-27B", "Qwen/Qwen3.5-27B", "bf16", ""),
        ("qwen3.6:35b", "Qwen/Qwen3.6-35B-A3B", "q4_k_m", ""),
        ("qwen3.6:latest", "Qwen/Qwen3.6-35B-A3B", "q4_k_m", ""),
        ("qwen3.5:27b-q8_0", "Qwen/Qwen3.5-27B", "q8_0", ""),
        ("qwen3.5:122b-a10b-q4_K_M", "Qwen/Qwen3.5-122B-A10B", "q4_k_m", ""),
        ("ollama run qwen3.6:27b-bf16", "Qwen/Qwen3.6-27B", "gguf-bf16", ""),
        ("qwen3-coder-next:q8_0", "Qwen/Qwen3-Coder-Next", "q8_0", ""),
    ],
)
def test_names_without_a_row_say_what_they_hold(
    typed: str, base: str, recipe: str, label: str
) -> None:
    found = find(typed)
    assert found is not None
    assert (found.base, found.recipe, found.label) == (base, recipe, label)
    assert found.named
    assert found.evidence == "name"
    assert found.nbytes is None
    assert not found.recommendable


def test_mtp_in_a_name_is_read() -> None:
    found = find("unsloth/Qwen3.6-27B-MTP-GGUF:UD-Q5_K_XL")
    assert found is not None
    assert found.mtp


@pytest.mark.parametrize(
    "typed",
    [
        "someone/Qwen3.5-0.8B-copy",
        "someone/Qwen3.5-27B-Uncensored-FP8",
        "Qwen/Qwen3-32B",
        "Qwen3-32B-Q4_K_M.gguf",
        "llama3:8b",
        "qwen3.8:latest",
        "qwen3.5:999b",
        "meta-llama/Llama-3-8B-GGUF:Q4_K_M",
        "unsloth/Qwen3.5-27B-GGUF:NOTAQUANT",
        "",
        " ",
        "/",
        ":",
    ],
)
def test_other_names_are_not_guessed(typed: str) -> None:
    assert find(typed) is None


@pytest.mark.parametrize(
    ("label", "recipe"),
    [
        ("Q4_K_M", "q4_k_m"),
        ("UD-Q4_K_XL", "q4_k_m"),
        ("UD-Q8_K_XL", "q8_0"),
        ("Q6_K_L", "q6_k"),
        ("i1-IQ3_XXS", "iq3_xxs"),
        ("IQ4_KS", "q4_k_m"),
        ("BF16", "gguf-bf16"),
        ("word", None),
        ("", None),
    ],
)
def test_the_recipe_nearest_to_a_label(label: str, recipe: str | None) -> None:
    assert gguf_recipe(label) == recipe


def test_shortened_sizes_name_one_model() -> None:
    assert base_of("qwen3.5-35b") == "Qwen/Qwen3.5-35B-A3B"
    assert base_of("Qwen3.6:35b") == "Qwen/Qwen3.6-35B-A3B"
    assert base_of("qwen3.5") is None
    assert base_of("qwen3.5-27b-something") is None


@pytest.mark.parametrize("name", ["unsloth/Qwen3.5-9B-GGUF:Q9_Z", "unsloth/Qwen3.5-9B-GGUF:Q4_Z"])
def test_a_quant_that_is_none_is_no_row(name: str) -> None:
    assert find(name) is None
    with pytest.raises(InputError, match=r"no file Q\d_Z is known; it has .*Q4_K_M") as refused:
        check_file(name, None)
    assert "mmproj" not in str(refused.value)


def test_every_label_that_was_read_as_a_type_still_is() -> None:
    """The pattern of a type refuses none that llama.cpp or an author of the registry writes."""
    for label in ("Q4_K_M", "UD-Q4_K_XL", "IQ2_XXS", "IQ4_NL_XL", "IQ4_KSS", "IQ1_KT", "Q4_0_4_4",
                  "Q8_K_P", "IQ3_M", "Q6_K", "Q2_K_MIXED", "IQ2_KL"):  # fmt: skip
        assert gguf_recipe(label) is not None, label


def test_latest_is_the_tag_of_the_same_digest() -> None:
    """`ollama run qwen3.5` pulls `:latest`: a file like any other."""
    found = find("qwen3.5:latest")
    assert found is not None
    assert found == find("qwen3.5:9b")
    assert found.base == "Qwen/Qwen3.5-9B"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Qwen3-32B", "Qwen/Qwen3.8-27B"),
        ("llama-3.3-70b", "Qwen/Qwen3-Next-80B-A3B-Instruct"),
        ("deepseek-r1", None),
    ],
)
def test_a_model_of_another_architecture_is_told_so(name: str, near: str | None) -> None:
    error = catalog.unknown(name)
    assert "another architecture" in str(error)
    assert (near or "`qwenplan models`") in str(error)
    assert "another architecture" not in str(catalog.unknown("gpt-nothing"))
