"""Make the question: names, words and numbers in, one `Question` out, for every door.

What a string can mean (ids, repositories, folders, hardware, the engine's own flags) is resolved
here or in `planner.systems`, so that the rooms below work on settled values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from hardware_db import Accelerator, System
from planner import registry, sources
from planner.engines import commands, front_note, get_engine
from planner.engines.command import Command
from planner.engines.options import build
from planner.engines.yarn import LONGEST
from planner.errors import InputError
from planner.layout import Layout
from planner.learning import lessons
from planner.model.checkpoint import Checkpoint
from planner.model.headers import Progress
from planner.model.path_names import named_by_path
from planner.question import Question
from planner.ranking import OBJECTIVES, Objective
from planner.systems import resolve_hardware, with_ram
from planner.units import check_switch, check_text, counted, parse_tokens, shown

T = TypeVar("T")

DEFAULT_CONTEXT = 32_768
"""Tokens per sequence where nobody says."""

ANYWHERE = "custom:1GiB"
"""Stands for the hardware in a question that looks for it; nothing is planned on it."""


class Asked(TypedDict, total=False):
    """What every door takes beside model and hardware; `ask` says what each means."""

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
    ram: str | None
    ram_bandwidth: float | None
    objective: Objective
    progress: Progress | None


def ask(
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
    ram: str | None = None,
    ram_bandwidth: float | None = None,
    objective: Objective = "latency",
    progress: Progress | None = None,
) -> Question:
    """Return the question that these arguments ask; None and empty are what nobody said.

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
    if objective not in OBJECTIVES:
        raise InputError(f"unknown objective {shown(objective)}; known: {', '.join(OBJECTIVES)}")
    system = with_ram(resolve_hardware(on, free=free), ram, ram_bandwidth)
    checkpoint = load_checkpoint(model, precision=precision, revision=revision, progress=progress)
    dtype = "auto" if kv_cache_dtype is None else kv_cache_dtype
    question = Question(
        checkpoint=checkpoint,
        system=system,
        engine=None if engine is None else get_engine(engine),
        context=DEFAULT_CONTEXT if context is None else tokens_of(context),
        concurrency=concurrency,
        kv_cache_dtype=check_text(dtype, what="KV cache dtype"),
        layout=layout,
        options=options,
        yarn=check_switch(yarn, what="yarn"),
        objective=objective,
        notes=(note,) if engine is not None and (note := front_note(engine)) else (),
        lessons=lessons(),
    )
    if words:
        split = words.split() if isinstance(words, str) else words
        question = _with_words(question, split, model, precision, context, kv_cache_dtype)
    if question.engine is not None:
        return question.with_(options=question.settled_options)
    return question


def tokens_of(context: int | str, *, what: str = "context") -> int:
    """Return the tokens of a context as people write it.

    The family calls its longest context 1M, which is 1,010,000 tokens: a length that exceeds it
    only because k stands for 1,024 is that one.

    Raises:
        InputError: unreadable, or out of range.
    """
    tokens = parse_tokens(context, what=what)
    if isinstance(context, str) and tokens > LONGEST:
        written = context.strip().lower()
        unit = {"k": 1000, "m": 1000**2}.get(written[-1:])
        if unit is not None and float(written[:-1].replace(",", "")) * unit <= LONGEST:
            return LONGEST
    return tokens


