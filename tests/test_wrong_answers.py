"""Answers that people caught us with, each as typed: the right one, line by line.

`wrong_answers.toml` has a row for each of the list of wrong answers (W) and of missing or misleading
ones (M): the command as it was typed, or the test that another room has for it.
"""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hardware_db
import planner
from planner.cli.main import run
from planner.cli.sweep import numbers
from planner.cost.prices import cheapest
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.model.catalog import find
from planner.recommending import Wish
from planner.units import GIB
from planner.wanting import want
from planner.web.asked import Asked

HERE = Path(__file__).parent
LINES = tomllib.loads((HERE / "wrong_answers.toml").read_text("utf-8"))
NOT = "!"
"""Before a text that the answer must not have."""


def named(rows: list[dict[str, Any]]) -> list[Any]:
    """One parameter a row, by its line's id."""
    return [pytest.param(row, id=f"{row['line']} {row['about']}") for row in rows]


@pytest.mark.parametrize("row", named(LINES["typed"]))
def test_as_typed(
    row: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status = run(shlex.split(row["command"]))
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert status == row["status"], text[:500]
    for words in row["says"]:
        if words.startswith(NOT):
            assert words.removeprefix(NOT) not in text
        else:
            assert words in text, text


@pytest.mark.parametrize("row", named(LINES["elsewhere"]))
def test_what_another_room_tests_is_there(row: dict[str, Any]) -> None:
    source = (HERE.parent / row["file"]).read_text("utf-8")
    assert f"def {row['test']}(" in source


def test_every_line_has_its_test() -> None:
    tested = {re.sub(r"[a-z]$", "", row["line"]) for kind in LINES.values() for row in kind}
    listed = {f"W{n}" for n in range(1, 31)} | {f"M{n}" for n in range(1, 18)}
    assert {line for line in tested if line[0] in "WM"} == listed


def test_no_command_that_fails_is_handed_out(capsys: pytest.CaptureFixture[str]) -> None:
    """M5: a plan that does not fit has the commands of its advice, and none of its own."""
    assert (
        run(shlex.split("plan qwen3.5-27b --on 3090 --precision q8_0 --engine llamacpp --json"))
        == 3
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["advice"]
    assert all(advice["command"] for advice in answer["advice"][:1])


def test_a_config_is_no_model_to_serve(tmp_path: Path) -> None:
    """M16: a server takes a folder of weights or a repository."""
    entry = find("Qwen/Qwen3.5-4B")
    assert entry is not None
    path = tmp_path / "config.json"
    path.write_text(json.dumps(dict(entry[0].config)), "utf-8")
    plan = planner.plan(str(path), on="h100", engine="vllm", context=8192)
    assert plan.launch is not None
    assert str(tmp_path) in plan.launch.argv
    assert not any("config.json" in word for word in plan.launch.argv)


DEVICES = {
    "rtx 4070 laptop": ("rtx-4070-laptop", 8),
    "4070": ("rtx-4070", 12),
    "4070 Ti": ("rtx-4070-ti", 12),
    "4070 Super": ("rtx-4070-super", 12),
    "4070s": ("rtx-4070-super", 12),
    "4060": ("rtx-4060", 8),
    "5060 8gb": ("rtx-5060", 8),
    "5050": ("rtx-5050", 8),
    "5090D": ("rtx-5090-d", 32),
    "4090D": ("rtx-4090-d", 24),
    "3080 Ti": ("rtx-3080-ti", 12),
    "3070": ("rtx-3070", 8),
    "3070 Ti": ("rtx-3070-ti", 8),
    "3060 Ti": ("rtx-3060-ti", 8),
    "2080 Ti": ("rtx-2080-ti", 11),
    "GTX 1080 Ti": ("gtx-1080-ti", 11),
    "GTX 1660": ("gtx-1660", 6),
    "TITAN RTX": ("titan-rtx", 24),
    "P40": ("p40", 24),
    "P100": ("p100-16", 16),
    "M40": ("m40-24", 24),
    "A2": ("a2", 16),
    "A16": ("a16", 16),
    "L20": ("l20", 48),
    "A800": ("a800-sxm-80", 80),
    "RTX 4000 Ada": ("rtx-4000-ada", 20),
    "RTX 2000 Ada": ("rtx-2000-ada", 16),
    "RTX 8000": ("quadro-rtx-8000", 48),
    "H100 64": ("h100-64", 64),
    "H100 96": ("h100-96", 96),
    "MI50": ("mi50-32", 32),
    "MI60": ("mi60", 32),
    "MI210": ("mi210", 64),
    "MI300A": ("mi300a", 128),
    "MI308X": ("mi308x", 192),
    "MI350X": ("mi350x", 288),
    "RX 9070": ("rx9070", 16),
    "7900 XT": ("rx7900xt", 20),
    "7800 XT": ("rx7800xt", 16),
    "6800 XT": ("rx6800xt", 16),
    "HX 370 64GB": ("radeon-890m-64", 64),
    "A770": ("arc-a770-16", 16),
    "A770 8GB": ("arc-a770-8", 8),
    "Gaudi 2": ("gaudi2", 96),
    "Orin Nano": ("orin-nano-8", 8),
    "Orin AGX 64GB": ("orin-64", 64),
    "RTX4090 48G": ("rtx-4090-48", 48),
    "A6000 (ECC on)": ("rtx-a6000-ecc", 48),
    "EVO-X2": ("strix-halo-128", 128),
    "Beelink GTR9": ("strix-halo-128", 128),
    "MacBook Pro 16 M3 Max 64GB": ("apple-m3-max", 64),
    "mac m4 max 64gb": ("apple-m4-max-64", 64),
    "m4 max mac 128GB": ("apple-m4-max", 128),
    "M4 Pro mini 64": ("apple-m4-pro-64", 64),
    "M3 Max 64GB unified memory": ("apple-m3-max", 64),
    "Lenovo PGX": ("gb10", 128),
}
"""As people say it -> the entry, and the GB on its label. Not carried: NVIDIA L2 and Jetson Orin Nano
4 GB, of which no second source for memory and bandwidth was found."""

SYSTEMS = {
    "g6e.2xlarge": ("l40s", 1),
    "g6e.24xlarge": ("l40s", 4),
    "g5.24xlarge": ("a10g", 4),
    "g7e.4xlarge": ("rtx-pro-6000-server", 1),
    "a3-ultragpu-8g": ("h200-sxm", 8),
    "a4-highgpu-8g": ("b200", 8),
    "NC24ads A100 v4": ("a100-pcie-80", 1),
    "NC48ads": ("a100-pcie-80", 2),
    "h100:2": ("h100-sxm", 2),
    "two 3090s": ("rtx-3090", 2),
    "2 3090s": ("rtx-3090", 2),
    "2x RTX 3090 24GB": ("rtx-3090", 2),
    "dgx spark 128GB": ("gb10", 1),
    "two 4070s": ("rtx-4070", 2),
    "kaggle 2xT4": ("t4", 2),
    "2 x RTX A6000 (NVLink)": ("rtx-a6000", 2),
    "2x 3090 with NVLink + 128GB RAM": ("rtx-3090", 2),
}


@pytest.mark.parametrize("said", DEVICES)
def test_devices_as_people_call_them(said: str) -> None:
    """M13."""
    accelerator = hardware_db.resolve(said).accelerator
    identity, label = DEVICES[said]
    assert accelerator.id == identity
    assert accelerator.memory_marketed_gb is not None
    assert accelerator.memory_marketed_gb.value == label
    assert 0.35 * label * GIB < accelerator.total_bytes < 1.02 * label * GIB
    assert accelerator.bandwidth_gb_s is not None
    assert accelerator.bandwidth_gb_s.source


@pytest.mark.parametrize("said", SYSTEMS)
def test_systems_as_people_call_them(said: str) -> None:
    """M13."""
    system = hardware_db.resolve(said)
    assert (system.accelerator.id, system.count) == SYSTEMS[said]


@pytest.mark.parametrize(
    ("said", "gib"),
    [
        ("V100", 31.74),
        ("V100 16GB", 15.78),
        ("rtx 6000 ada", 47.51),
        ("rtx 6000 ada with ecc", 44.43),
    ],
)
def test_what_drivers_report_is_planned_with(said: str, gib: float) -> None:
    """W30."""
    assert hardware_db.resolve(said).accelerator.total_bytes / GIB == pytest.approx(gib, abs=0.01)


@pytest.mark.parametrize(
    ("said", "at_least"),
    [
        ("dgx-spark", 6950),
        ("rtx-5090", 3000),
        ("rtx-pro-6000-ws", 12_000),
        ("strix-halo-128", 1999),
    ],
)
def test_prices_are_those_of_the_street(said: str, at_least: float) -> None:
    """W14: a launch price is no price to buy at, and one without a recent date ranks nothing."""
    bought = cheapest(hardware_db.resolve(said), "purchase")
    assert bought is not None
    assert bought.basis != "launch price"
    assert bought.date is not None
    assert bought.value >= at_least


def test_a_machine_that_is_sold_no_more_has_no_price_to_rank_by() -> None:
    """W14: the M3 Ultra with 512 GB was withdrawn in March 2026."""
    assert cheapest(hardware_db.resolve("m3-ultra-512"), "purchase") is None


def test_a_length_means_the_same_at_every_door() -> None:
    """W9: `plan`, the sweep, the wish and the page read "1M" and "128k" alike."""
    for said, tokens in (("1M", 1_010_000), ("1000k", 1_010_000), ("128k", 131_072)):
        plan = planner.plan("Qwen/Qwen3.5-27B", on="8x h100", context=said, yarn=True)
        swept = planner.sweep("Qwen/Qwen3.5-27B", on="8x h100", contexts=said, yarn=True)
        wanted = want("Qwen3.5-27B", on="8x h100", context=said, yarn=True)
        page = Asked(on="h100", context=said)
        found = {plan.deployment.context, *swept["context"], wanted.context, page.tokens}
        assert found == {tokens}
        assert numbers(said, tokens_of, what="context") == (tokens,)


@pytest.mark.parametrize("speed", [float("nan"), float("inf"), -1.0])
def test_a_least_speed_is_a_number(speed: float) -> None:
    """W22."""
    with pytest.raises(InputError, match="least speed must be a number"):
        Wish(least_speed=speed)


def test_a_document_carries_the_advice() -> None:
    """M5: in Python as on the command line."""
    plan = planner.plan("Qwen/Qwen3.5-9B", on="rtx-3060", precision="bf16", engine="vllm")
    assert not plan.fits
    advice = plan.to_dict()["advice"]
    assert advice[0]["command"].startswith(("vllm serve ", "llama-server "))
    assert planner.plan("Qwen/Qwen3.5-9B", on="h100").to_dict()["advice"] == []


def test_what_a_command_carries_instead_of_a_default_is_a_note() -> None:
    plan = planner.plan("Qwen/Qwen3.5-27B-FP8", on="2x rtx-4090", context="128k", concurrency=4)
    assert any("vLLM would refuse to start" in note for note in plan.notes)
    assert not any("vLLM would refuse to start" in warning for warning in plan.warnings)
