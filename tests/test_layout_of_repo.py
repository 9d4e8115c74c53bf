"""The repository keeps its own rules: where things lie, how long and how named they are, what they may not say."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    ".streamlit",
    "AGENTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "app.py",
    "benchmarks",
    "docs",
    "hardware_db",
    "planner",
    "pyproject.toml",
    "requirements.lock",
    "tests",
}
REQUIRED = TOP_LEVEL - {"AGENTS.md", "docs"}

# Written in pieces, so that this file does not hold what it looks for.
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "pypi.python" + ".org",
    "python" + "hosted.",
    "deb.debian" + ".org",
    "registry.npm" + "js",
    "conda.ana" + "conda",
]
# A machine's own folders. A home inside a container that a command starts (/root/.cache) is not one.
MACHINE_PATHS = [
    "/" + name + "/" for name in ("work", "home", "Users", "tmp", "opt/wheels", "mnt/c")
]
FORBIDDEN = re.compile(
    "|".join(re.escape(host) for host in REGISTRY_HOSTS)
    + r"|(?<![\w.~}/-])(?:"
    + "|".join(re.escape(path) for path in MACHINE_PATHS)
    + ")"
)
NAMELESS = {"util", "utils", "common", "helper", "helpers", "misc"}
LONGEST = 400


@cache
def tracked() -> list[Path]:
    """Relative paths under version control, or everything where the tree came without its history."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        paths = [Path(name) for name in listed.split("\0") if name]
    else:
        ignored = {
            line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines() if line
        } | {"__pycache__"}
        paths = [
            path.relative_to(ROOT)
            for path in ROOT.rglob("*")
            if not ignored.intersection(path.relative_to(ROOT).parts) and path.suffix != ".pyc"
        ]
    return [path for path in paths if (ROOT / path).is_file()]


def test_the_tree_is_seen() -> None:
    assert Path("pyproject.toml") in tracked()
    assert any(path.parts[0] == "planner" for path in tracked())


def test_top_level_is_the_prescribed_one() -> None:
    present = {path.parts[0] for path in tracked()}
    assert present <= TOP_LEVEL
    assert present >= REQUIRED


def test_modules_are_short_enough_to_read_in_one_sitting() -> None:
    lines = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in tracked()
        if path.suffix == ".py" and path.parts[0] != "tests"
    }
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def test_every_room_has_a_name_of_its_own() -> None:
    nameless = [
        str(path) for path in tracked() if {part.split(".")[0] for part in path.parts} & NAMELESS
    ]
    assert nameless == []


def test_no_registry_host_and_no_path_of_a_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{path}: {match.group()}" for match in FORBIDDEN.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "text", ["https://" + REGISTRY_HOSTS[0] + "/simple", "open('" + MACHINE_PATHS[0] + "x')"]
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize(
    "text", ["a framework/for", "https://example.org/work/x", "../shared/oracles"]
)
def test_the_search_leaves_ordinary_text_alone(text: str) -> None:
    assert not FORBIDDEN.search(text)


def test_the_lock_has_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==\S+", lock, re.MULTILINE)
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", lock) if entry.strip()]
    assert len(pins) == len(entries) > 20
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock
    assert "index-url" not in lock
