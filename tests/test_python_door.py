"""The Python door as a loop over machines uses it: numbers of other libraries, names, processes."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

import planner
from planner.throughput import SpeedEstimate

MACHINES = ["h100", "rtx-3090", "m4 max 64GB"]


@pytest.mark.parametrize("on", MACHINES)
def test_a_plan_travels_between_processes(on: str) -> None:
    plan = planner.plan("Qwen3.5-9B", on=on)
    for travelled in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert travelled == plan
        assert travelled.to_dict() == plan.to_dict()
        assert len({travelled, plan}) == 1


def test_answers_travel_between_processes() -> None:
    asked = planner.ask("Qwen3.5-9B", on="rtx-3090")
    answers: list[Any] = [
        asked,
        planner.recommend("Qwen3.5-9B", on="rtx-3090"),
        planner.solve("Qwen3.5-9B", on="rtx-3090", precision="q4_k_m"),
        planner.layouts("Qwen3.5-9B", on="2x rtx-3090", precision="q4_k_m"),
        planner.models()[0],
        planner.parameters("Qwen3.5-9B"),
        planner.hardware()[0],
    ]
    for answer in answers:
        assert pickle.loads(pickle.dumps(answer)) == answer


@pytest.mark.parametrize("number", [np.int64, np.int32, np.float64, np.float32, float])
def test_numbers_of_other_libraries_are_numbers(number: Any) -> None:
    plan = planner.plan(
        "Qwen3.5-9B", on="2x h100", context=number(65536), concurrency=number(4), engine="vllm",
        options={"max_num_seqs": number(8)}, layout=planner.Layout(tensor_parallel=number(2)),
        yarn=np.bool_(False),  # type: ignore[arg-type]
    )  # fmt: skip
    document = json.loads(json.dumps(plan.to_dict()))
    assert document["workload"]["context"] == 65536
    assert document["workload"]["concurrency"] == 4
    assert document["layout"]["tensor_parallel"] == 2
    swept = planner.sweep(
        "Qwen3.5-9B", on="h100", engines="vllm", contexts=number(4096), concurrencies=number(2)
    )
    assert swept["error"].isna().all()


@pytest.mark.parametrize("number", [np.float64(0.5), 1.5, float("nan"), True, np.bool_(True)])
def test_what_is_no_whole_number_is_refused(number: Any) -> None:
    for name in ("context", "concurrency"):
        with pytest.raises(planner.InputError, match=name):
            planner.plan("Qwen3.5-9B", on="h100", **{name: number})


def test_names_are_those_of_the_document() -> None:
    plan = planner.plan("Qwen3.5-9B", on="rtx-3090")
    document = plan.to_dict()
    term, speed = plan.ranks[0].terms[0], plan.speed
    assert term.bytes == document["ranks"][0]["terms"][0]["bytes"]
    assert isinstance(speed, SpeedEstimate)
    for name in ("decode_per_user", "decode_total", "prefill_seconds"):
        assert getattr(speed, name).value == document["speed"][name]["value"]
    unknown = planner.plan("Qwen3.5-9B", on="rtx-3090", engine="transformers", context="4k").speed
    assert unknown is not None
    assert unknown.decode_per_user is None
    assert planner.__version__ == document["qwenplan_version"]


def test_the_next_question_is_written_as_the_first() -> None:
    asked = planner.ask("Qwen3.5-27B", on="h100", precision="fp8")
    assert asked.with_(context="64k").context == 65536
    assert asked.with_(concurrency=np.int64(4)).plan().deployment.concurrency == 4
    assert asked.plan(context="64k").deployment.context == 65536
    assert asked.fits(context="64k")
    assert asked.with_(engine="sglang").plan().engine == "sglang"
    assert asked.with_options(max_num_seqs=8).with_(engine="sglang").plan().engine == "sglang"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"context": "64x"}, "cannot read"),
        ({"users": 8}, "did you mean concurrency"),
        ({"on": "rtx-3090"}, "planner.ask takes it"),
        ({"system": "rtx-3090"}, "planner.ask takes it"),
        ({"engine": "vlllm"}, "known: vLLM"),
    ],
)
def test_a_change_that_cannot_be_read_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(planner.InputError, match=says):
        planner.ask("Qwen3.5-27B", on="h100", precision="fp8", engine="vllm").with_(**changes)


STRANGE: list[Any] = [3, 3.5, object(), b"x", True, {"a": 1}]


@pytest.mark.parametrize("given", STRANGE, ids=[type(one).__name__ for one in STRANGE])
def test_a_value_of_a_wrong_kind_is_refused_in_one_line(given: Any) -> None:
    plan = planner.plan("Qwen3.5-9B", on="h100", engine="vllm", precision="bf16")
    small: dict[str, Any] = {"on": "h100", "engines": "vllm", "precisions": "bf16"}
    asked: list[Any] = [
        lambda: planner.recommend(given, on="h100"),
        lambda: planner.recommend(on="h100", precision=given),
        lambda: planner.recommend(on="h100", use=given),
        lambda: planner.plan("Qwen3.5-9B", on="h100", words=given),
        lambda: planner.read_command(given),
        lambda: planner.plan_command(given, on="h100"),
        lambda: planner.check_log(plan, [given]),
        lambda: planner.emit(given, "compose"),
        lambda: planner.emit(plan, given),
        lambda: planner.advise(given),
    ]
    if not isinstance(given, dict):
        asked.append(lambda: planner.sweep("Qwen3.5-0.8B", **{**small, "options": given}))
    if not isinstance(given, dict | bytes):
        asked.append(lambda: planner.fits("Qwen3.5-0.8B", engine="vllm", precisions=given))
        asked.append(lambda: planner.check_log(plan, given))
    for ask in asked:
        with pytest.raises(planner.PlannerError) as refused:
            ask()
        assert "\n" not in str(refused.value)


def test_nothing_in_place_of_a_log_is_refused() -> None:
    plan = planner.plan("Qwen3.5-9B", on="h100", engine="vllm", precision="bf16")
    with pytest.raises(planner.InputError, match="log must be its text"):
        planner.check_log(plan, None)  # type: ignore[arg-type]


def test_answers_are_shown_in_a_line() -> None:
    asked = planner.ask("Qwen3.5-9B", on="h100", engine="vllm", precision="bf16")
    assert repr(asked) == (
        "<Question: Qwen/Qwen3.5-9B on H100 SXM5 with vLLM, 1 request of 32,768 tokens>"
    )
    plan = planner.plan("Qwen3.5-9B", on="rtx-3090")
    assert all(len(repr(choice)) < 300 for choice in plan.alternatives)
    assert plan.launch is not None
    assert plan.command == plan.launch.command
    assert (
        planner.plan("Qwen3.5-9B", on="rtx-3060", precision="bf16", engine="vllm").command is None
    )


def test_ram_may_be_a_number_of_gigabytes() -> None:
    said = planner.plan("Qwen3.5-27B", on="rtx-3060", ram="64GB")
    for number in (64, 64.0):
        assert planner.plan("Qwen3.5-27B", on="rtx-3060", ram=number) == said
    with pytest.raises(planner.InputError, match="RAM must be a string"):
        planner.plan("Qwen3.5-27B", on="rtx-3060", ram=True)
