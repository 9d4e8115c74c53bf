"""Kept reference points: errors and bands as small as the suites demand, and failures are failures."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fidelity import summarise
from benchmarks.suites import speed, throughput
from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.words import accelerator_named, engine_named

REFERENCE = Path(__file__).parent.parent / "reference" / "speed"


def test_kernel_and_serving_presets_agree_with_their_references() -> None:
    groups = summarise(speed.run(REFERENCE))["groups"]
    assert groups["kernel decode"]["median_error"] < 0.08
    assert groups["kernel decode"]["p90_error"] < 0.20
    assert groups["kernel prefill"]["median_error"] < 0.20
    assert groups["serving"]["median_error"] < 0.20
    assert all(group["within_band"] >= 0.8 for group in groups.values())


def test_real_machines_agree_within_the_band_as_often_as_claimed() -> None:
    summary = summarise(throughput.run(REFERENCE))
    assert summary["median_error"] < 0.15
    assert summary["p90_error"] < 0.50
    assert summary["within_band"] >= 0.8


def test_a_machine_that_the_source_does_not_name_is_a_failed_case() -> None:
    failed = [case for case in throughput.run(REFERENCE) if case.unasked]
    assert [case.name for case in failed] == ["llamacpp-mac-122b-q4km#2"]


def test_measured_points_that_lack_are_said(tmp_path: Path) -> None:
    (tmp_path / "speed_reference.json").write_text((REFERENCE / "speed_reference.json").read_text())
    assert [case.name for case in speed.run(tmp_path) if case.failure] == ["serving_397b.json"]


def test_a_wrong_measurement_falls_out_of_the_band(tmp_path: Path) -> None:
    document = json.loads((REFERENCE / "throughput.json").read_text())
    for row in document["cases"]:
        row["tpot_ms"] *= 10
    (tmp_path / "throughput.json").write_text(json.dumps(document))
    (tmp_path / "cases.json").write_text(json.dumps({"cases": []}))
    summary = summarise(throughput.run(tmp_path))
    assert summary["within_band"] == 0
    assert summary["median_error"] == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize(
    ("precision", "scheme"),
    [
        ("gguf-q8_0", "q8_0"),
        ("gguf-UD-Q3_K_XL", "q3_k_m"),
        ("IQ4_KSS", "iq4_xs"),
        ("gguf-mxfp4_moe", "mxfp4_moe"),
        ("mlx6", "mlx-6bit"),
        ("GPTQ Int4", "gptq-int4-all"),
        ("mxfp8", "mxfp8"),
    ],
)
def test_precisions_are_told(precision: Any, scheme: Any) -> None:
    assert recipe_of(precision).scheme.name == scheme


@pytest.mark.parametrize("precision", [None, "gguf-?", "exl3-4bpw"])
def test_precisions_that_cannot_be_told(precision: Any) -> None:
    with pytest.raises(LookupError):
        recipe_of(precision)


@pytest.mark.parametrize(
    ("hardware", "accelerator"),
    [
        ("2x A100 80GB", "a100-sxm-80"),
        ("Mac Studio M4 Max 128GB", "apple-m4-max"),
        ("RTX 4060 Ti 16GB", "rtx-4060-ti-16"),
        ("AMD server: Radeon Pro V620", "v620"),
    ],
)
def test_machines_are_told(hardware: Any, accelerator: Any) -> None:
    assert accelerator_named(hardware) == accelerator


@pytest.mark.parametrize("hardware", [None, "24 GB-class GPU", "RTX 5070 Ti + 5060 Ti (2x16GB)"])
def test_machines_that_cannot_be_told(hardware: Any) -> None:
    with pytest.raises(LookupError):
        accelerator_named(hardware)


def test_machines_of_unequal_cards_and_experts_in_ram_are_asked(tmp_path: Path) -> None:
    """As sources tell them: two cards of one memory, and a card whose RAM the planner assumes."""
    rates = [{"phase": "decode", "tok_s": 20.0, "batch": 1, "prompt": None, "gen": 128}]
    case = {
        "model": "Qwen3.5-122B-A10B", "engine": "llama.cpp", "tp": None, "pp": None, "spec": None,
        "checkpoint": None, "kv_cache_dtype": None, "source": "a/b", "flags": "",
        "throughput": [rate | {"depth": None, "note": None} for rate in rates],
    }  # fmt: skip
    mixed = {"id": "mixed", "hardware": "RTX 5070 Ti + 5060 Ti (2x16GB)", "gpu_count": 2}
    in_ram = {"id": "ram", "hardware": "Radeon AI PRO R9700 32GB", "gpu_count": 1}
    cases = [
        case | mixed | {"quant": "GGUF IQ2_M"},
        case | in_ram | {"quant": "GGUF Q4_K_M", "flags": "experts on CPU"},
    ]
    (tmp_path / "throughput.json").write_text(json.dumps({"cases": []}))
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}))
    unequal, on_cpu = (read() for _, read in throughput.questions(tmp_path))
    assert [kind.id for kind in unequal.system.mixed] == ["rtx-5070-ti", "rtx-5060-ti-16"]
    assert unequal.placement is not None
    assert len(set(unequal.placement.of_accelerators)) == 1
    assert on_cpu.placement is not None
    assert on_cpu.placement.host_computed_experts > on_cpu.placement.device
    assert on_cpu.answer().low < on_cpu.answer().value < 30


@pytest.mark.parametrize(
    ("engine", "name"),
    [("vLLM-nightly", "vllm"), ("ik_llama.cpp", "llamacpp"), ("vllm-mlx", "mlx")],
)
def test_engines_are_told(engine: Any, name: Any) -> None:
    assert engine_named(engine) == name
