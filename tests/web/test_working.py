"""Answers in processes of their own: the same answers, and an end to those that take too long."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from planner.errors import InputError, PlannerError, SourceError, UnknownModelError
from planner.planning import Plan
from planner.registry.bundled import bundled_checkpoint
from planner.web import curves, searching, solving, worker, working
from planner.web import pool as pools
from planner.web.asked import Asked
from planner.web.kept import Kept
from planner.web.pool import BusyError, Pool, TooLongError
from planner.web.process import Process
from planner.web.working import run_in
from tests.present import some
from tests.waiting import until
from tests.web import growing


def question(concurrency: int = 1, **more: Any) -> Asked:
    said = {"model": "Qwen3.5-4B", "weights": "fp8", "engine": "vllm", **more}
    return Asked(on="h100-sxm", context="8k", users=str(concurrency), **said)


def plan_of(asked: Asked) -> Plan:
    return some(solving.solve(asked, None, None).plan)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(size=2, limit=60, stays_for=0.0)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from other tests."""
    monkeypatch.setattr(working, "_KEPT", Kept(working.MOST_KEPT))


@pytest.fixture(params=[0, 2])
def either(request: pytest.FixtureRequest, pool: Pool) -> Pool:
    return pool if request.param else Pool(size=0)


@pytest.mark.parametrize("engine", ["vllm", "llamacpp", "sglang", "tensorrt-llm", "transformers"])
def test_a_worker_answers_as_this_process_does(either: Pool, engine: str) -> None:
    asked = question(3, engine=engine, weights="bf16")
    here, there = plan_of(asked), some(run_in(either, solving.solve, asked, None, None).plan)
    assert there.policy is here.policy
    assert (there.verdict, there.ranks, there.launch, there.expected_log) == (
        here.verdict,
        here.ranks,
        here.launch,
        here.expected_log,
    )


def test_the_projects_errors_come_through(either: Pool) -> None:
    with pytest.raises(UnknownModelError, match=r"unknown model 'Qwen3\.5-4'"):
        run_in(either, bundled_checkpoint, "Qwen3.5-4")


def test_a_bug_is_told_with_the_workers_traceback(either: Pool) -> None:
    with pytest.raises(RuntimeError, match=r"in the worker process:\n(.|\n)*ZeroDivisionError"):
        run_in(either, divmod, 1, 0)


def test_the_same_question_is_answered_once(pool: Pool) -> None:
    assert run_in(pool, time.monotonic) == run_in(pool, time.monotonic)
    first = run_in(pool, solving.solve, question(5), None, None)
    again = run_in(pool, solving.solve, question(5), None, None)
    assert (again.wanted, again.problems) == (first.wanted, first.problems)
    assert some(again.plan).verdict == some(first.plan).verdict
    assert some(again.plan).deployment.checkpoint is some(first.plan).deployment.checkpoint


def test_a_source_that_failed_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(*said: Any, **how: Any) -> None:
        asked.append(said)
        raise SourceError("the Hub is down")

    monkeypatch.setattr(solving, "load_checkpoint", fail)
    for _ in range(2):
        with pytest.raises(SourceError, match="the Hub does not answer"):
            run_in(Pool(size=0), solving.from_hub, "a/b", None)
    assert len(asked) == 2


def test_checkpoints_and_systems_stay_the_same_objects() -> None:
    plan = plan_of(question(2))
    there_and_back = worker.unpacked(worker.packed(plan))
    again = worker.unpacked(worker.packed([plan, there_and_back]))
    for name in ("checkpoint", "system"):
        things = [getattr(p.deployment, name) for p in (there_and_back, *again)]
        assert things[0] == getattr(plan.deployment, name)
        assert all(thing is things[0] for thing in things)


def test_what_both_ends_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    held, plan = worker._Held(), plan_of(question(2))
    things = (plan.deployment.checkpoint, plan.deployment.system)
    monkeypatch.setattr(worker, "_MOST_HELD_BYTES", len(worker._Held().packed(things[0])[1]) + 1)
    for thing in things * 2:
        assert held.packed(thing) == worker._Held().packed(thing)
        assert [kept for kept, _ in held._of_digest.values()] == [thing]
        assert [kept for _, kept in held._digests.values()] == [thing]


