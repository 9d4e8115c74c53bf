"""The answer as one screen of text: verdict, command, why, alternatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import hardware_db
from hardware_db import System
from hardware_db.compose import NODES
from planner.allocating import layout_used
from planner.engines import ENGINES, front_words
from planner.engines.choice import FOR_PICTURES
from planner.engines.tool_calls import tool_flags
from planner.engines.yarn import asked_tokens, short_tokens
from planner.memory.breakdown import HOST_RANK, Kind, Rank
from planner.planning import Outcome, Plan
from planner.recommending.answer import Miss, Recommendation, download_bytes
from planner.recommending.choice import Choice
from planner.recommending.reasons import chosen, model_name
from planner.recommending.room import farthest
from planner.recommending.wanted import Wanted
from planner.recommending.words import TUNED, listed_name, rate_words, short_word
from planner.registry import Word, floor_of
from planner.report.beside import beside
from planner.report.text import BAR, MARKS, SIGNS
from planner.throughput import NoEstimate, SpeedEstimate
from planner.throughput.answer import duration, two_digits
from planner.units import counted, format_gib

WARNINGS = 3
"""Sentences that a user can act on and that are shown; all are behind ``--explain``."""

_KINDS = {Kind.RECURRENT_STATE: "state", Kind.RUNTIME: "runtime"}
"""Shorter words than a kind's own, for the one line."""

_LETTERS_SPOKEN_WITH_A_VOWEL = "AEFHILMNORSX8"


def headline(answer: Recommendation) -> str:
    """Return the answer in one sentence."""
    wanted, pick = answer.wanted, answer.pick
    if pick is None:
        what = model_name(wanted.base) if wanted.base is not None else "No model"
        verb = "does not fit" if wanted.base is not None else "fits"
        said = f" as {wanted.fixed.precision}" if wanted.fixed.precision is not None else ""
        if wanted.fixed.engine is not None:
            said += f" in {ENGINES[wanted.fixed.engine].title}"
        return (
            f"{what} {verb} {machine(wanted.system)} with {_workload(wanted)}: no known"
            f" checkpoint{said} fits."
        )
    parts = [f"{asked_tokens(wanted.context)} context"]
    if wanted.concurrency > 1:
        parts[0] = f"{wanted.concurrency:,} users at {asked_tokens(wanted.context)}"
    parts.append(f"{format_gib(pick.plan.headroom or 0)} to spare{_close(pick.plan)}")
    parts += [rate] if (rate := rate_words(pick)) else []
    where = _place(pick.plan)
    return f"{_named(pick)} in {pick.plan.engine_title} fits {where}: {', '.join(parts)}."


def _close(plan: Plan) -> str:
    """Say that what is left free may not be enough: the spare of the tightest GPU, or of the RAM."""
    if plan.outcome is not Outcome.TIGHT:
        return ""
    if (plan.headroom or 0) > plan.ranks[0].band.above:
        return " (close: its RAM may not be enough)"
    return " (close: the estimate may be off by more)"


def _place(plan: Plan) -> str:
    """A machine as a sentence names it; of several alike only as many as the plan takes."""
    system = plan.deployment.system
    used = layout_used(plan.deployment.layout, plan.allocation).accelerators
    if used >= system.count or system.is_mixed:
        return machine(system)
    return f"{'one' if used == 1 else used} of {machine(system)}"


