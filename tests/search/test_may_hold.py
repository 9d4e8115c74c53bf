"""What is said before an allocation never contradicts it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hardware_db
from planner.engines import get_engine
from planner.engines.engine import AnyEngine, Deployment
from planner.engines.options import same
from planner.engines.vllm.options import VllmOptions
from planner.errors import PlannerError
from planner.model.gguf_mix import WHOLE_MIXES, GgufScheme
from planner.question import Question
from planner.ranking import best
from planner.recommending import Wanted
from planner.recommending.choosing import Search
from planner.search.precision import checkpoints_of

ENGINES = ("vllm", "sglang", "llamacpp", "tensorrt-llm", "mlx", "transformers", "ktransformers")
ASKED = st.fixed_dictionaries(
    {
        "model": st.sampled_from(("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B")),
        "machine": st.sampled_from(
            ("rtx-3060-12", "rtx-4090", "2x rtx-3090", "4x l4", "2x h100", "m4-max-64gb", "mi300x")
        ),
        "precision": st.sampled_from(("bf16", "fp8", "gptq-int4", "q4_k_m")),
        "engine": st.sampled_from(ENGINES),
        "context": st.sampled_from((1, 2_048, 32_768, 100_000, 262_144)),
        "concurrency": st.sampled_from((1, 2, 7, 64, 300)),
    }
)


def question_of(ask: Callable[..., Any], asked: dict[str, Any]) -> Question:
    said = dict(asked)
    model, machine, engine = said.pop("model"), said.pop("machine"), said.pop("engine")
    found: Question = ask(model, machine, **said)
    return found.with_(engine=get_engine(engine), options=None)


def may_hold(deployment: Deployment, engine: AnyEngine) -> bool:
    return any(engine.may_hold_in(deployment, (deployment.layout,)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ASKED)
def test_what_cannot_hold_does_not_fit(ask: Callable[..., Any], asked: dict[str, Any]) -> None:
    question = question_of(ask, asked)
    try:
        plans = tuple(question.plans())
    except PlannerError:
        return
    assert all(may_hold(plan.deployment, plan.policy) or not plan.fits for plan in plans)
    assert question.fits() is any(plan.fits for plan in plans)
    assert question.plan().deployment == best(plans, question.objective).deployment


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llamacpp"])
def test_what_is_far_too_large_is_known_before_it_is_allocated(
    ask: Callable[..., Any], engine: str
) -> None:
    question = ask("Qwen3.5-397B-A17B", "rtx-3060-12", engine=engine)
    assert not any(may_hold(plan.deployment, plan.policy) for plan in question.plans())
    assert question.with_(system=ask("Qwen3.5-4B", "h100").system).can_run()


def test_what_one_card_refuses_another_of_its_generation_may_take(ask: Callable[..., Any]) -> None:
    question = ask("Qwen3.5-27B", "4x quadro-gv100", precision="fp8", engine="vllm")
    assert not question.fits()
    assert question.with_(system=hardware_db.resolve("4x t4")).fits()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_quantized_gguf_file_stands_for_all_where_they_are_not_read(
    ask: Callable[..., Any], engine: str
) -> None:
    question = ask("Qwen3.5-0.8B", "rtx-3060-12").with_(engine=get_engine(engine), options=None)
    taken = {
        question.can_run(checkpoint=one)
        for one in checkpoints_of(question.checkpoint)
        if isinstance(one.scheme, GgufScheme) and one.scheme.mix not in WHOLE_MIXES
    }
    assert len(taken) == 1


def test_what_the_caches_alone_exceed_is_not_planned_and_would_not_hold() -> None:
    wanted = Wanted(
        system=hardware_db.resolve("2x rtx-3060-12"), base="Qwen/Qwen3.5-27B", concurrency=64
    )
    every = Search(wanted).on_what_is_there("Qwen/Qwen3.5-27B")
    assert every
    assert not any(choice.holds for choice in every)
    assert not Search(wanted, may_hold=True).on_what_is_there("Qwen/Qwen3.5-27B")


def test_equal_options_are_one_object_and_a_number_stays_as_it_was_written() -> None:
    def utilization(value: float) -> VllmOptions:
        return same(VllmOptions(gpu_memory_utilization=value))

    assert utilization(0.5) is utilization(0.5)
    assert utilization(0.5) is not utilization(0.25)
    assert isinstance(utilization(1.0).gpu_memory_utilization, float)
    whole = utilization(1)
    assert type(whole.gpu_memory_utilization) is type(
        VllmOptions(gpu_memory_utilization=1).gpu_memory_utilization
    )
