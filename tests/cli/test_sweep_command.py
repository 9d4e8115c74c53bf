"""`qwenplan sweep`: lists, ranges, files that stay whole."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import planner
from planner import sweeping
from planner.cli.main import run
from planner.cli.sweep import Table, numbers
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.units import parse_tokens

WORDS = ["sweep", "Qwen3.5-4B", "--on", "h100,l4", "--engine", "vllm", "--context", "4k:16k:x2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", (8,)),
        ("1,8,64", (1, 8, 64)),
        ("4k:32k:x2", (4096, 8192, 16_384, 32_768)),
        ("1k:3k:+1k", (1024, 2048, 3072)),
        ("4k:9k:x2,100", (4096, 8192, 100)),
        ("8,8", (8,)),
    ],
)
def test_lists_and_ranges(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text, parse_tokens, what="context") == expected


@pytest.mark.parametrize(
    ("text", "last"),
    [("4k:1M:x2", [524_288, 1_010_000]), ("1M", [1_010_000]), ("900k:1M:+50k", [921_600, 972_800])],
)
def test_a_range_ends_with_the_longest_that_the_family_calls_1m(text: str, last: list[int]) -> None:
    found = numbers(text, tokens_of, what="context", plain=parse_tokens)
    assert list(found[-2:]) == last


@pytest.mark.parametrize(
    "text", ["4k:8k", "1:8:x1", "1:8:2", "a", "1:2:x", "9:1:x2", "1:1M:+1,1:1M:+1k:2"]
)
def test_a_range_that_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="context"):
        numbers(text, parse_tokens, what="context")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_file_holds_what_python_gets(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"plans.{ending}"
    assert run([*WORDS, "--concurrency", "1,64", "--verdicts", "--out", str(out)]) == 0
    read = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    frame = planner.sweep(
        "Qwen3.5-4B",
        on=["h100", "l4"],
        engines="vllm",
        contexts=[4096, 8192, 16_384],
        concurrencies=[1, 64],
    )
    assert len(frame) == 12
    assert list(read.columns) == list(sweeping.COLUMNS)
    for column in ("headroom_bytes", "sequences", "outcome", "verdict"):
        assert read[column].tolist() == frame[column].tolist()


def test_pieces_are_the_table_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {
        "models": ["Qwen3.5-4B", "no such model"],
        "on": ["h100", "l4"],
        "contexts": [4096, 8192],
        "concurrencies": [1, 8, 64],
    }
    whole = sweeping.sweep_all(executor=None, **asked)
    monkeypatch.setattr(sweeping, "ROWS", 4)
    pieces = list(sweeping.sweep_frames(**asked))
    assert [len(piece) for piece in pieces] == [4, 2] * 4
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)


def test_the_first_rows_are_written_soon() -> None:
    """Of one piece of 50,000 rows nothing was there when somebody stopped after 8,000."""
    tasks = list(sweeping.tasks_of(models="Qwen3.5-4B", on="h100", contexts=range(1, 20_001)))
    assert [task.stop - task.start for task in tasks[:4]] == [250, 500, 1000, 2000]
    assert tasks[-1].stop == 20_000
    assert all(task.start == before.stop for before, task in pairwise(tasks))


def test_a_file_that_was_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plans.csv"
    for told in (f"rows in {out}\n", f"rows in {out}, in place of what was there\n"):
        run([*WORDS, "--out", str(out)])
        assert capsys.readouterr().out.endswith(told)


def test_what_is_written_before_ctrl_c_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = sweeping.frame_of
    seen: list[sweeping.Task] = []

    def interrupted(task: sweeping.Task) -> pd.DataFrame:
        if seen:
            raise KeyboardInterrupt
        seen.append(task)
        return real(task)

    monkeypatch.setattr(sweeping, "frame_of", interrupted)
    out = tmp_path / "plans.parquet"
    assert run([*WORDS, "--out", str(out)]) == 130
    assert len(pd.read_parquet(out)) == 3
    assert "stopped; 3 of 6 rows are in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "plans.txt"], "name a .parquet or a .csv file"),
        (["--out", "nowhere/plans.csv"], "there is no folder"),
        (["--out", "plans.csv", "--concurrency", "many"], "concurrency: cannot read 'many'"),
        (["--out", "plans.csv", "--context", "9k:1k:x2"], "write the smaller number first"),
        (["--out", "plans.csv", "--concurrency", "9:1:+1"], "write the smaller number first"),
        (["--out", "plans.csv", "--concurrency", "1:9:+0"], "0 is out of range"),
        (
            ["--out", "plans.csv", "--context", "1:99k:+1", "--concurrency", "1:99999:+1"],
            "one sweep writes at most 1,000,000,000",
        ),
        (["--out", "folder.csv"], "that is a folder"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    named = WORDS[:-2] if "--context" in words else WORDS
    assert run([*named, *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_names_that_are_unknown_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plans.csv"
    words = ["sweep", "Qwen3.5-4B", "--engine", "vllm", "--out", str(out)]
    assert run([*words, "--on", "h100,h1000", "--context", "4k,8k"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("qwenplan: 2 rows without a plan: unknown hardware 'h1000'; nearest: ")
    assert run([*words, "--on", "h1000,h1001,h1002,h1003"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert said[-1] == "qwenplan: 1 more row without a plan; the column error says why"


def test_no_file_is_named_where_none_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(task: sweeping.Task) -> pd.DataFrame:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "frame_of", interrupted)
    out = tmp_path / "plans.csv"
    assert run([*WORDS, "--out", str(out)]) == 130
    assert capsys.readouterr().err == "qwenplan: stopped; no row was written\n"
    assert not out.exists()


def test_a_sweep_says_what_it_keeps_where_plan_would_choose_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row did not fit where plan takes a smaller KV cache, and nothing said why."""
    out = tmp_path / "sweep.csv"
    asked = ["sweep", "Qwen3.5-27B", "--on", "rtx-4090", "--out", str(out)]
    assert run([*asked, "--context", "32k,128k"]) == 0
    said = capsys.readouterr().err
    assert "1 row does not fit: what you did not name was chosen for the first context" in said
    assert run([*asked, "--context", "128k"]) == 0
    assert not capsys.readouterr().err
    run(["sweep", "--help"])
    assert "chosen once" in " ".join(capsys.readouterr().out.split())


def test_a_table_calls_the_engines_release_as_the_plan_does(tmp_path: Path) -> None:
    """In columns, in rows, in the recommendation and as JSON: the build, not a commit."""
    out = tmp_path / "sweep.csv"
    weights = "unsloth/Qwen3.5-2B-GGUF:Q4_K_M"
    plan = planner.plan(weights, on="rtx-4090")
    for more in ([], ["--verdicts"]):
        run(["sweep", weights, "--on", "rtx-4090", "--out", str(out), *more])
        assert set(pd.read_csv(out)["engine_version"]) == {plan.release}
    assert plan.to_dict()["engine_version"] == plan.release
    pick = planner.recommend("Qwen3.5-2B", on="rtx-4090", engine="llamacpp").to_dict()["pick"]
    assert pick["engine_version"] == plan.release


def test_a_file_that_cannot_be_written_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--out /proc/x.csv` was a traceback."""

    def add(self: Table, frame: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(self.path))

    monkeypatch.setattr(Table, "add", add)
    out = tmp_path / "plans.csv"
    words = ["sweep", "Qwen3.5-4B", "--on", "h100", "--engine", "vllm", "--out", str(out)]
    assert run(words) == 2
    said = f"qwenplan: --out {out}: cannot be written: No such file or directory\n"
    assert capsys.readouterr().err.endswith(said)
