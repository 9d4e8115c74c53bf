"""The question: in the address whole, in the pickers by name, kept where it is not understood."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

import hardware_db
import planner
from planner.recommending import recommend
from planner.recommending.text import headline
from planner.wanting import want
from planner.web import address, choices, devices, pickers, places, session, typed_names
from planner.web.answering import answer
from planner.web.asked import BEST, LOCAL, Asked
from planner.web.option_words import option_fields
from planner.web.taken import asked_of, asked_of_choice
from planner.web.wording import on_page
from tests.present import some

FAST = {"v": "2", "model": "Qwen3.5-9B", "on": "rtx-5090", "with": "vllm", "weights": "bf16"}


def line(app: Any) -> str:
    """The answer's line, without Markdown's own marks."""
    texts = [str(element.value).replace("\\", "") for element in app.markdown]
    return next(
        text
        for text in texts
        if (text.startswith("**") and "** on " in text) or "Not answered" in text
    )


def field(elements: Any, name: str) -> Any:
    """A field of the question by its name, whatever changed it before."""
    return next(one for one in elements if str(one.key).partition("~")[0] == name)


def asked_for(app: Any) -> dict[str, str]:
    """The address's words."""
    pairs = app.query_params.items()
    return {name: words if isinstance(words, str) else words[0] for name, words in pairs}


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def test_the_first_visit_is_answered_by_the_recommendation(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app()
    assert not app.exception
    chosen = choices.defaults()
    pick = some(recommend(want(on=chosen["on"], context=chosen["context"])).pick)
    assert f"{pick.entry.base.rpartition('/')[2]} {pick.entry.label}" in line(app)
    assert "**fits**" in line(app)
    assert pick.plan.engine_title in line(app)
    assert f"{pick.plan.headroom / 2**30:.1f} GiB to spare" in line(app)  # type: ignore[operator]


def test_on_a_machine_with_a_gpu_its_own_user_begins_with_it(
    open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (session, pickers):
        monkeypatch.setattr(room, "is_own_user", lambda: True)
    monkeypatch.setattr(devices, "this_machine", lambda: hardware_db.resolve("rtx-4060"))
    app = open_app()
    assert not app.exception
    machine = app.selectbox(key="on")
    assert machine.value == LOCAL
    assert "This machine: RTX 4060" in machine.options
    assert "on RTX 4060 with" in app.markdown[0].value


def test_the_whole_question_is_in_the_address(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**FAST)
    assert asked_for(app) == {**FAST, "count": "1", "context": "32k", "users": "1"}
    app.number_input(key="users").set_value(7).run()
    assert asked_for(app)["users"] == "7"
    again = open_app(**asked_for(app))
    assert line(again) == line(app)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        (
            {"model": "Qwen3.5-35B-A3B", "precision": "fp8", "on": "rtx-5090", "count": "2",
             "engine": "vllm", "context": "64k", "concurrency": "4"},
            {"model": "Qwen3.5-35B-A3B", "weights": "fp8", "count": "2", "engine": "vllm", "users": "4"},
        ),
        ({"on": "8x H100", "model": "Qwen/Qwen3.5-27B-FP8"},
         {"on": "h100-sxm", "count": "8", "model": "Qwen3.5-27B", "weights": "Qwen/Qwen3.5-27B-FP8"}),
        ({"model": "other", "repository": "Qwen/Qwen3.5-4B"}, {"model": "Qwen3.5-4B", "weights": BEST}),
        ({"engine": "vllm", "tp": "2", "ep": "true"}, {"layout": "tp2-ep"}),
        ({"tp": "0"}, {"layout": BEST}),
        ({"engine": "vllm", "vllm-max_num_seqs": "8"}, {"options": (("max_num_seqs", "8"),)}),
        ({"on": "custom", "memory_gib": "24"}, {"on": "custom", "memory": "24"}),
        ({"kv_cache_dtype": "fp8", "yarn": "true"}, {"kv": "fp8", "yarn": "yes"}),
    ],
)  # fmt: skip
def test_a_link_of_the_first_version_is_understood(
    query: dict[str, str], fields: dict[str, Any]
) -> None:
    asked, notes = address.read(query, Asked(on="rtx-4090"))
    assert {name: getattr(asked, name) for name in fields} == fields
    assert any("leaves out" in note for note in notes) is (len(query) < 7 and not set(query) <= {
        "tp", "kv_cache_dtype", "yarn"})  # fmt: skip
    again, notes = address.read(address.words_of(asked), Asked(on="b200", context="4k"))
    assert again == asked
    assert notes == ()


