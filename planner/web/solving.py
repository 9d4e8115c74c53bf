"""The answer to the question: the planner's pick where something is open, one plan where nothing is.

No choice is made here: what is open is chosen by `planner.recommending`, as on the command line.
Worker processes run this (`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache

from hardware_db import System
from hardware_db.records import frozen
from planner.engines import ENGINES
from planner.engines.choice import FOR_PICTURES
from planner.engines.options import build
from planner.errors import InputError, OfflineError, PlannerError, SourceError
from planner.held import held_of
from planner.hub import RefusedError
from planner.loading import load_checkpoint
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.question import Question, question_of
from planner.recommending import Choice, Fixed, Miss, Recommendation, Wanted, recommend
from planner.recommending.nearest import nearest_to
from planner.recommending.strangers import stranger
from planner.registry import Entry, checkpoint_of, entries_of, file_of, find
from planner.registry.bundled import bundled_checkpoint
from planner.speed import speed_of
from planner.throughput import NoEstimate, SpeedEstimate
from planner.web.asked import BEST, Asked
from planner.web.problems import Problem, Reading, too_long, unknown_weights
from planner.web.stored import as_choice


@frozen
class Answer:
    """What every page is given.

    Attributes:
        problems: what cannot be understood; without a plan and without a verdict then.
        wanted: the question as `planner.recommending` takes it; None where the model is not bundled.
        plan: what is shown: the pick, what was fixed, or the nearest to fitting. None where there are
            problems, or where nothing comes near.
        held: the plan of as many users as are held at once, where that is fewer than asked: what bars,
            terms and the command show; the same plan else.
        choice: the plan as a candidate with its checkpoint, loss and speed; None where its weights
            are not in the registry.
        picked: the planner chose the checkpoint; else the visitor fixed it, or nothing fits.
        recommendation: the pick, its alternatives and the nearest misses; None where the weights
            were fixed (see `alternatives`).
    """

    problems: tuple[Problem, ...] = ()
    wanted: Wanted | None = None
    plan: Plan | None = None
    held: Plan | None = None
    choice: Choice | None = None
    picked: bool = False
    recommendation: Recommendation | None = None

    @property
    def front(self) -> tuple[Choice, ...]:
        """Alternatives to the pick, each better in something."""
        return self.recommendation.front if self.recommendation is not None else ()

    @property
    def misses(self) -> tuple[Miss, ...]:
        """What would have to change where nothing holds the workload, the least change first."""
        return self.recommendation.misses if self.recommendation is not None else ()

    @property
    def speed(self) -> SpeedEstimate | NoEstimate | None:
        """How fast the plan is, where that is known."""
        if self.choice is not None:
            return self.choice.speed
        return speed_of(self.plan) if self.plan is not None and self.plan.ranks else None


def solve(asked: Asked, machine: System | None, stored: Checkpoint | None) -> Answer:
    """Return the answer to a question.

    Args:
        asked: in the visitor's words.
        machine: the system itself where it is not in the database (this machine, own devices).
        stored: the weights themselves, where the Hub was asked for them.
    """
    reading = Reading()
    system = reading.of("on", lambda: asked.system_of(machine))
    if system is None:
        reading.blame(asked, machine)
    base = reading.of("model", lambda: stored or _model(asked))
    entry = reading.of("weights", lambda: _entry(asked))
    policy = reading.of("engine", lambda: asked.policy)
    context = reading.of("context", lambda: asked.tokens)
    users = reading.of("users", lambda: asked.concurrency)
    cache = reading.of("kv", lambda: asked.cache_format)
    layout = reading.of("layout", lambda: asked.degrees)
    yarn = reading.of("yarn", lambda: asked.beyond_native)
    wish = reading.of("best", lambda: asked.wish)
    reading.of("options", lambda: asked.option_values)
    if context and yarn is not None:
        reading.problems += too_long(base, context, yarn=yarn)
    scheme = None if asked.weights == BEST or entry is not None else asked.weights
    if scheme is not None and not reading.problems and not isinstance(base, Checkpoint):
        name = policy.name if policy is not None else None
        reading.problems += unknown_weights(base, scheme, name)
    if reading.problems:
        return Answer(problems=tuple(reading.problems))
    assert system is not None
    assert wish is not None
    assert cache is not None
    assert context
    assert users
    wanted = Wanted(
        system=system,
        base=base if isinstance(base, str) else None,
        context=context,
        concurrency=users,
        kv_cache_dtype=cache,
        layout=layout,
        yarn=bool(yarn),
        fixed=Fixed(engine=policy.name if policy is not None else None, precision=scheme),
        wish=wish,
    )
    try:
        if asked.options and policy is not None:
            given = build(policy.name, policy.options_type, asked.option_values)
            wanted = replace(wanted, options=given)
        if isinstance(base, Checkpoint):
            found = Answer(plan=_planned(wanted, base, asked))
        elif entry is not None:
            found = _of_entry(entry, replace(wanted, base=entry.base), asked)
        else:
            found = _chosen(wanted, asked)
    except PlannerError as error:
        return Answer(problems=(Problem(part="", text=str(error)),))
    if found.plan is None:
        return found
    # how far and how fast it goes is worked out here, not in the server's thread
    _ = found.plan.capacity, found.speed
    return replace(found, held=held_of(found.plan))


@lru_cache(maxsize=256)
def recommended(wanted: Wanted) -> Recommendation:
    """Return what to run; kept, because pages ask for the same."""
    found = recommend(wanted)
    for choice in (*found, *(miss.choice for miss in found.misses)):
        _ = choice.speed  # what is known of it travels with it
    return found


def alternatives(found: Answer) -> Recommendation | None:
    """Return the pick and the front for the answer's model with the checkpoint left open."""
    if found.recommendation is not None or found.wanted is None:
        return found.recommendation
    return recommended(replace(found.wanted, fixed=Fixed(engine=found.wanted.fixed.engine)))


