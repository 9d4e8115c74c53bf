"""Answers about very many accelerators stay short enough to read."""

import pytest

from planner.cli.main import run
from planner.memory.breakdown import HOST_RANK, Rank
from planner.report.beside import MOST_LINES, beside


def _rank(name: str, gib: int) -> Rank:
    return Rank(name=name, count=2, total=gib << 30, usable=gib << 30, terms=())


def test_the_lines_of_stages_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "Qwen3.5-27B", "--on", "512x h100", "--engine", "vllm"]) == 0
    stages = [line for line in capsys.readouterr().out.splitlines() if "stage" in line]
    assert 0 < len(stages) <= MOST_LINES
    assert max(map(len, stages)) < 160


def test_many_kinds_are_counted_and_the_ram_is_still_told() -> None:
    ranks = [_rank(f"stage {number} of 20", number) for number in range(1, 21)]
    lines = beside([*ranks, _rank(HOST_RANK, 64)])
    assert lines[:2] == (
        "stage 2 of 20 (2 alike): 0.00 GiB of 2.0 GiB usable",
        "stage 3 of 20 (2 alike): 0.00 GiB of 3.0 GiB usable",
    )
    assert len(lines) == MOST_LINES
    assert lines[-2] == "and 15 kinds more, none of them fuller (--explain)"
    assert lines[-1].startswith("RAM (2 alike)")


def test_stages_stand_in_their_order() -> None:
    lines = beside([_rank("stage 1 of 12", 9), *(_rank(f"stage {n} of 12", 9) for n in (10, 2, 3))])
    assert lines == (
        "stage 2 of 12 (2 alike), stage 3 of 12 (2 alike), stage 10 of 12 (2 alike):"
        " 0.00 GiB of 9.0 GiB usable",
    )
