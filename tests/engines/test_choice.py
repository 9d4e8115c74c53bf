"""A default engine for every piece of hardware, that the engine itself accepts."""

import pytest

import hardware_db
import planner
from planner.engines import ENGINES
from planner.engines.choice import RULES, default_engine
from planner.planning import Outcome

UNPLANNED = ("google",)
"""Vendors that no engine is planned for."""


def choose(on: str, model: str = "Qwen3.5-4B", precision: str | None = None) -> tuple[str, str]:
    checkpoint = planner.load_checkpoint(model, precision=precision)
    return default_engine(hardware_db.resolve(on), checkpoint)


@pytest.mark.parametrize(
    "accelerator", [a.id for a in hardware_db.accelerators() if a.vendor not in UNPLANNED]
)
def test_the_default_runs_there(accelerator: str) -> None:
    engine, reason = choose(accelerator, "Qwen3.5-0.8B")
    assert reason
    precision = "q4_k_m" if engine == "llamacpp" else None
    plan = planner.plan(
        "Qwen3.5-0.8B", on=accelerator, engine=engine, precision=precision, context=4096
    )
    assert plan.outcome is not Outcome.CANNOT_RUN, plan.verdict


@pytest.mark.parametrize(
    ("on", "engine"),
    [
        ("h100", "vllm"),
        ("8x b200", "vllm"),
        ("2x rtx-4090", "vllm"),
        ("dgx-spark", "vllm"),
        ("mi300x", "vllm"),
        ("gaudi3", "vllm"),
        ("custom:48GiB", "vllm"),
        ("apple-m4-max", "mlx"),
        ("strix-halo-128", "llamacpp"),
        ("rx7900xtx", "llamacpp"),
        ("arc-b60", "llamacpp"),
        ("orin-64", "llamacpp"),
        ("t4", "llamacpp"),
        ("v100-sxm2-32", "llamacpp"),
    ],
)
def test_defaults(on: str, engine: str) -> None:
    assert choose(on)[0] == engine


def test_the_weights_have_a_say() -> None:
    assert choose("h100", precision="q4_k_m")[0] == "llamacpp"
    assert choose("apple-m4-max", precision="q4_k_m")[0] == "llamacpp"
    assert choose("apple-m4-max", precision="mlx-4bit")[0] == "mlx"
    assert choose("rtx-4090", "Qwen3.5-397B-A17B") == choose("2x rtx-3090", "Qwen3.5-122B-A10B")
    assert "host memory" in choose("rtx-4090", "Qwen3.5-397B-A17B")[1]


def test_rules_name_engines_that_exist_and_the_last_fits_all() -> None:
    assert {rule.engine for rule in RULES} <= set(ENGINES)
    last = RULES[-1]
    for system in hardware_db.systems():
        assert last.fits(system, planner.load_checkpoint("Qwen3.5-4B"))


def test_no_rule_names_hardware_or_models() -> None:
    names = {a.id for a in hardware_db.accelerators()} | {s.id for s in hardware_db.systems()}
    words = {word for rule in RULES for word in rule.vendors}
    assert not names & words
