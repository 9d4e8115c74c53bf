"""Why this model, engine and file: what was chosen for the user, each with the reason."""

from __future__ import annotations

import math
from dataclasses import replace

from planner.engines import ENGINES
from planner.engines.choice import LOADS, SMALLER_CACHE, engines_for
from planner.engines.engine import AnyEngine
from planner.engines.yarn import short_tokens
from planner.errors import InputError
from planner.layout import Layout
from planner.planning import Outcome
from planner.question import Question, question_of
from planner.recommending.answer import Recommendation
from planner.recommending.choice import CLEARLY, Choice, cache_word
from planner.recommending.choosing import best_of
from planner.recommending.wish import Wish
from planner.registry import Word, cache_losses, checkpoint_of, entries_of
from planner.throughput.answer import to_two_digits, two_digits
from planner.units import format_gib


def chosen(answer: Recommendation, pick: Choice, *, brief: bool = False) -> tuple[str, ...]:
    """Return what was chosen for the user, each with the reason.

    Args:
        answer: the recommendation.
        pick: what was chosen.
        brief: leave out how the loss of a smaller cache was measured (`cache_measured` says it).
    """
    wanted, parts = answer.wanted, []
    if wanted.base is None:
        why = (_why_model if wanted.wish.best == "quality" else _why_model_first)(answer, pick)
        why += _almost(pick, wanted.wish)
        name = model_name(pick.entry.base)  # a reason that begins with another model's is bracketed
        parts.append(f"{name} ({why})" if why[0].isupper() else f"{name}: {why}")
    first = ENGINES[engines_for(wanted.system)[0][0]]
    if wanted.fixed.engine is None:
        if pick.turn == 0 and pick.plan.engine == first.name:
            reason = pick.why.partition(":")[0].partition(";")[0]
            parts.append(f"{pick.plan.engine_title} ({reason})")
        elif first.name != pick.plan.engine:
            parts.append(f"{pick.plan.engine_title}: {_why_not(first, answer, pick)}")
        else:
            parts.append(pick.plan.engine_title)
    if wanted.fixed.precision is None:
        parts.append(f"{_file(pick)}, {_why_file(answer, pick)}")
    if wanted.layout is None and (layout := _why_layout(pick)):
        parts.append(layout)
    cache = pick.plan.allocation.kv_cache_dtype if pick.plan.allocation is not None else "auto"
    measured = cache_measured(pick)
    if measured:
        loss = measured.partition(";")[0] if brief else measured
        why = (
            " to save memory"
            if pick.plan.deployment.kv_cache_dtype != wanted.kv_cache_dtype
            else ""
        )
        cache = f"{cache}{why} ({loss})"
    parts.append(f"KV cache {cache}")
    if pick.savings:
        parts.append(_savings(pick))
    return tuple(parts)


def _why_layout(pick: Choice) -> str:
    """Return why this layout, where it is more than every layer shared out; empty otherwise."""
    layout = pick.plan.deployment.layout
    others = replace(question_of(pick.plan), layout=None).layouts()
    if len(others) == 1 or layout == Layout(tensor_parallel=layout.tensor_parallel):
        return ""
    known = pick.per_user is not None
    why = "about as fast for each user as any" if known else "the simplest that holds it"
    return f"Layout {layout}, {why}"


def _file(choice: Choice) -> str:
    """Return what tells a file from others: its label where that says how it is stored."""
    label, name = choice.entry.label, choice.entry.repo.rpartition("/")[2]
    if not label:
        return name
    return label if label[0].isalpha() else f"{name}:{label}"


def _why_file(answer: Recommendation, pick: Choice) -> str:
    """Return why this file: what the wish puts first, and what keeps a finer one from it."""
    wish = answer.wanted.wish
    if wish.best != "quality":
        most = {
            "speed": "are about as fast as the fastest",
            "context": "reach about as far as any",
        }
        sound = (
            f" at about {wish.least_speed:g} tok/s or more" if _is_fast_enough(pick, wish) else ""
        )
        small = " without a large loss" if pick.word < Word.LARGE else ""
        return f"of its files that {most[wish.best]}{sound}{small}, the one that loses least"
    if pick.per_user is not None and to_two_digits(pick.per_user) < wish.least_speed:
        return _why_slow(answer, pick)
    least = wish.least_speed if pick.is_slow(wish) else wish.comfortable
    at_speed = f" at about {least:g} tok/s or more" if pick.per_user is not None else ""

    def best(how: str) -> str:
        return f"the best class of quality {how}{at_speed}"

    roomy = "that fits safely"
    finer = (
        choice
        for choice in answer.front
        if choice.entry.base == pick.entry.base
        and choice.loses_less(pick)
        and (choice.per_user or 0.0) >= (least if at_speed else 0.0)
    )
    other = next(finer, None)
    if other is None:  # finer files may fit tightly, which the front does not always list
        finest = pick.is_tight or pick.loss.word <= Word.ORIGINAL
        return best("that fits" if finest else roomy)
    return f"{best(roomy)}; {_file(other)} loses less, but {_what_is_wrong(other, pick)}"


