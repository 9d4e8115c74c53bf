"""What is typed and would do nothing, or more than once, is said."""

import pytest

from planner.cli.main import run


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "Qwen3.5-9B", "--on", "a", "--on", "h100"],
        ["plan", "Qwen3.5-9B", "--on", "h100", "--context", "4k", "--context", "8k"],
        ["recommend", "--on", "h100", "--engine", "vllm", "--engine", "sglang"],
        ["fits", "Qwen3.5-9B", "--by", "price", "--by", "power"],
        ["sweep", "Qwen3.5-9B", "--on", "h100", "--on", "l4", "--out", "plans.csv"],
        ["models", "Qwen3.5-9B", "--precision", "fp8", "--precision", "nvfp4"],
    ],
)
def test_an_option_that_is_given_twice_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert "is given 2 times; leave all but one out" in capsys.readouterr().err


@pytest.mark.parametrize("ram", ["99999999GB", "9999TB", "200000GB"])
@pytest.mark.parametrize("words", [["--on", "3090", "--ram", "{}"], ["--on", "3090 + {} RAM"]])
def test_more_ram_than_any_machine_has_is_said(
    ram: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "Qwen3.5-9B", *(word.format(ram) for word in words)]) == 2
    assert "must lie between 1 GB and 128 TB; no machine has more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "words", "told"),
    [
        ("Qwen3.5-9B", ["-ot", "exps=CPU"], "-ot exps: no tensor of this file is called so"),
        ("Qwen3.5-9B", ["--n-cpu-moe", "5"], "--n-cpu-moe moves nothing: this model is dense"),
        ("Qwen3.5-35B-A3B", ["-ot", "exps=CPU"], ""),
        ("Qwen3.5-35B-A3B", ["--n-cpu-moe", "5"], ""),
    ],
)
def test_a_placement_that_moves_nothing_is_said(
    model: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on = ["--on", "rtx-3090 + 64GB RAM", "--engine", "llamacpp"]
    run(["plan", model, *on, *words])
    out = " ".join(capsys.readouterr().out.split())
    assert told in out
    assert bool(told) == ("no tensor" in out or "moves nothing" in out)


def test_how_other_machines_join_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "Qwen3.5-9B", "--on", "2x dgx-spark", "--engine", "llamacpp"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "start `ggml-rpc-server --host 0.0.0.0 --port 50052 --cache` on each" in out
    assert "--rpc ADDRESS:50052" in out
