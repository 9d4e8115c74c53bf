"""The Python door: names in, plans out.

Everything a string can mean is resolved here (bundled ids, repositories, folders, hardware
expressions, "local"), so that the rooms below work on resolved values only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hardware_db
from hardware_db import Accelerator, HardwareError, System
from planner import sources
from planner.engines import commands, get_engine
from planner.engines.command import Command
from planner.errors import InputError
from planner.layout import Layout
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.headers import Progress
from planner.model.parameters import ParameterCounts, count_parameters
from planner.model.path_names import named_by_path
from planner.model.spec import ModelSpec
from planner.plan import Plan, plan_deployment
from planner.units import parse_tokens


def load_checkpoint(
    name: str | Checkpoint,
    *,
    precision: str | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
    anonymous: bool = False,
    local: bool = True,
) -> Checkpoint:
    """The checkpoint that `name` means.

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
        precision=precision,
        revision=revision,
        progress=progress,
        anonymous=anonymous,
        local=local,
    )


def resolve_hardware(on: str | System | Accelerator, *, free: bool = False) -> System:
    """The system that `on` means.

    Args:
        on: "2x rtx-5090", "dgx-spark", "custom:48GiB", "local" (what `probe` finds), or an object
            of the hardware database.
        free: with "local": plan with the memory that is free now.

    Raises:
        InputError: unknown or unreadable; the line lists the nearest names.
    """
    if isinstance(on, System):
        return on
    try:
        if isinstance(on, Accelerator):
            return hardware_db.resolve(on.id)
        if on.strip().lower() == "local":
            return _this_machine(free=free)
        return hardware_db.resolve(on)
    except HardwareError as error:
        raise InputError(str(error)) from None


def _this_machine(*, free: bool) -> System:
    from planner.probe import probe

    return probe().to_system(free=free)


def make_options(engine: str, options: Mapping[str, Any] | Any | None) -> Any:
    """The engine's options object from a mapping of its fields (None: its defaults).

    Raises:
        InputError: a name that the engine has no option for, or a value out of range.
    """
    kind = get_engine(engine).options_type
    if options is None:
        return kind()
    if not isinstance(options, Mapping):
        return options
    known = {field.name for field in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            raise InputError(f"{engine} has no option {name}; known: {', '.join(sorted(known))}")
    return kind(**options)


def plan(
    model: str | Checkpoint,
    *,
    on: str | System,
    engine: str = "vllm",
    precision: str | None = None,
    revision: str | None = None,
    kv_cache_dtype: str = "auto",
    context: int | str = 32_768,
    concurrency: int = 1,
    layout: Layout | None = None,
    options: Mapping[str, Any] | Any | None = None,
    yarn: bool = False,
    free: bool = False,
) -> Plan:
    """Does this model run there, and what does it take?

    Args:
        model: see `load_checkpoint`.
        on: see `resolve_hardware`.
        engine: who serves; see `planner.engines`.
        precision: how weights are stored; None takes what the checkpoint stores.
        revision: branch, tag or commit on the Hub.
        kv_cache_dtype: number format of the KV cache.
        context: tokens per sequence, prompt and output together ("128k" is 131,072).
        concurrency: sequences resident at full context.
        layout: degrees of parallelism; None takes the best legal layout over the whole system.
        options: the engine's options, as its options object or a mapping of its fields.
        yarn: allow a context beyond the native length.
        free: with ``on="local"``: plan with the memory that is free now.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    return plan_deployment(
        load_checkpoint(model, precision=precision, revision=revision),
        resolve_hardware(on, free=free),
        get_engine(engine),
        context=parse_tokens(context),
        concurrency=concurrency,
        kv_cache_dtype=kv_cache_dtype,
        layout=layout,
        options=make_options(engine, options),
        yarn=yarn,
    )


def read_command(text: str) -> tuple[str, Command]:
    """The engine that a launch command starts, and what it tells it.

    Args:
        text: what is typed into a shell, over one or several lines; variables in front and
            ``docker run`` around it are understood.

    Raises:
        InputError: it starts no server that is known, or a flag or value cannot be read.
    """
    return commands.read_command(text)


def plan_command(
    command: str | tuple[str, Command],
    *,
    on: str | System,
    model: str | Checkpoint | None = None,
    precision: str | None = None,
    context: int | str | None = None,
    concurrency: int = 1,
    options: Mapping[str, Any] | None = None,
    free: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """The plan of what a launch command starts.

    Args:
        command: what is typed, or what `read_command` made of it.
        on: see `resolve_hardware`.
        model: in place of the model that the command names.
        precision: how weights are stored, where the model's name does not tell.
        context: tokens per sequence of the workload; None takes the longest that the command
            allows.
        concurrency: sequences resident at full context.
        options: the engine's options that the command does not say, such as its release.
        free: with ``on="local"``: plan with the memory that is free now.
        progress: see `load_checkpoint`.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    engine, read = commands.read_command(command) if isinstance(command, str) else command
    checkpoint = _commanded_model(read, model, precision, progress)
    if read.quantization is not None and checkpoint.scheme.name == "bf16":
        raise InputError(
            f"--quantization {read.quantization}: quantizing a 16-bit checkpoint while loading is"
            " not planned; name a quantized checkpoint or a precision"
        )
    longest = read.context or checkpoint.model.max_position_embeddings // read.slots
    told = make_options(engine, options) if options else read.options
    if options:
        told = dataclasses.replace(read.options, **{name: getattr(told, name) for name in options})
    answer = plan_deployment(
        checkpoint,
        resolve_hardware(on, free=free),
        get_engine(engine),
        context=longest if context is None else parse_tokens(context),
        concurrency=concurrency,
        kv_cache_dtype=read.kv_cache_dtype,
        layout=read.layout,
        options=told,
        yarn=read.yarn,
    )
    return dataclasses.replace(answer, warnings=(*answer.warnings, *read.unplanned))


def _commanded_model(
    command: Command,
    model: str | Checkpoint | None,
    precision: str | None,
    progress: Progress | None,
) -> Checkpoint:
    """The checkpoint that a command names; a path of another machine by what its name tells."""
    name = command.model if model is None else model
    precision = precision or (command.precision if model is None else None)
    written_as_path = isinstance(name, str) and (
        name.startswith(("/", ".", "~")) or name.endswith(".gguf") or "\\" in name
    )
    if written_as_path and not _exists(str(name)):
        told = named_by_path(str(name))
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


def parameters(model: str | Checkpoint | ModelSpec) -> ParameterCounts:
    """Parameters of `model` by component, in all and active per token."""
    spec = model if isinstance(model, ModelSpec) else load_checkpoint(model).model
    return count_parameters(spec)


def models() -> tuple[catalog.CatalogEntry, ...]:
    """The bundled models."""
    return catalog.catalog()


def hardware() -> tuple[Accelerator | System, ...]:
    """Every entry of the hardware database, accelerators first."""
    return (*hardware_db.accelerators(), *hardware_db.systems())