def test_what_is_kept_is_bounded() -> None:
    kept = Kept(50_000)
    for number in range(50):
        kept.keep(bytes([number]), number, 4_600, 60)
    assert len(kept._answers) == 10
    kept.keep(b"y", "a large one, which would put out the others", 6_000, 60)
    assert len(kept._answers) == 10
    assert kept.get(bytes([49])) == (49,)
    assert kept.get(bytes([1])) is None
    kept.keep(b"x", "late", 1, -1)
    assert kept.get(b"x") is None


def test_what_takes_too_long_is_ended_and_remembered_for_a_while() -> None:
    pool = Pool(size=1, longest=0.2, long_after=0.1)
    pool._free.append(Process(pools.LIMIT))
    number = pool._free[0].id
    for _ in range(2):
        with pytest.raises(TooLongError, match=r"not done within 0.2 s and was stopped"):
            run_in(pool, time.sleep, 3600)
    assert (pool._free, pool._busy, pool._long) == ([], 0, 0)
    assert gone(number)


@pytest.mark.skipif(os.name == "nt", reason="no limit of processor time is set there")
def test_an_answer_has_so_much_processor_time_and_waiting_costs_none() -> None:
    pool = Pool(size=1, limit=0.3, long_after=0.1)
    assert run_in(pool, len, "the function's module is loaded") == 31
    number = pool._free[0].id
    assert run_in(pool, time.sleep, 0.6) is None  # as where a server has much else to do
    assert pool._free[0].id == number
    with pytest.raises(TooLongError, match=r"more than 0.3 s to work out and was stopped; ask for"):
        run_in(pool, sum, range(10**12))
    assert gone(number)
    assert (pool._busy, pool._long) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is by thread on Linux only")
def test_a_long_answer_steps_back_a_piece_begins_there_and_the_next_does_not() -> None:
    pool, late = Pool(size=1), worker.STEPS_BACK_AFTER * 3
    usual, back = os.getpriority(os.PRIO_PROCESS, 0), worker.STEP_BACK
    for steps, wait, expected in (
        (0, late, back),
        (1, 0.0, back),
        (1, late, back),
        (0, 0.0, 0),
    ):
        request = worker.packed((niceness_after, (wait,), {}))
        (_, niceness, _), _ = pool.run(request, steps=steps)
        assert niceness == max(expected, usual)
    pool.close()


def test_a_visitor_comes_back_to_the_process_that_knows_the_question() -> None:
    pool = Pool(size=3)
    pool._free += [Process(pools.LIMIT) for _ in range(3)]
    first, second, third = (process.id for process in pool._free)
    here = worker.packed((os.getpid, (), {}))
    asked = [(what, who) for what, who in ("aa", "ra", "ab", "rb", "ac", "sa", "ra", "ab", "sb")]
    answers = [pool.run(here, subject)[0][1] for subject in asked]
    assert answers == [third, second, third, second, third, first, second, third, first]
    pool.close()


@pytest.mark.parametrize(
    ("held_back", "order"),
    [(pools.STANDS_BACK, ["light", "row", "row"]), (0.0, ["row", "row", "light"])],
)
def test_a_short_question_goes_before_the_rows_of_a_table(
    monkeypatch: pytest.MonkeyPatch, held_back: float, order: list[str]
) -> None:
    monkeypatch.setattr(pools, "STANDS_BACK", held_back)
    pool, answered = Pool(size=1), list[tuple[float, str]]()
    taken = pool._take(("", ""), 0)

    def ask(what: str, steps: int) -> None:
        (_, moment, _), _ = pool.run(worker.packed((time.monotonic, (), {})), steps=steps)
        answered.append((moment, what))

    asking = list[threading.Thread]()
    for what, steps in (("row", 1), ("row", 1), ("light", 0)):
        asking.append(threading.Thread(target=ask, args=(what, steps)))
        asking[-1].start()
        until(lambda: len(pool._waiting) == len(asking))
    pool._be_done(taken, ends=False, was_long=False)
    for one in asking:
        one.join()
    assert [what for _, what in sorted(answered)] == order
    pool.close()