def from_hub(model: str, precision: str | None) -> Checkpoint:
    """Return the checkpoint of a repository of the Hub, which is asked as anybody could.

    What fails between the server and the Hub goes into the server's log, with addresses and settings: a
    visitor could do nothing about it.

    Raises:
        PlannerError: no such repository, not to be had, or the Hub cannot be reached.
    """
    try:
        return load_checkpoint(model, precision=precision, anonymous=True, local=False)
    except RefusedError:
        raise
    except SourceError as error:
        logging.getLogger(__name__).warning("%s", error)
        kind, what = SourceError, "does not answer this page as it should"
        if isinstance(error, OfflineError):
            kind, what = OfflineError, "cannot be reached from this page"
        raise kind(
            f"the Hub {what}; try again later, plan a bundled model, or run qwenplan on your own machine"
        ) from None


def entry_of(checkpoint: Checkpoint) -> Entry | None:
    """Return the row of the registry that a checkpoint was made of; None where there is none."""
    known = catalog.entry_for(checkpoint)
    if known is None:
        return None
    files = {name for name, _ in checkpoint.files}
    rows = (row for row in entries_of(known.id) if row.repo == checkpoint.id)
    same = (row for row in rows if row.file is None or row.file in files)
    return next((row for row in same if checkpoint_of(row).scheme == checkpoint.scheme), None)


def _chosen(wanted: Wanted, asked: Asked) -> Answer:
    """The pick; where there is none, what was asked for, or what comes nearest.

    With engine and way to store named nothing is open, as on the command line.
    """
    if wanted.base is not None and wanted.fixed.settles:
        return _settled_by_name(wanted, wanted.base, asked)
    found = recommended(wanted)
    if found.pick is not None:
        choice = _settled(found.pick, asked)
        return Answer(
            wanted=wanted, plan=choice.plan, choice=choice, picked=True, recommendation=found
        )
    nearest = None if wanted.base is None else nearest_to(wanted)
    if nearest is not None:
        return Answer(wanted=wanted, plan=nearest.plan, choice=nearest, recommendation=found)
    if wanted.base is None:
        engine = wanted.fixed.engine
        if engine is not None and (why := stranger(engine, wanted.system)):
            return Answer(problems=(Problem(part="engine", text=why, instead=(BEST,)),))
        return Answer(wanted=wanted, recommendation=found)
    return replace(_settled_by_name(wanted, wanted.base, asked), recommendation=found)


