"""Losses: a file's own value, the spread of its kind, one protocol per comparison, words by ranges."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.registry import (
    Entry,
    Word,
    cache_losses,
    compare,
    entries,
    find,
    loss_of,
    measured_of,
)
from planner.registry.measurements import KLD, PERPLEXITY, measurements
from planner.registry.quality import RANGES, loss_of_kind, word_of

MODELS = [row for row in entries() if row.part == "model"]


def entry(name: str) -> Entry:
    found = find(name)
    assert found is not None
    return found


def test_every_measurement_has_protocol_source_and_date() -> None:
    assert len(measurements()) == 751
    for row in measurements():
        assert row.protocol.source
        assert row.date.startswith("2026")


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL", 0.005087, Word.NEAR_LOSSLESS),
        ("unsloth/Qwen3.6-27B-GGUF:UD-Q4_K_XL", 0.013, Word.SMALL),
        ("unsloth/Qwen3.6-27B-GGUF:UD-IQ3_XXS", 0.086, Word.NOTICEABLE),
        ("unsloth/Qwen3.6-27B-GGUF:UD-IQ2_XXS", 0.28, Word.LARGE),
        ("unsloth/Qwen3.6-27B-GGUF:Q8_0", 0.00049, Word.ORIGINAL),
        ("unsloth/Qwen3.5-35B-A3B-GGUF:UD-Q4_K_XL", 0.009737, Word.SMALL),
        ("Qwen/Qwen3.8-27B-FP8", 0.005294, Word.ORIGINAL),
        ("unsloth/Qwen3.8-27B-NVFP4", 0.031059, Word.NOTICEABLE),
        ("sakamakismile/Qwen3.8-27B-MTP-NVFP4", 0.15128, Word.LARGE),
        ("turboderp/Qwen3.8-27B-exl3:5.00bpw", 0.004005, Word.NEAR_LOSSLESS),
    ],
)
def test_a_file_is_judged_by_its_own_measurement(name: str, value: float, word: Word) -> None:
    loss = loss_of(entry(name))
    assert loss.basis == "file"
    assert loss.value == value
    assert loss.metric == KLD
    assert loss.word is word
    assert "measured for this file" in loss.text
    assert loss.source


def test_a_file_that_was_replaced_is_not_this_file() -> None:
    rows = measured_of(entry("unsloth/Qwen3.5-35B-A3B-GGUF:UD-Q4_K_XL"))
    assert 0.0137 not in [row.value for row in rows]


def test_files_that_nobody_measured_have_the_spread_of_their_kind() -> None:
    loss = loss_of(entry("bartowski/Qwen_Qwen3.6-27B-GGUF:Q5_K_M"))
    assert loss.basis == "kind"
    assert loss.low is not None
    assert loss.high is not None
    assert loss.value is not None
    assert loss.low <= loss.value <= loss.high
    assert loss.files > 3
    assert "in 5 files of this kind" in loss.text


def test_one_of_nvfp4_says_little_of_another() -> None:
    loss = loss_of(entry("vrfai/Qwen3.6-27B-NVFP4"))
    assert loss.basis == "kind"
    assert loss.low is not None
    assert loss.high is not None
    assert loss.high / loss.low > 4


def test_what_nobody_measured_of_its_format_goes_by_its_bits() -> None:
    loss = loss_of(entry("mlx-community/Qwen3.6-27B-4bit"))
    assert loss.basis == "bits"
    assert "GGUF files with as many bits" in loss.text


def test_small_models_go_by_perplexity_which_sees_no_half_percent() -> None:
    loss = loss_of(entry("unsloth/Qwen3.5-9B-GGUF:Q4_K_M"))
    assert loss.metric == PERPLEXITY
    assert loss.word >= Word.NEAR_LOSSLESS
    assert loss_of(entry("unsloth/Qwen3.5-0.8B-GGUF:Q4_K_M")).word >= Word.NOTICEABLE


def test_sixteen_bits_lose_nothing() -> None:
    for name in ("Qwen/Qwen3.5-27B", "unsloth/Qwen3.5-27B-GGUF:BF16"):
        found = find(name)
        if found is not None:
            assert loss_of(found).basis == "original"
            assert loss_of(found).word is Word.ORIGINAL


@given(st.sampled_from(MODELS))
def test_every_checkpoint_has_a_word_and_a_line(row: Entry) -> None:
    loss = loss_of(row)
    assert loss.text.startswith(loss.said.text)
    assert "\n" not in loss.text
    if loss.value is not None:
        assert loss.low is not None
        assert loss.high is not None
        assert loss.low <= loss.value <= loss.high


def test_fewer_bits_of_one_kind_never_read_better() -> None:
    words = [
        loss_of_kind("Qwen/Qwen3.6-27B", "gguf", bits).word for bits in (3.0, 4.0, 4.7, 5.5, 8.5)
    ]
    assert words == sorted(words, reverse=True)
    assert words[0] is Word.LARGE
    assert words[-1] is Word.ORIGINAL


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_larger_loss_has_no_better_word(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert word_of(small) <= word_of(large)


def test_ranges_are_wider_than_protocols_are_apart() -> None:
    bounds = [bound for bound, _ in RANGES]
    assert all(high / low >= 2.5 for low, high in pairwise(bounds))


def test_a_comparison_is_by_one_protocol() -> None:
    labels = ("UD-Q4_K_XL", "Q5_K_M", "Q8_0")
    files = [entry(f"unsloth/Qwen3.6-27B-GGUF:{label}") for label in labels]
    other = entry("Lorbus/Qwen3.6-27B-int4-AutoRound")
    found = compare([*files, other])
    assert found.protocol is not None
    assert "quesma" in found.protocol.source
    assert list(found.losses.values()) == [0.013, 0.0052, 0.00049]
    assert found.missing == (other,)
    nothing = compare([other])
    assert nothing.protocol is None
    assert nothing.missing == (other,)


def test_values_against_fp8_are_no_losses_of_the_original() -> None:
    against = [row for row in measurements() if row.protocol.against]
    assert len(against) >= 4
    for row in against:
        assert row.protocol.against == "FP8"
    loss = loss_of(entry("nvidia/Qwen3.5-397B-A17B-NVFP4"))
    assert loss.basis != "file"


@pytest.mark.parametrize(
    ("cache", "values"),
    [("q8_0", [0.0067]), ("fp8", [0.001655]), ("fp8_e4m3", [0.001655]), ("q4_0", [0.00912])],
)
def test_caches_in_fewer_bits_lose_something(cache: str, values: list[float]) -> None:
    assert [loss.value for loss in cache_losses(cache)] == values


def test_nothing_is_said_of_caches_that_nobody_measured() -> None:
    assert cache_losses("f16") == ()
    assert cache_losses("nvfp4") == ()


def test_eight_bits_are_named_as_such_with_their_number() -> None:
    """A file of 8 bits was called a small loss beside "8 bits count as the original"."""
    measured = loss_of(entry("Qwen/Qwen3.8-27B-FP8"))
    assert measured.word is Word.ORIGINAL
    assert measured.said is Word.EIGHT_BITS
    counts = "8 bits, which count as the original"
    assert measured.text == f"{counts} (KLD 0.0053, measured for this file)"
    assert measured.evidence == "KLD 0.0053, measured for this file"
    kind = loss_of(entry("Qwen/Qwen3.5-27B-FP8"))
    assert kind.word is Word.ORIGINAL
    assert kind.text == f"{counts} (KLD 0.0053–0.052 in 4 files of this kind)"
    unmeasured = loss_of(entry("Qwen/Qwen3.5-27B"))
    assert (unmeasured.text, unmeasured.evidence) == ("as the original", "")


def test_a_word_that_the_shown_number_does_not_give_says_where_it_is_from() -> None:
    counted = 0
    for entry in entries():
        loss = loss_of(entry)
        if loss.basis != "file" or loss.value is None or loss.said is Word.EIGHT_BITS:
            continue
        follows = loss.said is word_of(loss.value)
        assert follows != ("judged with others of its kind" in loss.text), loss.text
        counted += not follows
    assert counted
