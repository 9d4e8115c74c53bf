"""Writers of the user's files are killed between any two calls, and in the middle of a write."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from planner import learning
from planner.registry import store, user_cache
from tests.lessons import lesson

resource = pytest.importorskip("resource")  # a system without it has no kill -9 either

SYSTEM = ("posix", "_io", "io")
"""Modules whose functions reach the system, and whose objects are files."""
NEVER = 10_000


def _reaches_the_system(called: Any) -> bool:
    owner = type(getattr(called, "__self__", None)).__module__
    return getattr(called, "__module__", None) in SYSTEM or owner in SYSTEM


def in_child(write: Callable[[], object], *, last: int = NEVER, largest: int | None = None) -> int:
    """Run a writer in a process that is killed, and return its status as `os.wait` gives it.

    Args:
        write: the writer.
        last: the kill -9 comes when so many calls that reach the system are done.
        largest: bytes after which the system ends it in the middle of a write.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    seen = 0

    def watch(frame: FrameType, event: str, called: Any) -> None:
        nonlocal seen
        if event == "c_call" and _reaches_the_system(called):
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    try:
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        sys.setprofile(watch)
        write()
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    finally:
        os._exit(1)


def killed_everywhere(write: Callable[[], object]) -> Iterator[str]:
    """Kill a writer at every point in turn, then after every few bytes; yield where."""
    for last in range(NEVER):
        status = in_child(write, last=last)
        if not os.WIFSIGNALED(status):
            assert status == 0
            assert last > 6, "the writer was not watched"
            break
        yield f"at call {last}"
    for largest in (0, 1, 9):
        status = in_child(write, largest=largest)
        assert os.WTERMSIG(status) == signal.SIGXFSZ
        yield f"after {largest} bytes"


def test_what_was_learned_survives_a_writer_killed_anywhere() -> None:
    before = [lesson(number) for number in range(3)]
    folder = learning.keep(before[0]).parent
    for each in before[1:]:
        learning.keep(each)
    new = lesson(7)
    seen = set()
    for where in killed_everywhere(lambda: learning.keep(new)):
        found = {each.device: each for each in learning.lessons()}
        assert all(found.get(each.device) == each for each in before), where
        assert found.get(new.device, new) == new, where
        seen.add(new.device in found)
        for file in folder.glob("*.json"):
            json.loads(file.read_bytes())  # never a part of one
            if new.device in file.read_text("utf-8"):
                file.unlink()
    assert seen == {True, False}, "killed before the rename and behind it"
    learning.keep(new)
    assert len(learning.lessons()) == 4


def test_a_lesson_learned_again_is_never_lost_in_between() -> None:
    learning.keep(lesson(1))
    for where in killed_everywhere(lambda: learning.keep(lesson(1))):
        assert learning.lessons() == (lesson(1),), where


def test_forgetting_takes_what_killed_writers_left_behind() -> None:
    folder = learning.keep(lesson(1)).parent
    assert os.WIFSIGNALED(in_child(lambda: learning.keep(lesson(2)), largest=7))
    assert learning.forget() == 1
    (left,) = folder.iterdir()  # it may be somebody's who writes just now
    os.utime(left, (0, 0))
    assert learning.forget() == 0
    assert list(folder.iterdir()) == []


def repository(name: str, nbytes: int = 5_000_000_000) -> dict[str, Any]:
    return {
        "repo": f"maker/{name}",
        "base": "Qwen3.5-9B",
        "container": "gguf",
        "stem": f"{name}-",
        "files": [["Q4_K_M", nbytes, 0]],
        "date": "2026-11-27",
    }


def renewed() -> set[str]:
    return {row["repo"] for row in user_cache.read_document(store.RENEWED).get("repositories", ())}


def test_renewed_repositories_survive_a_writer_killed_anywhere() -> None:
    store.keep_renewed([repository("first")], "a list")
    for where in killed_everywhere(lambda: store.keep_renewed([repository("new")], "a list")):
        assert renewed() in ({"maker/first"}, {"maker/first", "maker/new"}), where
    store.keep_renewed([repository("last")], "a list")
    assert renewed() >= {"maker/first", "maker/last"}


def test_kept_headers_survive_a_writer_killed_anywhere() -> None:
    old, new = {"checkpoint": "old"}, {"checkpoint": "new"}
    name = "headers/one.json"
    user_cache.write_document(name, old)
    for where in killed_everywhere(lambda: user_cache.write_document(name, new)):
        assert user_cache.read_document(name) in (old, new), where


def _at_once(writers: list[Callable[[], object]]) -> None:
    """Run writers in processes of their own that begin together."""
    waiting, begin = os.pipe()
    children = []
    for write in writers:
        child = os.fork()
        if not child:
            os.close(begin)
            os.read(waiting, 1)  # ends when the parent closes its end
            try:
                write()
            finally:
                os._exit(0)
        children.append(child)
    os.close(waiting)
    os.close(begin)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(writers)


def test_writers_at_once_lose_nothing() -> None:
    def learns(first: int) -> Callable[[], object]:
        return lambda: [learning.keep(lesson(number)) for number in range(first, first + 8)]

    def renews(name: str) -> Callable[[], object]:
        def renew() -> None:
            for each in range(8):
                store.keep_renewed([repository(f"{name}{each}")], "a list")

        return renew

    _at_once([learns(0), learns(8), renews("a"), renews("b")])
    assert {each.difference for each in learning.lessons()} == set(range(16))
    assert renewed() == {f"maker/{name}{each}" for name in "ab" for each in range(8)}
