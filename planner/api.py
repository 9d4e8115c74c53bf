"""Answer questions from Python: names in, plans and tables out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import hardware_db
from hardware_db import Accelerator, System
from planner.answer import Plan
from planner.asking import ANYWHERE, Asked, as_said, ask, left_open, settle
from planner.errors import InputError
from planner.keywords import checked
from planner.layout import Layout
from planner.loading import load_checkpoint
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.parameters import ParameterCounts, count_parameters
from planner.model.spec import ModelSpec
from planner.systems import resolve_hardware
from planner.units import shown

if TYPE_CHECKING:
    import pandas as pd

    from planner.recommending import Best, Recommendation
    from planner.search import Fit, Limits, Suggestion


class Wished(TypedDict, total=False):
    """What decides between candidates; `planner.wanting.want` says what each means."""

    best: Best
    use: str
    images: bool
    official: bool
    least_speed: float


@checked(Asked)
def plan(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> Plan:
    """Say whether this model runs there, and what it takes.

    What is not said is chosen: of a bundled model the checkpoint and the engine that `recommend`
    picks, and the notes of the plan say which. Name engine and precision (``precision="bf16"`` are
    the weights as published), or one checkpoint, and nothing is chosen but the layout.

    Args:
        model: see `load_checkpoint`.
        on: see `planner.systems.resolve_hardware`.
        asked: the rest of the question; see `planner.asking.as_said`.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    question, wanted = settle(model, on=on, **asked)
    unheld = None
    if wanted is not None:
        from planner.recommending import recommend as choose

        answer = choose(wanted)
        unheld = answer if answer.answers_plan else None
    return Plan.of(question.plan(), unheld=unheld)


@checked(Wished)
def recommend(
    model: str | None = None,
    *,
    on: str | System | Accelerator,
    engine: str | None = None,
    precision: str | None = None,
    kv_cache_dtype: str | None = None,
    context: int | str | None = None,
    concurrency: int = 1,
    yarn: bool = False,
    ram: str | float | None = None,
    **wished: Unpack[Wished],
) -> Recommendation:
    """Say what to run: checkpoints that exist, the engine, the command, and alternatives.

    Args:
        model: a bundled model; None asks for models, too.
        on: see `planner.asking.resolve_hardware`.
        engine: who serves; None is chosen.
        precision: scheme or label of the checkpoint; None is chosen.
        kv_cache_dtype: number format of the KV cache; None is chosen.
        context: tokens per sequence; without it 32k.
        concurrency: sequences at once, each at full context.
        yarn: allow a context beyond the native length.
        ram: memory beside the accelerators: "64GB", "128GB DDR5-6000".
        wished: what decides; see `planner.wanting.want`.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    from planner.wanting import answered, want

    return answered(
        want(
            model,
            on=on,
            engine=engine,
            precision=precision,
            kv_cache_dtype=kv_cache_dtype,
            context=context,
            concurrency=concurrency,
            yarn=yarn,
            ram=ram,
            **wished,
        )
    )


@checked(Asked)
def solve(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> Limits:
    """Say how far a deployment goes: longest context, most requests, best precision, knobs.

    Each is looked for while the rest of the question is held, by planning alone; one step beyond
    each answer does not fit. Arguments and errors are those of `plan`.
    """
    from planner.search import solve_limits

    return solve_limits(ask(model, on=on, **asked))


@checked(Asked)
def layouts(
    model: str | Checkpoint, *, on: str | System | Accelerator, **asked: Unpack[Asked]
) -> tuple[Suggestion, ...]:
    """Return every layout on that system, the best first, those that cannot run last.

    The first is the layout that `plan` takes. Arguments and errors are those of `plan`.
    """
    from planner.search import suggest_layouts

    return suggest_layouts(ask(model, on=on, **asked))


@checked(Asked)
def suggest(
    model: str | Checkpoint,
    *,
    on: str | System | Accelerator | None = None,
    executor: Executor | None = None,
    **asked: Unpack[Asked],
) -> tuple[Suggestion, ...]:
    """Return candidates, planned and ranked: layouts on a system, or hardware where none is named.

    With `on` as `layouts`; where none holds the workload and no precision was asked for, layouts in
    the best precision that does come first. Without it the smallest number of every accelerator in the database
    that holds the workload, in the best precision for which it does; the objective "cost" then
    ranks by price, "memory" by the fewest accelerators.

    Args:
        model: see `load_checkpoint`.
        on: see `planner.systems.resolve_hardware`; None looks for hardware.
        executor: where candidates for hardware are planned; None plans them here.
        asked: the rest of the question; see `planner.asking.as_said`.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    from planner.search import headline_precisions, smallest_systems, suggest_layouts

    if on is not None:
        any_precision = asked.get("precision") is None
        return suggest_layouts(ask(model, on=on, **asked), any_precision=any_precision)

    question = as_said(model, on=ANYWHERE, **asked)
    named = asked.get("precision") is not None
    wanted = (question.checkpoint,) if named else headline_precisions(question)
    return smallest_systems(question, wanted, executor=executor)


