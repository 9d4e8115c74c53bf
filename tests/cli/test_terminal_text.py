"""What a file's name carries reaches a file as it is, and a terminal without what would steer it."""

import sys
from pathlib import Path

import pytest

from planner.cli.main import run
from tests.fuzz import valid
from tests.model.builders import gguf

NAME = "x\x1b]0;title\x07\u202e-Q8_0.gguf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    stub = gguf(dict(valid.GGUF_PAIRS), valid.GGUF_TENSORS)
    path = tmp_path / NAME
    with path.open("wb") as out:
        out.write(stub.head)
        out.truncate(stub.size)
    return path


@pytest.mark.parametrize("form", [[], ["--emit", "shell"], ["--emit", "ollama"], ["--markdown"]])
def test_no_name_steers_a_terminal(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    question = ["plan", str(file), "--on", "rtx-4090", "--engine", "llamacpp", "--context", "8k"]
    assert run([*question, *form]) == 0
    said = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert "x?]0;title??-Q8_0.gguf" in said


def test_a_model_of_this_machine_steers_no_terminal(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["models", str(file)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_file_gets_the_name_as_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = ["plan", str(file), "--on", "rtx-4090", "--engine", "llamacpp", "--context", "8k"]
    assert run([*question, "--emit", "shell"]) == 0
    assert NAME in capsys.readouterr().out
