"""A command must not pay for libraries that it does not use."""

import json
import subprocess
import sys

import pytest

HEAVY = ["pandas", "plotly", "streamlit", "numpy", "huggingface_hub", "pydantic"]


def loaded_by(statement: str) -> list[str]:
    """The heavy libraries that a fresh interpreter has loaded after the statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", ["planner", "planner.cli", "hardware_db"])
def test_import_loads_nothing_heavy(module):
    assert loaded_by(f"import {module}") == []


def test_the_probe_sees_what_is_loaded():
    assert "pydantic" in loaded_by("import pydantic")