def niceness_after(seconds: float) -> int:
    """Niceness of the thread that answers, after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_refusals_for_want_of_time_say_so_in_words_that_the_load_test_knows() -> None:
    full = Pool(size=1, patience=0.0)
    full._busy = 1
    with pytest.raises(BusyError) as busy:
        run_in(full, len, "busy")
    with pytest.raises(BusyError) as late:
        run_in(Pool(size=1, longest=0.2), time.sleep, 3600)
    with pytest.raises(PlannerError) as ended:
        run_in(Pool(size=1), os._exit, 3)
    for error in (busy.value, late.value, ended.value):
        assert any(words in str(error) for words in pools.NOT_ANSWERED), error


class GoneError(Exception):
    """Nobody waits for the answer."""


def left_alone(seconds: float, *, long_after: float) -> tuple[Pool, int]:
    """A pool of one process that sleeps for a visitor who has gone, and the number of the process."""

    def glance() -> None:
        raise GoneError

    pool = Pool(size=1, long_after=long_after, glance=glance)
    pool._free.append(Process(pools.LIMIT))
    number = pool._free[0].id
    with pytest.raises(GoneError):
        run_in(pool, time.sleep, seconds)
    return pool, number


def test_what_nobody_waits_for_is_ended() -> None:
    pool, number = left_alone(3600, long_after=0.05)
    assert gone(number)
    assert (pool._busy, pool._long) == (0, 0)


def test_a_short_answer_that_nobody_waits_for_keeps_its_process() -> None:
    """Who types on leaves an answer of half a second: a process that is ended costs two to replace."""
    pool, number = left_alone(0.3, long_after=30.0)
    until(lambda: pool._busy == 0)
    assert [process.id for process in pool._free] == [number]
    pool.close()


def test_a_long_question_makes_room_and_a_page_that_is_full_says_so() -> None:
    pool = Pool(size=1, limit=30, long_after=0.05, patience=0.3)
    stop = threading.Event()

    def glance() -> None:
        if stop.is_set():
            raise InputError("over")

    pool.glance = glance
    with ThreadPoolExecutor(2) as visitors:
        first = visitors.submit(run_in, pool, time.sleep, 3600)
        until(lambda: pool._long == 1)
        assert run_in(pool, len, "beside it") == 9
        second = visitors.submit(run_in, pool, time.sleep, 3601)
        until(lambda: pool._busy == 2)
        with pytest.raises(BusyError, match="busy with other questions; try again in a minute"):
            run_in(pool, len, "a third")
        stop.set()
        for asked in (first, second):
            with pytest.raises(InputError, match="over"):
                asked.result()
    assert (pool._busy, pool._long, len(pool._waiting)) == (0, 0, 0)
    pool.close()


def test_a_process_that_dies_is_told_and_replaced() -> None:
    pool = Pool(size=1)
    with pytest.raises(PlannerError, match="ended before it was done: one answer may take 1 GiB"):
        run_in(pool, os._exit, 3)
    assert run_in(pool, len, "four") == 4
    pool._free[0].end()
    until(lambda: not pool._free[0].alive)
    assert run_in(pool, len, "fifth") == 5
    pool.close()


@pytest.mark.skipif(os.name == "nt", reason="no limit of memory is set there")
def test_memory_is_bounded(pool: Pool) -> None:
    with pytest.raises(InputError, match="needs more memory than one answer may take"):
        run_in(pool, bytes, 2 << 30)
    with pytest.raises(InputError, match="too long for a page"):
        run_in(pool, bytes, worker.LONGEST + 1)


def test_a_process_with_too_many_objects_forgets_and_one_that_stays_large_is_replaced() -> None:
    """So all of them together take (2 x cores + 1) x 300 MiB between answers, whatever was asked."""
    pool = Pool(size=1)
    try:
        process, remembers = run_in(pool, growing.remember, worker.MOST_BLOCKS)
        assert remembers == 1
        assert run_in(pool, growing.remember, 0) == (process, 0)
        assert run_in(pool, growing.hold, 1) == process
        assert run_in(pool, growing.hold, worker.RETIRES_AT) == process
        assert run_in(pool, growing.hold, 2) != process
        assert gone(process)
    finally:
        pool.close()


def test_processes_begin_warm_and_so_do_those_that_replace_them() -> None:
    pool = Pool(size=2)
    assert run_in(pool, len, "first") == 5
    pool.warm(worker.packed((os.putenv, ("QWENPLAN_WARM", "1"), {})))
    until(lambda: len(pool._free) == 3)
    assert pool._busy == 0
    with pytest.raises(PlannerError, match="ended before it was done"):
        run_in(pool, os._exit, 3)
    until(lambda: len(pool._free) == 3)
    pool.close()


def test_a_process_stands_ready_beside_each_long_question() -> None:
    stop = threading.Event()

    def glance() -> None:
        if stop.is_set():
            raise InputError("over")

    pool = Pool(size=2, long_after=0.05, stays_for=0.0, glance=glance)
    pool.warm(worker.packed((len, ("begin",), {})))
    until(lambda: len(pool._free) == 3)
    with ThreadPoolExecutor(2) as visitors:
        asked = [visitors.submit(run_in, pool, time.sleep, 3600 + number) for number in range(2)]
        until(lambda: pool._long == 2 and len(pool._free) == 3)
        assert run_in(pool, len, "beside them") == 11
        stop.set()
        for one in asked:
            with pytest.raises(InputError, match="over"):
                one.result()
    until(lambda: not pool._beginning and len(pool._free) == 3)
    assert (pool._busy, pool._long) == (0, 0)
    pool.close()


def test_a_process_beside_a_long_question_stays_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long questions one after the other start no process each: that kept a core busy for nobody."""
    started = []

    def start(limit: float) -> Process:
        started.append(Process(limit))
        return started[-1]

    monkeypatch.setattr(pools, "Process", start)
    pool = Pool(size=1, long_after=0.05)
    pool.warm(worker.packed((len, ("begin",), {})))
    until(lambda: len(pool._free) == 2)
    for turn in range(3):
        assert run_in(pool, long, turn) == turn
        until(lambda: not pool._beginning)
    assert len(pool._free) == len(started) == 3
    pool._was_long = (1, time.monotonic())  # a minute later
    pool.long_after = 60.0  # however busy the machine is
    assert run_in(pool, len, "short") == 5
    assert len(pool._free) == 2, "whoever is one too many then ends"
    pool.close()


