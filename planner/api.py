"""The Python door: names in, plans out.

Everything a string can mean is resolved here (bundled ids, repositories, folders, hardware
expressions, "local"), so that the rooms below work on resolved values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import hardware_db
from hardware_db import Accelerator, HardwareError, System
from hardware_db.compose import several
from planner import sources
from planner.engines import get_engine, option_values
from planner.engines.choice import default_engine
from planner.engines.command import Command
from planner.errors import InputError
from planner.layout import Layout
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.headers import Progress
from planner.model.parameters import ParameterCounts, count_parameters
from planner.model.spec import ModelSpec
from planner.plan import Plan, plan_deployment
from planner.units import check_text, parse_tokens

DEFAULT_ENGINE = "vllm"
"""Taken where nobody names an engine and nothing speaks against it."""


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
    if free and (not isinstance(on, str) or on.strip().lower() != "local"):
        raise InputError("free: what is free now is known of this machine only (hardware: local)")
    try:
        if isinstance(on, Accelerator):
            return several(on, 1, hardware_db.systems())
        if check_text(on, what="hardware").lower() == "local":
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
        InputError: a name that the engine has no option for, or a value of the wrong type or out
            of range.
    """
    return option_values.build(engine, get_engine(engine).options_type, options)


def plan(
    model: str | Checkpoint,
    *,
    on: str | System | Accelerator,
    engine: str | None = None,
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
        engine: who serves; None takes vLLM, or what suits the hardware better and says why.
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
    checkpoint = load_checkpoint(model, precision=precision, revision=revision)
    system = resolve_hardware(on, free=free)
    name, note = choose_engine(engine, checkpoint, system)
    answer = plan_deployment(
        checkpoint,
        system,
        get_engine(name),
        context=parse_tokens(context),
        concurrency=concurrency,
        kv_cache_dtype=kv_cache_dtype,
        layout=layout,
        options=make_options(name, options),
        yarn=yarn,
    )
    return answer if note is None else replace(answer, warnings=(note, *answer.warnings))


def choose_engine(
    engine: str | None, checkpoint: Checkpoint, system: System
) -> tuple[str, str | None]:
    """(name of the engine, what to tell about the choice).

    vLLM where it suits the hardware and the weights, else what suits them, with the reason.
    """
    if engine is not None:
        return engine, None
    name, reason = default_engine(system, checkpoint, offload=False)
    if name == DEFAULT_ENGINE:
        return name, None
    return name, f"engine not named, {name} taken: {reason}"


def read_command(text: str) -> tuple[str, Command]:
    """The engine that a launch command starts, and what it tells it.

    Args:
        text: what is typed into a shell, over one or several lines; variables in front and
            ``docker run`` around it are understood.

    Raises:
        InputError: it starts no server that is known, or a flag or value cannot be read.
    """
    from planner.engines import commands

    return commands.read_command(text)


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
