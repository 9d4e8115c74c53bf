"""One question has one verdict and one piece of advice, whichever door it is asked at."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import constants

import planner
from planner.cli.main import run

BIG, SMALL = "Qwen3.5-397B-A17B", "rtx-3090"


def test_a_model_that_nothing_holds_is_answered_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", BIG, "--on", SMALL]) == 3
    text = capsys.readouterr().out
    assert run(["plan", BIG, "--on", SMALL, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    plan = planner.plan(BIG, on=SMALL)
    assert plan.verdict == document["verdict"]
    assert plan.verdict in text
    assert not document["fits"]
    assert document["launch"] is None
    assert plan.launch is None
    assert document["advice"] == plan.to_dict()["advice"]
    commands = [entry["command"] for entry in document["advice"]]
    assert commands
    assert all(entry["enough"] for entry in document["advice"])
    for command in commands:
        assert command in text
    assert any("as published" in warning for warning in document["warnings"])


def test_what_was_said_in_part_is_judged_as_it_was_said() -> None:
    plan = planner.plan(BIG, on=SMALL, engine="vllm", precision="bf16")
    assert plan.unheld is None
    assert plan.verdict.startswith("Does not fit on RTX 3090 with vLLM")
    assert plan.to_dict()["launch"] is None


def test_a_quant_that_does_not_exist_is_answered_with_those_that_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    name = "unsloth/Qwen3.5-9B-GGUF:Q9_Z"
    for words in ([name], ["--command", f"ollama run hf.co/{name}"]):
        assert run(["plan", *words, "--on", SMALL]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "no file Q9_Z is known; it has " in line
        assert "Q4_K_M, Q4_K_S" in line
    assert run(["plan", "Qwen3.5-9B", "--precision", "q9_9", "--on", SMALL]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qwenplan: unknown precision 'q9_9'; Qwen3.5-9B is stored as ")
    assert " bf16" in line
    assert "UD-Q4_K_XL" in line


@pytest.mark.parametrize("door", ["plan", "recommend"])
def test_a_precision_that_is_none_is_answered_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str], door: str
) -> None:
    assert run([door, "Qwen3.5-9B", "--precision", "q4km", "--on", SMALL]) == 2
    assert "unknown precision 'q4km'; did you mean Q4_K_M?" in capsys.readouterr().err


def test_advice_to_keep_the_checkpoint_names_what_changes() -> None:
    line = "vllm serve Qwen/Qwen3.5-35B-A3B-FP8 -tp 2 --max-model-len 131072 --kv-cache-dtype fp8"
    titles = [advice.title for advice in planner.plan_command(line, on="2x rtx-4090").advice]
    assert any(title.startswith("set --max-num-seqs ") for title in titles)
    assert "use Qwen/Qwen3.5-35B-A3B-FP8" not in titles
