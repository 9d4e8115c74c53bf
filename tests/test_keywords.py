"""Arguments that no function takes are answered as every other wrong question is."""

from __future__ import annotations

from typing import Any

import pytest

import planner

MODEL, ON = "Qwen3.5-9B", "rtx-3090"
DOORS = (
    "plan", "ask", "solve", "layouts", "fits", "suggest", "recommend", "sweep", "plan_command",
    "check_log", "load_checkpoint", "parameters", "resolve_hardware",
)  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_an_argument_that_is_none_is_the_projects_own_error(door: str) -> None:
    with pytest.raises(planner.InputError, match=f"^{door}: unknown argument 'qwertz'; known: "):
        getattr(planner, door)(MODEL, qwertz=1)


@pytest.mark.parametrize(
    ("door", "said", "meant"),
    [
        ("plan", {"quant": "q4_k_m"}, "did you mean precision?"),
        ("plan", {"contxt": 8192}, "did you mean context?"),
        ("ask", {"users": 8}, "did you mean concurrency?"),
        ("solve", {"kv_cache": "fp8"}, "did you mean kv_cache_dtype?"),
        ("layouts", {"server": "vllm"}, "did you mean engine?"),
        ("plan", {"tp": 2}, r"did you mean layout=planner.Layout\(tensor_parallel=2\)?"),
        ("plan", {"max_num_seqs": 8}, r"go into options=\{'max_num_seqs': ...\}"),
        ("recommend", {"min_speed": 20}, "did you mean least_speed?"),
        ("sweep", {"context": 8192}, "did you mean contexts?"),
    ],
)
def test_what_was_meant_is_said(door: str, said: dict[str, Any], meant: str) -> None:
    with pytest.raises(planner.InputError, match=meant):
        getattr(planner, door)(MODEL, on=ON, **said)


def test_what_is_missing_or_has_no_place_is_said() -> None:
    untyped: Any = planner.plan
    with pytest.raises(planner.InputError, match="on is missing; write on='rtx-4090'"):
        untyped(MODEL)
    with pytest.raises(planner.InputError, match=r"or let planner.recommend\(on=...\) choose"):
        untyped(on=ON)
    with pytest.raises(planner.InputError, match="must be named: write on='rtx-3090'"):
        untyped(MODEL, ON)
    with pytest.raises(planner.InputError, match="model is given twice"):
        untyped(MODEL, on=ON, model=MODEL)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"tp": 2}, "did you mean tensor_parallel"),
        ({"dp": 2}, "data_parallel"),
        ({"x": 1}, "known: "),
    ],
)
def test_degrees_by_other_names_are_told_their_own(said: dict[str, int], meant: str) -> None:
    """A TypeError of the dataclass named neither."""
    layout: Any = planner.Layout
    with pytest.raises(planner.InputError, match=meant):
        layout(**said)
    with pytest.raises(planner.InputError, match="tensor_parallel=2"):
        layout(2)
