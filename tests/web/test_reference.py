"""Models and Hardware: facts with their sources, and no verdict on them."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import hardware_db
import planner
from planner.registry.listing import downloads
from planner.web import session
from planner.web.asked import BEST, Asked
from planner.web.views import hardware, models
from tests.present import some

ASKED = {"v": "2", "model": "Qwen3.5-9B", "on": "h100-sxm"}


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


@pytest.mark.parametrize("page", ["models", "hardware"])
def test_reference_has_no_verdict_and_no_question(
    open_app: Callable[..., AppTest], page: str
) -> None:
    app = open_app(page, **ASKED)
    assert not app.exception
    assert "to spare" not in text_of(app)
    assert not any(box.key == "on" for box in app.selectbox)
    assert len(app.title) == 1


def test_what_can_be_downloaded_is_the_registrys_list(open_app: Callable[..., AppTest]) -> None:
    app = open_app("models", **ASKED)
    lines = downloads("Qwen3.5-9B")
    frame = app.dataframe[0].value
    assert len(frame) == len(lines)
    assert list(frame["quality"]) == [line.loss.word.text for line in lines]
    assert frame["size"].sum() == pytest.approx(sum(line.nbytes for line in lines) / 1e9)
    assert frame["source"].str.len().min() > 0


def test_checkpoints_that_are_called_alike_are_told_apart(
    open_app: Callable[..., AppTest],
) -> None:
    """On a phone the column of owners is out of sight: there were lines "NVFP4", four of them."""
    names = list(open_app("models", v="2", model="Qwen3.8-27B").dataframe[0].value["name"])
    assert sum(name.startswith("NVFP4 · ") for name in names) == 4
    assert "NVFP4" not in names


def test_formats_narrow_the_list(open_app: Callable[..., AppTest]) -> None:
    app = open_app("models", **ASKED, models__format=["MLX"])
    assert set(app.dataframe[0].value["format"]) == {"MLX"}


def test_the_model_page_counts_like_the_planner(open_app: Callable[..., AppTest]) -> None:
    app = open_app("models", **ASKED)
    counts = planner.parameters("Qwen/Qwen3.5-9B")
    tables = [table.value for table in app.table]
    assert any(f"{counts.total:,}" in table.to_string() for table in tables)


def test_a_checkpoint_can_be_run_from_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Asked] = []
    monkeypatch.setattr(session, "now", lambda: Asked(on="rtx-4090", engine="vllm"))
    monkeypatch.setattr(session, "put", lambda asked, page=None: taken.append(asked))
    models._run("Qwen3.5-9B", "unsloth/Qwen3.5-9B-GGUF:Q4_K_M")
    assert (taken[0].weights, taken[0].engine) == ("unsloth/Qwen3.5-9B-GGUF:Q4_K_M", BEST)


def test_every_entry_is_listed_once() -> None:
    every = [entry.id for entry in hardware_db.accelerators()]
    every += [entry.id for entry in hardware_db.systems()]
    assert sorted(entry.id for entry in hardware._entries()) == sorted(every)


def test_every_figure_of_an_entry_shows_its_source(open_app: Callable[..., AppTest]) -> None:
    app = open_app("hardware", **ASKED)
    card = hardware_db.resolve("h100-sxm").accelerator
    text = text_of(app)
    assert card.name in [element.value for element in app.subheader]
    assert f"{some(card.memory_driver_mib).value:,g}" in text
    for _, figure in hardware._figures(card):
        assert figure.source.split()[0].strip("[]()*") in text.replace("\u2060", "")


def test_a_device_of_ones_own_can_be_chosen(open_app: Callable[..., AppTest]) -> None:
    app = open_app("hardware", **ASKED)
    next(box for box in app.text_input if box.label == "Name").set_value("Modded 4090!")
    likes = next(box for box in app.selectbox if box.label == "Otherwise like")
    assert "RTX 3090 24 GB" in likes.options, "what is typed with a space was not found"
    likes.set_value("rtx-4090")
    next(b for b in app.button if b.label == "Add for this session").click()
    app.run()
    assert not app.exception
    assert "my-modded-4090" in text_of(app)
    next(box for box in app.text_input if box.label == "Name").set_value("Modded 4090!")
    next(b for b in app.button if b.label == "Add for this session").click()
    app.run()
    assert "is one of your devices already" in app.error[0].value


@pytest.mark.parametrize(
    ("page", "link", "shown"),
    [
        (
            "models",
            {"models__model": "Qwen3.5-4B", "models__checkpoint": "Qwen/Qwen3.5-4B"},
            "Qwen3.5-4B",
        ),
        ("hardware", {"hardware__entry": "rtx-5090"}, "RTX 5090"),
    ],
)
def test_what_is_chosen_is_in_the_address(
    open_app: Callable[..., AppTest], page: str, link: dict[str, str], shown: str
) -> None:
    app = open_app(page, **ASKED, **link)
    assert not app.exception
    assert any(shown in element.value for element in app.subheader)
    for name, value in link.items():
        assert app.query_params[name.replace("__", "-")] in (value, [value])


def test_a_choice_that_is_not_in_the_list_is_said(open_app: Callable[..., AppTest]) -> None:
    app = open_app("hardware", **ASKED, hardware__entry="rtx-6090")
    assert "rtx-6090 is not in this list" in text_of(app)
    assert "hardware-entry" not in app.query_params