def _with_words(
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
    question = _of_whom(question, words)
    told = commands.read_words(question.settled_engine.name, words)
    if told.model is not None:
        raise InputError(f"the model is named twice: {shown(_name(model))} and {told.model}")
    stored = _once("precision", precision, told.precision or told.quantization)
    checkpoint = question.checkpoint
    if stored != precision or told.revision is not None:
        checkpoint = load_checkpoint(model, precision=stored, revision=told.revision)
    asked = _once("context", None if context is None else question.context, told.context)
    return question.with_(
        checkpoint=checkpoint,
        context=question.context if asked is None else asked,
        concurrency=max(question.concurrency, told.slots),
        kv_cache_dtype=_once("KV cache dtype", kv_cache_dtype, told.kv_cache_dtype) or "auto",
        layout=_joined(question.layout, told.layout),
        options=_merged(question, told.options),
        yarn=question.yarn or told.yarn,
        kept=told.kept,
        notes=(*question.notes, *told.unplanned, *_nodes(told, question.system)),
    )


def _nodes(told: Command, system: System) -> tuple[str, ...]:
    """Return what to say where a command is for more or fewer machines than are planned."""
    if told.nodes in (None, system.nodes):
        return ()
    planned = counted(system.nodes, "machine")
    return (
        f"--nnodes {told.nodes}, but {planned} of {system.short_name} is named and planned:"
        " name all with --on, such as '2x dgx-h100'",
    )


def _of_whom(question: Question, words: Sequence[str]) -> Question:
    """Return the question with an engine that has these flags.

    Raises:
        InputError: a flag belongs to another engine than the one that is named.
    """
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
                return question.with_(engine=engine, notes=(*question.notes, note))
        titles = " and ".join(get_engine(name).title for name in others)
        raise InputError(f"{flag} is a flag of {titles}, not of {mine.title}; name the --engine")
    return settled


def _joined(said: Layout | None, told: Layout | None) -> Layout | None:
    """Return the degrees that were said, whichever way.

    Raises:
        InputError: one degree was said in two ways that differ.
    """
    if said is None or told is None:
        return told if said is None else said
    plain, degrees = Layout(), {}
    for field in fields(Layout):
        unsaid, both = (
            getattr(plain, field.name),
            (getattr(each, field.name) for each in (said, told)),
        )
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


class AskedBeside(TypedDict, total=False):
    """What may be said beside a launch command; `ask_command` says what each means."""

    model: str | Checkpoint | None
    precision: str | None
    context: int | str | None
    concurrency: int
    options: Mapping[str, Any] | None
    free: bool
    progress: Progress | None


def ask_command(
    engine: str,
    told: Command,
    *,
    on: str | System,
    model: str | Checkpoint | None = None,
    precision: str | None = None,
    context: int | str | None = None,
    concurrency: int = 1,
    options: Mapping[str, Any] | None = None,
    free: bool = False,
    progress: Progress | None = None,
) -> Question:
    """Return the question that a launch command asks.

    Args:
        engine: whose command it is.
        told: what it says.
        on: see `planner.systems.resolve_hardware`.
        model: in place of the model that the command names.
        precision: how weights are stored, where the model's name does not tell.
        context: tokens per sequence of the workload; None takes the longest that the command
            allows.
        concurrency: sequences resident at full context.
        options: the engine's options that the command does not say, such as its release.
        free: with ``on="local"``: plan with the memory that is free now.
        progress: see `ask`.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    checkpoint = commanded_model(told, model, precision, progress)
    if told.quantization is not None and checkpoint.scheme.name == "bf16":
        checkpoint = checkpoint.quantized_on_load(told.quantization)
    policy = get_engine(engine)
    longest = told.context or checkpoint.model.max_position_embeddings // told.slots
    if told.shared:
        longest = max(1, longest // concurrency)
    degrees = told.layout
    if degrees is None and not policy.degrees.automatic:
        degrees = Layout()
    system = resolve_hardware(on, free=free)
    question = Question(
        checkpoint=checkpoint,
        system=system,
        engine=policy,
        context=longest if context is None else tokens_of(context),
        concurrency=concurrency,
        kv_cache_dtype=told.kv_cache_dtype or "auto",
        layout=degrees,
        options=build(engine, policy.options_type, {**told.options, **(options or {})}),
        yarn=told.yarn,
        kept=told.kept,
        environment=tuple(told.environment.items()),
        notes=_nodes(told, system),
        lessons=lessons(),
    )
    if told.context is None and context is None:
        started = policy.as_started(question.deployment())
        return question.with_(context=started.context, options=started.options)
    return question


def commanded_model(
    command: Command,
    model: str | Checkpoint | None,
    precision: str | None,
    progress: Progress | None,
) -> Checkpoint:
    """Return the checkpoint that a command names.

    A path of another machine is taken by what its name tells.

    Raises:
        PlannerError: it names none, or none that is known.
    """
    name = command.model if model is None else model
    if name is None:
        raise InputError("command: it names no model; name it beside the command")
    precision = precision or (command.precision if model is None else None)
    written_as_path = isinstance(name, str) and (
        name.startswith(("/", ".", "~")) or name.endswith(".gguf") or "\\" in name
    )
    if written_as_path and not _exists(str(name)):
        told, file = named_by_path(str(name)), str(name).replace("\\", "/").rpartition("/")[2]
        if told is None and (entry := registry.find(file)) is not None:
            told = entry.name, None
        if told is None:
            raise InputError(
                f"{name}: there is no such file or folder here, and its name tells no model; name"
                " the model"
            )
        name, precision = told[0], precision or told[1]
    return load_checkpoint(
        name,
        precision=precision,
        revision=command.revision if model is None else None,
        progress=progress,
    )


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _name(model: str | Checkpoint) -> str:
    return model.id if isinstance(model, Checkpoint) else model


def load_checkpoint(
    name: str | Checkpoint,
    *,
    precision: str | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
    anonymous: bool = False,
    local: bool = True,
) -> Checkpoint:
    """Return the checkpoint that `name` means.

    Args:
        name: a bundled id (with or without organisation), a Hub repository or URL, a folder or
            file on this machine, or a `Checkpoint`, which is returned as it is.
        precision: name of a scheme, or which GGUF of several; None takes what is stored.
        revision: branch, tag or commit on the Hub.
        progress: told (done, total, file) after each file whose header was read.
        anonymous: ask the Hub as anybody: no token, no cache of this machine.
        local: paths on this machine may be read.

    Raises:
        UnknownModelError: nobody knows it; carries the nearest names.
        UnsupportedModelError: it is there, but cannot be planned for.
        InputError: `precision` is unknown or contradicts the checkpoint.
        SourceError: the Hub could not be reached or refused.
    """
    if isinstance(name, Checkpoint):
        return name
    return sources.load(
        name,
        precision=None if precision is None else check_text(precision, what="precision"),
        revision=None if revision is None else check_text(revision, what="revision"),
        progress=progress,
        anonymous=anonymous,
        local=local,
    )
