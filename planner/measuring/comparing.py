"""Set what a bench printed beside the plan: speeds, memory, and the log of its start."""

from __future__ import annotations

from typing import Any

import hardware_db
from hardware_db.records import frozen
from planner import logs, observed
from planner.anonymous import case_of, case_of_plan
from planner.engines.bench import Point, Printed, Size, Task
from planner.engines.log_figure import Basis
from planner.engines.log_row import OUTSIDE, LogRow
from planner.engines.options import changed, declared
from planner.errors import InputError, PlannerError, printable
from planner.logs import LogCheck
from planner.measuring.finding import Prepared
from planner.measuring.running import Ended, Ran
from planner.planning import Plan
from planner.secrets import without_secrets
from planner.speed import speed_at
from planner.throughput import NoEstimate, SpeedEstimate, Workload
from planner.units import GIB

LONGEST = 300
"""Characters of a program's last words that are shown."""
SOURCE = "qwenplan measure"


@frozen
class Measured:
    """A measurement beside its plan.

    Attributes:
        prepared: what was run.
        ended: how it ended.
        printed: what the bench said.
        rows: every figure, measured against planned.
        check: the log of its start against the plan of that; None where it printed none.
        elsewhere: what it ran on, where that is not what was planned: nothing is judged then.
        notes: what to know, one sentence each.
    """

    prepared: Prepared
    ended: Ended
    printed: Printed
    rows: tuple[LogRow, ...]
    check: LogCheck | None
    notes: tuple[str, ...]
    elsewhere: str = ""

    @property
    def agrees(self) -> bool:
        """It ran on what was planned, no figure contradicts the plan, and no start fails that it calls safe."""
        if self.elsewhere:
            return False
        started = self.check is None or self.check.refused_as_planned is not False
        return started and all(row.agrees is not False for row in self.rows)

    def case(self) -> dict[str, Any]:
        """Return it as a case, in the form of the suite ``field``.

        Raises:
            InputError: it ran on other hardware than was planned.
        """
        if self.elsewhere:
            raise InputError(f"no case is written: {self.elsewhere}")
        plan, task = self.prepared.plan, self.prepared.task
        version = self.printed.version or None
        speeds = [_speed(point, task) for point in self.printed.points]
        if self.check is not None:
            return case_of(self.check, speeds=speeds, source=SOURCE)
        figures = {size.name: round(size.nbytes / GIB, 3) for size in self.printed.sizes}
        return case_of_plan(plan, figures, version=version, source=SOURCE, speeds=speeds)

    def to_dict(self) -> dict[str, Any]:
        """Return the measurement as plain data."""
        plan = self.prepared.plan
        return {
            "engine": plan.engine,
            "version": self.printed.version or None,
            "planned_version": plan.engine_version,
            "device": self.printed.device or None,
            "ran_elsewhere": self.elsewhere or None,
            "bench": self.prepared.bench.program,
            "commands": [list(step.argv) for step in self.prepared.steps],
            "ended": self.ended.value,
            "agrees": self.agrees,
            "rows": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
        }


def _speed(point: Point, task: Task) -> dict[str, Any]:
    prompt = point.tokens if point.phase == "prefill" else task.prompt
    return {
        "phase": point.phase,
        "tok_s": round(point.rate, 2),
        "batch": point.batch,
        "prompt": prompt or None,
        "gen": point.tokens if point.phase == "decode" else None,
        "depth": point.depth or None,
        "note": None,
    }


def compare(prepared: Prepared, ran: Ran) -> Measured:
    """Return what was measured beside the plan.

    Raises:
        InputError: the programs printed nothing that can be compared.
    """
    printed = prepared.bench.read(prepared.task, ran.outputs)
    notes = list(printed.notes)
    check = _checked(prepared, ran, printed, notes) if prepared.bench.logs else None
    rows = [_speed_row(prepared.plan, point) for point in printed.points]
    rows += [_size_row(prepared.plan, size) for size in printed.sizes]
    if check is not None:
        rows += check.rows
    notes += [
        _unsteady(point) for point in printed.points if (point.spread or 0) > STEADY * point.rate
    ]
    refused = check is not None and check.refusal is not None
    if not rows and not refused:
        raise InputError(_nothing(prepared, ran))
    if ran.ended is not Ended.DONE and not refused:
        notes.append(f"the bench was {_HOW[ran.ended]}: what it printed before is compared")
    return Measured(
        prepared=prepared,
        ended=ran.ended,
        printed=printed,
        rows=tuple(rows),
        check=check,
        notes=tuple(notes),
        elsewhere=_elsewhere(prepared.plan, printed, check),
    )


def _elsewhere(plan: Plan, printed: Printed, check: LogCheck | None) -> str:
    """Return in one sentence what the bench ran on, where that is not what was planned; else nothing.

    A name that no driver is known to use decides nothing, nor does hardware that was made up.
    """
    system = plan.deployment.system
    mend = "name what it ran on with --on"
    if printed.processor and not system.is_cpu_only:
        return (
            f"the bench ran on the processor, not on the {system.accelerator.short_name} that is planned;"
            f" {mend}, such as 'cpu, 64GB', or install a build for the GPU"
        )
    logged = check.log.hardware if check is not None else None
    said = printed.device or (logged.partition("x ")[2] if logged else "")
    names = [name.strip() for name in said.split(", ") if name.strip()]
    if system.is_cpu_only:
        return f"the bench ran on {said}, not on the processor that is planned" if names else ""
    planned = [each for each in system.accelerators if each.vendor != MADE_UP]
    for name in names:
        if planned and not any(hardware_db.is_called(each, name) is not False for each in planned):
            return (
                f"the bench ran on {name}, not on the {system.accelerator.short_name} that is planned;"
                f" {mend}"
            )
    return ""


