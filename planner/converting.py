"""Say which file is missing where drafts are asked for and no GGUF of the model holds its MTP blocks.

llama.cpp drafts with the blocks of the MTP module, and most GGUF files are converted without them. A
question of such a model is asked of the file that one would convert, and its verdict begins with that.
"""

from __future__ import annotations

from dataclasses import replace

from planner.engines.choice import CONVERTED, DRAFTS, LOADS
from planner.errors import PlannerError
from planner.loading import load_checkpoint
from planner.planning import Plan
from planner.question import Question
from planner.recommending import Choice, Fixed, best_of
from planner.recommending.wanted import wanted_by
from planner.recommending.wish import Wish
from planner.registry import entries_of
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.wanting import base_of


def lacks_blocks(question: Question, name: str) -> bool:
    """Say whether drafts are asked for that no known GGUF of the model can make.

    Args:
        question: what is asked.
        name: what was named; a file of a model says for itself what it holds.
    """
    base = base_of(name)
    if base is None or question.engine is None or question.engine.name not in LOADS["gguf"]:
        return False
    drafts = getattr(question.settled_options, "draft_tokens", 0)
    rows = entries_of(base)
    return bool(drafts and rows) and not any(row.gguf and row.mtp for row in rows)


def as_converted(question: Question, *, stored: bool) -> Question:
    """Return the question of the file that one would convert, with what is missing as its lead.

    Args:
        question: what is asked; see `lacks_blocks`.
        stored: how it is stored was said; else the first precision is taken that fits and is fast.
    """
    if not stored:
        question = _converted(question)
    weights, name = question.checkpoint, question.checkpoint.model.name.rpartition("/")[2]
    lead, more = f"No GGUF of {name} with its MTP blocks is known", tuple[str, ...]()
    without = _without_drafts(question)
    if without is not None:
        lead += f"; without drafts {without.entry.name} fits"
        if without.plan.launch is not None:
            more = (f"without drafts: {without.plan.launch.command}",)
    lead += f". Planned as one that you convert yourself to {weights.scheme.title}."
    # what others have converted has no such blocks
    weights = replace(weights, notes=())
    return question.with_(checkpoint=weights, notes=(lead, *question.notes, *more), lead=lead)


def _converted(question: Question) -> Question:
    """Return the question of the best precision that fits and is fast enough, else of the fastest."""
    found = list[tuple[float, Question]]()
    for precision in CONVERTED:
        try:
            weights = load_checkpoint(question.checkpoint.id, precision=precision)
            asked = question.with_(checkpoint=weights)
            plan = asked.plan()
        except PlannerError:
            continue
        if plan.fits:
            rate = _rate(plan)
            if rate >= Wish().comfortable:
                return asked
            found.append((rate, asked))
        elif not found and precision == CONVERTED[-1]:
            return asked
    return max(found, key=lambda one: one[0])[1] if found else question


def _rate(plan: Plan) -> float:
    speed = speed_of(plan)
    return speed.per_user.value if isinstance(speed, SpeedEstimate) else 0.0


def _without_drafts(question: Question) -> Choice | None:
    """Return what is chosen for the same engine and workload without drafts; None: nothing fits."""
    wanted = wanted_by(question.plan())
    if wanted is None:
        return None
    name, options = question.settled_engine.name, question.settled_options
    unsaid = type(options)()
    plain = {drafts: getattr(unsaid, drafts) for drafts in DRAFTS[name]}
    return best_of(
        replace(
            wanted,
            kv_cache_dtype=question.kv_cache_dtype,
            layout=question.layout,
            fixed=Fixed(engine=name),
            options=replace(options, **plain),
        )
    )
