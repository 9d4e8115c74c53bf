"""Which precision: every way of storing a model, the best first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from planner.errors import InputError, PlannerError, UnsupportedModelError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import gguf_schemes
from planner.model.quantization import SCHEMES, Evidence, Scheme, bits_per_weight, recipe
from planner.model.spec import ModelSpec
from planner.plan import Plan
from planner.search.hardware import one_of_each_vendor
from planner.search.question import Question

_EVIDENCE: tuple[Evidence, ...] = ("official", "published", "tool rule")
"""Evidence of recipes that are proposed, best first: recipes that nobody is known to use are not."""

_CLASSES = (11, 7.5, 6, 4, 3, 2, 0)
"""Bits per weight, scales and unquantized layers counted, from which on a precision is called
16-bit, 8-bit, 6-bit, 4-bit, ...; what a recipe's name promises may be far from what comes out."""

_MOST_BITS = 17
"""Nobody serves this family in 32 bits."""

_VARIANTS = ("-nomtp", "-imatrix")
"""Suffixes of GGUF mixes that differ from the plain one in what is left out or how it was made."""


def checkpoints_of(checkpoint: Checkpoint) -> tuple[Checkpoint, ...]:
    """The model of `checkpoint` in every precision, the best first.

    Best is: the higher class of bits per weight, then a checkpoint that is known, then a recipe
    with the better evidence, then more bits. Recipes that do not fit the model's shapes, or that
    nobody is known to use for this family, are left out.
    """
    return _candidates(checkpoint.model, checkpoint.id)


@lru_cache(maxsize=64)
def _candidates(model: ModelSpec, name: str) -> tuple[Checkpoint, ...]:
    found: list[tuple[tuple[int, int, float], Checkpoint]] = []
    plain = [scheme for key, scheme in gguf_schemes().items() if not key.endswith(_VARIANTS)]
    for scheme in (*SCHEMES.values(), *plain):
        if getattr(recipe(scheme, model), "evidence", _EVIDENCE[1]) not in _EVIDENCE:
            continue
        try:
            candidate = _stored_in(model, name, scheme)
            bits = float(bits_per_weight(candidate.rows("text")))
        except PlannerError:
            continue  # this recipe has no meaning for this model
        if bits > _MOST_BITS:
            continue
        found.append((_place(candidate, bits), candidate))
    found.sort(key=lambda pair: pair[0])
    return tuple(candidate for _, candidate in found)


def _stored_in(model: ModelSpec, name: str, scheme: Scheme) -> Checkpoint:
    """`model` stored in `scheme`: the catalog's checkpoint where it has one."""
    if (known := catalog.find(model.name)) is not None and known[0].model == model:
        return catalog.bundled_checkpoint(known[0].id, precision=scheme.name)
    return Checkpoint(
        id=name,
        model=model,
        scheme=scheme,
        source=f"architecture of {name}",
        hypothetical=True,
        notes=(f"sizes as if {name} were stored as {scheme.title}",),
    )


def _place(candidate: Checkpoint, bits: float) -> tuple[int, int, float]:
    concrete = recipe(candidate.scheme, candidate.model)
    evidence = _EVIDENCE.index(getattr(concrete, "evidence", _EVIDENCE[1]))
    size = next(place for place, least in enumerate(_CLASSES) if bits >= least)
    return size, evidence + 1 if candidate.hypothetical else 0, -bits


def best_precisions(question: Question, *, below: Checkpoint | None = None) -> Iterator[Plan]:
    """Plans of the question in every precision that the engine runs there, the best first.

    Args:
        question: what is asked; its own checkpoint's precision does not matter.
        below: only precisions that take fewer bytes than this checkpoint.
    """
    limit = below.nbytes("text") if below is not None else None
    for candidate in checkpoints_of(question.checkpoint):
        if limit is not None and candidate.nbytes("text") >= limit:
            continue
        try:
            plan = question.plan(checkpoint=_same_source(candidate, question.checkpoint))
        except UnsupportedModelError:
            continue  # a cut that this format's blocks do not allow
        if plan.ranks:
            yield plan


HEADLINES = (11, 7.5, 4)
"""Least bits per weight of the classes that people compare: 16-bit, 8-bit, 4-bit."""


def headline_precisions(question: Question) -> tuple[Checkpoint, ...]:
    """The best precision of each class that the question's engine serves on any hardware.

    A checkpoint that is stored in less than 16 bits stands for itself.

    Raises:
        InputError: the engine serves none, or the question itself makes no sense.
    """
    asked = question.checkpoint
    if float(bits_per_weight(asked.rows("text"))) < HEADLINES[0]:
        return (asked,)
    found: dict[float, Checkpoint] = {}
    for candidate in checkpoints_of(asked):
        bits = float(bits_per_weight(candidate.rows("text")))
        least = next((least for least in _CLASSES if bits >= least), 0.0)
        if least in HEADLINES and least not in found and _served(question, candidate):
            found[least] = _same_source(candidate, asked)
    if not found:
        raise InputError(f"{question.engine.title} serves no precision of {asked.id}")
    return tuple(found.values())


def _served(question: Question, candidate: Checkpoint) -> bool:
    """The engine runs `candidate` on an accelerator of some vendor, memory aside."""
    for system in one_of_each_vendor():
        try:
            if question.plan(checkpoint=candidate, system=system, layout=None).ranks:
                return True
        except UnsupportedModelError:
            continue
    return False


def _same_source(candidate: Checkpoint, asked: Checkpoint) -> Checkpoint:
    """The asked checkpoint itself where the candidate is no other."""
    same = candidate.scheme.name == asked.scheme.name and candidate.id == asked.id
    return asked if same else replace(candidate, revision=None)
