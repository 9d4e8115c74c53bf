"""What is wrong with a question: which part, in one sentence, and what would work.

Worker processes import this (`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hardware_db import System
from hardware_db.records import frozen
from planner.engines import ENGINES
from planner.engines.yarn import LONGEST, short_tokens
from planner.errors import InputError, PlannerError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import get_scheme, near_schemes
from planner.registry.bundled import bundled_checkpoint
from planner.units import format_tokens
from planner.wanting import check_stored
from planner.web.asked import CUSTOM, Asked, says_number, system

T = TypeVar("T")


@frozen
class Problem:
    """What is wrong with one part of the question.

    Attributes:
        part: field of `Asked`; empty where it is the question as a whole.
        text: one sentence: what is wrong, and what would work.
        instead: values of the field that would work, the nearest first.
    """

    part: str
    text: str
    instead: tuple[str, ...] = ()


@dataclass(slots=True)
class Reading:
    """Reads the parts of a question and keeps what is wrong with them."""

    problems: list[Problem] = field(default_factory=list)

    def of(self, part: str, read: Callable[[], T]) -> T | None:
        """Return what `read` reads; None where it cannot, which is noted as a problem of `part`."""
        try:
            return read()
        except PlannerError as error:
            near = tuple(getattr(error.__cause__ or error, "candidates", ()))
            self.problems.append(Problem(part=part, text=str(error), instead=near))
            return None

    def blame(self, asked: Asked, machine: System | None) -> None:
        """Say which part is wrong where it is not the machine: its number, its memory, its RAM."""
        part, instead = "on", self.problems[-1].instead
        try:
            several = asked.number > 1 and says_number(asked.on) and _is_known(asked)
            part, instead = ("count", ("1",)) if several else (part, instead)
        except InputError:
            part = "count"
        if part == "on":
            with suppress(PlannerError):
                replace(asked, ram="").system_of(machine)
                part = "ram"
        if part == "on" and asked.on == CUSTOM:
            part = "memory"
        self.problems[-1] = replace(self.problems[-1], part=part, instead=instead)


def too_long(base: str | Checkpoint | None, context: int, *, yarn: bool) -> list[Problem]:
    """The context is longer than a model was trained for, and nobody allowed that; or than YaRN goes."""
    known = [base] if isinstance(base, Checkpoint) else _models(base)
    longest = max(known, key=lambda one: one.model.max_position_embeddings).model
    native = longest.max_position_embeddings
    if context > max(native, LONGEST):
        text = (
            f"{format_tokens(context)} tokens are beyond {format_tokens(LONGEST)}, the longest that"
            " YaRN is described for"
        )
        return [Problem(part="context", text=text, instead=(short_tokens(LONGEST),))]
    if yarn or context <= native:
        return []
    name = longest.name.rpartition("/")[2] if base is not None else "every model of the family"
    made = "was" if base is not None else "is"
    text = (
        f"{format_tokens(context)} tokens are beyond the {format_tokens(native)} that {name} {made}"
        " made for; YaRN extends it"
    )
    return [Problem(part="yarn", text=text, instead=("yes",))]


def _models(base: str | None) -> list[Checkpoint]:
    """The model that is named, or all."""
    names = [base] if base is not None else [entry.id for entry in catalog.catalog()]
    return [bundled_checkpoint(name) for name in names]


def unknown_weights(base: str | None, stored: str, engine: str | None) -> list[Problem]:
    """A way to store weights that is none, that no checkpoint has, or that the engine does not load.

    One that is known, of a model and an engine that are named, is planned as on the command line.
    """
    error = _refusal(base, stored, engine)
    if error is None or (base is not None and engine is not None and _is_scheme(stored)):
        return []
    if engine is None or _refusal(base, stored, None) is not None:
        near = tuple(near_schemes(stored))
        return [Problem(part="weights", text=str(error), instead=near)]
    loads = [name for name in ENGINES if _refusal(base, stored, name) is None]
    titles = " and ".join(ENGINES[name].title for name in loads)
    text = (
        f"{error}; {titles} load{'s' if len(loads) == 1 else ''} {stored}" if loads else str(error)
    )
    return [Problem(part="engine", text=text, instead=tuple(loads))]


def _refusal(base: str | None, stored: str, engine: str | None) -> InputError | None:
    try:
        check_stored(base, stored, engine)
    except InputError as error:
        return error
    return None


def _is_known(asked: Asked) -> bool:
    try:
        return bool(system(asked.on, 1, asked.memory))
    except InputError:
        return False


def _is_scheme(stored: str) -> bool:
    try:
        return bool(get_scheme(stored))
    except InputError:
        return False
