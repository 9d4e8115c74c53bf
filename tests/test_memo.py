import ast
from dataclasses import replace
from pathlib import Path

import pytest

import hardware_db
from planner.asking import ask
from planner.memo import Key, Memo, forget_all, remembered
from planner.planning import plan_deployment
from planner.question import Question


class Thing:
    def __init__(self, size: int) -> None:
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing)

    def __hash__(self) -> int:
        return 0


def counted(most: int = 4) -> tuple[Memo[[Thing, int], int], list[int]]:
    asked: list[int] = []

    def key(thing: Thing, times: int) -> Key:
        return (thing,), times

    @remembered(key, most=most)
    def sized(thing: Thing, times: int) -> int:
        asked.append(times)
        return thing.size * times

    return sized, asked


def test_an_answer_is_computed_once_per_thing_and_value() -> None:
    sized, asked = counted()
    one, other = Thing(1), Thing(10)
    assert [sized(one, 2), sized(one, 2), sized(one, 3)] == [2, 2, 3]
    assert sized(other, 2) == 20  # equal to the first, but not the same
    assert asked == [2, 3, 2]


def test_a_cache_never_grows_beyond_its_bound_and_forgets_the_oldest() -> None:
    sized, asked = counted(most=3)
    thing = Thing(1)
    for times in (1, 2, 3, 4):
        sized(thing, times)
    assert len(sized) == 3
    sized(thing, 4)
    assert asked == [1, 2, 3, 4]
    sized(thing, 1)
    assert asked == [1, 2, 3, 4, 1]


def test_an_identity_is_held_so_that_it_is_not_given_twice() -> None:
    sized, _ = counted(most=64)
    assert [sized(Thing(size), 1) for size in range(50)] == list(range(50))


@pytest.fixture
def question() -> Question:
    return ask("Qwen3.5-4B", on="h100", engine="vllm", layout=None)


def test_a_system_with_other_assumptions_tells_its_own(question: Question) -> None:
    system = question.system
    other = replace(system, assumptions=("the link was assumed",))
    assert other == system
    plain = question.plan()
    told = question.plan(system=other)
    assert "the link was assumed" in told.warnings
    assert "the link was assumed" not in plain.warnings
    assert "the link was assumed" not in question.plan().warnings
    assert told.allocation == plain.allocation


def test_what_follows_from_a_verdict_is_made_when_asked_for(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = question.settled_engine

    def never(*_: object) -> None:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(type(engine), "launch", never)
    monkeypatch.setattr(type(engine), "expected_log", never)
    plan = plan_deployment(question.deployment(), engine)
    assert plan.fits
    with pytest.raises(AssertionError, match="nobody asked"):
        _ = plan.launch


def test_one_options_object_stands_for_the_defaults(question: Question) -> None:
    assert question.settled_options is question.with_(context=64).settled_options
    assert hardware_db.resolve("h100") == question.system


def test_no_cache_grows_with_what_strangers_ask() -> None:
    """`functools.cache` has no bound: it is for functions that take nothing."""
    found = []
    for path in (*Path("planner").rglob("*.py"), *Path("hardware_db").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            words = {ast.unparse(decorator) for decorator in node.decorator_list}
            unbounded = {"cache", "functools.cache", "lru_cache(maxsize=None)", "lru_cache(None)"}
            if words & unbounded and ast.unparse(node.args):
                found.append(f"{path}:{node.lineno} {node.name}")
    assert found == []


def test_all_is_forgotten_at_once_and_worked_out_again_alike(question: Question) -> None:
    sized, asked = counted()
    thing = Thing(2)
    offloaded = ask("Qwen3.5-9B", on="rtx-3060", engine="llamacpp", precision="q4_k_m", layout=None)
    before = question.plan(), offloaded.plan(), sized(thing, 3)
    forget_all()
    assert (question.plan(), offloaded.plan(), sized(thing, 3)) == before
    assert asked == [3, 3]
