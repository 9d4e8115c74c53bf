"""Which precision: every way of storing a model, the best first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from planner.bisection import last_holding
from planner.engines.choice import DEFAULT_ENGINE
from planner.errors import InputError, PlannerError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import WHOLE_MIXES, GgufScheme, gguf_schemes
from planner.model.quantization import SCHEMES, Evidence, Scheme, bits_per_weight, recipe
from planner.model.spec import ModelSpec
from planner.planning import Plan
from planner.question import Question
from planner.registry import Entry, Word, checkpoint_of, loss_of, stored_as
from planner.registry.bundled import bundled_checkpoint
from planner.search.hardware import one_of_each_vendor

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
    return _candidates(checkpoint.model, checkpoint.id, _GROUPS)


_Place = tuple[int, int, bool, float]
_Group = Literal["safetensors", "gguf", "quantized gguf"]
_GROUPS: tuple[_Group, ...] = ("safetensors", "gguf", "quantized gguf")
"""What checkpoints are made of together; GGUF files that are not quantized need no kernels."""

_STAND_IN = "q8_0"


def _candidates(model: ModelSpec, name: str, groups: Sequence[_Group]) -> tuple[Checkpoint, ...]:
    made = (pair for group in groups for pair in _made(model, name, group))
    return tuple(candidate for _, candidate in sorted(made, key=lambda pair: pair[0]))


@lru_cache(maxsize=192)
def _made(model: ModelSpec, name: str, group: _Group) -> tuple[tuple[_Place, Checkpoint], ...]:
    """Return the candidates of a group, each with its place, the best first."""
    found: list[tuple[_Place, Checkpoint]] = []
    for scheme in _schemes(group):
        if getattr(recipe(scheme, model), "evidence", _EVIDENCE[1]) not in _EVIDENCE:
            continue
        try:
            candidate = _stored_in(model, name, scheme)
            bits = float(bits_per_weight(candidate.rows("text")))
        except PlannerError:
            continue  # this recipe has no meaning for this model
        if bits <= _MOST_BITS:
            found.append((_place(candidate, bits), candidate))
    return tuple(sorted(found, key=lambda pair: pair[0]))


def _schemes(group: _Group) -> Iterator[Scheme]:
    if group == "safetensors":
        yield from SCHEMES.values()
        return
    for key, scheme in gguf_schemes().items():
        quantized = scheme.mix not in WHOLE_MIXES
        if not key.endswith(_VARIANTS) and quantized is (group == "quantized gguf"):
            yield scheme


def _readable(question: Question) -> tuple[Checkpoint, ...]:
    """Return `checkpoints_of` without quantized GGUF files where the engine reads none.

    It reads all their types or none of them: one stands for all.
    """
    asked, groups = question.checkpoint, _GROUPS
    with suppress(PlannerError):
        one = _stored_in(asked.model, asked.id, gguf_schemes()[_STAND_IN])
        groups = _GROUPS if question.can_run(checkpoint=one) else _GROUPS[:-1]
    return _candidates(asked.model, asked.id, groups)


def _stored_in(model: ModelSpec, name: str, scheme: Scheme) -> Checkpoint:
    """`model` stored in `scheme`: the catalog's checkpoint where it has one."""
    known = _catalogued(model)
    if known is not None:
        return bundled_checkpoint(known, precision=scheme.name)
    return Checkpoint(
        id=name,
        model=model,
        scheme=scheme,
        source=f"architecture of {name}",
        hypothetical=True,
        notes=(f"sizes as if {name} were stored as {scheme.title}",),
    )


@lru_cache(maxsize=64)
def _catalogued(model: ModelSpec) -> str | None:
    """Return the id of the catalog's checkpoint of just that model."""
    known = catalog.find(model.name)
    # a file without the MTP module is of the same model: others are stored with it
    if known is None or replace(model, mtp=known[0].model.mtp) != known[0].model:
        return None
    return known[0].id


def as_published(checkpoint: Checkpoint) -> tuple[Checkpoint, str]:
    """Return the published file that stands for a GGUF type, and its name.

    Anything else stands for itself, under the name of its precision.
    """
    typed = isinstance(checkpoint.scheme, GgufScheme) and not checkpoint.files
    row = _row_of(checkpoint) if typed else None
    if row is None:
        return checkpoint, f"{checkpoint.scheme.name} weights"
    return checkpoint_of(row), row.name


