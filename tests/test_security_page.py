"""docs/security.md: the tests that it names exist, and the wheel is made of what it says."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


@cache
def _names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_fault_is_held_by_tests_that_exist() -> None:
    table = PAGE.partition("| fault | held by |")[2].partition("\n\n")[0]
    rows = table.strip().splitlines()[1:]
    assert len(rows) >= 12
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        assert [name for path, name in named if name not in _names_in(path)] == []


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


def brought_along() -> set[str]:
    """Every package that is installed with the wheel, on this Python and system."""
    found, left = set[str](), ["qwenplan"]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        asked = [Requirement(line) for line in requires(name) or ()]
        left += [
            canonicalize_name(one.name)
            for one in asked
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found - {"qwenplan"}


def test_each_package_that_the_wheel_asks_for_says_why() -> None:
    table = PAGE.partition("| package | why |")[2].partition("\n\n")[0]
    named = {
        canonicalize_name(name)
        for row in table.strip().splitlines()[1:]
        for name in row.split("|")[1].split(",")
        for name in [name.strip()]
    }
    assert named == declared()
    words = ("six", "seven", "eight", "nine", "ten")
    assert f"The wheel asks for {words[len(declared()) - 6]} packages" in PAGE


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info[:2] != (3, 11), reason="the count is that of 3.11"
)
def test_the_page_counts_what_comes_along() -> None:
    assert f"with what those ask for it is {len(brought_along())} (" in PAGE


def test_whatever_comes_along_is_locked() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert brought_along() <= locked
