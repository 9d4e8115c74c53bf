"""A sweep over a Dask cluster is the sweep, also where a worker is lost midway."""

import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from planner import sweeping
from planner.cli.main import run

distributed = pytest.importorskip("distributed")

ASKED: dict[str, Any] = {
    "models": ["Qwen3.5-4B", "Qwen3.5-27B", "no such model"],
    "on": "h100",
    "precisions": "fp8",
    "engines": "vllm",
    "contexts": list(range(4096, 65_536, 2048)),
    "concurrencies": [1, 8],
    "layouts": None,
    "verdicts": False,
}


def test_a_worker_that_is_killed_midway_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sweeping, "ROWS", 5)
    monkeypatch.setattr(sweeping, "AHEAD", 6)
    here = pd.concat(list(sweeping.sweep_frames(**ASKED)), ignore_index=True)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    )
    with cluster, distributed.Client(cluster) as client:
        pieces: list[pd.DataFrame] = []
        for piece in sweeping.sweep_frames(executor=client.get_executor(pure=False), **ASKED):
            if len(pieces) == 3:
                process = next(iter(client.run(os.getpid).values()))
                os.kill(process, signal.SIGKILL)
            pieces.append(piece)
        out = tmp_path / "plans.parquet"
        words = ["sweep", "Qwen3.5-4B", "--on", "h100", "--engine", "vllm", "--out", str(out)]
        assert run([*words, "--context", "4k,8k", "--dask", cluster.scheduler_address]) == 0
    assert len(pd.read_parquet(out)) == 2
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), here)
    assert len(pieces) == 36


def test_no_scheduler_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = str(tmp_path / "plans.csv")
    assert run(["sweep", "Qwen3.5-4B", "--on", "h100", "--out", out, "--dask", "nonsense://x"]) == 2
    error = capsys.readouterr().err
    assert "--dask nonsense://x: " in error
    assert error.count("\n") == 1
