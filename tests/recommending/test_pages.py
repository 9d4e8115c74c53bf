"""The page of recommendations says what the planner says; experts' rows are read as they are meant."""

import pytest

from benchmarks import expert_picks, recommendations
from planner import registry


@pytest.mark.parametrize("heading", recommendations.MACHINES)
def test_the_page_is_current_and_names_files_of_the_registry(heading: str) -> None:
    written = recommendations.PAGE.read_text(encoding="utf-8")
    assert recommendations.section(heading) in written
    answer = recommendations.answer(heading)
    choices = [*answer, *(miss.choice for miss in answer.misses)]
    assert choices
    for choice in choices:
        entry = registry.find(choice.entry.name)
        assert entry is not None
        assert entry == choice.entry
        assert entry.recommendable
        assert not choice.plan.deployment.checkpoint.hypothetical
        assert choice.plan.launch is not None
        assert (entry.name if entry.gguf else entry.repo) in choice.plan.launch.argv


def test_the_page_has_every_machine() -> None:
    written = recommendations.PAGE.read_text(encoding="utf-8")
    assert written.startswith(recommendations.HEAD)
    headings = [line[3:] for line in written.splitlines() if line.startswith("## ")]
    assert headings == list(recommendations.MACHINES)


@pytest.mark.parametrize(
    ("words", "bits"),
    [
        ("UD-Q4_K_XL", 4),
        ("IQ3_XXS", 3),
        ("Qwen/Qwen3.5-27B-FP8", 8),
        ("cyankiwi/X-AWQ-INT4", 4),
        ("4.7bit", 4.7),
        ("FP8 (also BF16)", 8),
        ("BF16", 16),
        ("top pick", None),
    ],
)
def test_bits_that_a_name_says(words: str, bits: float | None) -> None:
    assert expert_picks.bits_of(words) == bits


@pytest.mark.parametrize(
    ("words", "machine"),
    [
        ("1x RTX 3090 24 GB", "1x rtx 3090"),
        ("RTX 4070 12 GB + 32 GB RAM", "rtx 4070 + 32GB RAM"),
        ("2x DGX Spark 256 GB", "2x dgx-spark"),
        ("Mac 64 GB (M1 Max)", "M1 Max 64GB"),
        ("16 GB VRAM", "rtx-5060-ti-16"),
        ("8x H100 80 GB", "8x h100"),
        ("any, 397B GGUF", None),
    ],
)
def test_machines_that_rows_name(words: str, machine: str | None) -> None:
    assert expert_picks.machine_of(words) == machine
