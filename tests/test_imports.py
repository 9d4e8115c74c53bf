"""A command must not pay for libraries that it does not use."""

import importlib
import json
import subprocess
import sys

import pytest

HEAVY = ["pandas", "plotly", "streamlit", "numpy", "huggingface_hub", "pydantic"]


def loaded_by(statement: str, modules: list[str] = HEAVY) -> list[str]:
    """Those of `modules` that a fresh interpreter has loaded after the statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps([m for m in {modules!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout)
    return names


@pytest.mark.parametrize("module", ["planner", "planner.cli", "hardware_db"])
def test_import_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") == []


def test_the_probe_sees_what_is_loaded() -> None:
    assert "pydantic" in loaded_by("import pydantic")


PLAN = """
import contextlib, io
from planner.cli.main import run
with contextlib.redirect_stdout(io.StringIO()):
    run(["plan", "Qwen3.5-4B", "--on", "h100", "--engine", "vllm", {form!r}])
"""


@pytest.mark.parametrize("form", ["--json", "--explain"])
def test_a_plan_on_the_command_line_loads_nothing_heavy(form: str) -> None:
    assert loaded_by(PLAN.format(form=form)) == []


def test_a_plan_loads_the_engine_that_is_asked_for_and_no_other() -> None:
    others = [f"planner.engines.{name}" for name in ("sglang", "llamacpp", "mlx", "transformers")]
    beside = ["planner.search", "planner.logs", "planner.probing.detect"]
    plan = "import planner; planner.plan('Qwen3.5-4B', on='h100', engine='vllm')"
    assert loaded_by(plan, ["planner.engines.vllm.engine"]) == ["planner.engines.vllm.engine"]
    assert loaded_by(plan, others + beside) == []


LISTED = """
import contextlib, io
from planner.cli.main import run
with contextlib.redirect_stdout(io.StringIO()):
    run(["--help"])
"""


def test_help_loads_the_list_of_commands_and_none_of_them() -> None:
    rooms = ["asking", "planning", "engines", "model", "search", "cli.plan", "cli.fits", "cli.web"]
    beside = [*(f"planner.{room}" for room in rooms), "hardware_db"]
    assert loaded_by(LISTED, [*beside, *HEAVY]) == []


def test_a_settled_plan_loads_no_room_that_it_does_not_ask() -> None:
    rooms = ["recommending", "wanting", "cost", "costing", "logs", "hub", "probing.detect"]
    rooms += ["patterns", "model.headers", "model.module_scheme", "cli.recommend"]
    engine = ["log_figure", "economies", "commands", "words", "vllm.talk", "vllm.log"]
    named = [f"planner.{room}" for room in rooms] + [f"planner.engines.{name}" for name in engine]
    beside = ["importlib.resources", "tempfile", "zipfile", "hashlib"]
    settled = PLAN.replace('"vllm"', '"vllm", "--precision", "fp8"')
    assert loaded_by(settled.format(form="--explain"), named + beside) == []


def test_a_plan_loads_its_own_command_and_no_search() -> None:
    others = ["planner.cli.fits", "planner.cli.solve", "planner.cli.model", "planner.search"]
    assert loaded_by(PLAN.format(form="--explain"), ["planner.cli.plan", *others]) == [
        "planner.cli.plan"
    ]


def test_the_package_loads_a_name_when_it_is_asked_for() -> None:
    rooms = ["planner.api", "planner.planning", "planner.engines", "hardware_db"]
    assert loaded_by("import planner; planner.PlannerError", rooms) == []
    assert "planner.api" in loaded_by("import planner; planner.plan", rooms)


def test_public_names_stay_what_they_are_whatever_is_imported_later() -> None:
    modules = "planning, sweeping, probing, search, api, observed, document, engines"
    check = "all(callable(getattr(planner, name)) for name in planner.__all__)"
    names = f"import planner; from planner import *; import planner.sweeping, planner.planning; assert {check}"
    for statement in (
        names,
        f"import planner\nimport importlib\nfor name in {modules.split(', ')!r}:\n"
        f"    importlib.import_module('planner.' + name)\nassert {check}",
    ):
        loaded_by(statement)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    for name in ("planner", "planner.probing"):
        module = importlib.import_module(name)
        with pytest.raises(AttributeError, match="no attribute"):
            _ = module.nonsense


def test_what_the_probe_offers_is_there() -> None:
    probing = importlib.import_module("planner.probing")
    assert all(getattr(probing, name) is not None for name in probing.__all__)