@pytest.mark.parametrize("page", ["context", "layouts", "why", "model"])
def test_an_old_page_leads_to_the_new_one(open_app: Callable[..., AppTest], page: str) -> None:
    app = open_app(page, **FAST)
    assert not app.exception


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("model", "Qwen3-32B", "unknown model"),
        ("model", "Qwen3.8-2.4T-A26B", "did you mean"),
        ("model", "Qwen3.5-Plus", "hosted service"),
        ("model", "../../etc/passwd", "unknown model"),
        ("model", "<script>alert(1)</script>", "unknown model"),
        ("on", "rtx-6090", "take one of these"),
        ("on", "/etc/passwd", "unknown hardware"),
        ("with", "rm -rf", "unknown engine"),
        ("weights", "nobody/knows:Q4", "unknown checkpoint"),
        ("weights", "q4km9", "q4km9"),
        ("count", "-5", "whole number"),
        ("count", "1e400", "whole number"),
        ("count", "99999999", "1 to 4,096"),
        ("users", "0", "users"),
        ("users", "1000000000000000000", "whole number"),
        ("context", "abc", "context"),
        ("context", "9M", "beyond"),
        ("kv", "nonsense", "unknown KV cache format"),
        ("layout", "tp9999999", "layout"),
        ("layout", "abc", "layout"),
        ("ram", "nan", "RAM"),
        ("ram", "99999999", "1,000,000 GB"),
        ("best", "x", "unknown wish"),
        ("use", "x", "unknown use"),
        ("yarn", "perhaps", "yes or no"),
        ("o-max_num_seqs", "inf", "whole number"),
        ("o-nobody", "1", "no option"),
        ("model", "x" * 5000, "unknown model"),
    ],
)
def test_what_is_not_understood_is_kept_and_explained_without_a_verdict(
    open_app: Callable[..., AppTest], name: str, value: str, words: str
) -> None:
    app = open_app(**{**FAST, name: value})
    assert not app.exception
    kept = asked_for(app)[name]
    assert kept == value if len(value) < 300 else kept.endswith("…")
    if words:
        assert "Not answered" in line(app)
        assert words.lower() in text_of(app).lower()
        assert "fits" not in line(app)
        assert not app.get("plotly_chart")


def test_an_ollama_tag_names_a_checkpoint() -> None:
    """A link with ``model=qwen3.5:9b`` was told of an unknown precision."""
    query = {"v": "2", "on": "rtx-4090", "model": "qwen3.5:9b", "with": "ollama"}
    asked, _ = address.read(query, Asked(on="rtx-4090"))
    assert some(answer(asked).plan).fits


def test_a_name_that_was_meant_is_one_click(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**{**FAST, "on": "rtx-6090"})
    app.button(key="instead-on-rtx-4090").click().run()
    assert "RTX 4090" in line(app)
    assert asked_for(app)["on"] == "rtx-4090"


def test_beyond_the_native_context_needs_yarn(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**{**FAST, "context": "512k"})
    assert "YaRN extends it" in text_of(app)
    next(button for button in app.button if "YaRN" in button.label).click().run()
    assert "Not answered" not in line(app)
    assert asked_for(app)["yarn"] == "yes"


