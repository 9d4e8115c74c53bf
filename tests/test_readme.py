"""What README.md shows is what the commands print."""

import re
import shlex
from pathlib import Path

import pytest

from planner.cli.main import run

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
CONSOLE = re.compile(r"```console\n\$ qwenplan (.*?)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("shown", CONSOLE.findall(README), ids=lambda shown: shown[0][:40])
def test_commands_print_what_is_shown(
    shown: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, expected = shown
    assert run(shlex.split(command)) in (0, 3)
    assert capsys.readouterr().out == expected


def test_it_opens_with_the_two_commands() -> None:
    head = README.partition("**")[0]
    assert head.index("make app") < head.index("make test")
    assert CONSOLE.search(README)


def test_python_example_is_true() -> None:
    import planner

    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(compile(code[1], "README.md", "exec"), names)
    plan = names["plan"]
    assert isinstance(plan, planner.Plan)
    assert plan.fits
