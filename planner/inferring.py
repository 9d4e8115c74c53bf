"""What nobody said of a start, told by its log: degrees by its lines' marks, the rest by its figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from planner.engines import get_engine
from planner.engines.command import Command
from planner.engines.economies import economies_of
from planner.layout import Layout
from planner.log_text import Log
from planner.planning import Plan

_RANK = re.compile(r"(?<=[ _])(TP|PP|DP|EP)(\d{1,3})(?=[ \])_])")
"""A rank in front of a line: ``(Worker_PP0_TP1 pid=7)``, ``[2026-02-27 17:10:27 TP1]``."""
_IN_FRONT = 80
"""Characters of a line in which ranks are looked for."""


def marked_layout(log: Log) -> Layout | None:
    """Return the degrees of parallelism that ranks in front of lines tell; None where none does.

    Of lines that are left out the last rank may be missing: degrees are powers of two. Replicas are
    not told apart from ranks that share a model, so that a log of them tells nothing.
    """
    last: dict[str, int] = {}
    for line in log.lines:
        for name, number in _RANK.findall(line[:_IN_FRONT]):
            last[name] = max(last.get(name, 0), int(number))
    if "TP" not in last or last.get("DP"):
        return None
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
