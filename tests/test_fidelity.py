"""The reference cases that the project keeps agree, suite by suite, as closely as each one can."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fidelity import find_cases, main, run, summarise

REFERENCE = Path(__file__).parent / "reference"


def exact(summary: dict[str, Any]) -> bool:
    return bool(summary["exact"] == summary["cases"] > 0)


def overheads(summary: dict[str, Any]) -> bool:
    discrete = summary["groups"]["NVIDIA, own memory"]
    return bool(
        summary["failed"] == 0
        and discrete["median_error"] < 0.5
        and discrete["p90_error"] < 1.8
        and summary["within_band"] >= 0.8
    )


def recipes(summary: dict[str, Any]) -> bool:
    """All but a drafter of unknown shape and one published claim that the arithmetic contradicts."""
    return bool(summary["failed"] == 0 and summary["exact"] >= summary["cases"] - 2)


def field(summary: dict[str, Any]) -> bool:
    groups = summary["groups"]
    return bool(
        summary["failed"] == 0
        and groups["tokens from KV memory"]["exact"] == groups["tokens from KV memory"]["cases"]
        and groups["concurrency from KV memory"]["p90_error"] < 0.05
        and groups["KV memory from utilization"]["median_error"] < 0.05
        and groups["KV needed"]["exact"] == groups["KV needed"]["cases"]
        and groups["llama.cpp KV and state"]["exact"] == groups["llama.cpp KV and state"]["cases"]
        and groups["verdicts"]["median_error"] == 0
    )


DEMANDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "checkpoints": exact,
    "gguf": exact,
    "llamacpp": exact,
    "params": exact,
    "flash_next_params": exact,
    "flash_next_vllm": exact,
    "vllm": exact,
    "vllm_extra": exact,
    "vllm_versions": exact,
    "overheads": overheads,
    "recipes": recipes,
    "field": field,
    "sglang": exact,
    "tp_validity": exact,
    "transformers": exact,
}


@pytest.mark.parametrize("name", sorted(DEMANDS))
def test_suite_agrees(name: str) -> None:
    module = import_module(f"benchmarks.suites.{name}")
    folder = find_cases(REFERENCE, module.FILES)
    assert folder is not None, f"tests/reference lacks {module.FILES}"
    summary = summarise(module.run(folder))
    assert DEMANDS[name](summary), summary


def test_every_reference_file_has_a_demand() -> None:
    files = {path.name for path in REFERENCE.glob("*.json")}
    read = {name for suite in DEMANDS for name in import_module(f"benchmarks.suites.{suite}").FILES}
    assert files <= read, f"nothing reads {files - read}"


def test_runner_reports_what_it_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cases", str(REFERENCE), "--suite", "params"]) == 0
    assert "11/11 exact" in capsys.readouterr().out
    assert main(["--cases", str(REFERENCE), "--suite", "params", "--json"]) == 0
    assert '"params"' in capsys.readouterr().out


def test_a_wrong_answer_is_seen(tmp_path: Path) -> None:
    """The runner can fail: a changed expectation is reported, an unknown model counts as failed."""
    text = (REFERENCE / "params.json").read_text("utf-8")
    wrong = text.replace('"text.gdn.A_log": 288', '"text.gdn.A_log": 289', 1)
    (tmp_path / "params.json").write_text(wrong.replace('"Qwen3.5-9B"', '"Qwen3.5-9C"'), "utf-8")
    summary = run(tmp_path, ["params"])["params"]
    assert summary["exact"] == summary["cases"] - 2
    assert summary["failed"] == 1
