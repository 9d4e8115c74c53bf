"""What goes along when the machine, the model or the engine changes, and what a link says that cannot hold."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from planner.web import address
from planner.web.answering import answer
from planner.web.asked import BEST, Asked
from tests.web.test_question import FAST, asked_for, field, line, text_of, typed

GGUF = "unsloth/Qwen3.6-27B-GGUF:UD-Q4_K_XL"


@pytest.mark.parametrize(
    ("picker", "words", "name", "value"),
    [
        ("engine", "lm studio", "with", "lmstudio"),
        ("engine", "LM-Studio", "with", "lmstudio"),
        ("engine", "llama.cpp", "with", "llamacpp"),
        ("engine", "TensorRT LLM", "with", "tensorrt-llm"),
        ("engine", "best for it", "with", BEST),
        ("model", "qwen3.5 4b", "model", "Qwen3.5-4B"),
        ("on", "rtx 4090 24gb", "on", "rtx-4090"),
    ],
)
def test_a_name_however_it_is_spelled_is_the_choice_of_the_list(
    open_app: Callable[..., AppTest], picker: str, words: str, name: str, value: str
) -> None:
    """What was typed stood in the list a second time, and LM Studio was planned as llama.cpp."""
    query = {"v": "2", "on": "rtx-3090", "model": "Qwen3.5-2B"}
    app = typed(open_app(**query), picker, words)
    assert asked_for(app)[name] == value
    box = field(app.selectbox, picker)
    assert box.value == value
    assert len(set(box.options)) == len(box.options)


def test_a_program_with_llama_cpp_inside_is_named_however_it_is_spelled() -> None:
    for words in ("LM Studio", "lm studio", "lmstudio"):
        asked, _ = address.read({"v": "2", "on": "rtx-4090", "with": words}, Asked(on="rtx-4090"))
        assert asked.engine == "lmstudio"


@pytest.mark.parametrize("words", ["3060", "M4 Max"])
def test_which_of_several_machines_is_assumed_is_said(
    open_app: Callable[..., AppTest], words: str
) -> None:
    query = {"v": "2", "on": "rtx-4090", "model": "Qwen3.5-2B"}
    assert f"{words} is sold with" in text_of(typed(open_app(**query), "on", words))
    assert f"{words} is sold with" in text_of(open_app(**{**query, "on": words}))


def test_an_empty_value_of_a_link_is_left_out(open_app: Callable[..., AppTest]) -> None:
    """It gave "no known checkpoint as  fits" and "Fixed by you: ****"."""
    app = open_app(**{**FAST, "weights": "", "kv": "", "ram": ""})
    assert "**fits**" in line(app)
    assert "****" not in text_of(app)
    assert "This link leaves out the precision" in text_of(app)


@pytest.mark.parametrize(
    ("query", "part", "words", "instead"),
    [
        ({"weights": "Q99_K"}, "weights", "did you mean q6_k or q2_k", "q6_k"),
        ({"weights": "fp9", "model": "Qwen3.5-9B", "with": "vllm"}, "weights", "did you mean fp8", "fp8"),
        ({"weights": "UD-Q4_K_XL", "model": "Qwen3.5-27B", "with": "vllm"}, "engine",
         "llama.cpp loads UD-Q4_K_XL", "llamacpp"),
        ({"weights": "q4_k_m", "with": "vllm"}, "engine", "vLLM loads nothing", "llamacpp"),
        ({"on": "potato", "count": "2"}, "on", "unknown hardware", ""),
        ({"ram": "-1"}, "ram", "RAM must be", ""),
        ({"on": "custom", "memory": "inf"}, "memory", "is no size", ""),
        ({"context": "1000000000000"}, "context", "longest that YaRN", "1M"),
        ({"context": "1000000000000", "yarn": "yes", "model": "Qwen3.5-9B"}, "context", "longest", "1M"),
        ({"context": "1M"}, "yarn", "every model of the family", "yes"),
    ],
)  # fmt: skip
def test_a_problem_names_its_part_and_what_works(
    query: dict[str, str], part: str, words: str, instead: str
) -> None:
    asked, _ = address.read({"v": "2", "on": "rtx-4090"} | query, Asked(on="rtx-4090"))
    (problem,) = answer(asked).problems
    assert problem.part == part
    assert words in problem.text
    assert problem.instead[:1] == ((instead,) if instead else ())


def test_the_name_of_a_file_is_planned_in_the_engine_that_loads_it() -> None:
    """llama.cpp was told of an unknown precision where Q4_K_M was one."""
    asked = Asked(on="rtx-4090", model="Qwen3.5-27B", weights="UD-Q4_K_XL", engine="llamacpp")
    found = answer(asked)
    assert not found.problems
    assert found.choice is not None
    assert found.choice.entry.label == "UD-Q4_K_XL"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"v": "99"}, "version '99'"),
        ({"v": "abc"}, "version 'abc'"),
        ({"memory": "24"}, "memory=24"),
        ({"on": ["rtx-3090", "rtx-4090"]}, "says on 2 times: 'rtx-4090' is taken"),
    ],
)
def test_a_word_of_a_link_that_does_not_hold_is_told(
    open_app: Callable[..., AppTest], query: dict[str, Any], words: str
) -> None:
    app = open_app(**{"v": "2", "on": "rtx-4090", "model": "Qwen3.5-2B"} | query)
    assert words in text_of(app)


def test_degrees_in_a_link_of_today_are_the_layout(open_app: Callable[..., AppTest]) -> None:
    """tp=7 was dropped without a word."""
    app = open_app(**FAST, tp="7")
    assert asked_for(app)["layout"] == "tp7"
    assert "7 accelerators" in line(app)


def test_what_an_engine_does_not_take_is_left_behind_with_a_word(
    open_app: Callable[..., AppTest],
) -> None:
    query = {
        "v": "2",
        "on": "rtx-4090",
        "model": "Qwen3.6-27B",
        "weights": GGUF,
        "with": "llamacpp",
    }
    app = open_app(**query, kv="q8_0")
    app.selectbox(key="engine").set_value("vllm").run()
    said = text_of(app).replace("\u2060", "")
    assert (
        f"vLLM does not load {GGUF}: one that it loads is picked; the model stays Qwen3.6-27B"
        in said
    )
    assert "no KV cache of q8_0" in said
    assert asked_for(app)["weights"] == BEST
    assert "kv" not in asked_for(app)
    app.button(key="undo").click().run()
    assert asked_for(app)["weights"] == GGUF
    assert asked_for(app)["kv"] == "q8_0"
    assert "does not load" not in text_of(app)


def test_options_stay_with_their_engine(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**FAST, **{"o-max_num_seqs": "8"})
    app.selectbox(key="engine").set_value("sglang").run()
    assert "Left behind with vLLM: --max-num-seqs 8" in text_of(app)
    assert "o-max_num_seqs" not in asked_for(app)


def test_another_model_says_what_becomes_of_the_checkpoint(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app(v="2", on="rtx-4090", model="Qwen3.6-27B", weights=GGUF)
    app.selectbox(key="model").set_value("Qwen3.5-2B").run()
    said = text_of(app).replace("\u2060", "")
    assert f"{GGUF} is one of Qwen3.6-27B: one of Qwen3.5-2B is picked" in said


@pytest.mark.parametrize(
    ("on", "stays"),
    [("rtx-5090", True), ("rtx-3060-12", True), ("h100-sxm", False), ("strix-halo-128", False),
     ("dgx-h100", False)],
)  # fmt: skip
def test_ram_stays_where_a_card_is_changed_for_another(
    open_app: Callable[..., AppTest], on: str, stays: bool
) -> None:
    """64 GB said for an RTX 4090 were taken for eight H100, too."""
    app = open_app(v="2", on="rtx-4090", model="Qwen3.5-2B", ram="64")
    app.selectbox(key="on").set_value(on).run()
    assert ("ram" in asked_for(app)) is stays
    assert ("64 GB of RAM were said of another machine" in text_of(app)) is not stays


def test_a_ladder_is_empty_for_a_reason(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-4090", model="Qwen3.5-2B", kv="fp8", **{"with": "llamacpp"})
    said = text_of(app)
    assert "No size runs as it was asked: llama.cpp has no KV cache type fp8" in said
    assert "is known" not in said


def test_let_it_pick_opens_what_came_with_a_rung(open_app: Callable[..., AppTest]) -> None:
    """Model and engine stayed fixed, and nothing on the page said so."""
    app = open_app(v="2", on="rtx-3060-12", context="4k")
    app.pills(key="front-take").set_value(0).run()
    assert "Fixed by you" in text_of(app)
    assert asked_for(app)["model"] != BEST
    app.button(key="let-it-pick").click().run()
    assert (asked_for(app)["model"], asked_for(app)["with"]) == (BEST, BEST)
    assert "Fixed by you" not in text_of(app)


def test_let_it_pick_leaves_what_the_visitor_chose(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-3060-12", context="4k", model="Qwen3.5-2B")
    app.pills(key="front-take").set_value(0).run()
    app.button(key="let-it-pick").click().run()
    assert asked_for(app)["model"] == "Qwen3.5-2B"


@pytest.mark.parametrize(("on", "count"), [("rtx-4090", "2"), ("strix-halo-128", "1")])
def test_a_number_of_cards_is_no_number_of_computers(
    open_app: Callable[..., AppTest], on: str, count: str
) -> None:
    app = open_app(v="2", on="rtx-3090", count="2", model="Qwen3.5-2B")
    app.selectbox(key="on").set_value(on).run()
    assert asked_for(app)["count"] == count
    assert ("were of another kind of machine" in text_of(app)) is (count == "1")


def test_what_the_visitors_own_options_forbid_is_said_to_be_theirs(
    open_app: Callable[..., AppTest],
) -> None:
    """'No known checkpoint fits here', of 64 users with --max-num-seqs 4 and 32 GiB to spare."""
    query = {"v": "2", "on": "h100-sxm", "model": "Qwen3.5-2B", "with": "vllm", "users": "64"}
    app = open_app(**query, **{"o-max_num_seqs": "4"})
    assert "No known checkpoint fits here with the options that you set" in text_of(app)
    app.button(key="let-it-pick").click().run()
    assert "**fits**" in line(app)
