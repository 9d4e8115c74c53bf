"""KV cache dtypes of another engine's vocabulary, and remedies that are sentences."""

import ast
import re
from pathlib import Path

import pytest

from planner.cli.main import run
from planner.engines import ENGINES
from planner.engines.caches import check_cache
from planner.errors import InputError
from planner.formats.cache import CACHE_FORMATS

PLANNER = Path(__file__).resolve().parents[2] / "planner"
VERBS = frozenset(
    [
        "allow",
        "are",
        "ask",
        "choose",
        "does",
        "draft",
        "give",
        "is",
        "leave",
        "load",
        "loads",
        "make",
        "name",
        "needs",
        "plan",
        "raise",
        "read",
        "reads",
        "run",
        "runs",
        "say",
        "says",
        "serve",
        "serves",
        "set",
        "spreads",
        "start",
        "stands",
        "stop",
        "take",
        "takes",
        "use",
        "works",
        "want",
        "write",
    ]
)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_takes_what_it_says_and_nothing_else(engine: str) -> None:
    policy = ENGINES[engine]
    for name in ("auto", *policy.cache_dtypes):
        assert check_cache(name, policy) == name
    with pytest.raises(
        InputError, match=f"{policy.title} has no KV cache dtype 'foo'; it takes auto"
    ):
        check_cache("foo", policy)


@pytest.mark.parametrize("name", CACHE_FORMATS)
def test_every_known_format_is_some_engines(name: str) -> None:
    assert check_cache(name, None) == name
    taken = [engine for engine in ENGINES.values() if _takes(name, engine.name)]
    assert taken, name


def _takes(name: str, engine: str) -> bool:
    try:
        check_cache(name, ENGINES[engine])
    except InputError:
        return False
    return True


@pytest.mark.parametrize("command", ["plan", "recommend", "fits", "solve", "layouts"])
@pytest.mark.parametrize(
    ("engine", "on", "dtype"),
    [
        ("vllm", "h100", "q8_0"),
        ("sglang", "h100", "f16"),
        ("llamacpp", "h100", "fp8"),
        ("mlx", "m4 max 64gb", "q8_0"),
    ],
)
def test_a_cache_of_another_engine_is_wrong_input_at_every_door(
    command: str, engine: str, on: str, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on_words = [] if command == "fits" else ["--on", on]
    words = ["Qwen3.5-4B", *on_words, "--engine", engine, "--kv-cache-dtype", dtype]
    assert run([command, *words]) == 2
    said = "".join(capsys.readouterr())
    assert "does not fit" not in said
    assert dtype in said


@pytest.mark.parametrize("command", ["plan", "recommend", "fits", "solve", "layouts"])
@pytest.mark.parametrize(("engine", "precision"), [("vllm", "q4_k_m"), ("llamacpp", "fp8")])
def test_weights_of_another_engine_are_wrong_input_at_every_door(
    command: str, engine: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on_words = [] if command == "fits" else ["--on", "h100"]
    words = ["Qwen3.5-4B", *on_words, "--engine", engine, "--precision", precision]
    assert run([command, *words]) == 2
    assert "can hold it" not in "".join(capsys.readouterr())


def test_every_remedy_is_a_sentence() -> None:
    """It stands behind "Cannot run: ...." with a full stop: a flag alone says nothing."""
    found = list(_remedies())
    assert len(found) > 60
    for place, text in found:
        words = re.findall(r"[a-z]+", text.casefold())
        assert VERBS & set(words), (place, text)
        assert not text.startswith("-"), (place, text)


def _remedies() -> list[tuple[str, str]]:
    found = []
    for path in sorted(PLANNER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.keyword | ast.Assign):
                continue
            named = (
                node.arg if isinstance(node, ast.keyword) else getattr(node.targets[0], "id", "")
            )
            text = _text(node.value)
            if named == "remedy" and text:
                found.append((f"{path.name}:{node.value.lineno}", text))
    return found


def _text(node: ast.expr) -> str:
    """Return the words that a string has, whatever is put in."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(
        part.value
        for part in parts
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
