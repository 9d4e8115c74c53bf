"""What is emitted, read back: every form starts exactly what was planned."""

from typing import Any

import pytest
import yaml

import planner
from planner import observed
from planner.emitting import emit, kinds
from planner.engines.commands import read_command
from planner.planning import Plan

PLANS: dict[str, dict[str, Any]] = {
    "vllm": {
        "model": "Qwen3.5-27B",
        "on": "2x h100",
        "precision": "fp8",
        "context": 100_000,
        "concurrency": 4,
        "options": {"num_speculative_tokens": 2, "limit_images": 0},
    },
    "vllm beyond the native length": {
        "model": "Qwen3.5-35B-A3B",
        "on": "h200",
        "context": 500_000,
        "yarn": True,
    },
    "vllm on two nodes": {
        "model": "Qwen3.5-397B-A17B",
        "on": "16x h200",
        "layout": planner.Layout(tensor_parallel=16),
    },
    "sglang": {
        "engine": "sglang",
        "model": "Qwen3.5-35B-A3B",
        "on": "h100",
        "precision": "fp8",
        "context": 500_000,
        "yarn": True,
    },
    "llamacpp": {
        "engine": "llamacpp",
        "model": "Qwen3.5-9B",
        "on": "rtx-4090",
        "precision": "q4_k_m",
        "context": 8192,
    },
}


def words_of_compose(text: str) -> list[str]:
    (service,) = yaml.safe_load(text)["services"].values()
    variables = [f"{name}={value}" for name, value in service["environment"].items()]
    command = [word.replace("$$", "$") for word in service["command"]]
    return [*variables, *service["entrypoint"], *command]


def words_of_kubernetes(text: str) -> list[str]:
    server = next(
        document
        for document in yaml.safe_load_all(text)
        if document["kind"] in ("Deployment", "LeaderWorkerSet")
    )
    spec = server["spec"]
    pods = spec.get("leaderWorkerTemplate", {}).get("leaderTemplate") or spec["template"]
    (container,) = pods["spec"]["containers"]
    variables = [
        f"{entry['name']}={entry['value']}" for entry in container["env"] if "value" in entry
    ]
    return [*variables, *container["command"], *container["args"]]


FORMS = {
    "shell": lambda text: text,
    "ray": lambda text: text,
    "compose": words_of_compose,
    "kubernetes": words_of_kubernetes,
}


def read_back(plan: Plan, words: Any, question: dict[str, Any]) -> Plan:
    return observed.plan_command(
        read_command(words),
        on=question["on"],
        precision=question.get("precision"),
        concurrency=question.get("concurrency", 1),
    )


def _plain(argv: tuple[str, ...]) -> tuple[str, ...]:
    """A command of a container names the file in the folder that is mounted there."""
    return tuple(word.removeprefix("/models/") for word in argv)


@pytest.mark.parametrize("name", PLANS)
def test_every_form_starts_what_was_planned(name: str) -> None:
    question = PLANS[name]
    plan = planner.plan(**question)
    assert plan.launch is not None
    forms = [form for form in kinds(plan) if form in FORMS]
    assert {"shell", "kubernetes"} <= set(forms)
    for form in forms:
        again = read_back(plan, FORMS[form](emit(plan, form)), question)
        assert again.launch is not None
        # a form adds what its machine needs (an address to listen on, a token): it comes back, too
        assert _plain(again.launch.argv)[: len(plan.launch.argv)] == plan.launch.argv
        assert plan.launch.environment.items() <= again.launch.environment.items()
        assert again.ranks == plan.ranks
