"""Make the question that a launch command asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict

from hardware_db import System
from planner import registry
from planner.engines import get_engine
from planner.engines.command import Command
from planner.engines.engine import AnyEngine
from planner.engines.options import build
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.layout import Layout
from planner.learning import lessons
from planner.loading import load_checkpoint
from planner.model.checkpoint import Checkpoint
from planner.model.headers import Progress
from planner.model.path_names import file_of, named_by_path
from planner.question import DEFAULT_CONTEXT, Named, Question
from planner.systems import resolve_hardware


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
        progress: told (done, total, file) after each file whose header was read.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    checkpoint = commanded_model(told, model, precision, progress)
    policy = get_engine(engine)
    if told.quantization is not None:
        if checkpoint.scheme.name == "bf16":
            checkpoint = checkpoint.quantized_on_load(told.quantization)
        elif _contradicts(told.quantization, checkpoint.scheme.name):
            raise InputError(
                f"--quantization {told.quantization} does not match {checkpoint.id}, which is stored"
                f" as {checkpoint.scheme.title}: {policy.title} refuses that; leave the flag out"
            )
    there = resolve_hardware(on, free=free)
    system = _seen(there, told.environment)
    native = checkpoint.model.max_position_embeddings // told.slots
    unsaid = told.context_on(system) if told.bounds else DEFAULT_CONTEXT
    longest = told.context or (native if unsaid is None else min(unsaid, native))
    if told.shared:
        longest = max(1, longest // concurrency)
    degrees = told.layout
    if degrees is None and not policy.degrees.automatic:
        degrees = Layout()
    if degrees is not None:
        _check_seen(degrees, there, system, told.environment)
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
        named=Named(checkpoint=checkpoint, engine=engine, words=told.named)
        if model is None
        else None,
        notes=(
            *told.machines_beside(system),
            *told.slots_beside(concurrency),
            *_unbounded(told, policy, longest, context),
        ),
        lessons=lessons(),
    )
    if told.shortens and context is None:
        return _shortened(question, told.own_length)
    if told.context is None and unsaid is None and context is None:
        started = policy.as_started(question.deployment())
        return question.with_(context=started.context, options=started.options)
    return question


def _shortened(question: Question, words: str) -> Question:
    """Return the question with the longest context that fits, which its program takes by itself.

    Source: vLLM 0.33.0 v1/core/kv_cache_utils.py (_auto_fit_max_model_len).
    """
    longest = 0 if question.fits() else question.plan().longest_context
    if not 0 < longest < question.context:
        return question
    engine = question.settled_engine.title
    note = (
        f"{words}: {engine} takes the longest that fits, {longest:,} of {question.context:,} tokens"
    )
    return question.with_(context=longest, notes=(*question.notes, note))


_METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "awq": ("awq", "autoround"),
        "gptq": ("gptq", "autoround"),
        "bitsandbytes": ("bnb",),
        "fp8": ("fp8",),
        "modelopt": ("nvfp4", "fp8", "mxfp8"),
    }
)
"""Beginning of a method for --quantization -> parts of names of the schemes that it loads.

An engine compares it with ``quant_method`` of the checkpoint and ends with "Quantization method
specified in the model config does not match". Source: vLLM 0.33.0 config/model.py, SGLang 0.5.23
configs/model_config.py (_verify_quantization); methods that load several formats are not listed.
"""


def _contradicts(method: str, scheme: str) -> bool:
    """Say whether a method for --quantization is sure to be none of a stored scheme's."""
    word = method.lower().replace("-", "_")
    loads = next((loads for name, loads in _METHODS.items() if word.startswith(name)), None)
    return loads is not None and not any(part in scheme for part in loads)


def _seen(system: System, environment: Mapping[str, str]) -> System:
    """Return the machine with those of its GPUs that variables in front of a command let it see.

    Raises:
        InputError: they let it see none, more than there are, or one that is not there.
    """
    if system.is_cpu_only or not environment:
        return system
    from planner.probing.visible import hiding

    for variable in hiding(system.accelerator.vendor, environment):
        if variable in environment:
            system = _shown(system, variable, environment[variable])
    return system


def _check_seen(
    layout: Layout, there: System, seen: System, environment: Mapping[str, str]
) -> None:
    """Refuse a layout that takes more GPUs than the variables in front of a command show.

    Raises:
        InputError: the line names the variable.
    """
    if layout.accelerators <= seen.count or seen.count == there.count:
        return
    from planner.probing.visible import hiding

    hides = [name for name in hiding(there.accelerator.vendor, environment) if name in environment]
    said = " ".join(f"{name}={environment[name]}" for name in hides)
    raise InputError(
        f"{said} shows {seen.count} of {there.count} GPUs, and {layout} takes"
        f" {layout.accelerators}: show as many, or take fewer"
    )


def _shown(system: System, variable: str, value: str) -> System:
    """Return the machine with the GPUs that one variable shows.

    Who names as many as there are is taken to have described what is seen. What a UUID names is the
    next of equal GPUs.
    """
    from planner.probing.visible import select
    from planner.recommending.machines import only

    entries = [entry for entry in value.split(",") if entry.strip()]
    there, shows = system.accelerators_per_node, f"{variable}={value} shows"
    if not entries or entries[0].strip() == "-1":
        raise InputError(f"{shows} no GPU: plan for the processor, --on 'cpu, 64GB'")
    if len(entries) == there:
        return system
    if len(entries) > there:
        raise InputError(f"{shows} {len(entries)} GPUs, and the machine has {there}")
    if system.nodes > 1:
        each = f"{system.nodes} nodes of {len(entries)}x {system.accelerator.id}"
        raise InputError(f"{shows} {len(entries)} of {there} GPUs of a machine: --on '{each}'")
    following = iter(range(there))
    chosen = select(value, there, lambda _: None if system.is_mixed else next(following))
    wrong = chosen.repeated or chosen.stopped_at
    if wrong is not None:
        raise InputError(f"{variable}={value}: no GPU {wrong}, the last is {there - 1}")
    return only(system, chosen.order)


def _unbounded(
    told: Command, policy: AnyEngine, tokens: int, said: int | str | None
) -> tuple[str, ...]:
    """Return what to say of a program that bounds no request, where nobody said a length."""
    if told.bounds or told.context is not None or said is not None:
        return ()
    return (
        f"{policy.title} bounds no request and reserves no cache: planned with {tokens:,} tokens"
        " (--context plans another length)",
    )


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
        told, file = named_by_path(str(name)), file_of(str(name))
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