def recommendation_text(
    answer: Recommendation, *, command: str = "", more: Sequence[str] = ()
) -> str:
    """Return the whole answer, at most one screen.

    Args:
        answer: what to tell.
        command: what was typed, without the alternatives' own names, for the last line.
        more: further lines, such as the cost.
    """
    pick = answer.pick
    if pick is None:
        lines = [f"✘ {headline(answer)}"]
        if answer.misses:
            lines += ["", "What would do it:"]
            for miss in answer.misses:
                lines += _miss(miss)
        return "\n".join(lines)
    plan = pick.plan
    lines = [f"{SIGNS[plan.outcome]} {headline(answer)}"]
    lines += [f"  Better: {line}" for line in first_better(answer)]
    inside = front_words(answer.wanted.front, plan.engine, plan.deployment, plan.allocation)
    lines += ["", *_command(plan, inside.lines), ""]
    lines += [f"  {line}" for line in _why(answer.wanted, pick)]
    head, *rest = chosen(answer, pick)
    lines += ["", f"  Chosen    {head}", *(f"            {line}" for line in rest)]
    told = (*answer.wanted.notes, *_nodes(answer.wanted), *inside.notes)
    warnings = (*told, *floor_words(pick), *tool_words(answer.wanted, pick), *_warnings(plan))
    lines += [f"  ! {warning}" for warning in warnings]
    if answer.front:
        lines += ["", *(f"  {line}" for line in _front(answer.front))]
        lines += [f"  {line}" for line in _tuned(answer.front)]
        if any(choice.plan.outcome is Outcome.TIGHT for choice in answer.front):
            lines.append(
                f"  {SIGNS[Outcome.TIGHT]}  close: its estimate may be off by more than it leaves free"
            )
    if answer.misses:
        lines += ["", *(f"  {line}" for line in _beside_pick(answer))]
    if more:
        lines += ["", *(f"  {line}" for line in more)]
    hint = "  More: --explain (every number), --json; to take a line:"
    hint += f" qwenplan plan CHECKPOINT{command}"
    return "\n".join([*lines, "", hint, *(f"  {line}" for line in _beside(answer))])


def _beside_pick(answer: Recommendation) -> Iterator[str]:
    """What would be better than the pick with something changed, under a heading for each kind."""
    said = ""
    for miss in answer.misses:
        heading = better_by(miss, answer.wanted)
        if heading != said:
            yield f"{heading}:"
        said = heading
        yield from _miss(miss)


def better_by(miss: Miss, wanted: Wanted) -> str:
    """Return the heading under which something better than the pick stands."""
    changed = miss.choice.plan.deployment
    if miss.command is not None:
        return "Better with a limit raised"
    if changed.options.draft_tokens:
        return "Faster with drafts (speculative decoding)"
    if wanted.system.count > changed.system.count and not wanted.system.is_mixed:
        return "With fewer of them"
    fewer = changed.concurrency < wanted.concurrency
    return "A better model for fewer at once" if fewer else "Faster with fewer accelerators"


def first_better(answer: Recommendation) -> Iterator[str]:
    """Say in one sentence what a limit that the owner can raise makes of a pick that loses much."""
    pick = answer.pick
    if pick is None or pick.word <= Word.SMALL:
        return
    for miss in answer.misses:
        if miss.command is not None and miss.choice.loses_less(pick):
            yield (
                f"{miss.change}, and {_named(miss.choice)} fits, {miss.choice.said.text}"
                f" instead of {pick.said.text}."
            )


def _beside(answer: Recommendation) -> Iterator[str]:
    """Say which lines take a flag beside what was typed."""
    wanted = answer.wanted
    caches = {choice.plan.deployment.kv_cache_dtype for choice in answer.front}
    for cache in sorted(caches - {"auto", wanted.kv_cache_dtype}):
        yield f"A line that says {cache} KV also takes --kv-cache-dtype {cache}"
    if wanted.wish.pictures:
        for engine in dict.fromkeys(choice.plan.engine for choice in answer.front):
            if flags := " ".join(f"--{option}" for option in FOR_PICTURES[engine]):
                yield f"A line of {ENGINES[engine].title} also takes {flags}"


def machine(system: System) -> str:
    """Return a machine with its article: ``an RTX 3090``, ``2× RTX 3090``, ``a CPU, 64 GB RAM``."""
    name = system.short_name
    if system.count > 1:
        return name
    first = name.split()[0]
    spelled = first.isupper() or any(letter.isdigit() for letter in first)
    vowels = _LETTERS_SPOKEN_WITH_A_VOWEL if spelled and first not in ("TITAN",) else "AEIO"
    return f"{'an' if first[0] in vowels else 'a'} {name}"


