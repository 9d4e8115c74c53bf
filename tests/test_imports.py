"""A command must not pay for libraries that it does not use."""

import importlib
import subprocess
import sys

import pytest

HEAVY = ["pandas", "plotly", "streamlit", "numpy", "huggingface_hub", "pydantic"]


def all_loaded_by(statement: str) -> set[str]:
    """Everything that a fresh interpreter has loaded after the statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def loaded_by(statement: str, modules: list[str] = HEAVY) -> list[str]:
    """Those of `modules` that are among it."""
    loaded = all_loaded_by(statement)
    return [name for name in modules if name in loaded]


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


UNUSED = [
    "json",
    "logging",
    "http",
    "socket",
    "importlib.resources",
    "tempfile",
    "zipfile",
    "hashlib",
]
"""Of Python's own: what takes a start a millisecond and more, and is not asked for anything."""


def test_help_loads_the_list_of_commands_and_none_of_them() -> None:
    loaded = all_loaded_by(LISTED)
    ours = {name for name in loaded if name.startswith(("planner", "hardware_db"))}
    cli = {
        "planner.cli",
        *(f"planner.cli.{name}" for name in ("main", "terminal", "commands", "parameters")),
    }
    assert ours == {"planner", "planner.errors", "planner.secrets", *cli}
    assert loaded.isdisjoint([*HEAVY, *UNUSED, "fractions", "decimal", "pickle"])


def test_a_settled_plan_loads_no_room_that_it_does_not_ask() -> None:
    rooms = ["recommending", "wanting", "cost", "costing", "logs", "hub", "probing.detect"]
    rooms += [
        "registry.names",
        "registry.store",
        "registry.sizing",
        "model.gguf_mix",
        "patterns",
        "model.headers",
        "model.module_scheme",
        "cli.recommend",
    ]
    engine = ["log_figure", "economies", "commands", "words", "vllm.talk", "vllm.log"]
    named = [f"planner.{room}" for room in rooms] + [f"planner.engines.{name}" for name in engine]
    settled = PLAN.replace("Qwen3.5-4B", "Qwen3.5-35B-A3B")
    settled = settled.replace('"vllm"', '"vllm", "--precision", "fp8"')
    loaded = all_loaded_by(settled.format(form="--explain"))
    assert loaded.isdisjoint([*named, *HEAVY, *UNUSED])
    ours = [name for name in loaded if name.startswith(("planner", "hardware_db"))]
    assert len(ours) <= 145  # each takes a third of a millisecond: one more is worth a thought


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
