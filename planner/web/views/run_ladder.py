"""The ladder on the first page: a table of checkpoints for the engine; a click takes one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from planner.planning import Outcome, Plan
from planner.recommending import Choice, Wanted
from planner.recommending.words import short_word
from planner.registry import Word
from planner.units import GIB, capital, format_gib
from planner.web import session, working
from planner.web.frames import (
    by_keyboard,
    chosen_row,
    clipped,
    flagged,
    height_of,
    room_for_toolbar,
    rounded,
    tinted,
)
from planner.web.ladder import ladder
from planner.web.palette import LOOKS
from planner.web.solving import Answer
from planner.web.stored import bytes_of, loaded, short_name
from planner.web.tables import escape
from planner.web.taken import take_choice
from planner.web.wording import told

MARKS = {
    Outcome.FITS: "fits",
    Outcome.TIGHT: "tight: it may not hold at the worst of its estimate",
    Outcome.HOLDS_FEWER: "starts, but holds fewer users at once",
    Outcome.DOES_NOT_FIT: "does not fit",
}
"""What a mark beside a rung means."""

MOST_LETTERS = 24
"""Of a name in the table: of longer ones the middle is left out."""


def show_ladder(found: Answer, plan: Plan) -> None:
    """Show the ladder of the answer's model under its engine."""
    if found.wanted is None:
        return
    base = found.wanted.base or (found.choice.entry.base if found.choice is not None else None)
    if base is None:
        return
    cache = plan.deployment.kv_cache_dtype
    fixed = "" if cache == "auto" else f" with {escape(cache)} KV cache"
    title = escape(plan.engine_title)
    st.markdown(f"**Ladder for {title}**{fixed}: every size; click one to take it")
    room_for_toolbar()
    with st.skeleton(height=height_of(9)):
        rungs = working.run(ladder, replace(found.wanted, base=base), plan.engine, found.choice)
    if not rungs:
        st.markdown(_why_empty(found.wanted, base, plan))
        return
    present = next(
        (place for place, rung in enumerate(rungs) if _is_shown(rung, found.choice)), None
    )
    key, turn = f"ladder-{_fingerprint(rungs, present)}", session.turn()
    by_keyboard(
        "Take a checkpoint of the ladder",
        [f"{name}: {_verdict(rung)}" for rung, name in zip(rungs, names(rungs), strict=True)],
        key=f"{key}-named",
        take=lambda: _take(f"{key}-named", rungs, turn),
    )
    st.dataframe(
        flagged(
            tinted(
                table(rungs, present), "verdict", [LOOKS[rung.plan.outcome].tone for rung in rungs]
            ),
            "quality",
            [rung.word == Word.LARGE for rung in rungs],
        ),
        key=key,
        hide_index=True,
        height=height_of(len(rungs)),
        on_select=lambda: _take(key, rungs, turn),
        selection_mode="single-cell",
        placeholder="—",
        column_config={
            "checkpoint": st.column_config.TextColumn("checkpoint", width=190),
            "verdict": st.column_config.TextColumn("verdict (GiB)", width=100),
            "speed": st.column_config.NumberColumn("tok/s", format="localized", width=56),
            "quality": st.column_config.TextColumn("quality", width=98),
            "size": st.column_config.NumberColumn("GB", format="%.1f", width=56),
            "context": st.column_config.NumberColumn("context", format="%dk", width=66),
        },
        alt="Ladder: " + "; ".join(map(_spoken, rungs, names(rungs))),
    )
    st.markdown(f":small[{legend(rungs)}]")


def _why_empty(wanted: Wanted, base: str, plan: Plan) -> str:
    model, engine = escape(base.rpartition("/")[2]), escape(plan.engine_title)
    if not any(loaded(replace(wanted, base=base), plan.engine)):
        return f"No checkpoint of {model} that {engine} loads is known."
    if plan.refusals:
        return f"No size runs as it was asked: {told(plan.refusals[0].reason)}."
    return f"No checkpoint of {model} runs in {engine} as it was asked."


def table(rungs: Sequence[Choice], present: int | None) -> pd.DataFrame:
    """Return one row per rung; the one that is shown is marked."""
    return pd.DataFrame(
        [
            {
                "checkpoint": ("● " if place == present else "") + name,
                "verdict": _verdict(rung),
                "speed": rounded(rung.per_user) if rung.plan.fits else None,
                "quality": short_word(rung.said),
                "size": bytes_of(rung.entry) / 1e9,
                "context": rung.longest // 1024 if rung.longest else None,
            }
            for place, (rung, name) in enumerate(zip(rungs, names(rungs), strict=True))
        ]
    )


def legend(rungs: Sequence[Choice]) -> str:
    """Return what the marks of a ladder and its two units mean."""
    seen = {rung.plan.outcome for rung in rungs}
    marks = [f"{LOOKS[one].mark} {means}" for one, means in MARKS.items() if one in seen]
    units = "spare and over in GiB of memory, GB is the download (1 GiB = 1.07 GB)"
    return f"{'; '.join(marks)}. {capital(units)}."


def names(rungs: Sequence[Choice]) -> list[str]:
    """Return each checkpoint in few words and, where there is room, whose it is.

    Those that would read alike are told apart by what their repositories are called: ``Q8_0, MTP``.
    """
    plain = [(short_name(rung.entry), rung.entry.repo.partition("/")[0]) for rung in rungs]
    found = []
    for rung, (name, owner) in zip(rungs, plain, strict=True):
        alike = [other for other, said in zip(rungs, plain, strict=True) if said == (name, owner)]
        own = _words(rung)
        for other in alike:
            own -= _words(other) if other is not rung else Counter()
        name = ", ".join([name, *own]) if len(alike) > 1 else name
        whole = f"{name} · {owner}"
        found.append(whole if len(whole) <= MOST_LETTERS else clipped(name, MOST_LETTERS))
    return found


def _words(rung: Choice) -> Counter[str]:
    """The words of a repository's name."""
    return Counter(re.split(r"[-_]", rung.entry.repo.rpartition("/")[2]))


def _verdict(rung: Choice) -> str:
    mark = LOOKS[rung.plan.outcome].mark
    spare = rung.plan.headroom or 0
    if rung.plan.outcome is Outcome.HOLDS_FEWER:
        return f"{mark} {rung.users:,} at once"
    if not rung.plan.fits:
        return f"{mark} {-spare / GIB:.1f} over" if spare < 0 else f"{mark} no room"
    return f"{mark} {spare / GIB:.1f} spare"


def _spoken(rung: Choice, name: str) -> str:
    look = LOOKS[rung.plan.outcome]
    if rung.plan.outcome is Outcome.HOLDS_FEWER:
        return f"{name} {look.short}, {rung.users:,} at once"
    return f"{name} {look.short}, {format_gib(abs(rung.plan.headroom or 0))}"


def _is_shown(rung: Choice, present: Choice | None) -> bool:
    return present is not None and rung.entry.name == present.entry.name


def _fingerprint(rungs: Sequence[Choice], present: int | None) -> str:
    """What tells one ladder from another: a table keeps its selection under its key."""
    text = f"{present} " + " ".join(f"{rung.entry.name} {_verdict(rung)}" for rung in rungs)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _take(key: str, rungs: Sequence[Choice], turn: int) -> None:
    rung = chosen_row(key, rungs)
    if turn == session.turn() and rung is not None:
        take_choice(rung)