@pytest.mark.parametrize(
    ("typed", "on", "count"),
    [
        ("EVO-X2", "strix-halo-128", "1"),
        ("2x 3090", "rtx-3090", "2"),
        ("4090 + 64GB RAM", "4090 + 64GB RAM", "1"),
        ("dgx-h100", "dgx-h100", "1"),
        ("p5.48xlarge", "aws-p5-48xlarge", "1"),
        ("rtx-6090", "rtx-6090", "1"),
    ],
)
def test_what_is_typed_is_resolved(typed: str, on: str, count: str) -> None:
    asked = address.spelled(Asked(on=typed))
    assert (asked.on, asked.count) == (on, count)


def test_another_machine_is_picked_for_anew_and_undone(open_app: Callable[..., AppTest]) -> None:
    app = open_app(v="2", model="Qwen3.5-27B", on="h100-sxm")
    first = line(app)
    app.selectbox(key="on").set_value("rtx-4090").run()
    assert line(app) != first
    assert "Picked anew" in text_of(app)
    app.button(key="undo").click().run()
    assert line(app) == first
    assert field(app.selectbox, "on").value == "h100-sxm"
    assert "Picked anew" not in text_of(app)


def test_what_was_fixed_stays_and_is_marked(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**{**FAST, "kv": "fp8"})
    app.selectbox(key="on").set_value("rtx-4090").run()
    assert "Fixed by you: **bf16**, **KV cache fp8**" in text_of(app)
    assert "bf16" in asked_for(app)["weights"]
    app.button(key="let-it-pick").click().run()
    assert "Fixed by you" not in text_of(app)
    assert asked_for(app)["weights"] == BEST


def test_a_checkpoint_goes_with_its_model_and_its_engine(open_app: Callable[..., AppTest]) -> None:
    gguf = "unsloth/Qwen3.6-27B-GGUF:UD-Q4_K_XL"
    query = {"v": "2", "on": "rtx-4090", "model": "Qwen3.6-27B", "weights": gguf}
    app = open_app(**query)
    assert "UD-Q4_K_XL" in line(app)
    app.selectbox(key="engine").set_value("ollama").run()
    assert asked_for(app)["weights"] == gguf
    app.selectbox(key="engine").set_value("vllm").run()
    assert asked_for(app)["weights"] == BEST
    app = open_app(**query)
    app.selectbox(key="model").set_value("Qwen3.5-9B").run()
    assert asked_for(app)["weights"] == BEST


def test_options_decide_what_is_picked() -> None:
    """Drafting was asked of a file without the MTP module, which would not start."""
    drafts = (("spec_type", "draft-mtp"),)
    asked = Asked(on="rtx-5090", ram="64", model="Qwen3.6-27B", engine="llamacpp", options=drafts)
    found = answer(asked)
    assert found.picked
    assert "-MTP-GGUF:" in some(some(found.plan).launch).command


def test_options_of_an_engine_reach_the_plan(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**FAST)
    assert "vllm-gpu_memory_utilization" not in [box.key for box in app.number_input]
    app.session_state["more"] = True
    app.run()
    before = line(app)
    app.number_input(key="vllm-gpu_memory_utilization").set_value(0.8).run()
    assert line(app) != before
    assert asked_for(app)["o-gpu_memory_utilization"] == "0.8"
    app.session_state["more"] = False
    app.run()
    assert line(app) != before, "closing the options must not unset them"
    app.session_state["more"] = True
    app.run()
    field(app.number_input, "vllm-gpu_memory_utilization").set_value(7.0).run()
    assert "Not answered" in line(app)


def test_every_option_of_every_engine_has_a_field() -> None:
    for engine in choices.engines(None)[1:]:
        assert option_fields(engine)