def _named(choice: Choice) -> str:
    """A checkpoint as a sentence names it: the model with the file's label, or the repository."""
    entry = choice.entry
    return f"{model_name(entry.base)} as {entry.spoken}" if entry.label else entry.repo


def _workload(wanted: Wanted) -> str:
    tokens = f"{asked_tokens(wanted.context)} context"
    if wanted.concurrency == 1:
        return tokens
    return f"{wanted.concurrency:,} users at {tokens}"


def floor_words(pick: Choice) -> Iterator[str]:
    """Say that a smaller model is the better choice, where it is."""
    floor = floor_of(pick.entry.base)
    if floor is not None and not pick.is_above_floor:
        yield f"below {floor.bits:g} bits per weight a smaller model is the better choice ({floor.why})"


def tool_words(wanted: Wanted, pick: Choice) -> Iterator[str]:
    """Say which flags agents need beside the command."""
    flags = tool_flags(pick.plan.engine, pick.entry.base) if wanted.wish.tools else None
    if flags is not None:
        yield f"for tool calls add to the command: {flags} (they take no memory)"


def _warnings(plan: Plan) -> tuple[str, ...]:
    """What was assumed of the machine, and what can be acted on; what a file is comes with --explain."""
    own = plan.allocation.warnings if plan.allocation is not None else ()
    return (*plan.deployment.system.assumptions, *own)[:WARNINGS]


def _command(plan: Plan, own: tuple[str, ...]) -> Iterator[str]:
    """What to type: first what the program that was named is told, where it has words of its own."""
    if plan.launch is None:
        return
    launch = replace(plan.launch, program=own or plan.launch.program)
    yield from (f"    {line}" for line in launch.lines)
    if launch.shortened:
        yield f"    ({launch.shortened}; --emit shell writes all)"
    for note in launch.notes[:2]:
        yield f"    ({note})"


def _why(wanted: Wanted, pick: Choice) -> Iterator[str]:
    """Quality, speed, memory and reach of the pick, one line each."""
    yield f"Quality   {pick.loss.text}"
    yield f"Speed     {speed_line(pick.speed, wanted.concurrency)}"
    if pick.plan.deployment.system.mixed and isinstance(pick.speed, SpeedEstimate):
        yield from (f"          {reason}" for reason in pick.speed.slower)
    if pick.plan.ranks:
        fullest, *others = pick.plan.ranks
        ram = [rank for rank in others if rank.name == HOST_RANK and pick.in_ram]
        yield f"{_place_of(fullest)}{_memory(fullest)}"
        left = [fullest, *(rank for rank in others if rank not in ram)]
        yield from (f"          {line}" for line in beside(left))
        yield from (f"{_place_of(rank)}{_memory(rank)}" for rank in ram)
    if pick.plan.capacity is not None:
        yield f"Reach     {_reach(wanted, pick)}"


def _reach(wanted: Wanted, pick: Choice) -> str:
    """How far the memory goes, for one and at the asked context."""
    placed, most = pick.plan.longest_context, pick.reach or farthest(pick)
    text = f"{short_tokens(placed)} tokens for one user"
    if most > placed:
        text += f", {short_tokens(most)} with more of it in RAM (--context)"
    if pick.users > 1:
        text += f", or {counted(pick.users, 'user')} of {asked_tokens(wanted.context)} each"
    return text


def speed_line(speed: SpeedEstimate | NoEstimate | None, concurrency: int) -> str:
    """Return decode and prefill speed in one line."""
    if not isinstance(speed, SpeedEstimate):
        return speed.words if speed is not None else "not known"
    rate = speed.per_user
    text = f"about {two_digits(rate.value)} tok/s ({two_digits(rate.low)}–{two_digits(rate.high)})"
    if concurrency > 1:
        text += f" each, {two_digits(speed.total.value)} in all"
    if speed.prefill is not None:
        prompt = asked_tokens(speed.prefill.tokens)
        alone, last = speed.prefill.seconds.value, speed.prefill.first_token[1]
        text += f"; a prompt of {prompt} takes about {duration(alone)}"
        if concurrency > 1 and last > 2 * alone:
            text += f", the last of {concurrency:,} that come at once up to {duration(last)}"
    return text