def _why_slow(answer: Recommendation, pick: Choice) -> str:
    """Return why a file that is slower than wished was taken."""
    least = answer.wanted.wish.least_speed
    for other in answer.front:
        if other.entry.base == pick.entry.base and (other.per_user or 0.0) >= least:
            rate = two_digits(other.per_user or 0.0)
            but = (
                _what_is_wrong(other, pick)
                if other.word <= Word.SMALL
                else f"has {other.said.text}"
            )
            return f"as {_file(other)}, which reaches {rate} tok/s, {but}"
    return f"as no file of it reaches {least:g} tok/s here, the best trade of speed and loss"


def _what_is_wrong(finer: Choice, pick: Choice) -> str:
    """Return what keeps a finer file from being the pick."""
    if finer.is_for_few > pick.is_for_few:
        return f"is loaded by {finer.plan.engine_title}, which is for a few users"
    if finer.fills_ram > pick.fills_ram:
        return "takes most of the RAM"
    if finer.in_ram and finer.per_user is not None and pick.per_user is not None:
        rate, own = two_digits(finer.per_user), two_digits(pick.per_user)
        return f"with a part in RAM gives about {rate} tok/s instead of {own}"
    if finer.in_ram:
        return "only with a part in RAM, which is slower"
    if finer.curbed and finer.plan.deployment.concurrency == 1:
        return "leaves too little room for the server's own defaults"
    if finer.curbed:
        return f"fits only with {finer.curbed}"
    if not finer.is_tight and finer.standing > 1:
        return f"is by {finer.entry.repo.partition('/')[0]}, who made few files of the family"
    spare = format_gib(finer.plan.headroom or 0)
    return f"its estimate may be off by more than the {spare} that it leaves"


def _is_fast_enough(pick: Choice, wish: Wish) -> bool:
    return pick.per_user is not None and pick.per_user >= wish.least_speed


def _why_model(answer: Recommendation, pick: Choice) -> str:
    """Return why this model: the best scores, or what keeps those with better ones from it."""
    for other in answer.front:
        name = model_name(other.entry.base)
        if other.place >= pick.place:
            continue
        if other.needs_ram is not None:
            return f"{name} has better scores, but needs {other.needs_ram} GiB of RAM"
        if other.is_slow(answer.wanted.wish) and other.per_user is not None:
            rate = two_digits(other.per_user)
            return f"{name} has better scores, but gives about {rate} tok/s here"
        if other.word > pick.word:
            return f"{name} has better scores, but here with {other.said.text}"
    fast = " and is fast enough" if pick.per_user is not None else ""
    return f"the best scores of what fits{fast}"


def _why_model_first(answer: Recommendation, pick: Choice) -> str:
    """Return why this model where speed or context come first: whom it outdoes, else its scores."""
    wish, others = answer.wanted.wish, answer.front
    for other in others:
        if other.tier < pick.tier and pick.outdoes(other, wish):
            times = two_digits(pick.gain(wish) / max(1.0, other.gain(wish)))
            far = wish.best == "context"
            how = f"reaches {times} times as far" if far else f"is {times} times as fast"
            loses = "no more" if pick.word == other.word else "less"
            name = model_name(other.entry.base)
            return f"{name} has better scores; this {how} and loses {loses} here"
    ahead = [
        other
        for other in others
        if other.entry.base != pick.entry.base and other.gain(wish) >= CLEARLY * pick.gain(wish)
    ]
    if not ahead:
        most = "reaches about as far" if wish.best == "context" else "about as fast"
        return f"{most} as any model that fits with scores near the best"
    name = model_name(ahead[0].entry.base)
    further = "reaches further" if wish.best == "context" else "is faster"
    return f"{name} {further}, but {_what_holds_back(ahead[0], pick, wish)}"


def _what_holds_back(other: Choice, pick: Choice, wish: Wish) -> str:
    """Return what keeps a model that is faster, or reaches further, from being the pick."""
    if other.needs_ram is not None:
        return f"needs {other.needs_ram} GiB of RAM"
    if other.is_tight and not pick.is_tight:
        return "is tight"
    if pick.loses_less(other):
        return f"here has {other.said.text}"
    if other.place > pick.place:
        return "has lower scores"
    return "takes most of the RAM" if other.fills_ram else "comes after it in the whole"


