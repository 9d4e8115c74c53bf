"""One question has one verdict and one piece of advice, whichever door it is asked at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from huggingface_hub import constants

import planner
from planner.cli.main import run
from planner.emitting import emit
from planner.report.html import plan_html
from planner.report.markdown import plan_markdown
from planner.report.text import plan_text
from planner.units import format_gib
from tests.present import some

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
    nearest = document["model"]["id"]
    assert nearest == plan.deployment.checkpoint.id
    assert any(f"{nearest} taken: no known one fits" in line for line in document["warnings"])
    assert any(line.startswith(f"the figures are of {nearest}, ") for line in document["warnings"])


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


@pytest.mark.parametrize(
    ("engine", "on", "asked"),
    [
        ("vllm", "h100", {"precision": "fp8", "context": "128k", "concurrency": 64}),
        ("sglang", "h100", {"precision": "fp8", "context": "128k", "concurrency": 64}),
        ("tensorrt-llm", "h100", {"precision": "fp8", "context": "128k", "concurrency": 64}),
        ("llamacpp", "rtx-3090", {"precision": "UD-Q4_K_XL", "context": "32k", "concurrency": 8}),
        ("transformers", "h100", {"context": "32k", "concurrency": 80}),
        ("mlx", "m4-max-64gb", {"precision": "mlx-4bit", "context": "128k", "concurrency": 20}),
    ],
)
def test_where_fewer_are_held_every_door_tells_of_those(
    engine: str, on: str, asked: dict[str, Any]
) -> None:
    """The document and the page's bars were of all who were asked for: 500 GiB over, and a command beside it."""
    plan = planner.plan("Qwen3.5-27B", on=on, engine=engine, **asked)
    assert plan.outcome is planner.Outcome.HOLDS_FEWER
    number = some(plan.capacity).sequences
    assert 0 < number < asked["concurrency"]
    document = plan.to_dict()
    assert document["workload"]["concurrency"] == asked["concurrency"]
    assert document["planned_for"] == number
    assert all(rank["headroom"] >= 0 for rank in document["ranks"])
    rank = document["ranks"][0]
    used = f"{format_gib(rank['used'])} of {format_gib(rank['usable'])} usable"
    command = document["launch"]["command"]
    assert command == some(plan.held.launch).command
    for text in (plan_text(plan), plan_markdown(plan), plan_html(plan)):
        assert used in text
        assert f"what follows is for {number} of them at once" in text
    assert "\n".join(some(plan.held.launch).lines) in plan_text(plan)
    told = f"# {plan.verdict}\n"
    assert told in emit(plan, "shell")
    assert emit(plan, "shell").replace(told, "") == emit(plan.held, "shell")
    whole = planner.plan("Qwen3.5-27B", on=on, engine=engine, **asked | {"concurrency": number})
    assert whole.held is whole
    same = whole.to_dict()
    assert same["planned_for"] == number
    assert [same["ranks"], same["launch"]] == [document["ranks"], document["launch"]]
