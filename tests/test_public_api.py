"""The public names, and what the Python door does with good and bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.document import PlanDocument, schema
from planner.model.catalog import find
from tests.present import accelerator_of, some


def test_all_is_sorted_and_complete() -> None:
    assert planner.__all__ == sorted(planner.__all__)
    for name in planner.__all__:
        assert getattr(planner, name).__doc__


def test_a_plan_answers_the_main_question() -> None:
    plan = planner.plan(
        "Qwen/Qwen3.5-35B-A3B", on="h100", precision="fp8", context="128k", concurrency=8
    )
    assert plan.fits
    assert plan.outcome is planner.Outcome.FITS
    assert plan.capacity is not None
    assert plan.capacity.sequences >= 8
    assert plan.launch is not None
    assert plan.launch.argv[:3] == ("vllm", "serve", "Qwen/Qwen3.5-35B-A3B-FP8")


def test_the_document_has_the_shape_of_its_schema() -> None:
    from pydantic import TypeAdapter

    plan = planner.plan("Qwen3.5-27B", on="2x rtx-4090", precision="fp8", context=8192)
    document = json.loads(json.dumps(plan.to_dict()))
    assert TypeAdapter(PlanDocument).validate_python(document).verdict == plan.verdict
    assert set(document) == set(schema()["properties"])
    assert document["schema_version"] == 2


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": "Qwen3.5-27C"}, "did you mean Qwen/Qwen3.5-27B"),
    ({"model": ""}, "name a bundled model"),
    ({"model": "Qwen3.5-Flash"}, "hosted service"),
    ({"model": "Qwen/Qwen3.7-Max"}, "hosted service"),
    ({"on": "rtx-4091"}, "rtx-4090"),
    ({"on": ""}, ""),
    ({"on": "0x h100"}, ""),
    ({"on": "-2x h100"}, ""),
    ({"on": "1000000000000000000x h100"}, ""),
    ({"engine": "vlllm"}, "known: vLLM"),
    ({"precision": "fp3"}, "fp3"),
    ({"kv_cache_dtype": "int3"}, "int3"),
    ({"context": 262_145}, "YaRN"),
    ({"context": 0}, "context"),
    ({"context": -1}, "context"),
    ({"context": 10**18}, "context"),
    ({"context": "abc"}, "abc"),
    ({"context": 2_000_000, "yarn": True}, "1,010,000"),
    ({"concurrency": 0}, "concurrency"),
    ({"concurrency": 10**18}, "concurrency"),
    ({"layout": planner.Layout(tensor_parallel=2)}, "has 1"),
    ({"options": {"gpu_memory_utilization": 112.0}}, "gpu_memory_utilization"),
    ({"options": {"max_num_seqs": -1}}, "max_num_seqs"),
    ({"options": {"speed": 1}}, "no option 'speed'"),
    ({"options": {"enforce_eager": "false"}}, "enforce_eager must be true or false"),
    ({"options": {"cpu_offload_gb": None}}, "cpu_offload_gb must be a number"),
    ({"options": {"cpu_offload_gb": float("nan")}}, "cpu_offload_gb"),
    ({"options": {"draft_gib": []}}, "draft_gib must be a number"),
    ({"options": {"version": 33}}, "version must be a string, got 33"),
    ({"options": {1: 2}}, "no option 1"),
    ({"options": object()}, "options: vllm takes VllmOptions"),
    ({"on": None}, "hardware must be a string"),
    ({"engine": 7}, "engine must be a string"),
    ({"precision": 8}, "precision must be a string"),
    ({"kv_cache_dtype": 8}, "KV cache dtype must be a string"),
    ({"model": None}, "model must be a string"),
    ({"model": "~nobody-of-that-name/model"}, "no such file"),
    ({"model": "x" * 10_000}, "unknown model"),
    ({"context": 32768.5}, "context: cannot read 32768.5"),
    ({"context": 10**5000}, "context: a number of about 4999 digits is out of range"),
    ({"context": "9" * 5000}, "context: cannot read"),
    ({"concurrency": 10**5000}, "concurrency"),
    ({"layout": 2}, "layout must be a planner.Layout, got 2"),
    ({"options": 7}, "options"),
]


@pytest.mark.parametrize(("change", "says"), BAD, ids=range(len(BAD)))
def test_bad_input_gets_one_line(change: dict[str, Any], says: str) -> None:
    question: dict[str, Any] = {"model": "Qwen3.5-27B", "on": "h100"} | change
    with pytest.raises(planner.InputError) as error:
        planner.plan(question.pop("model"), **question)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_layout_that_cannot_run_is_a_verdict() -> None:
    plan = planner.plan(
        "Qwen3.5-27B", on="3x h100", layout=planner.Layout(tensor_parallel=3), context=4096
    )
    assert plan.outcome is planner.Outcome.CANNOT_RUN
    assert "16 DeltaNet key heads" in plan.verdict
    assert plan.to_dict()["refusals"][0]["engine_message"] == "16 is not divisible by 3"


def test_a_local_config_is_read(tmp_path: Path) -> None:
    found = find("Qwen3.5-9B")
    assert found is not None
    (tmp_path / "config.json").write_text(json.dumps(found[0].config), "utf-8")
    for name in (str(tmp_path), str(tmp_path / "config.json")):
        checkpoint = planner.load_checkpoint(name)
        assert planner.parameters(checkpoint).text == 8_953_803_264


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": "gpt2"}', "[" * 100_000])
def test_a_broken_local_config_gets_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(planner.PlannerError) as error:
        planner.load_checkpoint(str(tmp_path))
    assert "\n" not in str(error.value)


def test_the_engine_that_suits_the_hardware_is_taken_and_said() -> None:
    apple = planner.plan("Qwen3.5-9B", on="apple-m4-max-128", precision="mlx-4bit")
    assert apple.engine == "mlx"
    stored, served = apple.warnings[:2]
    assert stored.startswith("checkpoint in mlx-4bit not named, mlx-community/Qwen3.5-9B-MLX-4bit ")
    assert served.startswith("engine not named, MLX taken: ")
    assert planner.plan("Qwen3.5-9B", on="rtx-4090", precision="q4_k_m").engine == "llamacpp"
    whole = planner.load_checkpoint("Qwen3.5-35B-A3B")
    nvidia = planner.plan(whole, on="rtx-5090")
    assert nvidia.deployment.checkpoint is whole
    assert nvidia.engine == "vllm"
    assert not any("not named" in warning for warning in nvidia.warnings)


def test_an_accelerator_of_ones_own_is_taken_as_it_is() -> None:
    (entry,) = [entry for entry in planner.hardware() if entry.id == "h100-sxm"]
    known = accelerator_of(entry)
    memory = some(known.memory_cuda_mib)
    half = replace(
        known,
        id="half-of-it",
        memory_cuda_mib=replace(memory, value=memory.value // 2),
    )
    whole, own = (planner.plan("Qwen3.5-4B", on=entry) for entry in (known, half))
    assert own.deployment.system.accelerator is half
    assert own.ranks[0].total < whole.ranks[0].total
