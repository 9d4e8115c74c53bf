"""The reference cases that the project keeps agree, or are known not to, with the reason.

Cases whose truth is a measurement of an estimate (overheads) are held to the band and to a median.
"""

import json
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fidelity import SUITES, find_cases, main, missing, run, summarise
from benchmarks.ship_fidelity import TARGET
from benchmarks.suites import sglang_logs
from benchmarks.suites.known import bare, known_failures, reason_of
from benchmarks.suites.result import Allowed, CaseResult
from benchmarks.suites.vllm_cases import engine_sentence

REFERENCE = Path(__file__).parent / "reference"
KNOWN = [row for row in known_failures() if not row.get("published")]
MEASURED = (
    "overheads",
    "throughput",
    "throughput_more",
    "speed",
    "transformers_gpu",
    "llamacpp_gpu",
)
"""Suites of estimates: held to bands here, in tests/throughput and in tests/test_measure_pytorch.py."""
EXACT = [name for name in SUITES if name not in MEASURED]


@cache
def results(suite: str) -> dict[tuple[str, str | None], CaseResult]:
    """(case, group where one case has several results) -> what it came to."""
    module = import_module(f"benchmarks.suites.{suite}")
    folder = find_cases(REFERENCE, module.FILES)
    assert folder is not None, f"tests/reference lacks {module.FILES}"
    found = list(module.run(folder))
    named = {(bare(case.name), case.group if suite == "field" else None): case for case in found}
    assert len(named) == len(found), "two results of one name"
    return named


def known(suite: str) -> set[tuple[str, str | None]]:
    return {(row["case"], row.get("group")) for row in KNOWN if row["suite"] == suite}


@pytest.mark.parametrize("suite", EXACT)
def test_suite_agrees_but_for_what_is_known(suite: str) -> None:
    wrong = {
        key: case.problem or {name: (case.expected[name], case.answered.get(name))}
        for key, case in results(suite).items()
        if not case.agrees and key not in known(suite)
        for name in (case.wrong or ("",))
    }
    assert not wrong


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=":".join((row["suite"], row.get("group", ""), row["case"])),
            marks=pytest.mark.xfail(reason=row["reason"], strict=not row.get("mended", False)),
        )
        for row in KNOWN
    ],
)
def test_known_failure(row: dict[str, Any]) -> None:
    assert results(row["suite"])[row["case"], row.get("group")].agrees


def test_every_known_failure_is_a_kept_case_or_marked_as_published() -> None:
    for row in known_failures():
        kept = (row["case"], row.get("group")) in results(row["suite"])
        assert kept is not row.get("published", False), row
        assert row["reason"]


def test_the_runner_prints_why_a_case_differs(capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in KNOWN if row["suite"] == "recipes")
    assert main(["--cases", str(REFERENCE), "--suite", "recipes"]) == 0
    printed = capsys.readouterr().out
    assert f"1 x differs: {row['reason']}" in printed
    assert f"({row['reason']})" in printed
    assert reason_of("recipes", "another case") is None


def test_overheads_lie_in_the_band_and_near_the_middle() -> None:
    summary = summarise(results("overheads").values())
    discrete = summary["groups"]["NVIDIA, own memory"]
    assert summary["failed"] == summary["unasked"] == 0
    assert discrete["median_error"] < 0.5
    assert discrete["p90_error"] < 1.8
    assert summary["within_band"] >= 0.8


def test_every_reference_file_is_read_by_a_suite() -> None:
    files = {path.name for path in REFERENCE.glob("*.json")}
    read = {name for suite in SUITES for name in import_module(f"benchmarks.suites.{suite}").FILES}
    assert files <= read, f"nothing reads {files - read}"