def _place_of(rank: Rank) -> str:
    return "RAM       " if rank.name == HOST_RANK else "Memory    "


def _memory(rank: Rank) -> str:
    """Used of usable with a bar, then what takes it."""
    parts = [
        f"{_KINDS.get(kind, kind.value)} {format_gib(rank.of_kind(kind)).removesuffix(' GiB')}"
        for kind in Kind
        if rank.of_kind(kind)
    ]
    each = " on each" if rank.count > 1 else ""
    used = format_gib(rank.used).removesuffix(" GiB")
    return f"{used} of {format_gib(rank.usable)}{each}  {_bar(rank)}  {' · '.join(parts)}"


def _bar(rank: Rank) -> str:
    scale = max(rank.usable, rank.used, 1)
    bar = "".join(MARKS[kind] * round(BAR * rank.of_kind(kind) / scale) for kind in MARKS)
    return bar[:BAR].ljust(BAR, "·")


def _front(choices: tuple[Choice, ...]) -> list[str]:
    from planner.report.tables import columns  # a room of tables of everything else

    rows = [("Or", "", "quality", "tok/s", "context", "spare", "")]
    for place, choice in enumerate(choices, start=1):
        tight = f"{SIGNS[Outcome.TIGHT]} " if choice.plan.outcome is Outcome.TIGHT else ""
        rows.append(
            (
                f"{place}  {listed_name(choice)}",
                choice.plan.engine_title,
                short_word(choice.said),
                two_digits(choice.per_user) if choice.per_user is not None else "?",
                short_tokens(choice.longest),
                f"{tight}{format_gib(choice.plan.headroom or 0)}",
                choice.better,
            )
        )
    return columns(rows, right=(3, 4, 5))


def _nodes(wanted: Wanted) -> Iterator[str]:
    """Say into how many machines accelerators were divided where only their number was said."""
    system = wanted.system
    most = system.accelerator.max_per_node or 1
    said = system.provider is not None or NODES in system.id
    said = said or any(system.id == known.id for known in hardware_db.systems())
    if system.nodes > 1 < most and not said:
        yield (
            f"planned as {system.nodes} machines of"
            f" {counted(system.accelerators_per_node, 'GPU')}, since one machine is assumed to hold"
            f" {most} at most"
        )


def _tuned(choices: tuple[Choice, ...]) -> Iterator[str]:
    """Say with which flags a row holds the workload that its server's defaults do not hold."""
    for place, choice in enumerate(choices, start=1):
        if choice.savings:
            yield f"{place}  {TUNED}: {' '.join(economy.flags for economy in choice.savings)}"


def _miss(miss: Miss) -> Iterator[str]:
    choice = miss.choice
    rate = rate_words(choice)
    speed = f", {rate}" if rate else ""
    size = format_gib(download_bytes(choice))
    # of RAM that was assumed nothing is to spare: so much is needed
    assumed = choice.needs_ram is not None and choice.plan.ranks[0].name == HOST_RANK
    spare = f", {format_gib(choice.plan.headroom or 0)} to spare{_close(choice.plan)}"
    spare = "" if assumed else spare
    yield (
        f"  - {miss.change}: {listed_name(choice)} ({size}) in {choice.plan.engine_title} fits"
        f"{spare}{speed}"
    )
    if miss.command is not None:
        yield f"      {miss.command}"
    if miss.after is not None:
        yield f"      ({miss.after})"
    launch = choice.plan.launch
    if launch is not None:
        yield from (f"      {line}" for line in launch.lines)
