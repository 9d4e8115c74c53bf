"""What goes wrong around the planner: a Hub that fails in every way, a cache that cannot be used, an end at any moment."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.cli.main import run
from planner.errors import InputError, PlannerError, SourceError
from planner.hub import RefusedError
from planner.hub.session import HubSession
from planner.registry.user_cache import cache_folder, read_document, write_document
from planner.web.solving import from_hub
from tests.hub import loopback
from tests.hub.conftest import hub  # noqa: F401
from tests.hub.loopback import LoopbackHub
from tests.model.builders import safetensors

CONFIG = {"model_type": "qwen3_5"}
NO_SOURCE = 4
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
HUB_FAULTS: dict[str, loopback.Reply] = {
    "down": loopback.status(503),
    "broken": loopback.status(500),
    "too many requests": loopback.status(429, {"Retry-After": "3600"}),
    "a login page": loopback.status(200, {"Content-Type": "text/html"}, HTML),
    "empty": loopback.status(200),
    "a list": loopback.status(200, {}, b"[]"),
    "half a document": loopback.status(200, {}, b'{"id": "some'),
    "compressed": loopback.status(200, {"Content-Encoding": "gzip"}, gzip.compress(HTML)),
    "compressed, damaged": loopback.status(200, {"Content-Encoding": "gzip"}, b"no gzip"),
    "compressed otherwise": loopback.status(200, {"Content-Encoding": "br"}, b"x"),
    "in circles": loopback.redirect("{url}/api/models/some/model"),
    "to another scheme": loopback.redirect("file:///etc/passwd"),
    "another name": loopback.status(200, {}, b'{"id": "../../x", "sha": "0", "siblings": []}'),
}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    defaults = HubSession.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "sleep", lambda seconds: None)


@pytest.mark.parametrize("fault", HUB_FAULTS)
def test_a_hub_that_fails_is_the_sources_fault(
    hub: LoopbackHub,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    hub.add("some/model", {"config.json": CONFIG})
    hub.fault("/api/models/some/model", HUB_FAULTS[fault], times=99)
    assert run(["plan", "some/model", "--on", "h100-sxm"]) == NO_SOURCE
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert "damaged" not in said.err or fault in ("a list", "half a document")


REFUSALS: dict[str, loopback.Reply] = {
    **{fault: HUB_FAULTS[fault] for fault in ("down", "a login page", "another name")},
    "gated": loopback.status(403, {"X-Error-Code": "GatedRepo"}),
    "no file": loopback.status(404, {"X-Error-Code": "EntryNotFound"}),
    "no revision": loopback.status(404, {"X-Error-Code": "RevisionNotFound"}),
    "no repository": loopback.status(404, {"X-Error-Code": "RepoNotFound"}),
    "refused": loopback.status(403, {"X-Error-Message": "see http://10.0.0.9/why"}),
    "elsewhere": loopback.redirect("http://10.0.0.9/x"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_visitor_reads_what_visitors_can_do(
    hub: LoopbackHub,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    hub.add("some/model", {"config.json": CONFIG})
    hub.fault("/api/models/some/model", REFUSALS[fault], times=99)
    with pytest.raises(PlannerError) as caught:
        from_hub("some/model", None)
    for word in ("127.0.0.1", "localhost", "10.0.0.9", "HF_", "hf auth", "/api/", "proxy"):
        assert word not in str(caught.value)
    logged = "127.0.0.1" in caplog.text  # for whoever runs the server
    assert logged or isinstance(caught.value, RefusedError | InputError)


def test_settings_of_the_server_are_told_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"repositories are read from huggingface\.co, not from"):
        from_hub("https://evil.example/some/model", None)
    monkeypatch.setenv("HF_ENDPOINT", "mirror.internal")
    with pytest.raises(SourceError, match="the Hub does not answer this page"):
        from_hub("some/model", None)


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_connection_that_is_cut_is_the_sources_fault(
    hub: LoopbackHub,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    after: int,
) -> None:
    hub.add("some/model", {"config.json": CONFIG, "model.safetensors": safetensors({})})
    hub.fault("config.json", loopback.cut(after), times=99)
    assert run(["plan", "some/model", "--on", "h100-sxm"]) == NO_SOURCE
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def blocked(folder: Path) -> None:
    folder.write_text("a file where a folder should be")


def no_permission(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o500)


@pytest.mark.parametrize("spoil", [blocked, no_permission])
def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
) -> None:
    spoil(tmp_path / "cache")
    monkeypatch.setenv("QWENPLAN_CACHE", str(tmp_path / "cache"))
    kept = write_document("headers/x.json", {"a": 1})
    assert read_document("headers/x.json") == ({"a": 1} if kept else {})
    assert run(["plan", "Qwen3.5-4B", "--on", "h100-sxm", "--engine", "vllm"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="no limit of file sizes there")
@pytest.mark.parametrize("room", [0, 1, 4096])
def test_a_full_disk_keeps_the_old_document_whole(tmp_path: Path, room: int) -> None:
    found = asked_of_a_process(
        f"""
        import resource, signal
        from planner.registry.user_cache import read_document, write_document

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        assert write_document("x.json", {{"old": 1}})
        resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
        kept = write_document("x.json", {{"new": "y" * 10_000}})
        print(kept, read_document("x.json"))
        """,
        tmp_path,
    )
    assert found == "False {'old': 1}"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_half_a_character_in_a_document_is_kept() -> None:
    assert write_document("x.json", {"name": "a\ud800b"})
    assert read_document("x.json") == {"name": "a\ud800b"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN', b"\0" * 100]
)
def test_a_damaged_document_is_none(content: bytes) -> None:
    assert write_document("x.json", {"a": 1})
    folder = cache_folder()
    assert folder is not None
    (folder / "x.json").write_bytes(content)
    assert read_document("x.json") == {}


@pytest.mark.parametrize("taken", [("HOME",), ("HOME", "XDG_CACHE_HOME", "USER", "PATH")])
def test_without_a_home_it_plans(tmp_path: Path, taken: tuple[str, ...]) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in taken}
    kept.pop("QWENPLAN_CACHE", None)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "planner",
            "plan",
            "Qwen3.5-4B",
            "--on",
            "h100-sxm",
            "--engine=vllm",
        ],
        env=kept | {"HOME": "/nowhere"} if len(taken) > 1 else kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


WRITER = """
import itertools, sys
from planner.registry.user_cache import write_document

print("begun", flush=True)
for number in itertools.count():
    write_document("x.json", {"writer": sys.argv[1], "same": [number] * 2000})
"""


def test_writers_that_are_killed_at_any_moment_leave_a_whole_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once, killed and started again; a reader beside them never sees a part."""
    monkeypatch.setenv("QWENPLAN_CACHE", str(tmp_path))
    dice = random.Random(1)
    writers = [started(WRITER, str(number), tmp_path) for number in range(2)]
    for turn in range(4):
        for _ in range(dice.randrange(20, 60)):
            document = read_document("x.json")
            if document:
                assert len(set(document["same"])) == 1
                assert len(document["same"]) == 2000
        number = turn % 2
        writers[number].kill()
        writers[number].communicate()
        assert read_document("x.json")["same"]
        writers[number] = started(WRITER, str(number), tmp_path)
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert write_document("x.json", {"a": 1})
    assert read_document("x.json") == {"a": 1}


def started(program: str, word: str, cache: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, word],
        env=os.environ | {"QWENPLAN_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def asked_of_a_process(program: str, cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | {"QWENPLAN_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
