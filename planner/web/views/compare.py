"""Compare: the present deployment beside its nearest alternatives, or beside what was kept; cost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import streamlit as st

import hardware_db
from hardware_db.records import frozen
from planner.cost import seller
from planner.costing import ANSWER, REGION, YEARS, Cost, cost_of
from planner.errors import PlannerError
from planner.recommending import Choice
from planner.units import format_gib
from planner.web import session
from planner.web.access import hub_allowed
from planner.web.answering import alternatives, answer
from planner.web.asked import Asked
from planner.web.comparing import (
    MOST,
    Side,
    costs,
    costs_rest_on,
    facts,
    read,
    scores_rest_on,
    split,
    verdict,
    written,
)
from planner.web.draw import draw
from planner.web.figures.memory_bar import compared_bars
from planner.web.palette import ALL_MEMORY
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.taken import asked_of, asked_of_choice
from planner.web.theme import text_colour
from planner.web.wording import kept_words, layout_key, told, whole_words

_KEPT = "compare"


def show(asked: Asked, found: Answer) -> None:
    """Draw the page."""
    kept = _kept()
    _buttons(asked, found, kept)
    sides = sides_of(asked, found, kept)
    if not sides:
        st.info(
            "Nothing to compare yet: the question above has no plan.", icon=":material/compare:"
        )
        return
    cards, bars, folded = st.container(), st.container(), st.container()
    with folded:
        assumed = _assumptions(sides[0])
    same, rows = split([facts(side) | _money(side, assumed) for side in sides])
    rows = [_last(row, "Stored as") for row in rows]
    with cards:
        if same:
            words = "; ".join(f"{name} **{escape(value)}**" for name, value in same.items())
            st.markdown(f"The same for all: {words}.")
        with st.container(key="compare-cards"), st.grid(MOST, min_column_width=250, gap="small"):
            for number, (side, row) in enumerate(zip(sides, rows, strict=True)):
                with st.container(border=True, height="stretch"):
                    _card(number, side, row)
        names = {name for row in [same, *rows] for name in row}
        set_aside = kept_words(side.plan for side in sides)
        spread = [side.plan.deployment.layout for side in sides]
        letters = f"{layout_key(spread)}." if "Layout" in names else ""
        use = sides[0].asked.use
        told_below = (
            letters,
            set_aside,
            scores_rest_on(use, names),
            costs_rest_on(assumed.busy, names),
        )
        if words := " ".join(filter(None, told_below)):
            st.markdown(f":small[{words}]")
    with bars:
        _bars(sides)


def sides_of(asked: Asked, found: Answer, kept: list[str]) -> list[Side]:
    """Return the deployments to show: the present one, then what was kept, else what is near it."""
    sides = []
    own = written(asked)
    if found.plan is not None:
        sides.append(
            Side(
                asked=asked,
                plan=found.plan,
                choice=found.choice,
                why="the present one, kept" if own in kept else "the present one",
                kept=own in kept,
                held=found.held,
            )
        )
    if others := [text for text in kept if text != own]:
        sides += _of_links(others)
    elif found.plan is not None and found.plan.fits:
        sides += _front(asked, found)
    else:
        sides += [
            Side(
                asked=asked_of(miss.choice.plan, asked, miss.choice.entry),
                plan=miss.choice.plan,
                choice=miss.choice,
                why=miss.change,
            )
            for miss in found.misses[: MOST - 1]
        ]
    return sides[:MOST]


def _of_links(kept: list[str]) -> Iterator[Side]:
    """What was kept; what cannot be planned is said."""
    for text in kept:
        other = read(text)
        got = answer(other, session.machine_of(other), hub=hub_allowed())
        if got.plan is None:
            words = got.problems[0].text if got.problems else "nothing fits"
            st.markdown(f":material/error: One of those kept cannot be planned: {told(words)}")
        else:
            yield Side(
                asked=other,
                plan=got.plan,
                choice=got.choice,
                why="kept",
                kept=True,
                held=got.held,
            )


def _front(asked: Asked, found: Answer) -> Iterator[Side]:
    """The nearest alternatives of the front; none where they take too long."""
    try:
        front = alternatives(found)
    except PlannerError as error:
        st.markdown(f":material/info: {told(error)}")
        return
    for choice in front if front is not None else ():
        if found.choice is None or not _same(choice, found.choice):
            why = choice.better or "the planner's pick"
            yield Side(
                asked=asked_of_choice(choice, asked), plan=choice.plan, choice=choice, why=why
            )


def _same(one: Choice, other: Choice) -> bool:
    return one.entry.name == other.entry.name and one.plan.engine == other.plan.engine


def _kept() -> list[str]:
    """What was kept: of this session; at first, and after Back, of the address."""
    if _KEPT not in st.session_state or session.has_come_back():
        st.session_state[_KEPT] = st.query_params.get_all(_KEPT)[: MOST - 1]
    kept: list[str] = st.session_state[_KEPT]
    if st.query_params.get_all(_KEPT) != kept:
        st.query_params[_KEPT] = kept
    return kept


def _keep(text: str) -> None:
    if text not in st.session_state[_KEPT]:
        st.session_state[_KEPT] = [*st.session_state[_KEPT], text][-(MOST - 1) :]


def _remove(text: str) -> None:
    st.session_state[_KEPT] = [other for other in st.session_state[_KEPT] if other != text]


def _buttons(asked: Asked, found: Answer, kept: list[str]) -> None:
    text = written(asked)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Keep this one",
            icon=":material/push_pin:",
            key="compare-keep",
            disabled=found.plan is None or text in kept or session.machine_of(asked) is not None,
            on_click=_keep,
            args=(text,),
            help="Keep it here, change the question, and compare.",
        )
        if text in kept and len(kept) == 1:
            st.markdown("1 kept: change the question, and it stands beside that.")
        elif kept:
            st.markdown(f"{len(kept)} kept, beside the question as it is now.")
        elif found.plan is not None and found.plan.fits:
            st.markdown("The present deployment and its nearest alternatives.")
        elif found.misses:
            st.markdown("What was asked, and what would fit.")
        else:
            st.markdown("What was asked; nothing near it fits here.")


def _last(row: dict[str, str], name: str) -> dict[str, str]:
    """Return the row with one of its names behind the others: long words, below lines that align."""
    return {key: row[key] for key in sorted(row, key=lambda key: key == name)}


def _card(number: int, side: Side, row: dict[str, str]) -> None:
    icon, word, colour = verdict(side.plan)
    model, checkpoint = map(escape, side.title)
    st.markdown(
        f"**{number + 1} · {model}**  \n{checkpoint}  \n"
        f":{colour}-badge[{icon} {word}] {escape(side.why)}"
    )
    st.table(
        pd.DataFrame({"": [escape(words) for words in row.values()]}, index=list(row)),
        border="horizontal",
        hide_header=True,
        alt=f"Deployment {number + 1}: {' '.join(side.title)}",
    )
    with st.container(horizontal=True):
        if number:
            st.button(
                "Take",
                key=f"compare-take-{number}",
                icon=":material/check:",
                on_click=session.put if side.kept else session.take,
                args=(side.asked,),
                kwargs={"page": ""},
            )
        if side.kept:
            st.button(
                "Remove",
                key=f"compare-remove-{number}",
                icon=":material/close:",
                on_click=_remove,
                args=(written(side.asked),),
            )


@frozen
class Assumed:
    """What costs rest on, as the visitor set it.

    Attributes:
        busy: share of the day in which the machine serves.
        answer: tokens of an answer; the rest of the context is the prompt.
        years: over how long a purchase is written off.
        kwh: US dollars for a kilowatt-hour.
    """

    busy: float
    answer: int
    years: float
    kwh: float


def _assumptions(first: Side) -> Assumed:
    """What costs rest on, and where the prices come from; folded."""
    tariff = next((t for t in hardware_db.electricity() if t.region == REGION), None)
    context = first.plan.deployment.context
    with st.expander("What the costs rest on", icon=":material/payments:", key="compare-cost"):
        with st.grid(4, gap="small"):
            busy = st.slider(
                "Busy (% of the day)", 1, 100, 30, key="compare-busy", bind="query-params"
            )
            answer = st.number_input(
                "Answer (tokens)",
                1,
                max(1, context - 1),
                max(1, context // ANSWER),
                64,
                key="compare-answer",
                help="The rest of the context is the prompt.",
                bind="query-params",
            )
            years = st.number_input(
                "Written off over (years)",
                0.5,
                20.0,
                YEARS,
                0.5,
                key="compare-years",
                bind="query-params",
            )
            kwh = st.number_input(
                "Electricity (USD per kWh)",
                0.0,
                5.0,
                tariff.price_per_kwh if tariff is not None else 0.15,
                0.01,
                key="compare-kwh",
                bind="query-params",
            )
        assumed = Assumed(busy=busy / 100, answer=int(answer), years=float(years), kwh=float(kwh))
        _show_sources(first, assumed)
    return assumed


def _cost(side: Side, assumed: Assumed) -> Cost | None:
    if not side.plan.ranks:
        return None
    try:
        return cost_of(
            side.plan,
            output_tokens=min(assumed.answer, side.plan.deployment.context - 1),
            busy=assumed.busy,
            years=assumed.years,
            per_kwh=assumed.kwh,
        )
    except PlannerError:
        return None


def _money(side: Side, assumed: Assumed) -> dict[str, str]:
    cost = _cost(side, assumed)
    return costs(cost, side.plan.deployment.context) if cost is not None else {}


def _bars(sides: list[Side]) -> None:
    plans = ((n, side.held or side.plan) for n, side in enumerate(sides, 1))
    ranks = [(f"{n}", plan.ranks[0]) for n, plan in plans if plan.ranks]
    if not ranks:
        return
    shared = all(side.plan.deployment.system.accelerator.is_unified for side in sides)
    each = " of each" if len(ranks) > 1 else ""
    st.subheader(f"{'The memory' if shared else 'The fullest GPU'}{each}")
    words = "; ".join(
        f"{name}: {format_gib(rank.used)} used of {format_gib(rank.usable)} usable"
        for name, rank in ranks
    )
    called = {whole_words(side.plan) for side in sides if side.plan.ranks}
    whole = called.pop() if len(called) == 1 else ALL_MEMORY
    figure = compared_bars(ranks, text=text_colour(), whole=whole)
    draw(figure, key="compare-bars", alt=words)


def _show_sources(first: Side, assumed: Assumed) -> None:
    """Where the prices of the present deployment come from."""
    cost = _cost(first, assumed)
    if cost is None:
        return
    for bill in cost.bills:
        offer = bill.offer
        kind = "To rent" if bill.kind == "rent" else "To buy"
        st.markdown(f"- {kind}: {escape(f'{offer.note}; {offer.source}, {offer.date}')}")
    if cost.hosted is not None:
        hosted = cost.hosted
        words = (
            f"{hosted.price.per_million_input:g} USD in, {hosted.price.per_million_output:g} USD out"
            f" per million tokens at {seller(hosted.provider)}; {hosted.source}, {hosted.date}"
        )
        st.markdown(f"- Hosted: {escape(words)}")
