"""Make the question "what should I run?": names and words in, one `Wanted` out, for every door."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from hardware_db import Accelerator, System
from planner.allocating import check_length
from planner.engines import commands, front_name, front_notes, get_engine
from planner.engines.caches import check_cache
from planner.engines.choice import LOADS, PROPOSED, engines_for
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.learning import lessons
from planner.model import catalog
from planner.model.quantization import get_scheme
from planner.question import DEFAULT_CONTEXT
from planner.recommending import Best, Fixed, Recommendation, Wanted, Wish, recommend
from planner.recommending.candidate import stored_as
from planner.recommending.strangers import stranger
from planner.registry import Entry, check_precision, entries_of
from planner.systems import resolve_hardware, with_ram
from planner.units import check_count, check_text


def base_of(name: str) -> str | None:
    """Return the bundled id where `name` means a model, whichever way it is stored.

    None where it names one checkpoint (``Qwen3.5-27B-FP8``, a GGUF file, an Ollama tag), a variant
    (Base, Thinking) or something on this machine.
    """
    known = catalog.find(name)
    if known is None or ":" in name or known[1] != "bf16" or catalog.spelled(name) != known[0].id:
        return None
    return None if Path(name).exists() else known[0].id


def want(
    model: str | None = None,
    *,
    on: str | System | Accelerator,
    engine: str | None = None,
    precision: str | None = None,
    kv_cache_dtype: str | None = None,
    context: int | str | None = None,
    concurrency: int = 1,
    yarn: bool = False,
    free: bool = False,
    ram: str | float | None = None,
    ram_bandwidth: float | None = None,
    best: Best = "quality",
    use: str = "general",
    images: bool = False,
    official: bool = False,
    least_speed: float | None = None,
) -> Wanted:
    """Return what these arguments ask for; None is what nobody said, and is chosen.

    Args:
        model: a bundled model; None asks for models, too.
        on: see `planner.asking.resolve_hardware`.
        engine: who serves.
        precision: scheme or label of the checkpoint.
        kv_cache_dtype: number format of the KV cache.
        context: tokens per sequence; without it 32k.
        concurrency: sequences at once, each at full context.
        yarn: allow a context beyond the native length.
        free: with ``on="local"``: plan with the memory that is free now.
        ram: memory beside the accelerators, as one says it: "64GB", "128GB DDR5-6000".
        ram_bandwidth: nominal GB/s of that memory.
        best: what comes first: "quality", "speed" or "context".
        use: what models are compared by: "general", "coding", "vision", "long-context".
        images: pictures must be taken.
        official: only checkpoints of the model's maker.
        least_speed: tokens per second that each user must get; without it 10.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    base = None
    if model is not None:
        base = base_of(check_text(model, what="model"))
        if base is None:
            commands.refuse_command(model)
            if catalog.find(model) is None:
                raise catalog.unknown(model)
            raise InputError(
                f"{model} is one checkpoint, which `qwenplan plan {model}` judges; name a model"
                " (Qwen3.5-27B) or none"
            )
    policy = None if engine is None else get_engine(engine)
    name = None if policy is None else policy.name
    if name is not None and name not in PROPOSED:
        titles = ", ".join(get_engine(other).title for other in PROPOSED)
        raise InputError(
            f"{get_engine(name).title} is planned where it is asked for (`qwenplan plan MODEL --engine"
            f" {name}`), but never recommended; recommended are {titles}"
        )
    wish = Wish(best=best, use=use, images=images, official=official)
    if least_speed is not None:
        wish = Wish(best=best, use=use, images=images, official=official, least_speed=least_speed)
    if precision is not None:
        check_stored(base, precision, name)
    front = front_name(engine)
    tokens = DEFAULT_CONTEXT if context is None else tokens_of(context)
    _check_length(tokens, base, yarn=yarn)
    return Wanted(
        system=with_ram(resolve_hardware(on, free=free), ram, ram_bandwidth),
        base=base,
        context=tokens,
        concurrency=check_count(concurrency, what="concurrency"),
        kv_cache_dtype=check_cache("auto" if kv_cache_dtype is None else kv_cache_dtype, policy),
        yarn=yarn,
        fixed=Fixed(engine=name, precision=precision),
        wish=wish,
        notes=front_notes(front),
        lessons=lessons(),
        front=front,
    )


def check_stored(base: str | None, precision: str, engine: str | None) -> None:
    """Refuse a precision that is none, in which no checkpoint is stored, or that the engine does not load.

    Raises:
        InputError: the line names what was meant, or what the engine loads.
    """
    every = [entry.id for entry in catalog.catalog()]
    bases = every if base is None else [base]
    stored = _stored(bases, precision)
    anywhere = stored or _stored(every, precision)
    if engine is not None and anywhere and not any(_loads(engine, row) for row in anywhere):
        loaded = [row for one in bases for row in entries_of(one) if _loads(engine, row)]
        names = dict.fromkeys((row.label or row.recipe).lower() for row in loaded)
        raise InputError(
            f"{get_engine(engine).title} loads nothing that is stored as {precision}; it loads"
            f" {', '.join(islice(names, _MOST_NAMED))}"
        )
    if stored:
        return
    if base is not None:
        check_precision(base, precision)
    get_scheme(precision)


def _stored(bases: list[str], precision: str) -> list[Entry]:
    return [row for base in bases for row in stored_as(precision, list(entries_of(base)))]


def _loads(engine: str, row: Entry) -> bool:
    return engine in LOADS.get(row.container, ())


_MOST_NAMED = 8
"""Precisions that a line names."""


def _check_length(tokens: int, base: str | None, *, yarn: bool) -> None:
    """Refuse a context that no model that comes into question is made for.

    Raises:
        InputError: see `planner.allocating.check_length`.
    """
    models = [row.model for row in catalog.catalog() if base in (None, row.id)]
    longest = max(models, key=lambda model: model.max_position_embeddings)
    whose = longest.name if base is not None else "every model of the family"
    check_length(tokens, longest.max_position_embeddings, whose, yarn=yarn)


def answered(wanted: Wanted) -> Recommendation:
    """Return what to run.

    Raises:
        InputError: the engine that was named, or every one, runs nothing on this machine: why, and
            what does.
    """
    found = recommend(wanted)
    if found.pick is None:
        engine = wanted.fixed.engine
        named = [engine] if engine is not None else [name for name, _ in engines_for(wanted.system)]
        reasons = [stranger(name, wanted.system) for name in named]
        if reasons[0] is not None and None not in reasons:
            raise InputError(reasons[0])
    return found
