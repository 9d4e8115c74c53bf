"""Make the question: names, words and numbers in, one `Question` out, for every door.

What a string can mean (ids, repositories, folders, hardware, the engine's own flags) is resolved
here or in `planner.systems`, so that the rooms below work on settled values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from hardware_db import Accelerator, System
from planner.engines import ENGINES, front_name, front_notes, get_engine
from planner.engines.choice import FOR_QUANTIZED, PROPOSED, engines_for
from planner.engines.yarn import tokens_of
from planner.errors import InputError, PlannerError
from planner.keywords import checked
from planner.layout import Layout
from planner.learning import lessons
from planner.loading import load_checkpoint
from planner.model.checkpoint import Checkpoint
from planner.planning import Outcome
from planner.question import DEFAULT_CONTEXT, Question, question_of
from planner.ranking import OBJECTIVES, Objective
from planner.systems import resolve_hardware, with_ram
from planner.units import check_count, check_switch, check_text, shown

if TYPE_CHECKING:
    from planner.model.headers import Progress
    from planner.recommending import Choice, Wanted

T = TypeVar("T")

ANYWHERE = "custom:1GiB"
"""Stands for the hardware in a question that looks for it; nothing is planned on it."""


class Asked(TypedDict, total=False):
    """What every door takes beside model and hardware; `as_said` says what each means."""

    engine: str | None
    precision: str | None
    revision: str | None
    kv_cache_dtype: str | None
    context: int | str | None
    concurrency: int
    layout: Layout | None
    options: Mapping[str, Any] | Any | None
    words: Sequence[str]
    yarn: bool
    free: bool
    ram: str | float | None
    ram_bandwidth: float | None
    objective: Objective
    progress: Progress | None


@checked(Asked)
def ask(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> Question:
    """Return the question that these arguments ask; what is not said is chosen as `recommend` does.

    Where a bundled model is named, and not both engine and precision, it is asked of the checkpoint
    that `planner.recommend` picks for this machine and workload, or, where nothing that is known
    holds it, of the one that comes nearest; its notes say what was taken and why. Where one checkpoint
    is named (``Qwen3.5-27B-FP8``, a GGUF file, a folder, a `Checkpoint`), it is asked as it is said.

    Args:
        model: see `load_checkpoint`.
        on: see `planner.systems.resolve_hardware`.
        asked: the rest of the question; see `as_said`.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    return settle(model, on=on, **asked)[0]


