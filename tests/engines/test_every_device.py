"""Every accelerator and system of the database can be asked about, whatever the engine says to it."""

import pytest

import hardware_db
import planner
from planner.engines import ENGINES
from planner.planning import Outcome
from tests.present import some

ENTRIES = sorted({a.id for a in hardware_db.accelerators()} | {s.id for s in hardware_db.systems()})


@pytest.mark.parametrize("engine", ["vllm", "sglang", "mlx"])
def test_every_entry_has_an_answer(engine: str) -> None:
    for entry in ENTRIES:
        plan = planner.plan("Qwen3.5-0.8B", on=entry, engine=engine, precision="bf16", context=4096)
        assert plan.verdict
        if plan.outcome is Outcome.CANNOT_RUN:
            assert plan.refusals[0].reason
            continue
        for rank in plan.ranks:
            assert 0 < rank.usable <= rank.total
        assert plan.fits == (some(plan.capacity).sequences >= 1)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize(
    "on", ["t4", "strix-halo", "m1-8gb", "gb10", "mi300x", "arc-b60", "custom:6GiB"]
)
def test_unlike_devices_under_every_engine(engine: str, on: str) -> None:
    model = "Qwen3.5-35B-A3B" if engine == "ktransformers" else "Qwen3.5-2B"
    plan = planner.plan(model, on=on, engine=engine, context=4096)
    assert plan.verdict
    assert (plan.written is None) == (plan.outcome is Outcome.CANNOT_RUN)
    assert (plan.launch is None) == (plan.outcome in (Outcome.CANNOT_RUN, Outcome.DOES_NOT_FIT))
