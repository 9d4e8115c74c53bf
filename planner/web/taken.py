"""From a plan back to the question: one click takes a checkpoint, a piece of advice, a layout."""

from __future__ import annotations

from dataclasses import replace

import hardware_db
from hardware_db import System
from planner.engines import FRONTS, get_engine
from planner.errors import InputError, PlannerError
from planner.model import catalog
from planner.planning import Plan
from planner.recommending import Choice
from planner.registry import Entry
from planner.web import places, session, working
from planner.web.asked import BEST, Asked, layout_word, system
from planner.web.choices import tokens_label
from planner.web.option_words import option_words
from planner.web.searching import takes_layout_itself
from planner.web.solving import entry_of


def take(plan: Plan, page: str | None = None) -> None:
    """Take the question that `plan` answers; for callbacks.

    Args:
        plan: what to take.
        page: name of the page to go to; None stays.
    """
    session.take(asked_of(plan, session.now()), page=page)


def take_choice(choice: Choice, page: str | None = None) -> None:
    """Take a candidate's checkpoint and engine with what was set for it. For callbacks."""
    session.take(asked_of_choice(choice, session.now()), page=page)


def asked_of_choice(choice: Choice, asked: Asked) -> Asked:
    """Return the question with a candidate's model, checkpoint, engine and cache.

    The layout stays open, and options but those without which it does not hold the workload.
    """
    options = asked.options if choice.plan.engine == _engine_of(asked) else ()
    if choice.savings:
        options = option_words(choice.plan.engine, choice.plan.deployment.options)
    return replace(
        asked,
        model=choice.entry.base.rpartition("/")[2],
        weights=choice.entry.name,
        engine=_engine(choice.plan.engine, asked),
        kv=choice.plan.deployment.kv_cache_dtype,
        options=options,
        **_machine(choice.plan.deployment.system, asked),
    )


def asked_of(plan: Plan, asked: Asked, entry: Entry | None = None) -> Asked:
    """Return the question that `plan` answers, everything in it fixed.

    Args:
        plan: the answer.
        asked: the question before; what the plan does not change stays as it is.
        entry: the checkpoint of the registry, where the caller knows it.
    """
    deployment = plan.deployment
    row = entry or entry_of(deployment.checkpoint)
    known = catalog.entry_for(deployment.checkpoint)
    weights = row.name if row is not None else deployment.checkpoint.scheme.name
    model = known.id.rpartition("/")[2] if known is not None else asked.model
    layout = None if _is_best(plan) else deployment.layout
    return replace(
        asked,
        model=model,
        weights=weights if known is not None else asked.weights,
        engine=_engine(plan.engine, asked),
        context=tokens_label(deployment.context),
        users=str(deployment.concurrency),
        kv=deployment.kv_cache_dtype,
        layout=layout_word(layout),
        yarn="yes" if deployment.yarn else "no",
        options=option_words(plan.engine, deployment.options),
        **_machine(deployment.system, asked),
    )


def _engine(name: str, asked: Asked) -> str:
    """The engine's name; that of a program with it inside, where it was asked for."""
    return asked.engine if FRONTS.get(asked.engine) == name else name


def _engine_of(asked: Asked) -> str | None:
    try:
        return get_engine(asked.engine).name if asked.engine != BEST else None
    except InputError:
        return None


def _is_best(plan: Plan) -> bool:
    """The planner takes this layout by itself; where that cannot be told, it is said in full."""
    try:
        return working.run(takes_layout_itself, plan)
    except PlannerError:
        return False


def _machine(wanted: System, asked: Asked) -> dict[str, str]:
    """Machine and count that resolve to `wanted`; nothing where it is the asked one."""
    try:
        if asked.system_of(session.machine_of(asked)) == wanted:
            return {}
    except PlannerError:
        pass
    known = {entry.id for entry in hardware_db.systems()}
    ram = f"{wanted.host_memory_gib.value:g}" if wanted.host_memory_gib is not None else ""
    for on, count in ((wanted.id, 1), (wanted.accelerator.id, wanted.count)):
        if on not in known and on not in places.by_id() and on == wanted.id:
            continue
        try:
            found = system(on, count)
        except InputError:
            continue
        if (found.accelerator, found.count, found.nodes) == (
            wanted.accelerator,
            wanted.count,
            wanted.nodes,
        ):
            given = found.host_memory_gib != wanted.host_memory_gib
            return {"on": on, "count": str(count), "ram": ram if given else ""}
    return {}
