"""The diffs of docs/adding.md apply to this tree, and the commands beside them prove them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```diff (\w+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = dict(re.findall(r"```sh (\w+)\n(.*?)```", PAGE, re.DOTALL))
SAYS = {
    "release": "GPU KV cache size",
    "option": "--num-gpu-blocks-override 100",
    "card": "RTX 6090",
    "model": "vllm serve Qwen/Qwen3.9-27B-FP8",
}


def test_every_example_is_walked() -> None:
    assert set(EXAMPLES) == set(COMMANDS) == set(SAYS)


@pytest.mark.skipif(shutil.which("git") is None, reason="git applies the diffs")
@pytest.mark.parametrize("name", SAYS)
def test_what_the_page_shows_works(name: str, tmp_path: Path) -> None:
    for package in ("planner", "hardware_db"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=skip)
    words = COMMANDS[name].split()[1:]

    def run() -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        return done.stdout + done.stderr

    before = run()
    patch = ["git", "apply", "--unsafe-paths", f"--directory={tmp_path}", "-"]
    done = subprocess.run(patch, input=EXAMPLES[name], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = run()
    assert SAYS[name] in after
    assert after != before
