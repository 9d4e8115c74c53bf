"""What the first page tells those who do not know its words and numbers."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from planner.layout import Layout
from planner.web.wording import layout_key, usable_words
from tests.present import some
from tests.web.test_question import text_of
from tests.web.test_run import found_for


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "Sold as 24 GB: programs get 23.6 GiB, of which 0.75 GiB stay free with llama.cpp."),
        (
            {"count": "2", "engine": "vllm"},
            "Sold as 24 GB each: programs get 23.6 GiB, of which 1.9 GiB stay free with vLLM.",
        ),
        ({"on": "apple-m4-max-64"}, "Sold as 64 GB: the GPU gets 51.8 GiB."),
        ({"on": "cpu, 64GB"}, ""),
        ({"on": "3090 + 3060"}, ""),
    ],
)
def test_what_is_left_of_the_memory_as_it_was_sold_is_told(
    asked: dict[str, str], words: str
) -> None:
    assert usable_words(some(found_for(**asked).plan)) == words


def test_what_a_newcomer_may_not_know_is_told(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-3090", model="Qwen3.6-27B")
    assert "KLD: how far predictions are from the 16-bit original's" in text_of(app)
    assert "Sold as 24 GB: programs get 23.6 GiB" in text_of(app)
    assert "Why its range is so wide" not in text_of(app)
    wide = open_app(v="2", on="mi300x", model="Qwen3.5-27B", weights="fp8")
    told = "Why its range is so wide: such machines were measured under other engines only"
    assert told in text_of(wide)


def test_the_letters_of_layouts_are_explained() -> None:
    both = [Layout(tensor_parallel=2), Layout(data_parallel=4, expert_parallel=True)]
    words = layout_key(both)
    assert [part.partition(":")[0] for part in words.split("; ")] == ["TP", "DP", "EP"]
