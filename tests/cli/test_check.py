"""`qwenplan check`: what it prints, and its exit statuses."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from planner.cli.main import run

LOG = """\
INFO [utils.py:233] non-default args: {'model': 'Qwen/Qwen3.6-35B-A3B', 'max_model_len': 131072, \
'language_model_only': True, 'gpu_memory_utilization': 0.95}
INFO [core.py:107] Initializing a V1 LLM engine (v0.19.2rc1.dev134+gfe9c3d6c5) with config: x=1
INFO [gpu_model_runner.py:4837] Model loading took 64.69 GiB memory and 126.29 seconds
INFO [interface.py:606] Setting attention block size to 1056 tokens to ensure that
INFO [gpu_worker.py:436] Available KV cache memory: 47.55 GiB
INFO [kv_cache_utils.py:1319] GPU KV cache size: 623,040 tokens
INFO [kv_cache_utils.py:1324] Maximum concurrency for 131,072 tokens per request: 18.44x
INFO [gpu_worker.py:580] CUDA graph pool memory: 0.1 GiB (actual), 0.93 GiB (estimated)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "start.log"
    path.write_text(LOG, encoding="utf-8")
    return path


def test_a_log_that_agrees_exits_0(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(log), "--on", "dgx-spark"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("✔ All 3 figures")
    assert "623,040 tokens" in out
    assert "CUDA graphs" in out.partition("without a word")[2]


def test_a_log_that_contradicts_the_plan_exits_3(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(LOG.replace("623,040", "587,504"), encoding="utf-8")
    assert run(["check", str(log), "--on", "dgx-spark"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("✘ 1 of 3 figures")
    assert "-35,536" in out


def test_flags_come_before_what_the_log_says(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", str(log), "Qwen3.5-35B-A3B", "--on", "2x h100", "--tp", "2", "--json"]
    assert run([*words, "--version", "0.24.0", "--no-language-model-only"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["planned_version"] == "0.24.0"
    assert document["agrees"] is False
    assert run(["check", str(log), "--on", "dgx-spark", "--version", "0.19.1"]) == 0


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(LOG.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert run(["check", "-", "--on", "dgx-spark"]) == 0
    assert "✔" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check"], "LOG"),
        (["check", "no-such.log", "--on", "h100"], "No such file"),
        (["check", ".", "--on", "h100"], "cannot be read"),
        (["check", "LOG"], "--on"),
        (["check", "LOG", "--on", "rtx-4091"], "rtx-4090"),
        (["check", "LOG", "--on", "h100", "--tp", "2"], "has 1"),
        (["check", "LOG", "--on", "h100", "--speed", "2"], "--speed"),
        (["check", "LOG", "Qwen3.5-27C", "--on", "h100"], "did you mean"),
        (["check", "LOG", "--on", "h100", "--context", "abc"], "abc"),
        (["check", "JUNK", "--on", "h100"], "not a text file"),
        (["check", "EMPTY", "--on", "h100"], "it is empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_exit_2(
    log: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    (log.parent / "junk").write_bytes(b"\x00\x01" * 100)
    (log.parent / "empty").write_bytes(b"")
    paths = {"LOG": log, "JUNK": log.parent / "junk", "EMPTY": log.parent / "empty"}
    assert run([str(paths.get(word, word)) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert says in captured.err