def loss_in_words(checkpoint: Checkpoint) -> Word:
    """Return the class of quality of a checkpoint; "not measured" where no row of the registry is it."""
    row = _row_of(checkpoint)
    return Word.UNKNOWN if row is None else loss_of(row).word


def _row_of(checkpoint: Checkpoint) -> Entry | None:
    known = catalog.entry_for(checkpoint)
    return None if known is None else stored_as(known.id, checkpoint.scheme.name)


def first_of_classes(candidates: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """The first of each class of bits per weight."""
    found: dict[int, Checkpoint] = {}
    for candidate in candidates:
        found.setdefault(_class(float(bits_per_weight(candidate.rows("text")))), candidate)
    return tuple(found.values())


def _class(bits: float) -> int:
    return next(place for place, least in enumerate(_CLASSES) if bits >= least)


def _place(candidate: Checkpoint, bits: float) -> _Place:
    concrete = recipe(candidate.scheme, candidate.model)
    evidence = _EVIDENCE.index(getattr(concrete, "evidence", _EVIDENCE[1]))
    known = evidence + 1 if candidate.hypothetical else 0
    # of equals a GGUF comes last: one engine alone reads it
    return _class(bits), known, isinstance(concrete, GgufScheme), -bits


def runnable(question: Question, *, below: Checkpoint | None = None) -> tuple[Checkpoint, ...]:
    """Every precision that the engine runs there, memory aside, the best first.

    Args:
        question: what is asked; its own checkpoint's precision does not matter.
        below: only precisions that take fewer bytes than this checkpoint.
    """
    limit = below.nbytes("text") if below is not None else None
    return tuple(
        _same_source(candidate, question.checkpoint)
        for candidate in _readable(question)
        if (limit is None or candidate.nbytes("text") < limit)
        and question.can_run(checkpoint=candidate)
    )


def best_that_fits(
    question: Question, candidates: Sequence[Checkpoint]
) -> tuple[Plan | None, Plan | None]:
    """The plan in the first of `candidates` that fits, and that of the one before it.

    What takes more bytes than something that does not fit is taken not to fit either, so that few
    are planned. None where there is none.
    """

    def plan_of(place: int) -> Plan:
        return question.plan(checkpoint=candidates[place])

    @lru_cache(maxsize=1024)
    def fits(place: int) -> bool:
        return question.fits(checkpoint=candidates[place])

    sizes = [candidate.nbytes("text") for candidate in candidates]
    by_size = sorted(range(len(candidates)), key=lambda place: sizes[place])
    small = last_holding(lambda place: fits(by_size[place]), 0, len(by_size) - 1)
    if small is None:
        return None, plan_of(0) if candidates else None
    most = sizes[by_size[small]]
    for place in range(len(candidates)):
        if sizes[place] <= most and fits(place):
            return plan_of(place), plan_of(place - 1) if place else None
    return None, None


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
    everywhere = [question.with_(system=system).settled() for system in one_of_each_vendor()]
    most = [asker for asker in everywhere if asker.settled_engine.name == DEFAULT_ENGINE]
    askers = most or everywhere  # formats of one engine, so that the columns can be compared
    found = _headlines(askers, asked, _candidates(asked.model, asked.id, _GROUPS[:1]))
    if len(found) < len(HEADLINES) or any(one.hypothetical for one in found):
        found = _headlines(askers, asked, checkpoints_of(asked))  # of equals a GGUF comes last
    if not found:
        who = question.engine.title if question.engine is not None else "no engine"
        raise InputError(f"{who} serves no precision of {asked.id}")
    return found


def _headlines(
    askers: Sequence[Question], asked: Checkpoint, candidates: Iterable[Checkpoint]
) -> tuple[Checkpoint, ...]:
    """Return the first of the candidates of each headline that one of the askers runs."""
    found: dict[float, Checkpoint] = {}
    for candidate in candidates:
        bits = float(bits_per_weight(candidate.rows("text")))
        least = _CLASSES[_class(bits)]
        if (
            least in HEADLINES
            and least not in found
            and any(asker.can_run(checkpoint=candidate) for asker in askers)
        ):
            found[least] = _same_source(candidate, asked)
    return tuple(found.values())


def _same_source(candidate: Checkpoint, asked: Checkpoint) -> Checkpoint:
    """The asked checkpoint itself where the candidate is no other."""
    if candidate.scheme.name == asked.scheme.name and candidate.id == asked.id:
        return asked
    return candidate if candidate.revision is None else replace(candidate, revision=None)