def _almost(pick: Choice, wish: Wish) -> str:
    """Say that a speed a little below the wished one counts as reached; empty where it is not."""
    rate = to_two_digits(pick.per_user or 0.0)
    if not wish.enough <= rate < wish.least_speed:
        return ""
    return f"; its {two_digits(rate)} tok/s here are close enough to {wish.least_speed:g}"


def _why_not(first: AnyEngine, answer: Recommendation, pick: Choice) -> str:
    """Return why the first choice of engine for such a machine was not taken."""
    others = (
        choice
        for choice in answer.front
        if choice.plan.engine == first.name and choice.entry.base == pick.entry.base
    )
    other = min(others, key=lambda one: one.loss.said, default=None) or _best_in(
        first, answer, pick
    )
    if other is None:
        return _why_none(first, answer, pick)
    if other.is_for_few > pick.is_for_few:
        return f"{first.title} is for a few users"
    if pick.loses_less(other):
        return f"what fits in {first.title} here is of lower quality ({other.said.text})"
    best = answer.wanted.wish.best
    if best == "speed" and (other.per_user or 0.0) < (pick.per_user or 0.0):
        return f"{first.title} gives about {two_digits(other.per_user or 0.0)} tok/s here"
    if best == "context" and other.longest < pick.longest:
        return f"{first.title} reaches {short_tokens(other.longest)} tokens here"
    if other.per_user is not None and other.per_user < answer.wanted.wish.least_speed:
        return f"{first.title} reaches {two_digits(other.per_user)} tok/s with {other.entry.name}"
    tight = other.plan.outcome is Outcome.TIGHT
    if (tight or other.curbed) and pick.plan.outcome is Outcome.FITS:
        spare = format_gib(other.plan.headroom or 0)
        faster = (other.per_user or 0.0) / (pick.per_user or math.inf)
        times = f"is {two_digits(faster)} times as fast, but " if faster >= CLEARLY else ""
        how = (
            f"with {other.curbed}"
            if other.curbed
            else f"within its estimate's band ({spare} to spare)"
        )
        return f"{other.entry.name} in {first.title} {times}fits only {how}"
    if (other.plan.headroom or 0) < (pick.plan.headroom or 0):
        return f"{first.title} has less to spare"
    if other.standing > 1 >= pick.standing:
        maker = other.entry.repo.partition("/")[0]
        return f"what {first.title} would load here is by {maker}, who made few files of the family"
    return f"what {first.title} loads here is no better"


def _best_in(first: AnyEngine, answer: Recommendation, pick: Choice) -> Choice | None:
    """Return what an engine would serve of the pick's model, where the front does not name it."""
    fixed = replace(answer.wanted.fixed, engine=first.name)
    return best_of(replace(answer.wanted, base=pick.entry.base, fixed=fixed))


def _why_none(first: AnyEngine, answer: Recommendation, pick: Choice) -> str:
    """Return why the first choice of engine has nothing of the pick's model here."""
    rows = [
        row
        for row in entries_of(pick.entry.base)
        if row.recommendable and first.name in LOADS.get(row.container, ())
    ]
    if not rows:
        return f"no {first.title} checkpoint of it is known"
    asked = Question(checkpoint=checkpoint_of(rows[0]), system=answer.wanted.system, engine=first)
    if not asked.can_run():
        return f"{first.title} does not run it here"
    cache = answer.wanted.kv_cache_dtype
    if not _takes_cache(asked, cache):
        return f"{first.title} has no KV cache in {cache}"
    return f"no known {first.title} checkpoint fits here"


def _takes_cache(asked: Question, cache: str) -> bool:
    try:
        return asked.can_run(kv_cache_dtype=cache)
    except InputError:
        return False


def cache_measured(pick: Choice) -> str:
    """Return what a smaller cache costs and how that was measured; empty where none was chosen."""
    taken = pick.plan.deployment.kv_cache_dtype
    losses = cache_losses(taken)
    if not losses or taken == "auto":
        return ""
    loss, word = losses[0], cache_word(taken).text
    if taken in SMALLER_CACHE.values():
        word = f"8-bit caches count as {word}"
    return f"{word}; measured: {loss.metric.removeprefix('KV: ')} {loss.value:.2g} ({loss.protocol.setup})"


def _savings(pick: Choice) -> str:
    """Return which settings make it hold the workload, and what each gives up."""
    made = ", ".join(f"{economy.flags} ({economy.loses})" for economy in pick.savings)
    return f"Set because this does not fit safely with {pick.plan.engine_title}'s defaults: {made}"


def model_name(base: str) -> str:
    """Return a model's name without who made it."""
    return base.rpartition("/")[2]