def _settled_by_name(wanted: Wanted, base: str, asked: Asked) -> Answer:
    """The plan of a model in the way to store that is named, or at 16 bits."""
    stored = wanted.fixed.precision
    if stored is not None and (file := file_of(base, stored)) is not None:
        return _of_entry(file, wanted, asked)
    checkpoint = bundled_checkpoint(base, precision=stored)
    plan = _planned(wanted, checkpoint, asked)
    row = entry_of(plan.deployment.checkpoint)
    choice = as_choice(row, plan, wanted) if row is not None and plan.ranks else None
    return Answer(wanted=wanted, plan=plan, choice=choice)


def _of_entry(entry: Entry, wanted: Wanted, asked: Asked) -> Answer:
    """A checkpoint that the visitor fixed."""
    if asked.model != BEST and not _is_of(entry, asked.model):
        text = (
            f"{entry.name} is a checkpoint of {entry.base.rpartition('/')[2]}, not of {asked.model}"
        )
        return Answer(problems=(Problem(part="weights", text=text),))
    plan = _planned(wanted, checkpoint_of(entry), asked)
    return Answer(wanted=wanted, plan=plan, choice=as_choice(entry, plan, wanted))


def _settled(choice: Choice, asked: Asked) -> Choice:
    """The pick with the engine's options that were set: a search for pictures takes only its own."""
    if not asked.options or not asked.wish.pictures:
        return choice
    question = question_of(choice.plan).with_(layout=asked.degrees)
    plan = _with_options(question, asked).plan()
    return replace(choice, plan=plan)


def _planned(wanted: Wanted, checkpoint: Checkpoint, asked: Asked) -> Plan:
    """The plan of one checkpoint, everything else as it is wanted."""
    engine = wanted.fixed.engine
    question = Question(
        checkpoint=checkpoint,
        system=wanted.system,
        engine=ENGINES[engine] if engine is not None else None,
        context=wanted.context,
        concurrency=wanted.concurrency,
        kv_cache_dtype=wanted.kv_cache_dtype,
        layout=wanted.layout,
        yarn=wanted.yarn,
    )
    if wanted.wish.pictures:
        needed = FOR_PICTURES.get(question.settled_engine.name, {})
        question = question.with_options(**needed)
    return _with_options(question, asked).plan()


def _with_options(question: Question, asked: Asked) -> Question:
    return question.with_options(**asked.option_values) if asked.options else question


def _is_of(entry: Entry, model: str) -> bool:
    known = catalog.find(model)
    return known is not None and known[0].id == entry.base


def _entry(asked: Asked) -> Entry | None:
    """The checkpoint that is named; None for a way to store weights, and where it is open."""
    if not asked.names_checkpoint:
        return None
    found = find(asked.weights)
    if found is None or found.part != "model":
        raise InputError(f"unknown checkpoint {asked.weights!r}; name one of the registry, or best")
    return found


def _model(asked: Asked) -> str | Checkpoint | None:
    """The bundled id, a checkpoint that is not bundled, or None where the model is open."""
    if asked.model == BEST:
        return None
    known = catalog.find(asked.model)
    if known is not None and catalog.spelled(asked.model) == known[0].id:
        return known[0].id
    precision = None if asked.weights == BEST else asked.weights
    if known is not None:
        return bundled_checkpoint(asked.model, precision=precision)
    catalog.refuse_hosted(asked.model)
    raise catalog.unknown(asked.model)
