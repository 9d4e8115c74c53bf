"""docs/quality.md says what the code does; the room costs nothing until it is asked."""

import re
import subprocess
import sys
from pathlib import Path

from planner import registry
from planner.model import catalog
from planner.registry import floor_of
from planner.registry.measurements import measurements
from planner.registry.quality import EIGHT_BITS, RANGES
from planner.registry.sizing import GGUF_RECIPE, OTHER_RECIPE

PAGE = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")


def test_the_words_have_the_bounds_that_the_page_says() -> None:
    for bound, word in RANGES:
        assert re.search(rf"\| {word.text} \| up to {bound:g}\b", PAGE), word
    assert f"of {EIGHT_BITS} bits and more" in PAGE


def test_the_page_counts_what_is_shipped() -> None:
    protocols = {row.protocol for row in measurements()}
    assert f"{len(measurements())} measurements by {len(protocols)} protocols" in PAGE


def test_the_page_says_the_bands_of_recipes() -> None:
    low, high = (round(100 * share) for share in GGUF_RECIPE)
    assert f"GGUF: {low} % less to {high} % more; others: {round(100 * OTHER_RECIPE[0])} %" in PAGE


def test_the_page_says_every_floor() -> None:
    for entry in catalog.catalog():
        floor = floor_of(entry.id)
        assert floor is not None
        assert f"{floor.bits}" in PAGE


def test_every_public_name_is_there() -> None:
    for name in registry.__all__:
        assert getattr(registry, name).__doc__


def test_nothing_of_it_is_loaded_before_it_is_asked() -> None:
    program = (
        "import sys, planner;print([m for m in sys.modules if m.startswith('planner.registry.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
