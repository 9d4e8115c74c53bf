"""The conformance run: what it draws, and what it says of answers, without any engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.conformance import __main__ as conformance
from benchmarks.conformance import asking
from benchmarks.conformance.drawing import draw_sglang, draw_vllm
from benchmarks.conformance.environments import wanted_by
from benchmarks.suites import sglang_cases, vllm_cases

REFERENCE = Path(__file__).parent / "reference"
WORKER = """
import json, sys
kept = json.load(open({answers!r}))
for number, line in enumerate(sys.stdin):
    question = json.loads(line)
    assert question["gpu"]["capability"] and question["model"]
    answer = kept[number]
    if answer is None:
        sys.exit(3)
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment whose engine gives the answers of a file."""
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(asking, "HERE", tmp_path)
    return environment


def answers_are(folder: Path, answers: list[object]) -> None:
    kept = folder / "answers.json"
    kept.write_text(json.dumps(answers), "utf-8")
    (folder / "vllm_worker.py").write_text(WORKER.format(answers=str(kept)), "utf-8")


def kept_cases(count: int) -> list[dict[str, object]]:
    found = json.loads((REFERENCE / "vllm.json").read_text("utf-8"))["cases"]
    same = [case for case in found if case["case"]["gpu"] == "h100" and "num_blocks" in case]
    return list(same[:count])


def test_equal_answers_are_counted_and_differences_are_told(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = kept_cases(3)
    asked = tmp_path / "cases.json"
    asked.write_text(json.dumps({"cases": cases}), "utf-8")
    words = ["vllm", "--again", str(asked), "--environment", str(engine)]
    kept = tmp_path / "kept.json"
    answers_are(tmp_path, list(cases))
    assert conformance.main([*words, "--write", str(kept)]) == 0
    assert "     3 equal in every field" in capsys.readouterr().out
    assert len(json.loads(kept.read_text("utf-8"))["cases"]) == 3
    changed = {**cases[1], "num_blocks": 1}
    answers_are(tmp_path, [cases[0], changed, cases[2]])
    assert conformance.main(words) == 1
    out = capsys.readouterr().out
    assert "num_blocks: theirs 1, ours" in out
    assert "     1 different" in out


def test_an_engine_that_dies_is_begun_again(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = kept_cases(2)
    asked = tmp_path / "cases.json"
    asked.write_text(json.dumps({"cases": cases}), "utf-8")
    answers_are(tmp_path, [None])
    assert conformance.main(["vllm", "--again", str(asked), "--environment", str(engine)]) == 1
    assert "     2 the engine could not be asked" in capsys.readouterr().out


def test_without_an_environment_it_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conformance.main(["vllm", "--cases", "1", "--environment", str(tmp_path)]) == 2
    assert "make conformance" in capsys.readouterr().err


def test_a_seed_draws_the_same_and_every_configuration_can_be_asked(tmp_path: Path) -> None:
    first = list(conformance.drawn(draw_vllm, 1, 30))
    assert first == list(conformance.drawn(draw_vllm, 1, 30))
    assert first != list(conformance.drawn(draw_vllm, 2, 30))
    for case in first:
        question = asking.vllm_question(case, tmp_path)
        document = json.loads((Path(question["model"]) / "config.json").read_text("utf-8"))
        assert ("quantization_config" in document) is ("quantization_config" in case)
        result = vllm_cases.compare({**case, "vllm_version": "0.33.0"}, REFERENCE)
        assert result.unasked is None


def test_sglang_is_asked_what_the_planner_reads(tmp_path: Path) -> None:
    for number in range(20):
        case = draw_sglang(Random(number))
        question = asking.sglang_question(case, tmp_path)
        assert question["after"] < question["before"] < question["gpu"]["mib"] / 1024
        server = sglang_cases.server_of({"version": "0.5.23", **case}, REFERENCE)
        assert server.resolved()["page_size"] >= 1


def test_no_library_wants_nothing() -> None:
    assert wanted_by([]) == []


def test_a_whole_projection_of_one_part_is_no_cut_block(tmp_path: Path) -> None:
    """Seed 1727: Qwen3-Next's fused in_proj_ba has 64 rows; vLLM looks at blocks that it cuts."""
    gates = [
        f"model.layers.{n}.mlp.{end}" for n in range(48) for end in ("gate", "shared_expert_gate")
    ]
    case = {
        "case": {"model": "Qwen3-Next-80B-A3B-Instruct@fp8", "tp": 1, "gpu": "a100", "pp": 2,
                 "max_model_len": 2048, "available": 1391565022, "language_model_only": True},
        "base_model": "Qwen3-Next-80B-A3B-Instruct",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128],
                                "modules_to_not_convert": ["lm_head", *gates]},
        "vllm_version": "0.33.0",
        "num_blocks": 1,
    }  # fmt: skip
    assert vllm_cases.compare(case, tmp_path).answered["num_blocks"] > 1
    cut = {**case, "case": {**case["case"], "tp": 2}}  # type: ignore[dict-item]
    assert vllm_cases.compare(cut, tmp_path).answered["num_blocks"] is None