def test_machines_have_names_of_their_own() -> None:
    labels = [place.label for place in places.places()]
    assert len(labels) == len(set(labels))
    text = "\n".join(labels)
    for words in ("RTX 4090 24 GB", "Mac Studio M3 Ultra 256 GB", "DGX Spark", "AWS p5.48xlarge"):
        assert words in text
    assert not [place for place in places.places() if not any(c.isdigit() for c in place.label)
                and place.on != "custom"]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "on", "users"),
    [
        ("Qwen3.6-27B", "rtx-3090", 1),
        ("Qwen3.5-35B-A3B", "8 x h100", 200),
        (None, "strix-halo-128", 1),
    ],
)
def test_the_pick_is_the_librarys(model: str | None, on: str, users: int) -> None:
    count, _, name = on.rpartition(" x ")
    asked = address.spelled(
        Asked(on=name, count=count or "1", model=model or BEST, users=str(users))
    )
    found, told = answer(asked), recommend(want(model, on=on, concurrency=users))
    assert found.recommendation is not None
    assert headline(found.recommendation) == headline(told)
    assert found.plan is not None
    assert some(found.plan.launch).command == some(some(told.pick).plan.launch).command


def test_what_is_taken_is_what_was_shown() -> None:
    asked = Asked(on="rtx-4090", model="Qwen3.6-27B")
    found = answer(asked)
    for choice in (some(found.choice), *found.front):
        taken = asked_of_choice(choice, asked)
        again = answer(taken)
        assert not again.problems
        assert some(again.plan).verdict == choice.plan.verdict
        assert some(some(again.plan).launch).command == some(choice.plan.launch).command
        assert asked_of(choice.plan, asked).weights == choice.entry.name


def test_a_settled_question_is_the_plan_of_the_command_line() -> None:
    asked = Asked(on="h100-sxm", count="2", model="Qwen3.5-27B", weights="fp8", engine="vllm",
                  context="64k", users="4", layout="tp2", options=(("max_num_seqs", "8"),))  # fmt: skip
    plan = planner.plan(
        "Qwen3.5-27B", on="2x h100", precision="fp8", engine="vllm", context="64k", concurrency=4,
        layout=planner.Layout(tensor_parallel=2), options={"max_num_seqs": 8},
    )  # fmt: skip
    found = some(answer(asked).plan)
    assert found.verdict == plan.verdict
    assert some(found.launch).command == some(plan.launch).command


@pytest.mark.parametrize(
    ("field", "typed", "listed"),
    [
        ("on", "mac studio 256", ("mac-studio-m3-ultra-256",)),
        ("on", "Mac Studio 256GB", ("mac-studio-m3-ultra-256",)),
        ("model", "3.6-35B", ("Qwen3.6-35B-A3B",)),
        ("model", "35b", ("Qwen3.6-35B-A3B", "Qwen3.5-35B-A3B")),
        ("engine", "llama", ("llamacpp",)),
        ("engine", "studio", ("lmstudio",)),
        ("kv", "q8", ()),
        ("on", "abacus", ()),
    ],
)
def test_a_list_is_searched_by_every_word(field: str, typed: str, listed: tuple[str, ...]) -> None:
    assert typed_names.listed_as(field, typed) == listed


def test_what_the_list_has_of_the_words_is_offered(open_app: Callable[..., AppTest]) -> None:
    app = open_app(**{**FAST, "model": "35b"})
    assert "Not answered" in line(app)
    offered = [button.label for button in app.button if button.label.startswith("Use ")]
    assert offered == ["Use Qwen3.6-35B-A3B", "Use Qwen3.5-35B-A3B"]


@pytest.mark.parametrize(
    ("field", "words", "word", "taken", "note"),
    [
        ("model", "35b", "model", "Qwen3.6-35B-A3B", "could be Qwen3.6-35B-A3B or Qwen3.5-35B-A3B"),
        ("engine", "llama", "with", "llamacpp", ""),
    ],
)
def test_of_a_part_of_a_name_the_first_in_the_list_is_taken(
    open_app: Callable[..., AppTest], field: str, words: str, word: str, taken: str, note: str
) -> None:
    app = typed(open_app(**FAST), field, words)
    assert "Not answered" not in line(app)
    assert asked_for(app)[word] == taken
    assert note in text_of(app)


