"""The first page: every number is the command line's; a click takes what it shows."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from planner.cli.main import run
from planner.document import plan_document
from planner.recommending import recommend
from planner.registry import loss_of
from planner.throughput.answer import two_digits
from planner.units import GIB, format_gib
from planner.wanting import want
from planner.web.answering import alternatives, answer
from planner.web.asked import Asked
from planner.web.figures.front import describe_front, dot_name, front_figure
from planner.web.ladder import MOST, ladder
from planner.web.palette import LIGHT_THEME_TEXT
from planner.web.solving import Answer
from planner.web.stored import bytes_of
from planner.web.taken import asked_of_choice
from planner.web.theme import WORDS
from planner.web.views.run import parts_words, plan_json
from planner.web.views.run_ladder import table
from tests.present import some
from tests.web.test_question import asked_for, line, text_of

QUESTIONS = [
    ("Qwen3.6-27B", "rtx-3090", 1, {}),
    ("Qwen3.6-27B", "rtx-4090", 1, {"engine": "vllm"}),
    ("Qwen3.5-27B", "rtx-5090", 1, {"engine": "vllm", "weights": "fp8"}),
    ("Qwen3.5-9B", "rtx-3060-12", 1, {}),
    ("Qwen3.5-9B", "rtx-4090", 1, {"engine": "sglang", "weights": "fp8", "users": "4"}),
    ("Qwen3.5-4B", "rtx-4060", 1, {"engine": "llamacpp", "weights": "q8_0"}),
    ("Qwen3.5-4B", "rtx-4090", 1, {"engine": "transformers", "weights": "bf16"}),
    ("Qwen3.5-35B-A3B", "h100", 8, {"users": "200"}),
    ("Qwen3.5-35B-A3B", "rtx-5090", 2, {"engine": "vllm", "weights": "fp8", "context": "64k"}),
    ("Qwen3.5-35B-A3B", "rtx-4090", 1, {"engine": "llamacpp"}),
    ("Qwen3.5-122B-A10B", "dgx-spark", 1, {}),
    ("Qwen3.5-122B-A10B", "rtx-3090", 2, {"engine": "llamacpp"}),
    ("Qwen3.5-122B-A10B", "h200", 2, {"engine": "sglang", "weights": "fp8"}),
    ("Qwen3.6-35B-A3B", "strix-halo-128", 1, {"context": "128k"}),
    ("Qwen3.6-27B", "mac-studio-m4-max-128", 1, {"engine": "mlx"}),
    ("Qwen3.6-35B-A3B", "mac-studio-m3-ultra-256", 1, {}),
    ("Qwen3.5-9B", "apple-m4-24", 1, {"engine": "mlx", "weights": "mlx-4bit"}),
    ("Qwen3.5-27B", "h100", 1, {"engine": "tensorrt-llm", "weights": "fp8"}),
    ("Qwen3.5-27B", "rtx-4090", 1, {"engine": "vllm", "weights": "bf16"}),
    ("Qwen3.5-397B-A17B", "h200", 8, {"engine": "vllm", "weights": "fp8", "users": "16"}),
]  # fmt: skip
"""Model, machine, how many, and what else is said; six engines."""

FLAGS = {
    "engine": "--engine",
    "weights": "--precision",
    "context": "--context",
    "users": "--concurrency",
}


def told(
    capsys: pytest.CaptureFixture[str], model: str, on: str, count: int, more: dict[str, str]
) -> dict[str, Any]:
    """What the command line says to the same question."""
    words = ["plan", model, "--on", f"{count}x {on}" if count > 1 else on, "--json"]
    for name, value in more.items():
        words += [FLAGS[name], value]
    capsys.readouterr()
    run(words)
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize(
    ("model", "on", "count", "more"), QUESTIONS, ids=lambda part: str(part).replace("'", "")
)
def test_the_page_says_what_the_command_line_says(
    open_app: Callable[..., AppTest],
    capsys: pytest.CaptureFixture[str],
    model: str,
    on: str,
    count: int,
    more: dict[str, str],
) -> None:
    document = told(capsys, model, on, count, more)
    query = {"with" if name == "engine" else name: value for name, value in more.items()}
    app = open_app(**{"v": "2", "model": model, "on": on, "count": str(count), **query})
    assert not app.exception
    said, rank = line(app), document["ranks"][0]
    amount = format_gib(abs(rank["headroom"]))
    if document["outcome"].startswith("starts"):
        amount = f"{document['capacity']['sequences']:,} of {more['users']} at once"
    assert amount in said
    cached = sum(term["bytes"] for term in rank["terms"] if term["kind"] == "KV cache")
    assert f"KV cache {format_gib(cached).removesuffix(' GiB')} ·" in text_of(app)
    launch = document["launch"]
    assert (launch is None) == (document["outcome"] == "does not fit")
    if launch is not None:
        (box,) = [code for code in app.code if code.value == launch["command"]]
        assert box.language == WORDS, "each flag stays on one line"
    assert ("What to type" in text_of(app)) == (launch is not None)
    if document["outcome"] in ("fits", "tight"):
        rate = (document["speed"] or {}).get("per_user")
        assert rate is None or f"about {two_digits(rate['value'])} tok/s" in said
        longest = document["capacity"]["longest_context"]
        assert f"up to {longest // 1024}k" in said
        assert f"Room for {document['capacity']['sequences']:,} at once" in text_of(app)
    found = answer(Asked(on=on, count=str(count), model=model, **more))  # type: ignore[arg-type]
    page = json.loads(plan_json(found, some(found.plan)))
    for part in ("verdict", "ranks", "capacity", "launch", "speed", "model", "hardware"):
        assert page[part] == document[part]


def found_for(**words: str) -> Answer:
    return answer(Asked(**{"on": "rtx-3090", "model": "Qwen3.6-27B", **words}))  # type: ignore[arg-type]


def test_the_ladder_goes_down_in_size_and_never_up_in_quality() -> None:
    found = found_for()
    rungs = ladder(some(found.wanted), some(found.plan).engine, found.choice)
    assert 5 < len(rungs) <= MOST
    sizes = [bytes_of(rung.entry) for rung in rungs]
    assert sizes == sorted(sizes, reverse=True)
    words = [loss_of(rung.entry).word for rung in rungs if rung is not found.choice]
    assert words == sorted(words)
    assert any(not rung.plan.fits for rung in rungs), "what does not fit stays visible"
    assert {rung.plan.engine for rung in rungs} == {"llamacpp"}
    shown = table(rungs, rungs.index(some(found.choice)))
    assert [row.startswith("● ") for row in shown["checkpoint"]].count(True) == 1
    assert all("over" in row for row, rung in zip(shown["verdict"], rungs, strict=True)
               if not rung.plan.fits)  # fmt: skip


@pytest.mark.parametrize("context", ["32k", "256k"])
def test_every_rung_is_what_taking_it_gives(context: str) -> None:
    found = found_for(context=context)
    cache = some(found.choice).plan.deployment.kv_cache_dtype
    assert (cache == "q8_0") is (context == "256k")
    for rung in ladder(some(found.wanted), some(found.plan).engine, found.choice):
        assert rung.plan.deployment.kv_cache_dtype == cache
        taken = found_for(weights=rung.entry.name, engine="llamacpp", kv=cache, context=context)
        assert some(taken.plan).verdict == rung.plan.verdict


def test_alternatives_are_dots_and_buttons(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-3090", model="Qwen3.6-27B")
    found = found_for()
    front = some(alternatives(found)).front
    pills = app.button_group(key="front-take")
    assert len(pills.options) == len(front)
    pills.set_value(1).run()
    assert not app.exception
    assert asked_for(app)["weights"] == front[1].entry.name


def test_settings_that_make_a_candidate_hold_it_are_taken_with_it() -> None:
    asked = Asked(on="h100", users="64", context="16k", model="Qwen3.8-27B", engine="vllm")
    choice = some(answer(asked).choice)
    assert choice.savings
    taken = answer(asked_of_choice(choice, asked))
    assert some(taken.plan).verdict == choice.plan.verdict


def test_what_is_better_with_a_change_is_one_click(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-4090", model="Qwen3.6-27B")
    assert "Draft with its own MTP module" in text_of(app)
    promised = app.button(key="beside-0").help
    app.button(key="beside-0").click().run()
    assert asked_for(app)["o-spec_type"] == "draft-mtp"
    amount = next(word for word in promised.split(", ") if "to spare" in word)
    assert amount.split(" to spare")[0] in line(app)


@pytest.mark.parametrize(
    "asked", [{}, {"on": "m4-max-64gb", "model": "Qwen3.5-35B-A3B"}], ids=["a card", "a Mac"]
)
def test_the_figure_of_alternatives_says_what_it_shows(asked: dict[str, str]) -> None:
    """On the Mac a name lay across the larger dot right of its own."""
    told = some(alternatives(found_for(**asked)))
    choices = [*told.front, some(told.pick)]
    figure = front_figure(choices, len(choices) - 1, text=LIGHT_THEME_TEXT)
    (dots,) = figure["data"]
    assert dots["x"] == [choice.per_user for choice in choices]
    assert dots["text"][-1], "the present one is always named"
    names = {note["text"]: note for note in figure["layout"]["annotations"]}
    assert sorted(names) == sorted(filter(None, dots["text"]))
    for name, size in zip(dots["text"], dots["marker"]["size"], strict=True):
        assert not name or names[name]["yshift"] > size / 2, "a name stands clear of its dot"
    widest = figure["layout"]["xaxis"]["range"][1]
    for note in names.values():  # on a phone it takes a fortieth of the axis per letter
        covered = [
            size
            for x, y, size in zip(dots["x"], dots["y"], dots["marker"]["size"], strict=True)
            if y == note["y"] and abs(x - note["x"]) < widest * len(note["text"]) / 80
        ]
        assert all(note["yshift"] > size / 2 for size in covered), "and of those beside it"
    assert "(shown)" in describe_front(choices, len(choices) - 1)


def test_of_many_machines_the_pattern_of_their_commands_is_shown() -> None:
    """512 machines made a page of 47,000 pixels."""
    launch = some(some(answer(Asked(on="h100", count="16", model="Qwen3.5-397B-A17B")).plan).launch)
    (further,) = launch.per_node
    assert launch.lines == (launch.command, *launch.further_commands)
    assert not launch.shortened
    ranks = [(*further, f"{number}") for number in range(511)]
    many = replace(launch, per_node=tuple(ranks))
    lines = many.lines
    assert lines[0] == launch.command
    assert lines[2] == "..."
    assert [line.split()[-1] for line in (lines[1], lines[3])] == ["0", "510"]
    assert len(lines) == 4
    assert many.shortened.endswith("of 512 commands")


def test_alternatives_of_another_version_are_told_apart() -> None:
    told = recommend(want("Qwen3.5-27B", on="rtx-5090"))
    (pick, other) = some(told.pick), told.front[0]
    newer = replace(other, entry=replace(pick.entry, base="Qwen/Qwen3.8-27B"))
    assert dot_name(pick, [pick, other]).startswith("27B ")
    assert dot_name(pick, [pick, newer]).startswith("Qwen3.5-27B ")
    assert dot_name(newer, [pick, newer]).startswith("Qwen3.8-27B ")


def test_what_does_not_fit_has_a_way_out(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", model="Qwen3.5-27B", on="rtx-4090", weights="bf16", **{"with": "vllm"})
    assert "does not fit" in line(app)
    bar = json.loads(app.get("plotly_chart")[0].proto.spec)
    (over,) = [trace for trace in bar["data"] if trace["name"] == "over"]
    assert over["marker"]["pattern"]["shape"]
    end = max(shape["x1"] for shape in bar["layout"]["shapes"])
    assert bar["layout"]["xaxis"]["range"][1] > end
    buttons = [button for button in app.button if button.label == "Apply"]
    assert buttons
    promised = buttons[0].help
    buttons[0].click().run()
    assert not app.exception
    assert "spare" in line(app)
    amount = next(word for word in promised.split(", ") if "to spare" in word)
    assert amount.strip(" .") in line(app).replace("\\", "")


def test_every_piece_of_advice_keeps_its_word(open_app: Callable[..., AppTest]) -> None:
    query = {"v": "2", "model": "Qwen3.5-9B", "on": "rtx-4060", "weights": "bf16", "with": "vllm"}
    keys = [str(button.key) for button in open_app(**query).button]
    count = sum(key.startswith("advice-") for key in keys)
    assert count
    assert "other-model" in keys, "what does run there is offered, too"
    for number in range(count):
        app = open_app(**query)
        promised = app.button(key=f"advice-{number}").help.replace("\\", "")
        app.button(key=f"advice-{number}").click().run()
        assert not app.exception
        amount = next(word for word in promised.split(", ") if "to spare" in word)
        assert amount.split(" to spare")[0] in line(app)


def test_nothing_that_is_known_holds_it(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-3050-6", context="256k", users="64", **{"with": "llamacpp"})
    assert not app.exception
    assert not app.get("plotly_chart")
    assert "fits" in line_of_no_plan(app)
    assert "Limit the context to" in text_of(app)
    assert "Serve 1 at once" in text_of(app)


def test_where_no_change_helps_other_questions_are_named(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="cpu, 2GB", context="256k", users="1000")
    assert not app.exception
    assert "fits" in line_of_no_plan(app)
    assert "Ask for a shorter context, for fewer users, or on another machine" in text_of(app)


def line_of_no_plan(app: Any) -> str:
    return str(app.markdown[0].value)


def test_marks_and_units_of_the_ladder_are_explained(open_app: Callable[..., AppTest]) -> None:
    said = text_of(open_app(v="2", model="Qwen3.5-4B", on="rtx-3060-12"))
    assert "✔ fits" in said
    assert "in GiB of memory, GB is the download" in said


@pytest.mark.parametrize(("on", "rented"), [("h100-sxm", True), ("dgx-spark", False)])
def test_what_renting_costs_is_said_with_its_date(
    open_app: Callable[..., AppTest], on: str, rented: bool
) -> None:
    """It stood on Compare alone."""
    said = text_of(open_app(v="2", model="Qwen3.5-4B", on=on))
    assert bool(re.search(r"To rent: [\d.]+ USD per hour \(20\d\d-\d\d-\d\d\)", said)) is rented


def test_the_words_below_the_bar_tell_of_the_ram_too() -> None:
    found = answer(Asked(on="rtx-4090", ram="64", model="Qwen3.5-122B-A10B"))
    words = parts_words(some(found.held))
    assert words.startswith("GPU 0: weights ")
    assert " GiB. RAM: weights " in words
    assert "recurrent state (context checkpoints)" in words


def test_the_bar_sums_to_the_plan(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", model="Qwen3.5-9B", on="rtx-5090", weights="bf16", **{"with": "vllm"})
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    parts = {trace["name"]: trace["x"][0] for trace in figure["data"]}
    assert sum(parts.values()) == pytest.approx(figure["layout"]["shapes"][0]["x0"])
    assert parts["free"] * GIB > 0


def test_a_program_with_an_engine_inside_is_told_its_own_way(
    open_app: Callable[..., AppTest],
) -> None:
    query = {"v": "2", "model": "Qwen3.6-27B", "on": "rtx-3090"}
    app = open_app(**query, **{"with": "ollama"})
    assert "with Ollama (llama.cpp)" in line(app)
    own, server = app.code[0].value.split("# or with llama-server")
    assert own.startswith("OLLAMA_CONTEXT_LENGTH=32768 ")
    assert "\nollama run hf.co/" in own
    assert "\nllama-server -hf " in server
    app = open_app(**query, **{"with": "lmstudio"})
    assert "with LM Studio (llama.cpp)" in line(app)
    assert "What to click**: in LM Studio: load" in text_of(app)
    assert app.code[0].value.startswith("llama-server -hf ")
    assert "splits by rules of its own" not in text_of(app)
    app = open_app(v="2", model="Qwen3.5-35B-A3B", on="rtx-3060-12", ram="32", **{"with": "ollama"})
    assert "with its experts in RAM; Ollama splits by rules of its own" in text_of(app)


def test_drafts_and_pictures_together_pick_a_file_that_has_both(
    open_app: Callable[..., AppTest],
) -> None:
    """'Cannot run: the file holds no MTP blocks', of a model whose files with them were known."""
    both = {"images": "yes", "o-spec_type": "draft-mtp", "with": "llamacpp"}
    said = line(open_app(v="2", model="Qwen3.6-27B", on="rtx-5090", context="32k", **both))
    assert "**fits**" in said


def test_a_large_loss_stands_in_the_line(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", model="Qwen3.5-27B", on="rtx-3060-12", **{"with": "llamacpp"})
    assert "**fits**], large loss, " in line(app)
    assert "large loss" not in line(open_app(v="2", model="Qwen3.5-27B", on="rtx-3090"))


def test_files_and_the_link(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", model="Qwen3.5-9B", on="rtx-5090", weights="bf16", **{"with": "vllm"})
    assert not app.get("download_button")
    app.session_state["files"] = True
    app.session_state["share"] = True
    app.run()
    assert not app.exception
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels[:3] == ["JSON", "CSV", "Markdown"]
    assert {"Compose", "Kubernetes"} <= set(labels)
    shared = next(code.value for code in app.code if "v=2" in code.value)
    assert dict(parse_qsl(urlsplit(shared).query))["model"] == "Qwen3.5-9B"


def test_what_comes_nearest_of_a_precision_is_said_in_words(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app(v="2", on="rtx-4060", model="Qwen3.5-397B-A17B", weights="bf16")
    assert "No known checkpoint stored as bf16 fits here" in text_of(app)


def test_agents_are_told_which_flags_make_tool_calls_work(
    open_app: Callable[..., AppTest],
) -> None:
    query = {"v": "2", "on": "h200-sxm", "model": "Qwen3.6-27B", "weights": "fp8", "with": "vllm"}
    assert "--enable-auto-tool-choice" in text_of(open_app(**query, use="agents"))
    assert "tool calls" not in text_of(open_app(**query))


def test_a_line_that_raises_a_limit_can_be_copied(open_app: Callable[..., AppTest]) -> None:
    query = {"v": "2", "on": "strix-halo-128", "model": "Qwen3.5-122B-A10B", "context": "64k"}
    app = open_app(**query)
    assert any(code.value.endswith("| sudo tee /etc/modprobe.d/ttm.conf") for code in app.code)
    assert "sudo tee" not in text_of(app)
    assert "Then rebuild the initramfs" in text_of(app)


def test_notes_of_the_first_page_name_no_flag_of_the_command_line(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app(v="2", on="rtx-3090", model="Qwen3.5-122B-A10B")
    assert "say it under RAM (GB)" in text_of(app)
    assert "--ram" not in text_of(app)


@pytest.mark.parametrize(
    "question",
    [
        {"on": "rtx-4090", "model": "Qwen3.5-397B-A17B"},
        {"on": "rtx-4090", "model": "Qwen3.5-122B-A10B", "with": "llamacpp", "weights": "q4_k_m"},
        {"on": "RTX 3060 12GB with 16 GB RAM", "model": "Qwen3.5-122B-A10B"},
    ],
)
def test_ram_that_makes_it_run_is_among_what_would_make_it_fit(
    open_app: Callable[..., AppTest], question: dict[str, str]
) -> None:
    app = open_app(v="2", **question)
    assert "**does not fit**" in line(app)
    assert re.search(r"With \d+ GB of RAM beside the GPU: Qwen", text_of(app))
    app.button(key="ram-added").click().run()
    assert "does not fit" not in line(app)
    assert int(asked_for(app)["ram"]) >= 32


def test_no_ram_makes_a_model_fit_a_machine_whose_engine_takes_none(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app(
        v="2", on="rtx-4090", model="Qwen3.5-122B-A10B", weights="bf16", **{"with": "vllm"}
    )
    assert "of RAM beside the GPU:" not in text_of(app)


def test_what_is_picked_anew_keeps_its_reasons(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", on="rtx-4090", model="Qwen3.6-27B")
    app.selectbox(key="model").set_value("Qwen3.5-9B").run()
    assert "Picked anew: **Qwen3.5-9B" in text_of(app)
    assert ":material/auto_awesome: :small[Picked: " in text_of(app)


@pytest.mark.parametrize("page", ["", "trust", "explore"])
def test_where_fewer_are_held_pages_tell_of_those(
    open_app: Callable[..., AppTest], page: str
) -> None:
    """Bars and terms were of all who asked, 500 GiB over, beside a command that starts."""
    query = {"v": "2", "model": "Qwen3.5-27B", "on": "h100", "with": "tensorrt-llm"}
    query |= {"weights": "fp8", "context": "128k", "users": "64"}
    app = open_app(*([page] if page else []), **query)
    assert not app.exception
    found = answer(
        Asked(
            on="h100",
            model="Qwen3.5-27B",
            engine="tensorrt-llm",
            weights="fp8",
            context="128k",
            users="64",
        )
    )
    document = plan_document(some(found.plan))
    number, rank = document["planned_for"], document["ranks"][0]
    assert number == some(some(found.plan).capacity).sequences < 64
    words = text_of(app)
    assert f"What follows is for **{number} of 64 users at once**; the others wait." in words
    cache = next(term["bytes"] for term in rank["terms"] if term["kind"] == "KV cache")
    if page == "":
        assert f"KV cache {format_gib(cache).removesuffix(' GiB')} ·" in words
        assert document["launch"]["command"] in [code.value for code in app.code]
        assert f"free {format_gib(rank['headroom']).removesuffix(' GiB')} GiB" in words
    if page == "trust":
        assert f"{format_gib(rank['used'])} of {format_gib(rank['usable'])} usable" in words
        assert any(code.value.endswith(f"= {cache:,} bytes") for code in app.code)
    if page == "explore":
        assert f"{number} requests of 128k tokens take {format_gib(cache)} of KV cache" in words


def test_what_tuned_means_is_said(open_app: Callable[..., AppTest]) -> None:
    query = {"on": "h100", "count": "8", "model": "Qwen3.5-397B-A17B", "users": "200"}
    app = open_app(v="2", **query)
    assert not app.exception
    front = some(alternatives(answer(Asked(**query)))).front  # type: ignore[arg-type]
    flags = {economy.flags for choice in front for economy in choice.savings}
    assert flags
    (said,) = [line.value for line in app.markdown if line.value.startswith(":small[Tuned: ")]
    assert all(f"`{flag}`" in said for flag in flags)
