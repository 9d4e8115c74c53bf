"""What an engine's own flags say, put into a question beside what was said otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from planner.engines import get_engine, title_of
from planner.errors import InputError
from planner.layout import Layout
from planner.loading import load_checkpoint
from planner.model.checkpoint import Checkpoint
from planner.question import Question
from planner.units import shown

if TYPE_CHECKING:
    from planner.engines.command import Command

T = TypeVar("T")


def with_words(
    question: Question,
    words: Sequence[str],
    model: str | Checkpoint,
    precision: str | None,
    context: int | str | None,
    kv_cache_dtype: str | None,
) -> Question:
    """Return the question with what the engine's own flags say.

    Raises:
        InputError: they say something twice, or cannot be read.
    """
    question, told = _read(question, words)
    if told.model is not None:
        name = model.id if isinstance(model, Checkpoint) else model
        raise InputError(f"the model is named twice: {shown(name)} and {told.model}")
    stored = _once("precision", precision, told.precision or told.quantization)
    checkpoint = question.checkpoint
    if stored != precision or told.revision is not None:
        checkpoint = load_checkpoint(model, precision=stored, revision=told.revision)
    asked = _once("context", None if context is None else question.context, told.context)
    notes = list(question.notes)
    if told.own_length:
        _once("context", asked, told.own_length)
        asked = checkpoint.model.max_position_embeddings // told.slots
        shorter = ", which it shortens itself where it does not fit" if told.shortens else ""
        notes.append(f"{told.own_length}: the model's own length, {asked:,} tokens{shorter}")
    return question.with_(
        checkpoint=checkpoint,
        context=question.context if asked is None else asked,
        concurrency=told.slots if question.concurrency == 1 else question.concurrency,
        kv_cache_dtype=_once("KV cache dtype", kv_cache_dtype, told.kv_cache_dtype) or "auto",
        layout=_joined(question.layout, told.layout),
        options=_merged(question, told.options),
        yarn=question.yarn or told.yarn,
        kept=told.kept,
        notes=(
            *notes,
            *told.unplanned,
            *told.machines_beside(question.system),
            *told.slots_beside(question.concurrency),
        ),
    )


def _read(question: Question, words: Sequence[str]) -> tuple[Question, Command]:
    """Return the question with an engine that has these flags, and what they say.

    Raises:
        InputError: a flag belongs to another engine than the one that is named.
    """
    from planner.engines import commands

    settled = question.settled()
    mine = settled.settled_engine
    for flag in commands.strange_flags(mine.name, words):
        others = commands.engines_with(flag)
        if not others:
            continue
        for name in others if question.engine is None else ():
            if not commands.strange_flags(name, words):
                engine = get_engine(name)
                note = f"engine not named, {engine.title} taken: {flag} is its flag"
                asked = question.with_(engine=engine, notes=(*question.notes, note))
                return asked, commands.read_words(name, words)
        titles = " and ".join(get_engine(name).title for name in others)
        helps = "name the --engine"
        if question.engine is not None:
            helps = f"leave it out, or ask for --engine {others[0]}"
        own = title_of(question.front or mine.name)
        raise InputError(f"{flag} is a flag of {titles}, not of {own}; {helps}")
    told = commands.read_words(mine.name, words)
    for flag in commands.strange_flags(mine.name, words):
        if question.engine is None and not commands.known_to_any(flag):
            raise InputError(_unknown(flag))
    return settled, told


def _unknown(flag: str) -> str:
    """Return what to tell about a flag that no engine has: who has it with another dash, or what to do."""
    from planner.engines import commands

    bare = flag.lstrip("-")
    for near in (f"-{bare}", f"--{bare}"):
        if near != flag and (others := commands.engines_with(near)):
            titles = " and ".join(get_engine(name).title for name in others)
            return f"unknown flag {flag}; did you mean {near} of {titles}?"
    return f"unknown flag {flag}: no engine that is planned has it; with --engine it is passed on as it is"


def _joined(said: Layout | None, told: Layout | None) -> Layout | None:
    """Return the degrees that were said, whichever way.

    Raises:
        InputError: one degree was said in two ways that differ.
    """
    if said is None or told is None:
        return told if said is None else said
    plain, degrees = Layout(), {}
    for field in fields(Layout):
        unsaid = getattr(plain, field.name)
        both = (getattr(each, field.name) for each in (said, told))
        ours, theirs = (None if value == unsaid else value for value in both)
        degrees[field.name] = _once(field.name.replace("_", " "), ours, theirs)
    return Layout(**{name: value for name, value in degrees.items() if value is not None})


def _once(what: str, said: T | None, told: T | None) -> T | None:
    """Return what was said, whichever way.

    Raises:
        InputError: it was said in two ways that differ.
    """
    if said is not None and told is not None and said != told:
        twice = " and ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in (said, told))
        raise InputError(f"{what} is given twice: {twice}; leave one of them out")
    return said if said is not None else told


def _merged(question: Question, told: Mapping[str, Any]) -> Any:
    """Return the question's options with those that a command line tells."""
    if question.options is None or isinstance(question.options, Mapping):
        return {**(question.options or {}), **told}
    return replace(question.settled_options, **told)
