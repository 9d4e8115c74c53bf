"""What fits: every row is the library's own pick, filters hide, a click takes the machine."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import hardware_db
from planner.question import Question
from planner.recommending import recommend
from planner.recommending.machines import groups, machine_on
from planner.recommending.words import short_word
from planner.registry.bundled import bundled_checkpoint
from planner.wanting import want
from planner.web import fitting, session
from planner.web.asked import Asked
from planner.web.fitting import Row, Spot, Verdict, listed, others, row_of
from planner.web.frames import rounded
from planner.web.views import fits
from tests.present import some

ASKED = {"v": "2", "on": "rtx-3090", "model": "Qwen3.5-9B", "context": "32k"}


def opened(open_app: Callable[..., AppTest], **more: Any) -> Any:
    return open_app("fits", **(ASKED | {"fits__groups": ["One GPU"]} | more))


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def test_no_name_of_a_machine_is_wider_than_its_column(open_app: Callable[..., AppTest]) -> None:
    frame = opened(open_app, fits__groups=["Servers"]).dataframe[0].value
    assert "8× MI300X" in set(frame["machine"])
    assert max(len(name) for name in frame["machine"]) <= 34  # two of them the star's


def test_rows_are_what_the_library_picks(open_app: Callable[..., AppTest]) -> None:
    app = opened(open_app)
    assert not app.exception
    frame = app.dataframe[0].value
    names = dict(groups())["One GPU"]
    assert len(frame) == len(names)  # the visitor's own is one of them, and stands first
    assert frame["machine"][0].startswith("★ RTX 3090")
    for on in ("rtx-4060", "rtx-5090"):
        machine = machine_on(on, want("Qwen3.5-9B", on=on, context="32k"))
        choice = some(machine.choice)
        row = frame[frame["machine"].str.startswith(machine.name)].iloc[0]
        assert row["verdict"].endswith(("Fits", "Tight"))
        assert row["tok/s"] == rounded(choice.per_user)
        assert row["runs"] == fitting.runs(choice.plan, choice)
        assert row["quality"] == short_word(choice.word)
        assert row["with"] == choice.plan.engine_title


@pytest.mark.parametrize("on", ["rtx-3090", "strix-halo-128-gtt", "2x rtx-3090"])
def test_a_row_is_the_answer_of_the_first_page(on: str) -> None:
    wanted = want("Qwen3.5-35B-A3B", on=on, context="64k", concurrency=2)
    pick = some(recommend(wanted).pick)
    row = row_of(wanted, Spot(group="", on=on))
    assert row.runs in pick.entry.name
    assert (row.engine, row.spare) == (pick.plan.engine_title, pick.plan.headroom)


def test_with_no_model_named_the_table_names_the_model_that_it_asks_for(
    open_app: Callable[..., AppTest],
) -> None:
    """A row of one model led to an answer with another one."""
    app = opened(open_app, model="best", fits__groups=["One GPU"])
    assert not app.exception
    pick = some(recommend(want(on="rtx-3090", context="32k")).pick)
    name = pick.entry.base.rpartition("/")[2]
    assert f"hold {name} for 1 user at 32k as they are" in text_of(app)


def test_what_holds_it_stands_above_what_does_not(open_app: Callable[..., AppTest]) -> None:
    """397B: the two rows that fit stood below 24 that were too small."""
    app = opened(open_app, on="rtx-4060", model="Qwen3.5-397B-A17B", fits__groups=["Two GPUs"])
    verdicts = [verdict.split()[-1] for verdict in app.dataframe[0].value["verdict"]]
    assert verdicts == ["small", "Fits", "small", "small"]


def test_the_smallest_number_that_holds_it() -> None:
    wanted = want("Qwen3.6-27B", on="rtx-4060")
    row = row_of(wanted, Spot(group="", on="rtx-4060"))
    assert row.answer is Verdict.MORE
    assert machine_on(f"{row.count}x rtx-4060", wanted).choice is not None
    fewer = max(n for n in (1, 2, 4, 8) if n < some(row.count))
    assert machine_on(f"{fewer}x rtx-4060", wanted).choice is None
    assert fits.words(row) == f"✚ Needs {row.count}×"


def test_what_is_slow_is_marked_and_not_the_cheapest() -> None:
    wanted = want("Qwen3.6-27B", on="rtx-3090", context="32k")
    row = row_of(wanted, Spot(group="", on="cpu, 64GB"))
    assert (row.answer, fits.words(row)) == (Verdict.SLOW, "▲ Slow")
    quick = row_of(wanted, Spot(group="", on="rtx-3090"))
    words = fits.summary([replace(row, price=1.0), quick], "it")
    assert "**2 of 2 machines** hold it" in words
    assert f"Cheapest to buy as it is: RTX 3090, {quick.price:,.0f} USD" in words


def test_a_large_loss_is_the_verdict_where_nothing_better_fits() -> None:
    """A green 'Fits' beside two bits a weight, and on a phone no word of the loss in sight."""
    wanted = want("Qwen3.8-27B", on="rtx-3060", context="32k")
    row = row_of(wanted, Spot(group="", on="rtx-3060"))
    assert (row.answer, fits.words(row)) == (Verdict.LOSSY, "▲ Low quality")
    assert "**1 of 1 machine** holds it" in fits.summary([row], "it")


def test_more_of_them_are_named_where_they_cost_less_and_what_is_tight_says_so() -> None:
    """'Cheapest as it is: 8x H200, 196,000 USD. By more of them: 8x H200, 196,000 USD.'"""
    row = row_of(want("Qwen3.5-9B", on="rtx-3090"), Spot(group="", on="rtx-3090"))
    several = replace(row, answer=Verdict.MORE, count=2, price=900.0)
    words = fits.summary([replace(row, price=900.0, answer=Verdict.TIGHT), several], "it")
    assert "Cheapest to buy as it is: RTX 3090, 900 USD, tight." in words
    assert "by more of them" not in words


def test_the_cheapest_that_holds_it_as_it_is_is_none_that_needs_more() -> None:
    """'11 machines hold it as they are. Cheapest: 8x RTX 3090', which was none of the 11."""
    row = row_of(want("Qwen3.5-9B", on="rtx-3090"), Spot(group="", on="rtx-3090"))
    several = replace(row, answer=Verdict.MORE, count=8, price=10.0)
    lossy = replace(
        row, name="H200", quality="large", per_user=(row.per_user or 0) + 50, price=None
    )
    words = fits.summary([replace(row, price=900.0), lossy, several], "it")
    assert "Cheapest to buy as it is: RTX 3090, 900 USD" in words
    assert "Cheapest to buy by more of them: 8× RTX 3090, 10 USD" in words
    assert "Fastest without a large loss: RTX 3090" in words


def test_machines_of_an_engine_that_is_never_picked_are_planned(
    open_app: Callable[..., AppTest],
) -> None:
    """'0 of 30 machines hold it', with transformers: nothing had been planned."""
    app = opened(
        open_app, on="rtx-4090", model="Qwen3.5-2B", fits__groups=["Two GPUs"],
        **{"with": "transformers"},
    )  # fmt: skip
    verdicts = [verdict.split()[-1] for verdict in app.dataframe[0].value["verdict"]]
    assert set(verdicts) == {"Fits"}
    assert "at 32k with transformers as they are" in text_of(app)
    served = row_of(want("Qwen3.5-9B", on="rtx-4090", engine="mlx"), Spot(group="", on="rtx-4090"))
    assert "None of 1 machine" in fits.summary([served], "it")


def test_an_engine_that_does_not_serve_a_machine_says_so() -> None:
    row = row_of(want("Qwen3.5-9B", on="rtx-4090", engine="mlx"), Spot(group="", on="rtx-4090"))
    assert row.answer is Verdict.NOT_SERVED


def test_a_checkpoint_that_was_fixed_stays_fixed() -> None:
    question = Question(
        checkpoint=bundled_checkpoint("Qwen3.5-9B", precision="bf16"),
        system=hardware_db.resolve("rtx-4090"),
    )
    small, large = (row_of(question, Spot(group="", on=on)) for on in ("rtx-4060", "rtx-5090"))
    assert small.count is None or small.count > 1
    assert (large.answer, large.runs) == (Verdict.FITS, question.checkpoint.scheme.title)


def test_every_accelerator_is_a_row_of_one_of_the_lists() -> None:
    seen = {spot.system.accelerator.id for spot in (*listed(), *others())}
    assert seen >= {entry.id for entry in hardware_db.accelerators()}
    assert len(others()) == len({spot.on for spot in others()})


@pytest.mark.parametrize(
    ("narrow", "left"),
    [
        ({"fits__memory": "90"}, {"RTX PRO 6000 Workstation 96 GB"}),
        ({"fits__price": "900"}, {"RTX 3060 12 GB", "Radeon RX 7900 XTX 24 GB"}),
        ({"fits__vendor": ["AMD"]}, {"Radeon RX 7900 XTX 24 GB"}),
    ],
)
def test_filters_hide_all_but_ones_own(
    open_app: Callable[..., AppTest], narrow: dict[str, Any], left: set[str]
) -> None:
    names = set(opened(open_app, **narrow).dataframe[0].value["machine"])
    own = {name for name in names if name.startswith("★")}
    assert len(own) == 1
    assert names - own >= left
    assert "RTX 5090 32 GB" not in names


def test_the_line_above_counts_what_the_table_shows(open_app: Callable[..., AppTest]) -> None:
    app = opened(open_app)
    frame = app.dataframe[0].value
    held = frame["verdict"].str.contains("Fits|Tight").sum()
    held_what = f"**{held} of {len(frame)} machines** hold Qwen3.5-9B for 1 user at 32k as they are"
    assert held_what in text_of(app)
    cheapest = frame[frame["verdict"].str.contains("Fits|Tight|Needs")]["buy"].min()
    assert f"{cheapest:,.0f} USD" in text_of(app)


def row(**fields: Any) -> Row:
    plain: dict[str, Any] = {"group": "", "name": "", "card": "", "on": ""}
    plain |= {"answer": Verdict.FITS, "count": 1}
    return Row(**(plain | fields))


@pytest.mark.parametrize(
    ("chosen", "on", "count"),
    [
        (row(on="rtx-5090"), "rtx-5090", "1"),
        (row(on="rtx-4060", answer=Verdict.MORE, count=4), "rtx-4060", "4"),
        (row(on="2x rtx-3090", count=2), "rtx-3090", "2"),
        (row(on=""), "rtx-4090", "3"),
    ],
)
def test_a_click_takes_the_machine_and_keeps_the_rest(
    monkeypatch: pytest.MonkeyPatch, chosen: Row, on: str, count: str
) -> None:
    taken: list[tuple[Asked, str | None]] = []
    asked = Asked(on="rtx-4090", count="3", model="Qwen3.5-9B", weights="fp8", context="64k")
    picked = SimpleNamespace(selection=SimpleNamespace(cells=[(0, "machine")]))
    monkeypatch.setattr(st, "session_state", {"fits-table-0": picked, "fits-rows": [chosen]})
    monkeypatch.setattr(session, "now", lambda: asked)
    monkeypatch.setattr(session, "put", lambda put, page=None: taken.append((put, page)))
    fits._take("fits-table-gone")
    assert not taken
    fits._take("fits-table-0")
    ((put, page),) = taken
    assert page == ""
    assert (put.on, put.count) == (on, count)
    assert (put.model, put.weights, put.context) == ("Qwen3.5-9B", "fp8", "64k")


def test_nothing_to_ask_is_said(open_app: Callable[..., AppTest]) -> None:
    app = open_app("fits", v="2", on="rtx-3050-4-mobile", context="256k", users="5000")
    assert not app.exception


def test_places_without_a_price_of_their_own_are_not_cheap() -> None:
    filters = fits.Filters(groups=(), vendors=(), least_gib=0, most_price=500)
    assert not filters.shows(row(price=None))
    assert filters.shows(row(price=499.0))
    assert filters.shows(row(group=fitting.YOURS))


@pytest.mark.parametrize(
    ("card", "name", "shown"),
    [
        ("rtx-4060", "RTX 4060", "RTX 4060 8 GB"),
        ("apple-m5-max", "M5 Max 128 GB", "Mac M5 Max 128 GB"),  # sold in named machines alone
        ("2x-rtx-3090", "2× RTX 3090", "2× RTX 3090"),
        ("mi300x-8", "8× MI300X", "8× MI300X"),  # its own name is too long for the column
    ],
)
def test_machines_are_called_as_the_list_of_machines_has_them(
    card: str, name: str, shown: str
) -> None:
    row = Row(group="", name=name, card=card, answer=Verdict.NO, count=None, on="")
    assert fits.table([row])["machine"].tolist() == [shown]
