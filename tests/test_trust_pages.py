"""docs/fidelity.md and docs/peers.md are current, our own figures worked out again; check_logs counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import check_logs, peers, ship_fidelity
from benchmarks.fidelity import SUITES, summarise
from benchmarks.suites.result import CaseResult
from planner.web.fidelity import ABOUT


def test_the_fidelity_page_is_what_ships() -> None:
    shipped = json.loads(ship_fidelity.TARGET.read_text("utf-8"))
    full = json.loads(ship_fidelity.FULL.read_text("utf-8"))
    assert ship_fidelity.PAGE.read_text("utf-8") == ship_fidelity.page(shipped, full)
    assert set(SUITES) == set(ABOUT)
    for document in (shipped, full):
        assert set(document["suites"]) <= set(SUITES)
        for name, row in document["suites"].items():
            assert row["sample"] in ship_fidelity.SECTIONS
            assert row["exact"] <= row["agree"] <= row["cases"]
            assert row["agree"] + row["failed"] + row["unasked"] <= row["cases"]
            assert sum(inner["cases"] for inner in row.get("groups", {}).values()) <= row["cases"]
            assert all(case["case"] and case["why"] for case in row["worst"]), name
    for name, row in shipped["suites"].items():
        assert row["cases"] <= full["suites"][name]["cases"]


def test_what_is_held_out_has_a_section_of_its_own() -> None:
    figures = {"cases": 3, "exact": 0, "agree": 0, "failed": 0, "unasked": 0}
    figures |= {"median_error": 0.1, "p90_error": 0.2, "max_error": 0.3}  # type: ignore[dict-item]
    report = {**figures, "worst": [], "rigs_held_out": {**figures, "groups": {"decode": figures}}}
    suites = {"throughput": ship_fidelity.shipped_suite("throughput", report)}
    made = {"version": "1", "date": "2026-11-27", "cases": "x", "suites": suites}
    text = ship_fidelity.page(made, made)
    assert "each machine left out of the fit" in text
    assert text.index("left out of the fit") < text.rindex("– decode")


def test_the_page_of_peers_is_current() -> None:
    kept = peers.document()
    assert peers.PAGE.read_text("utf-8") == peers.page(kept)
    assert json.loads(peers.SHIPPED.read_text("utf-8")) == peers.tables(kept)
    for tool in kept["tools"]:
        answer = tool.get("answer")
        if answer is None:
            assert "not run" in tool["note"]
            continue
        assert tool["version"]
        assert "error" in answer or len(answer["models"]) == len(kept["models"])


@pytest.mark.parametrize(
    ("reference", "users"), [("7.7–8.3", (4, 16)), ("48–52", (32, 64)), ("6.1–7.4", (4, 8))]
)
def test_users_are_asked_whose_verdict_the_reference_settles(
    reference: str, users: tuple[int, int]
) -> None:
    assert peers.asked_users(reference) == users


def test_verdicts_stand_beside_the_truths() -> None:
    kept = peers.document()
    rows = {row["Tool"].split()[0]: row for row in peers.verdicts(kept)}
    assert rows["qwenplan"]["Right"] == "10 of 10"
    assert not any("✘" in cell for cell in rows["truth"].values())
    for tool in kept["tools"]:
        counts = tool.get("answer", {}).get("capacity")
        assert (tool["name"] in rows) is (counts is not None)
        if counts is not None:
            row = rows[tool["name"]]
            wrong, untold = (sum(mark in cell for cell in row.values()) for mark in ("✘", "not in"))
            assert row["Right"] == f"{10 - wrong - untold} of {10 - untold}"
    assert kept["own"]["starts"] > 0


@pytest.mark.parametrize("number", range(3))
def test_our_answers_are_the_truth(number: int) -> None:
    kept = peers.document()
    mine = peers.ours(kept["models"][number])
    for name in peers.ROWS:
        assert mine[name] == pytest.approx(kept["truth"][name][number], abs=0.005)


def test_quotes_are_read_and_what_is_missed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "Available KV cache memory: 47.55 GiB | GPU KV cache size: 623,040 tokens"
    cases = [
        {
            "id": "whole",
            "quote": line,
            "measured": {"available_kv_gib": 47.55, "kv_tokens": 623040},
        },
        {"id": "short", "quote": f"{line} | also 12.5 GiB", "measured": {"other_gib": 12.5}},
        {"id": "words", "quote": "it took about 12 GiB", "measured": {"other_gib": 12}},
    ]
    quotes = tmp_path / "cases.json"
    quotes.write_text(json.dumps({"cases": cases}), "utf-8")
    (tmp_path / "start.log").write_text(line.replace(" | ", "\n"), "utf-8")
    assert check_logs.main(["--quotes", str(quotes), "--logs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 logs read without an error" in out
    assert "2 of 3 stated fields recovered (66.7%)" in out
    assert "short" in out
    assert "missed other_gib" in out
    (tmp_path / "start.log").write_text("nothing of a server", "utf-8")
    assert check_logs.main(["--logs", str(tmp_path)]) == 1


def test_an_answer_far_too_fast_is_worse_than_one_twice_too_slow() -> None:
    def case(name: str, answered: float, held: bool) -> CaseResult:
        return CaseResult(
            name=name,
            expected={"seconds": 1.0},
            answered={"seconds": answered},
            error=abs(answered - 1.0),
            within_band=held,
        )

    made = [case("slow", 2.5, False), case("fast", 0.1, False), case("near", 0.9, True)]
    found = summarise(made, "speed")
    assert [row["case"] for row in found["worst"]] == ["fast", "slow", "near"]
    assert found["too_fast"] == pytest.approx(1 / 3)
    twice = summarise([*made, *made], "speed")
    assert [row["case"] for row in ship_fidelity.shipped_suite("speed", twice)["worst"]] == [
        "fast", "slow", "near",
    ]  # fmt: skip
