"""From a plan back to the form: one click puts a piece of advice, a layout or a row into it."""

from __future__ import annotations

from typing import Any

import streamlit as st

import hardware_db
from hardware_db import System
from planner.errors import InputError, PlannerError
from planner.layout import Layout
from planner.planning import Plan
from planner.web import choices, working
from planner.web.asked import system
from planner.web.engine_options import option_fields
from planner.web.searching import takes_layout_itself

FIRST_PAGE = "first-page"
"""Where the session keeps the first page, for links to it. (Going there from code would drop the
address's parameters, which Streamlit 1.67 refuses while fields hold them.)"""


def form_values(plan: Plan) -> dict[str, Any]:
    """Values of the form's fields, by key, that ask the question which `plan` answers."""
    asked = plan.deployment
    values: dict[str, Any] = {
        "engine": plan.engine,
        "context": choices.tokens_label(asked.context),
        "concurrency": asked.concurrency,
        "kv_cache_dtype": asked.kv_cache_dtype,
        "yarn": asked.yarn,
        **layout_values(None if _is_best(plan) else asked.layout),
        **_model_values(plan),
        **_hardware_values(asked.system),
    }
    for field in option_fields(plan.engine):
        value = getattr(asked.options, field.name)
        values[f"{plan.engine}-{field.name}"] = field.shown(value)
    return values


def _is_best(plan: Plan) -> bool:
    """The planner takes this layout by itself; where that cannot be told, it is said in full."""
    try:
        return working.run(takes_layout_itself, plan)
    except PlannerError:
        return False


def layout_values(layout: Layout | None) -> dict[str, Any]:
    """Values of the layout's fields; None leaves it to the planner."""
    if layout is None:
        return {"tp": 0, "pp": 0, "dp": 0, "ep": False}
    return {
        "tp": layout.tensor_parallel,
        "pp": layout.pipeline_parallel,
        "dp": layout.data_parallel,
        "ep": layout.expert_parallel,
    }


def _model_values(plan: Plan) -> dict[str, Any]:
    checkpoint = plan.deployment.checkpoint
    name = checkpoint.model.name.rpartition("/")[2]
    if name in choices.models():
        return {"model": name, "precision": checkpoint.scheme.name}
    return {}


def _hardware_values(wanted: System) -> dict[str, Any]:
    """Hardware and count that resolve to `wanted`; nothing where none do (this machine)."""
    known = {entry.id for entry in hardware_db.systems()}
    candidates = [(wanted.accelerator.id, wanted.count)]
    if wanted.id in known:
        candidates.insert(0, (wanted.id, 1))
    head, _, tail = wanted.id.partition("x-")
    if head.isdigit() and tail:
        candidates.append((tail, int(head)))
    for on, count in candidates:
        try:
            found = system(on, count)
        except InputError:
            continue
        if on in choices.hardware() and _alike(found, wanted):
            return {"on": on, "count": count}
    return {}


def _alike(one: System, other: System) -> bool:
    """The same accelerators in the same nodes; what the whole is called does not matter."""
    return (one.accelerator, one.accelerators_per_node, one.nodes) == (
        other.accelerator,
        other.accelerators_per_node,
        other.nodes,
    )


def apply(values: dict[str, Any]) -> None:
    """Put `values` into the form; for callbacks, which run before the form is drawn."""
    for key, value in values.items():
        st.session_state[key] = value
