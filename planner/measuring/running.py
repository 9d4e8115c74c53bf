"""Start the programs of a bench, one after another, and keep what they print whatever ends them.

This is the only place that starts one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

from hardware_db.records import frozen
from planner.engines.bench import Output, Step
from planner.errors import InputError

MOST = 64 * 2**20
"""Characters of an output that are read."""
GRACE = 20.0
"""Seconds that a program that is asked to end may take."""


class Ended(Enum):
    """How the programs ended; the value is the word that people read."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    LATE = "over the time limit"


@frozen
class Ran:
    """What came of running.

    Attributes:
        outputs: what each program printed, as far as it came.
        ended: how the last one ended.
        status: its exit status; None where it was ended.
    """

    outputs: tuple[Output, ...]
    ended: Ended
    status: int | None = None


def run_steps(
    steps: Sequence[Step],
    folder: Path,
    *,
    limit: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Ran:
    """Run programs until one fails, is stopped (Ctrl-C) or takes longer than `limit` seconds.

    Args:
        steps: what to run.
        folder: where their output is kept meanwhile.
        limit: seconds for each.
        say: told which program starts.

    Raises:
        InputError: a program is not there.
    """
    outputs: list[Output] = []
    status: int | None = None
    for number, step in enumerate(steps, start=1):
        say(f"running {number} of {len(steps)}")
        status, ended = _run(step, folder / f"{number}.out", folder / f"{number}.err", limit)
        outputs.append(
            Output(
                stdout=_text(folder / f"{number}.out"),
                stderr=_text(folder / f"{number}.err"),
                result=_text(step.result) if step.result is not None else "",
            )
        )
        if ended is not Ended.DONE:
            return Ran(outputs=tuple(outputs), ended=ended, status=status)
    return Ran(outputs=tuple(outputs), ended=Ended.DONE, status=status)


def _run(step: Step, out: Path, err: Path, limit: float | None) -> tuple[int | None, Ended]:
    program = shutil.which(step.argv[0])
    if program is None:
        raise InputError(f"{step.argv[0]}: not found on PATH")
    with out.open("wb") as printed, err.open("wb") as logged:
        child = subprocess.Popen(
            [program, *step.argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=logged,
            env={**os.environ, **step.environment},
            start_new_session=True,  # Ctrl-C comes to us alone, and workers end with their parent
        )
        try:
            status = child.wait(limit)
        except KeyboardInterrupt:
            _end(child)
            return None, Ended.STOPPED
        except subprocess.TimeoutExpired:
            _end(child)
            return None, Ended.LATE
    return status, Ended.FAILED if status else Ended.DONE


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask a program and its workers to end, and end them if they do not."""
    for number in ("SIGINT", "SIGKILL"):
        with contextlib.suppress(OSError, AttributeError):
            if sys.platform == "win32":
                child.terminate()
            else:
                os.killpg(child.pid, getattr(signal, number))
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
            return


def _text(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(MOST).decode("utf-8", "replace")
    return ""
