"""What strangers and programs hand over: the project's own errors, and text that steers nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner import load_checkpoint
from planner.cli.main import run
from planner.engines import ENGINES
from planner.errors import (
    LONGEST_LINE,
    InputError,
    PlannerError,
    UnsupportedModelError,
    printable,
)
from planner.model.catalog import catalog

(CONFIG,) = (entry.config for entry in catalog() if entry.id == "Qwen/Qwen3.5-0.8B")


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
        ("a\u061cb", "a?b"),
        ("\udc80", "?"),
        ("Größe 2× 模型\n", "Größe 2× 模型\n"),
    ],
)
def test_what_steers_a_terminal_is_not_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert "\x1b" not in str(PlannerError(text))


def test_what_somebody_typed_is_quoted_in_part_and_the_advice_stays() -> None:
    said = str(InputError(f"unknown model {'a b ' * 30_000!r}; try another one"))
    assert len(said) < 1.1 * LONGEST_LINE
    assert said.startswith("unknown model 'a b a b ")
    assert said.endswith("; try another one")


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


@pytest.mark.parametrize("pattern", ["(.|.)*x", "((.+))+!", ".*.*.*.*.*.*.*.*!"])
@pytest.mark.parametrize("pasted", [False, True])
def test_a_pattern_that_kept_re_busy_for_hours_is_answered_on_the_command_line(
    capsys: pytest.CaptureFixture[str], pattern: str, pasted: bool
) -> None:
    words = ["plan", "--on", "rtx-4090"]
    if pasted:
        server = "llama-server -hf unsloth/Qwen3.5-4B-GGUF:Q4_K_M"
        words += ["--command", f"{server} --override-tensor '{pattern}=CPU'"]
    else:
        words += ["Qwen3.5-4B", "--engine", "llamacpp", "--precision", "q4_k_m"]
        words += ["--override-tensor", f"{pattern}=CPU"]
    assert run(words) in (0, 3, 5)
    assert pattern in capsys.readouterr().out


@pytest.mark.parametrize("layers", [1, 3])
def test_a_model_without_a_layer_of_full_attention_is_refused(tmp_path: Path, layers: int) -> None:
    """One engine divided by the number of such layers."""
    config = json.loads(json.dumps(CONFIG))
    config["text_config"] |= {"num_hidden_layers": layers}
    config["text_config"].pop("layer_types", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="no layer keeps keys and values"):
        load_checkpoint(str(tmp_path))