@checked(Asked)
def fits(
    model: str | Checkpoint,
    *,
    on: str | Accelerator | Iterable[str | Accelerator] | None = None,
    precisions: str | Iterable[str] | None = None,
    every: bool = False,
    executor: Executor | None = None,
    **asked: Unpack[Asked],
) -> tuple[Fit, ...]:
    """Return which hardware holds a workload, and in which checkpoint.

    Where the precision is left open, the pick of `recommend` on each of the common machines, or in
    the smallest number of each accelerator of `on`. With `precisions`, or `every`, the smallest
    number of every accelerator in each precision.

    Args:
        model: see `load_checkpoint`.
        on: accelerators; None for the common machines, or with a precision all in the database.
        precisions: names of schemes.
        every: the best 16-bit, 8-bit and 4-bit precision that is served, on every accelerator (a
            checkpoint stored in fewer bits stands for itself).
        executor: any `concurrent.futures.Executor`; None plans here.
        asked: the rest of the question; see `planner.asking.as_said`.

    Raises:
        PlannerError: one line that says what is wrong and what would work.
    """
    from planner.search import fits_table, headline_precisions

    machines = None if on is None else _several(on)
    chosen = None if machines is None else tuple(_accelerator(name) for name in machines)
    question = as_said(model, on=ANYWHERE, **asked)
    if precisions is None and asked.get("precision") is None and not every:
        wanted = left_open(model, on=ANYWHERE, **asked)
        if wanted is not None:
            from planner.recommending.machines import picked_fits

            return picked_fits(wanted, question, chosen, executor=executor)
    if precisions is not None:
        names = _several(precisions)
        checkpoints = tuple(load_checkpoint(model, precision=name) for name in names)
    elif asked.get("precision") is not None:
        checkpoints = (question.checkpoint,)
    else:
        checkpoints = headline_precisions(question)
    return fits_table(question, checkpoints, chosen, executor=executor)


def _several(given: object) -> tuple[Any, ...]:
    """Return one name as a tuple of one, several as they are."""
    if isinstance(given, str | Accelerator | System):
        return (given,)
    if not isinstance(given, Iterable):
        raise InputError(f"cannot read {shown(given)}; give one name or a list of them")
    return tuple(given)


def _accelerator(name: str | Accelerator) -> Accelerator:
    return name if isinstance(name, Accelerator) else resolve_hardware(name).accelerator


@checked()
def sweep(
    models: str | Checkpoint | Iterable[str | Checkpoint],
    *,
    on: str | System | Iterable[str | System],
    counts: Sequence[int | None] = (None,),
    engines: str | Iterable[str | None] | None = None,
    precisions: str | Iterable[str | None] | None = None,
    kv_cache_dtypes: str | Sequence[str] = "auto",
    contexts: int | str | Iterable[int | str] = 32_768,
    concurrencies: int | Sequence[int] = 1,
    layouts: Layout | Sequence[Layout | None] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    yarn: bool = False,
    speed: bool = False,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Plan every combination; one row each, in a pandas DataFrame.

    A single value stands for a list of one. Sizes are bytes on the tightest accelerator. A
    combination that makes no sense is a row with the reason in `error`; see
    `planner.sweeping.COLUMNS`. `DataFrame.to_csv` and `.to_parquet` write the table.

    Args:
        models: see `load_checkpoint`.
        on: hardware expressions or systems.
        counts: how many of each; None takes the expression as it is.
        engines: names of engines; None for what suits the hardware and the weights.
        precisions: names of schemes; None for what is stored.
        kv_cache_dtypes: number formats of the KV cache.
        contexts: tokens per sequence.
        concurrencies: sequences at once.
        layouts: layouts; None for the best one.
        options: options by engine name.
        yarn: allow contexts beyond the native length.
        speed: estimate decode speeds as well (mid-way to full context).
        executor: any `concurrent.futures.Executor`; None plans here.

    Raises:
        InputError: a context that cannot be read.
    """
    from planner.sweeping import sweep_all

    return sweep_all(
        models=models,
        on=on,
        counts=counts,
        engines=engines,
        precisions=precisions,
        kv_cache_dtypes=kv_cache_dtypes,
        contexts=contexts,
        concurrencies=concurrencies,
        layouts=layouts,
        options=options or {},
        yarn=yarn,
        speed=speed,
        executor=executor,
    )


@checked()
def parameters(model: str | Checkpoint | ModelSpec) -> ParameterCounts:
    """Return the parameters of `model` by component, in all and active per token."""
    spec = model if isinstance(model, ModelSpec) else load_checkpoint(model).model
    return count_parameters(spec)


def models() -> tuple[catalog.CatalogEntry, ...]:
    """Return the bundled models."""
    return catalog.catalog()


def hardware() -> tuple[Accelerator | System, ...]:
    """Return every entry of the hardware database, accelerators first."""
    return (*hardware_db.accelerators(), *hardware_db.systems())
