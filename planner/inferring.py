"""What nobody said of a start, told by its log: degrees by its lines' marks, the rest by its figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

from planner.engines import get_engine
from planner.engines.command import Command
from planner.engines.economies import economies_of
from planner.engines.log_figure import Basis
from planner.errors import PlannerError
from planner.layout import Layout
from planner.log_text import Log
from planner.logs import LogCheck
from planner.planning import Plan

_RANK = re.compile(r"(?<=[ _])(TP|PP|DP|EP)(\d{1,3})(?=[ \])_])")
"""A rank in front of a line: ``(Worker_PP0_TP1 pid=7)``, ``[2026-02-27 17:10:27 TP1]``."""
_IN_FRONT = 80
"""Characters of a line in which ranks are looked for."""
_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,6})((?:\.post\d+)?)(.*)")


def marked_layout(log: Log, accelerators: int) -> Layout | None:
    """Return the degrees of parallelism that ranks in front of lines tell; None where none does.

    Of lines that are left out the last rank may be missing: degrees are powers of two, and the first
    rank alone, which is marked only beside others, is one of all accelerators. Replicas are not told
    apart from ranks that share a model, so that a log of them tells nothing.

    Args:
        log: the log.
        accelerators: how many the machine has.
    """
    last: dict[str, int] = {}
    for line in log.lines:
        for name, number in _RANK.findall(line[:_IN_FRONT]):
            last[name] = max(last.get(name, 0), int(number))
    if "TP" not in last or last.get("DP"):
        return None
    if not any(last.values()):
        return Layout(tensor_parallel=accelerators) if accelerators > 1 else None
    found = Layout(
        tensor_parallel=1 << last["TP"].bit_length(),
        pipeline_parallel=1 << last.get("PP", 0).bit_length(),
        expert_parallel="EP" in last,
    )
    return found if found.accelerators > 1 else None


def supposed(plan: Plan, told: Command) -> Iterator[tuple[str, Command]]:
    """Yield commands that say one thing more than what was told, each with that thing in words.

    Args:
        plan: what was planned for `told`.
        told: what is known of the start.
    """
    deployment = plan.deployment
    if told.kv_cache_dtype is None:
        saving = economies_of(get_engine(plan.engine), deployment)
        for name in dict.fromkeys(each.kv_cache_dtype for each in saving):
            if name is not None:
                yield f"a KV cache in {name}", replace(told, kv_cache_dtype=name)
    if told.layout is None:
        degree = 2
        while degree <= deployment.system.count:
            layout = Layout(tensor_parallel=degree)
            yield str(layout), replace(told, layout=layout)
            degree *= 2


def releases_of(log: Log, options: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Options that plan for the log's release; of a build between two, for the later one first."""
    match = _RELEASE.fullmatch(log.version or "")
    if "version" in options or match is None or not _has_releases(log.engine):
        yield {}
        return
    major, minor, patch, post, rest = match.groups()
    yield {"version": f"{major}.{minor}.{patch}{post}"}
    if rest and int(patch) > 0:
        yield {"version": f"{major}.{minor}.{int(patch) - 1}"}


def _has_releases(engine: str) -> bool:
    return any(field.name == "version" for field in fields(get_engine(engine).options_type))


def of_an_older(
    check: LogCheck, compared: Callable[[Mapping[str, str]], LogCheck], options: Mapping[str, Any]
) -> LogCheck | None:
    """Return the check against the newest older rules that a log without a release follows, if any."""
    if check.version is not None or not _has_releases(check.engine) or "version" in options:
        return None
    newest = check.plan.engine_version
    return _explaining(
        (
            f"its figures are not those of {newest}'s rules, but those of {release}'s",
            partial(compared, {"version": release}),
        )
        for release in check.log.reader.releases()
    )


def of_what_nobody_said(
    check: LogCheck, compared: Callable[[Mapping[str, str], Command], LogCheck], told: Command
) -> LogCheck | None:
    """Return the check against one thing more than was told that explains every figure, if one does."""
    release = {"version": check.plan.engine_version} if _has_releases(check.engine) else {}
    return _explaining(
        (
            f"its figures are those of {words}, which neither the log nor the question says",
            partial(compared, release, more),
        )
        for words, more in supposed(check.plan, told)
    )


def _explaining(tries: Iterable[tuple[str, Callable[[], LogCheck]]]) -> LogCheck | None:
    """Return the first check that explains every figure, with the note of what it supposes."""
    for note, compared in tries:
        try:
            found = compared()
        except PlannerError:
            continue
        if found.rules_agree and any(row.agrees for row in found.rows):
            return _with_note(found, note)
    return None


def _with_note(check: LogCheck, note: str) -> LogCheck:
    return replace(check, notes=(note, *check.notes))


def without_arguments(check: LogCheck) -> LogCheck:
    """Say what an estimate that is off may be due to, where no argument of the start is known."""
    if not any(row.agrees is False and row.basis is Basis.ESTIMATE for row in check.rows):
        return check
    note = (
        "the log does not print what the server was told: a flag that is not named here may be behind"
        " a figure that is off"
    )
    return _with_note(check, note)