def long(turn: int) -> int:
    time.sleep(0.4)
    return turn


def test_many_sessions_ask_at_once(pool: Pool) -> None:
    with ThreadPoolExecutor(8) as visitors:
        words = [str(number) * number for number in range(40)]
        assert list(visitors.map(lambda text: run_in(pool, len, text), words)) == [
            len(text) for text in words
        ]
    assert pool._busy == 0
    assert len(pool._free) <= pool.size


def test_workers_end_with_the_server() -> None:
    process = Process(pools.LIMIT)
    process.ask(worker.packed((time.sleep, (3600,), {})))
    stream = process._process.stdin
    assert stream is not None
    stream.close()  # as the system does when the server is killed
    until(lambda: not process.alive)


def test_ctrl_c_in_the_terminal_is_left_to_the_server() -> None:
    pool = Pool(size=1)
    assert run_in(pool, len, "ready") == 5
    os.kill(pool._free[0].id, signal.SIGINT)
    assert run_in(pool, len, "still here") == 10
    pool.close()


def test_a_worker_brings_no_streamlit() -> None:
    pool = Pool(size=1)
    for function in (solving.solve, searching.advice, curves.memory_curve):
        assert run_in(pool, getattr, function, "__name__")  # unpickled there: its module is loaded
    assert run_in(pool, eval, "'streamlit' in __import__('sys').modules") is False
    pool.close()


def gone(number: int) -> bool:
    def ended() -> bool:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        return False

    until(ended)
    return True


def test_streamlit_is_asked_whether_the_visitor_waits() -> None:
    working._still_wanted()  # no session: nothing to ask

    def page() -> None:
        from planner.web import working

        working._still_wanted()

    assert not AppTest.from_function(page).run().exception


def test_a_worker_that_nobody_hears_any_more_ends_without_a_word() -> None:
    """A server that ended while an answer was written left a traceback of BrokenPipeError in its log."""
    command = [sys.executable, "-m", worker.__name__, "20"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        some(process.stdout).close()
        worker.send(some(process.stdin), bytes([0]) + worker.packed((os.getpid, (), {})))
        assert some(process.stderr).read() == b""
        assert process.wait() == 0
