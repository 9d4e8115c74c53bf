"""The same twenty questions on What fits, Models and Hardware: each number is the command line's."""

import json
from collections.abc import Callable
from math import isnan
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from planner.cli.main import run
from planner.throughput.answer import to_two_digits
from planner.units import GIB
from tests.web.test_question import text_of
from tests.web.test_run import FLAGS, QUESTIONS, told
from tests.web.test_walk import opened

MODELS = sorted({asked[0] for asked in QUESTIONS})
MACHINES = sorted({asked[1] for asked in QUESTIONS})
MARKS = {"fits": "✔ Fits", "tight": "▲ Tight"}


def documented(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What a command prints with --json."""
    capsys.readouterr()
    run([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def least(capsys: pytest.CaptureFixture[str], asked: Any) -> tuple[int | None, str]:
    """The smallest number of a card that `qwenplan fits` finds, and what is bad about that."""
    model, on, count, more = asked
    words = ["fits", model, "--on", f"{count}x {on}" if count > 1 else on]
    for name, value in more.items():
        words += [FLAGS[name], value]
    document = documented(capsys, *words)
    if "fits" in document:  # weights are said: how many of each accelerator
        return document["fits"][0]["count"], ""
    (machine,) = document["machines"]
    if machine["pick"] is None:
        return None, ""
    number, times, _ = machine["machine"].partition("x-")
    large = machine["pick"]["quality_class"] == "large loss"
    flaw = "▲ Slow" if machine["slow"] else "▲ Low quality" if large else ""
    return int(number) if times and number.isdigit() else count, flaw


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: "-".join(map(str, asked[:3])))
def test_what_fits_says_what_the_command_line_says(
    open_app: Callable[..., AppTest], capsys: pytest.CaptureFixture[str], asked: Any
) -> None:
    model, on, count, more = asked
    document, needs = told(capsys, *asked), count
    mark = MARKS.get(document["outcome"])
    if "weights" not in more or count == 1:
        number, flaw = least(capsys, asked)
        if mark is None and number is not None:
            needs = number
            document = told(capsys, model, on, number, more)
            mark = f"✚ Needs {number}×"
        else:
            assert number == (count if mark is not None else None)
            mark = flaw or mark
    app = opened(open_app, "fits", asked, fits__groups=[])  # type: ignore[arg-type]
    row = app.dataframe[0].value.iloc[0]
    assert row["machine"].startswith("★ ")
    assert row["verdict"] == (mark or "✘ Too small"), needs
    if mark is None:
        return
    rate = document["speed"]["decode_per_user"]
    assert row["tok/s"] == to_two_digits(rate["value"]) if rate else isnan(row["tok/s"])
    assert row["spare"] == pytest.approx(document["ranks"][0]["headroom"] / GIB)
    assert row["longest"] == f"{document['capacity']['longest_context'] // 1024}k"


@pytest.mark.parametrize("model", MODELS)
def test_models_says_what_the_command_line_says(
    open_app: Callable[..., AppTest], capsys: pytest.CaptureFixture[str], model: str
) -> None:
    document = documented(capsys, "models", model)
    app = open_app("models", v="2", model=model)
    assert not app.exception
    frame, files = app.dataframe[0].value, document["downloads"]
    assert len(frame) == len(files)
    for name, key, unit in (("size", "bytes", 1e9), ("bits", "bits_per_weight", 1)):
        assert sorted(frame[name].dropna()) == pytest.approx(
            sorted(file[key] / unit for file in files if file[key] is not None)
        )
    assert sorted(frame["quality"]) == sorted(file["quality_class"] for file in files)
    counts = document["parameters"]
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Parameters"] == f"{counts['total'] / 1e9:,.2f} B"
    assert metrics["Active per token"] == f"{counts['active_named'] / 1e9:,.2f} B"
    tables = " ".join(table.value.to_string() for table in app.table)
    for count in (counts["total"], counts["active_decode"], *counts["components"].values()):
        assert f"{count:,}" in tables


@pytest.mark.parametrize("on", MACHINES)
def test_hardware_says_what_the_command_line_says(
    open_app: Callable[..., AppTest], capsys: pytest.CaptureFixture[str], on: str
) -> None:
    machine = documented(capsys, "hardware", on)
    card = documented(capsys, "hardware", machine["accelerator"])
    app = open_app("hardware", v="2", on=on)
    assert not app.exception
    text = text_of(app)
    assert card["name"] in [element.value for element in app.subheader]
    figures = [
        figure
        for named in card["figures"].values()
        for figure in (named if isinstance(named, list) else [named])
    ]
    assert figures
    for figure in figures:
        assert f"**{figure['value']:,g}" in text, figure
    for price in card["prices"]:
        digits = 2 if price["kind"] == "hourly" else 0
        assert f"**{price['value']:,.{digits}f} {price['currency']}" in text
    frame = app.dataframe[0].value.set_index("id")
    row = frame.loc[card["id"]]
    assert row["memory"] == pytest.approx(card["memory_bytes"] / GIB)
    assert row["bandwidth"] == card["figures"]["bandwidth_gb_s"]["value"]
