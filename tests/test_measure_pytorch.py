"""The measurement script without a GPU: what it says, what it counts, how its runs are compared."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks.fidelity import summarise
from benchmarks.suites import llamacpp_gpu, transformers_gpu
from planner.measuring import pytorch
from planner.measuring.meter import Meter
from planner.measuring.torch_runs import planned, summary_lines

REFERENCE = Path(__file__).parent / "reference"
# torch 2.13.0, transformers 5.23.0 on a CPU: random weights of the real shapes, one call of generate.
MEASURED = {
    "model": "Qwen/Qwen3.5-0.8B",
    "method": "generate",
    "auto_class": "AutoModelForImageTextToText",
    "device": "cpu",
    "total_bytes": 0,
    "versions": {"torch": "2.13.0+cpu", "transformers": "5.23.0"},
    "flash_linear_attention": False,
    "weight_bytes": 1_705_971_840,
    "outside_bytes": None,
    "cases": [
        {
            "batch": 2,
            "tokens": 300,
            "kv_bytes": 7_372_800,
            "state_bytes": 39_518_208,
            "peak_bytes": None,
            "reserved_bytes": None,
            "seconds": 48.95,
            "seconds_per_step": 0.25,
        }
    ],
    "left_out": [],
}


def compare(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    (folder / "transformers_gpu.json").write_text(json.dumps([run]), "utf-8")
    return summarise(transformers_gpu.run(folder))


def test_the_plan_agrees_with_what_was_measured(tmp_path: Path) -> None:
    summary = compare(tmp_path, MEASURED)
    assert summary["agree"] == summary["cases"] == 1
    lines = "\n".join(summary_lines(MEASURED))
    assert "+0.00%" in lines
    assert "250.0 ms per step" in lines


@pytest.mark.parametrize("field", ["kv_bytes", "state_bytes"])
def test_a_wrong_cache_is_seen(tmp_path: Path, field: str) -> None:
    case = MEASURED["cases"][0]  # type: ignore[index]
    wrong = MEASURED | {"cases": [case | {field: case[field] + 8192}]}
    assert compare(tmp_path, wrong)["agree"] == 0


def test_a_peak_is_held_against_the_band(tmp_path: Path) -> None:
    case = MEASURED["cases"][0]  # type: ignore[index]
    answer = planned(MEASURED, case)
    for peak, inside in (
        (answer.peak, 1.0),
        (answer.peak + answer.above, 1.0),
        (answer.peak + answer.above + 1, 0.0),
        (answer.peak - answer.below - 1, 0.0),
    ):
        run = MEASURED | {"cases": [case | {"peak_bytes": peak}]}
        assert compare(tmp_path, run)["groups"]["peak"]["within_band"] == inside


@pytest.mark.parametrize("suite", [transformers_gpu, llamacpp_gpu])
def test_what_a_gpu_held_is_as_planned(suite: ModuleType) -> None:
    for case in suite.run(REFERENCE):
        assert case.agrees or case.within_band, (case.name, case.expected, case.answered)


def test_an_unknown_model_is_a_failed_case(tmp_path: Path) -> None:
    assert compare(tmp_path, MEASURED | {"model": "nobody/nothing"})["unasked"] == 1


def test_without_torch_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pytorch, "package", lambda name: None)
    out = tmp_path / "x.json"
    assert pytorch.main(["--model", "Qwen3.5-4B", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "pip install torch" in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--lengths", "abc"],
        ["--lengths", "1"],
        ["--batches", "0"],
        ["--batches", "1000000000000000000"],
        ["--deadline", "soon"],
    ],
)
def test_bad_numbers_are_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as error:
        pytorch.main(["--model", "Qwen3.5-4B", "--out", str(tmp_path / "x"), *arguments])
    assert error.value.code == 2


def test_the_meter_asks_the_device_that_was_named() -> None:
    asked: list[str] = []

    def answer(value: object) -> object:
        def told(device: str) -> object:
            asked.append(device)
            return value

        return told

    cuda = SimpleNamespace(
        memory_allocated=answer(10),
        memory_reserved=answer(30),
        max_memory_allocated=answer(20),
        max_memory_reserved=answer(40),
        mem_get_info=answer((50, 100)),
    )
    meter = Meter(SimpleNamespace(cuda=cuda), "cuda:1")  # type: ignore[arg-type]
    assert meter.allocated() == 10
    assert meter.peak() == (20, 40)
    assert meter.outside() == 100 - 50 - 30
    assert set(asked) == {"cuda:1"}
    cpu = Meter(SimpleNamespace(), "cpu")  # type: ignore[arg-type]
    assert (cpu.allocated(), cpu.peak(), cpu.outside()) == (0, (0, 0), None)
