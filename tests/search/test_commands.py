"""The commands fits, solve and layouts: tables, JSON, exit statuses, bad input."""

import json

import pytest

from planner import registry
from planner.cli.main import run
from tests.present import some


def test_layouts_lists_and_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layouts", "Qwen3.5-35B-A3B", "--on", "8x h100", "--precision", "fp8"]) == 0
    text = capsys.readouterr().out
    assert "TP 4 x PP 2" in text
    assert "layouts cannot run:" in text
    assert "FP8 blocks are 128 wide" in text
    assert max(len(line) for line in text.splitlines()[3:]) <= 130


def test_layouts_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status = run(["layouts", "Qwen3.5-27B", "--on", "2x rtx-3090", "--precision", "fp8", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert status == 0
    first = document["layouts"][0]
    assert first["layout"] == "TP 2"
    assert first["tokens_per_second"]["per_user"]["low"] > 0
    assert first["command"].startswith("vllm serve")


def test_solve_tells_every_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solve", "Qwen3.5-27B", "--on", "h100", "--precision", "fp8"]) == 0
    text = capsys.readouterr().out
    for word in ("Longest context", "Most requests", "Best precision", "Smallest utilization"):
        assert word in text


def test_solve_as_json_has_both_sides_of_the_boundary(capsys: pytest.CaptureFixture[str]) -> None:
    run(["solve", "Qwen3.5-9B", "--on", "rtx-4090", "--json", "--max-num-seqs", "64"])
    solutions = {s["asked"]: s for s in json.loads(capsys.readouterr().out)["solutions"]}
    found = solutions["most requests"]
    assert found["plan"]["fits"]
    assert not found["beyond"]["fits"]
    assert found["value"] <= 64


def test_fits_is_a_table_of_hardware_and_precisions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fits", "Qwen3.5-35B-A3B", "--on", "rtx-5090,h100,rtx-3090,l4", "--all"]) == 0
    text = capsys.readouterr().out
    assert "gptq-int4" in text
    assert "1× (" in text
    run(["fits", "Qwen3.5-9B", "--on", "h100", "--precision", "bf16,fp8", "--json"])
    rows = json.loads(capsys.readouterr().out)["fits"]
    assert [row["precision"] for row in rows] == ["bf16", "fp8"]
    assert all(row["count"] == 1 for row in rows)


def test_systems_are_ranked_by_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fits", "Qwen3.5-9B", "--by", "cost", "--precision", "bf16"]) == 0
    text = capsys.readouterr().out
    assert "price" in text
    assert "more can hold it" in text
    run(["fits", "Qwen3.5-9B", "--by", "memory", "--precision", "bf16", "--json"])
    systems = json.loads(capsys.readouterr().out)["systems"]
    assert all(system["fits"] for system in systems)
    assert systems[0]["hardware"]


def test_what_does_not_fit_has_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layouts", "Qwen3.5-397B-A17B", "--on", "l4", "--precision", "bf16"]) == 3
    assert run(["solve", "Qwen3.5-397B-A17B", "--on", "l4"]) == 3
    assert run(["fits", "Qwen3.5-397B-A17B", "--on", "rtx-4060-ti-8"]) == 3
    assert "Too small by its own memory: RTX 4060 Ti 8 GB" in capsys.readouterr().out
    assert run(["fits", "Qwen3.5-0.8B", "--on", "rtx-4060-ti-8", "--engine", "mlx"]) == 3
    assert "Not served by MLX: RTX 4060 Ti 8 GB" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["layouts", "Qwen3.5-27B", "--on", "h100", "--objective", "best"],
        ["layouts", "Qwen3.5-27C", "--on", "h100"],
        ["layouts", "Qwen3.5-27B", "--on", "0x h100"],
        ["solve", "Qwen3.5-27B", "--on", "h100", "--context", "abc"],
        ["solve", "Qwen3.5-27B", "--on", "h100", "--concurrency", "-1"],
        ["solve", "Qwen3.5-27B", "--on", "h100", "--tp", "two"],
        ["fits", "Qwen3.5-27B", "--on", ","],
        ["fits", "Qwen3.5-27B", "--on", "rtx-9999"],
        ["fits", "Qwen3.5-27B", "--precision", "fp3"],
        ["fits", "Qwen3.5-27B", "--context", "10000000000000000000000"],
        ["fits", "Qwen3.5-27B", "--no-such-flag", "1"],
        ["fits", "Qwen3.5-27B", "--by", "beauty"],
        ["fits", "Qwen3.5-27B", "--by", "cost", "--on", "h100"],
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert len(caught.err.splitlines()) == 1


def test_limits_and_layouts_name_the_file_and_what_to_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["solve", "Qwen3.5-27B", "--on", "rtx-3090"]) == 0
    out = capsys.readouterr().out
    assert "GGUF:UD-Q4_K_XL taken: " in out
    commands = [line.strip() for line in out.splitlines() if " llama-server -hf " in line]
    assert len(commands) == 4
    assert "-np 2" in commands[1]
    name = commands[2].split()[2]
    assert f"such as {name}." in out
    assert registry.find(name) is not None
    assert not some(registry.find(name)).named
    assert run(["solve", "Qwen3.5-27B", "--on", "rtx-3090", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["command"] for each in document["solutions"]] == commands
    assert run(["layouts", "Qwen3.5-27B", "--on", "2x rtx-3090"]) == 0
    assert "vllm serve Qwen/Qwen3.5-27B-FP8 " in capsys.readouterr().out


def test_advice_names_no_file_that_nobody_made(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", "Qwen3.5-27B", "--precision", "q4_k_m", "--engine", "llamacpp"]
    for on in ("rtx-3060-12", "rtx-4060-ti-16", "rtx-4060"):
        run([*asked, "--on", on, "--json"])
        document = json.loads(capsys.readouterr().out)
        for entry in document["advice"]:
            words = entry["command"].split()
            typed = words[words.index("-m") + 1] if "-m" in words else ""
            assert typed in ("", "Qwen3.5-27B-Q4_K_M.gguf"), entry