def settle(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> tuple[Question, Wanted | None]:
    """Return the question of `ask`, and what was wanted where nothing that is known holds it.

    Arguments and errors are those of `ask`.
    """
    wanted = left_open(model, on=on, **asked)
    if wanted is not None:
        from planner.recommending import best_of

        pick = best_of(wanted)
        if pick is not None:
            objective = asked.get("objective", "latency")
            return of_pick(pick, wanted, objective=objective), None
    return as_held(model, on=on, **asked), wanted


def as_held(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> Question:
    """Return the question as it is said, on the weights that come nearest to holding it.

    Where weights are left open, it is asked of the checkpoint that suits what was said and lacks the
    least. Where an engine for quantized experts is named and nothing more is said of it,
    and the machine does not hold the weights as the model's maker stores them, the largest checkpoint
    that is held is taken, of who stores the family regularly first. Arguments and errors are those of
    `ask`.
    """
    said = as_said(model, on=on, **asked)
    if isinstance(model, str) and (asked.get("words") or asked.get("options")):
        from planner.converting import as_converted, lacks_blocks

        if lacks_blocks(said, model):
            return as_converted(said, stored=said.checkpoint != load_checkpoint(model))
    if isinstance(model, str) and (near := _nearest(said, model, on, asked)) is not None:
        return near
    engine, precision = asked.get("engine"), asked.get("precision")
    told = precision is not None or bool(asked.get("options") or asked.get("words"))
    if engine is None or told or not isinstance(model, str):
        return said
    if said.settled_engine.name not in FOR_QUANTIZED or said.plan().fits:
        return said
    from planner.recommending.makers import standing
    from planner.registry import checkpoint_of, entries_of
    from planner.wanting import base_of

    base = base_of(model)
    rows = [row for row in entries_of(base or "") if row.recommendable and not row.gguf]
    for row in sorted(rows, key=lambda row: (standing(row), -(row.nbytes or 0))):
        try:
            found = said.with_(checkpoint=checkpoint_of(row))
            held = found.plan().fits
        except PlannerError:
            continue
        if held:
            note = (
                f"checkpoint not named, {row.name} taken: the largest that fits, from a known maker"
            )
            return found.with_(notes=(*found.notes, note))
    return said


def _nearest(
    said: Question, model: str, on: str | System | Accelerator, asked: Asked
) -> Question | None:
    """Return the question of the checkpoint that lacks the least; None where weights are not open.

    Where none that is known suits what was said, the maker's own weights stay, with a note.
    """
    wanted = left_open(model, on=on, **asked)
    if wanted is None or wanted.fixed.precision is not None:
        return None
    from planner.recommending import nearest_to

    near = nearest_to(wanted)
    name = said.checkpoint.model.name.rpartition("/")[2]
    if near is None:
        note = (
            f"no known checkpoint of {name} suits what was said: planned on its maker's own weights;"
            " --precision plans one that you convert yourself"
        )
        return said.with_(notes=(*said.notes, note))
    why = "no known one fits, and this one comes nearest"
    held = near.users
    if near.plan.outcome is Outcome.HOLDS_FEWER and held:
        why = f"the best of those that hold {held:,} at once; none holds {wanted.concurrency:,}"
    if near.plan.fits:  # with RAM that nobody said is there
        why = f"it fits if the machine has {near.needs_ram} GiB of RAM, which was not said (--ram)"
    note = f"checkpoint not named, {near.entry.name} taken: {why}"
    return question_of(near.plan).with_(
        layout=wanted.layout,
        objective=said.objective,
        notes=(*wanted.notes, note),
        lessons=wanted.lessons,
        front=wanted.front,
    )


def left_open(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> Wanted | None:
    """Return what is to be chosen; None where the question says which weights are served.

    Arguments and errors are those of `ask`.
    """
    engine, precision = asked.get("engine"), asked.get("precision")
    if precision is not None:
        check_text(precision, what="precision")
    if not isinstance(model, str) or asked.get("revision") or None not in (engine, precision):
        return None
    from planner.recommending import Fixed, Wanted
    from planner.wanting import base_of

    base = base_of(model)
    if base is None:
        return None
    asked["precision"] = None
    said = as_said(model, on=on, **asked)
    if said.checkpoint != load_checkpoint(model):
        return None  # the engine's own flags say it
    policy = None if _is_anybodys(asked) else said.settled_engine
    if policy is not None and policy.name not in PROPOSED:
        return None  # its rules were only read: it is planned as it is asked for
    from planner.engines.caches import check_cache

    check_cache(said.kv_cache_dtype, policy)
    return Wanted(
        system=said.system,
        base=base,
        context=said.context,
        concurrency=said.concurrency,
        kv_cache_dtype=said.kv_cache_dtype,
        layout=said.layout,
        yarn=said.yarn,
        fixed=Fixed(engine=None if policy is None else policy.name, precision=precision),
        options=None if policy is None else said.settled_options,
        kept=said.kept,
        notes=said.notes,
        lessons=said.lessons,
        front=said.front,
    )


def _is_anybodys(asked: Asked) -> bool:
    """Say whether nothing that was said makes one engine of several the one that is meant."""
    words = asked.get("words", ())
    flags = words.split() if isinstance(words, str) else words
    said = asked.get("engine") or asked.get("options")
    if said or not flags:
        return not said
    from planner.engines import commands

    return not any(commands.engines_with(flag.partition("=")[0]) for flag in flags)


def of_pick(pick: Choice, wanted: Wanted, *, objective: Objective = "latency") -> Question:
    """Return the question that a pick answers, with what was taken and why as its notes.

    Args:
        pick: what was chosen.
        wanted: what it was chosen for.
        objective: what makes a layout the best.
    """
    fixed, plan = wanted.fixed, pick.plan
    stored = f" in {fixed.precision}" if fixed.precision is not None else ""
    notes = [f"checkpoint{stored} not named, {pick.entry.name} taken: {pick.loss.text}"]
    if fixed.engine is None:
        first = ENGINES[engines_for(wanted.system)[0][0]]
        why = pick.why.partition(":")[0].partition(";")[0]
        if plan.engine != first.name:
            why = (
                f"here the better choice than what {first.title} loads, in quality, speed and room"
            )
        notes.append(f"engine not named, {plan.engine_title} taken: {why}")
    cache = plan.deployment.kv_cache_dtype
    if cache != wanted.kv_cache_dtype:
        notes.append(f"KV cache not named, {cache} taken, so that the workload is held")
    if pick.savings:
        flags = " ".join(economy.flags for economy in pick.savings)
        notes.append(f"this does not fit safely with {plan.engine_title}'s defaults: {flags} set")
    return question_of(plan).with_(
        layout=wanted.layout,
        objective=known_objective(objective),
        notes=(*wanted.notes, *notes),
        lessons=wanted.lessons,
        front=wanted.front,
    )


def as_said(
    model: str | Checkpoint,
    *,
    on: str | System | Accelerator,
    engine: str | None = None,
    precision: str | None = None,
    revision: str | None = None,
    kv_cache_dtype: str | None = None,
    context: int | str | None = None,
    concurrency: int = 1,
    layout: Layout | None = None,
    options: Mapping[str, Any] | Any | None = None,
    words: Sequence[str] = (),
    yarn: bool = False,
    free: bool = False,
    ram: str | float | None = None,
    ram_bandwidth: float | None = None,
    objective: Objective = "latency",
    progress: Progress | None = None,
) -> Question:
    """Return the question of the very weights that are named; None and empty are what nobody said.

    Args:
        model: see `load_checkpoint`.
        on: see `planner.systems.resolve_hardware`; `ANYWHERE` where hardware is looked for.
        engine: who serves; None takes what suits the hardware and the weights, and says why.
        precision: how weights are stored; None takes what the checkpoint stores.
        revision: branch, tag or commit on the Hub.
        kv_cache_dtype: number format of the KV cache; None leaves it to the engine.
        context: tokens per sequence, prompt and output together ("128k" is 131,072).
        concurrency: sequences resident at full context.
        layout: degrees of parallelism; None takes the best layout over the whole system.
        options: the engine's options, as its options object or a mapping of its fields.
        words: flags as the engine itself spells them (``-ngl 30``, ``--max-model-len 8192``).
        yarn: allow a context beyond the native length.
        free: with ``on="local"``: plan with the memory that is free now.
        ram: memory beside the accelerators, as one says it: "64GB", "128GB DDR5-6000".
        ram_bandwidth: nominal GB/s of that memory (two channels of DDR5-5600 are 90).
        objective: what makes a layout the best: "latency", "throughput", "cost" or "memory".
        progress: told (done, total, file) after each file whose header was read.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    known_objective(objective)
    concurrency = check_count(concurrency, what="concurrency")
    system = with_ram(resolve_hardware(on, free=free), ram, ram_bandwidth)
    checkpoint = load_checkpoint(model, precision=precision, revision=revision, progress=progress)
    dtype = "auto" if kv_cache_dtype is None else kv_cache_dtype
    policy = None if engine is None else get_engine(engine)
    front = front_name(engine)
    question = Question(
        checkpoint=checkpoint,
        system=system,
        engine=policy,
        context=DEFAULT_CONTEXT if context is None else tokens_of(context),
        concurrency=concurrency,
        kv_cache_dtype=check_text(dtype, what="KV cache dtype"),
        layout=layout,
        options=options,
        yarn=check_switch(yarn, what="yarn"),
        objective=objective,
        notes=front_notes(front),
        lessons=lessons(),
        front=front,
    )
    if words:
        given: object = words
        if not isinstance(given, str | list | tuple):
            raise InputError(f"words must be the flags of an engine, got {shown(given)}")
        split = words.split() if isinstance(words, str) else words
        from planner.engine_words import with_words

        question = with_words(question, split, model, precision, context, kv_cache_dtype)
    if question.engine is not None:
        return question.with_(options=question.settled_options)
    return question


def known_objective(objective: str) -> Objective:
    """Return an objective.

    Raises:
        InputError: there is no such objective.
    """
    for known in OBJECTIVES:
        if known == objective:
            return known
    raise InputError(f"unknown objective {shown(objective)}; known: {', '.join(OBJECTIVES)}")