def typed(app: Any, field: str, value: str) -> Any:
    """The page once `value` was typed, which the list need not have."""
    box, labels = app.selectbox(key=field), vars(Selectbox)["format_func"]
    box.options.append(value)
    as_typed = property(lambda other: str if other is box else labels.fget(other))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selectbox, "format_func", as_typed)
        return box.set_value(value).run()


@pytest.mark.parametrize(
    ("on", "name", "count", "said"),
    [
        ("2x 3090", "2× RTX 3090", "2", False),
        ("4x 3090", "4× RTX 3090", "4", True),
        ("1x 3090", "RTX 3090", "1", True),
        ("two 3090s", "2× RTX 3090", "2", False),
        ("3090 + 3060", "RTX 3090 + RTX 3060 12 GB", "1", False),
        ("rtx-3090", "2× RTX 3090", "2", False),
        ("mac studio 256gb", "M3 Ultra 256 GB", "1", False),
    ],
)
def test_a_number_that_is_typed_with_the_machine_goes_before_the_field(
    open_app: Callable[..., AppTest], on: str, name: str, count: str, said: bool
) -> None:
    app = typed(open_app(v="2", on="rtx-4090", count="2", model="Qwen3.5-9B"), "on", on)
    assert f" on {name} with " in line(app)
    assert asked_for(app)["count"] == count
    assert ("that is taken, in place of 2" in text_of(app)) is said


def test_a_link_that_says_twice_how_many_is_one_click_from_an_answer(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app(v="2", on="2x 3090, 64GB RAM", count="3", model="Qwen3.5-9B")
    assert "says how many there are" in line(app)
    app.button(key="instead-count-1").click().run()
    assert " on 2× RTX 3090, 64 GB RAM with " in line(app)


def test_of_two_amounts_of_ram_the_last_typed_is_taken_and_told(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app(v="2", on="RTX 3060 12GB with 32 GB RAM", model="Qwen3.5-35B-A3B")
    app.number_input(key="ram").set_value(64).run()
    assert "64 GB, as its field says, in place of the 32 GB" in text_of(app)
    assert " on RTX 3060 12 GB, 64 GB RAM with " in line(app)
    typed(app, "on", "RTX 3060 12GB with 96 GB RAM")
    assert "that is taken, in place of 64 GB" in text_of(app)
    assert " on RTX 3060 12 GB, 96 GB RAM with " in line(app)
    assert "ram" not in asked_for(app)


@pytest.mark.parametrize(
    ("on", "offered"),
    [("mac mini", "Mac"), ("my gaming laptop", "laptop"), ("macbook", "Mac"), ("6090 card", "")],
)
def test_a_machine_that_is_not_known_is_answered_with_some_to_click(
    open_app: Callable[..., AppTest], on: str, offered: str
) -> None:
    app = typed(open_app(**FAST), "on", on)
    assert "Not answered" in line(app)
    assert "qwenplan hardware" not in text_of(app)
    labels = [button.label for button in app.button if button.label.startswith("Use ")]
    assert all(offered in label for label in labels)
    assert bool(labels) is bool(offered)


@pytest.mark.parametrize(
    ("told", "on_the_page"),
    [
        ("there is none (--ram)", "there is none: say it under RAM (GB)"),
        ("ask for YaRN (--yarn) to extend it", "ask for YaRN, under More, to extend it"),
        ("name it with --on", "name it with Machine"),
        ("unknown x; list all: qwenplan hardware; or say it", "unknown x; the page Hardware lists all; or say it"),
        ("unknown z; `qwenplan models` lists the family", "unknown z; the page Models lists the family"),
        ("unknown y; see `qwenplan models`", "unknown y; the page Models lists all"),
        ("more is known (`qwenplan check --forget` drops it)", "more is known"),
        ("--context-length 4096 is short, --no-kv-offload", "--context-length 4096 is short, --no-kv-offload"),
    ],
)  # fmt: skip
def test_a_page_names_fields_where_the_terminal_names_flags(told: str, on_the_page: str) -> None:
    assert on_page(told) == on_the_page
