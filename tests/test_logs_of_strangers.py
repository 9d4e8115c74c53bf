"""Logs and commands as strangers paste them: what their lines tell is used, and what helps is said."""

from pathlib import Path

import pytest

from planner import observed
from planner.answer import Plan
from planner.cli.main import run

BLOCKS = (
    "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (856). Each decode sequence"
    " requires one Mamba cache block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to"
    " at most 856 or increase gpu_memory_utilization.\n"
)


def test_of_too_many_sequences_so_many_are_advised_as_there_are_blocks() -> None:
    command = "vllm serve Qwen/Qwen3.8-27B --max-model-len 132000 --port 9000"
    plan = Plan.of(observed.plan_command(command, on="h100"))
    assert plan.allocation is not None
    blocks = plan.allocation.pool.num_blocks  # type: ignore[attr-defined]
    assert f"exceeds available Mamba cache blocks ({blocks})" in plan.verdict
    first = plan.first_advice[0]
    assert first.enough
    assert first.command is not None
    assert first.command.endswith(f"--max-num-seqs {blocks} --port 9000")
    for advice in plan.first_advice:
        assert "leave --port" not in advice.words
        if advice.plan.engine == "vllm":
            assert "--port 9000" in (advice.command or "")


def test_the_number_that_a_log_names_is_said_beside_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.log"
    path.write_text(BLOCKS)
    run(
        [
            "check",
            str(path),
            "Qwen/Qwen3.6-27B-FP8",
            "--on",
            "h100",
            "--gpu-memory-utilization",
            "0.95",
        ]
    )
    said = capsys.readouterr().out
    assert "It starts with --max-num-seqs 856." in said
    assert "(--max-num-seqs 1)" not in said
