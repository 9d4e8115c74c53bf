"""What strangers and programs hand over: the project's own errors, and text that steers nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.cli.main import run
from planner.engines import ENGINES
from planner.errors import InputError, PlannerError, printable


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize(
    "question",
    [
        {"kv_cache_dtype": 0},
        {"kv_cache_dtype": []},
        {"yarn": float("nan")},
        {"yarn": 1},
        {"yarn": "no"},
        {"context": float("nan")},
        {"concurrency": 1.5},
    ],
)
def test_arguments_of_another_type_are_refused(engine: str, question: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        planner.plan("Qwen3.5-0.8B", on="h100-sxm", engine=engine, **question)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;x\x07", "?[2J?]0;x?"),
        ("a\u202egnp.exe", "a?gnp.exe"),
        ("\udc80", "?"),
        ("Größe 2× 模型\n", "Größe 2× 模型\n"),
    ],
)
def test_what_steers_a_terminal_is_not_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert "\x1b" not in str(PlannerError(text))


def test_a_strangers_words_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "\x1b[31mred", "architectures": ["\x1b]0;title\x07"]})
    )
    assert run(["plan", str(folder), "--on", "h100-sxm"]) != 0
    assert run(["plan", "\x1b[31mno-such-model", "--on", "h100-sxm"]) != 0
    said = "".join(capsys.readouterr())
    assert said
    assert "\x1b" not in said
    assert "\x07" not in said