MADE_UP = "custom"
"""Vendor of hardware of which the user gave the memory alone."""

_HOW = {
    Ended.FAILED: "ended by an error",
    Ended.STOPPED: "stopped",
    Ended.LATE: "ended at the time limit",
}


def _nothing(prepared: Prepared, ran: Ran) -> str:
    """Return why there is nothing to compare, in one line: the program's last words, if it failed."""
    program = prepared.bench.program.replace("\\", "/").rpartition("/")[2]
    if ran.ended is not Ended.FAILED:
        return f"{program} was {_HOW.get(ran.ended, 'done')} before it printed a figure"
    said = [line for output in ran.outputs for line in output.stderr.splitlines() if line.strip()]
    last = without_secrets(printable(said[-1].strip()[:LONGEST])) if said else "it printed nothing"
    hint = ""
    if any("HF_HUB_OFFLINE" in step.environment for step in prepared.steps):
        hint = " (the model must be on this machine, or may be fetched with --download)"
    return f"{program} ended with status {ran.status}: {last}{hint}"


def _checked(prepared: Prepared, ran: Ran, printed: Printed, notes: list[str]) -> LogCheck | None:
    """Return the log of the first program that printed figures against the plan of that start.

    A bench's log says less of its flags than a server's: what was asked for comes before it.
    """
    asked = prepared.plan.deployment.options
    given = {**changed(asked), **prepared.bench.options}
    if printed.version and "version" in declared(type(asked)):
        given["version"] = printed.version
    for output in ran.outputs:
        try:
            log = logs.read_log(f"{output.stdout}\n{output.stderr}")
        except PlannerError:
            continue
        deployment = prepared.plan.deployment
        try:
            if log.command is None:
                return logs.check_log(prepared.plan, log)
            return observed.check_log(
                None,
                log,
                on=deployment.system,
                model=deployment.checkpoint,
                layout=deployment.layout,
                options=given,
            )
        except PlannerError as error:
            notes.append(f"the log could not be compared: {error}")
    return None


STEADY = 0.2
"""Standard deviation of a rate's runs, as a share of their mean, from which on it is no rate of the
machine alone. Assumed: undisturbed runs differ by a few percent."""


def _unsteady(point: Point) -> str:
    assert point.spread is not None
    return (
        f"{point.phase}: its runs differ by {point.spread / point.rate:.0%} of their mean; something"
        " else used the machine, measure again when it is idle"
    )


def _speed_row(plan: Plan, point: Point) -> LogRow:
    """Return a speed beside the estimate of just that workload."""
    many = f"{point.batch} × " if point.batch > 1 else ""
    behind = f" behind {point.depth:,}" if point.depth else ""
    name = f"{point.phase}, {many}{point.tokens:,} tokens{behind}"
    estimate = speed_at(plan, _workload(point))
    planned: tuple[float, float] | None = None
    note, agrees = "", None
    if isinstance(estimate, SpeedEstimate):
        found = estimate.per_user.scaled(point.batch)
        if point.phase == "prefill":
            assert estimate.prefill is not None
            found = estimate.prefill.tokens_per_second
        planned = found.low, found.high
        note = f"about {found.value:,.3g}"
        if not found.holds(point.rate):
            agrees, note = False, f"{note}, {OUTSIDE}"
    elif isinstance(estimate, NoEstimate):
        note = estimate.words
    return LogRow(
        figure=name,
        unit="tok/s",
        planned=planned,
        logged=point.rate,
        basis=Basis.ESTIMATE,
        agrees=agrees,
        note=note,
    )


def _workload(point: Point) -> Workload:
    if point.phase == "prefill":
        return Workload(
            prompt_tokens=point.tokens,
            cached=point.depth,
            concurrency=point.batch,
            prompts_together=point.batch,
        )
    return Workload(
        prompt_tokens=point.depth, concurrency=point.batch, depth=point.depth + point.tokens // 2
    )


def _size_row(plan: Plan, size: Size) -> LogRow:
    """Return a size beside the terms that it is the sum of."""
    terms = [term for term in plan.ranks[0].terms if term.kind in size.kinds]
    least = most = sum(term.nbytes for term in terms)
    bands = [term.band for term in terms if term.band is not None]
    least, most = least - sum(b.below for b in bands), most + sum(b.above for b in bands)
    held = least * (1 - ROUNDING) <= size.nbytes <= most * (1 + ROUNDING)
    return LogRow(
        figure=size.name,
        unit="GiB",
        planned=(least / GIB, most / GIB),
        logged=size.nbytes / GIB,
        basis=Basis.ESTIMATE if bands else Basis.RULE,
        agrees=held if not bands else None if held else False,
        note="" if held or not bands else OUTSIDE,
    )


ROUNDING = 1e-4
"""Share by which an allocator's rounding of every tensor may differ."""