def test_runner_reports_what_it_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cases", str(REFERENCE), "--suite", "params"]) == 0
    assert "11/11 exact" in capsys.readouterr().out
    assert main(["--cases", str(REFERENCE), "--suite", "params", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"]["exact"] == 11


def test_missing_files_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "params.json").write_text("{}", "utf-8")
    assert main(["--cases", str(tmp_path), "--suite", "params", "--suite", "gguf"]) == 1
    assert "gguf" in (said := capsys.readouterr().err)
    assert "gguf_sizes.json" in said
    assert set(missing(tmp_path, SUITES)) == set(SUITES) - {"params"}


def test_a_wrong_answer_is_seen(tmp_path: Path) -> None:
    """The runner can fail: a changed expectation is reported, an unknown model is never exact."""
    text = (REFERENCE / "params.json").read_text("utf-8")
    wrong = text.replace('"text.gdn.A_log": 288', '"text.gdn.A_log": 289', 1)
    (tmp_path / "params.json").write_text(wrong.replace('"Qwen3.5-9B"', '"Qwen3.5-9C"'), "utf-8")
    summary = run(tmp_path, ["params"])["params"]
    assert summary["exact"] == summary["agree"] == summary["cases"] - 2
    assert summary["unasked"] == 1


@pytest.mark.parametrize(
    ("suite", "find", "put"),
    [
        ("vllm", '"num_blocks": ', '"num_blocks": 1'),
        ("vllm_versions", '"block_size": ', '"block_size": 1'),
        ("vllm_quant", '"param_bytes": ', '"param_bytes": 1'),
        ("sglang", '"max_total_num_tokens": ', '"max_total_num_tokens": 1'),
        ("llamacpp", '"kv_cells": ', '"kv_cells": 1'),
        ("recipes", '"expected_fits": true', '"expected_fits": false'),
        ("tp_validity", '"valid_bf16": true', '"valid_bf16": false'),
        ("transformers", '"total_bytes": ', '"total_bytes": 1'),
    ],
)
def test_a_wrong_expectation_is_seen_in_every_engine(
    suite: str, find: str, put: str, tmp_path: Path
) -> None:
    (name,) = import_module(f"benchmarks.suites.{suite}").FILES
    lines = (REFERENCE / name).read_text("utf-8").splitlines(keepends=True)
    place = next(index for index, line in enumerate(lines) if find in line)
    lines[place] = lines[place].replace(find, put, 1)
    (tmp_path / name).write_text("".join(lines), "utf-8")
    before = summarise(results(suite).values())["agree"]
    assert run(tmp_path, [suite])[suite]["agree"] == before - 1


def test_a_case_in_which_nothing_was_compared_is_not_exact() -> None:
    empty = CaseResult(name="x")
    assert not empty.exact
    assert not empty.agrees
    assert summarise([empty])["failed"] == 1


def test_exact_means_equal_and_allowances_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rule = Allowed(relative=0.01, reason="rounded")
    near = CaseResult(name="x", expected={"a": 1000}, answered={"a": 1001}, allowed={"a": rule})
    far = CaseResult(name="x", expected={"a": 1000}, answered={"a": 1011}, allowed={"a": rule})
    unsaid = CaseResult(name="x", expected={"a": 1000}, answered={"a": 1001})
    assert (near.exact, near.agrees, near.reasons) == (False, True, ("allowed: rounded",))
    assert (far.exact, far.agrees, far.reasons) == (False, False, ())
    assert not unsaid.agrees
    assert not CaseResult(name="x", expected={"a": None}).agrees  # no answer is not None
    assert not CaseResult(name="x", expected={"a": 1}, answered={"a": True}).agrees


def test_an_engines_message_is_compared_whole() -> None:
    raised = (
        "ValidationError: 1 validation error for VllmConfig\n  Value error, Total number of heads"
        " (24) must be divisible by tensor parallel size (16). [type=value_error, input_value=()]"
    )
    whole = "Total number of heads (24) must be divisible by tensor parallel size (16)."
    assert engine_sentence(raised) == whole
    advice = "It is short. Try increasing `x` or y."
    assert engine_sentence(f"ValueError: {advice}\nTraceback ...") == advice


def test_a_logged_figure_that_is_not_answered_is_wrong(tmp_path: Path) -> None:
    row = {"what": "Qwen3.5-9B one layer", "logged": {"bytes": 2146304, "untold": 1}}
    (tmp_path / "sglang_logs.json").write_text(json.dumps([row]), "utf-8")
    (found,) = sglang_logs.run(tmp_path)
    assert found.wrong == ("untold",)


@pytest.mark.parametrize("suite", EXACT)
def test_the_shipped_run_claims_no_more_than_is_so(suite: str) -> None:
    """`python -m benchmarks.ship_fidelity --cases tests/reference` renews what ships."""
    shipped = json.loads(TARGET.read_text("utf-8"))["suites"][suite]
    summary = summarise(results(suite).values())
    assert shipped["cases"] == summary["cases"]
    assert shipped["exact"] <= summary["exact"]
    assert shipped["agree"] <= summary["agree"]
    assert shipped["failed"] >= summary["failed"]
