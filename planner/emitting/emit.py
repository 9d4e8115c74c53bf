"""One door for all forms of "what to type"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from planner.emitting import compose, kubernetes, ollama, shell
from planner.errors import InputError
from planner.held import held_of
from planner.planning import Plan
from planner.units import check_text, shown

KINDS: Mapping[str, Callable[[Plan], str]] = MappingProxyType(
    {
        "shell": shell.script,
        "compose": compose.document,
        "kubernetes": kubernetes.manifests,
        "ray": shell.ray_script,
        "ollama": ollama.modelfile,
    }
)
"""Forms by the name that users type."""


def emit(plan: Plan, kind: str) -> str:
    """`plan` in the form called `kind`, as text that ends with a line break.

    Of a plan that holds fewer requests than were asked for it is the server of those.

    Raises:
        InputError: an unknown form, one that does not apply to the plan (the line says why), or a
            plan that cannot run.
    """
    if not isinstance(plan, Plan):
        raise InputError(f"emit takes a plan, as planner.plan returns it; got {shown(plan)}")
    form = KINDS.get(check_text(kind, what="form").lower())
    if form is None:
        raise InputError(f"unknown form {kind!r}; known: {', '.join(KINDS)}")
    if plan.launch is None:
        raise InputError(f"there is nothing to type: {plan.verdict}")
    held = held_of(plan)
    if held is not plan:
        held = replace(held, told=(plan.verdict, *held.told))
    return form(held)


def kinds(plan: Plan) -> tuple[str, ...]:
    """The forms that apply to `plan`."""
    applying = []
    for name in KINDS:
        try:
            emit(plan, name)
        except InputError:
            continue
        applying.append(name)
    return tuple(applying)
