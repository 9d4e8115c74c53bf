"""Compare: up to four deployments side by side, differences marked, and what each costs."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import streamlit as st

from planner.errors import PlannerError
from planner.planning import Plan
from planner.units import format_gib
from planner.web import address, session
from planner.web.access import hub_allowed
from planner.web.answering import answer
from planner.web.asked import LOCAL, Asked
from planner.web.comparing import Assumptions, Money, facts, money
from planner.web.devices import PREFIX
from planner.web.draw import draw
from planner.web.figures.memory_bar import compared_bars
from planner.web.pickers import summary
from planner.web.solving import Answer
from planner.web.tables import escape, markdown_table
from planner.web.theme import text_colour

MOST = 4
_PINNED = "compare"


def show(asked: Asked, found: Answer) -> None:
    """Draw the page."""
    line = urlencode(address.words_of(asked))
    carried = asked.on != LOCAL and not asked.on.startswith(PREFIX)
    pinned = list(st.session_state.get(_PINNED, []))
    st.button(
        "Add the present deployment",
        icon=":material/add:",
        disabled=found.plan is None or not carried or len(pinned) >= MOST,
        on_click=_add,
        args=(line,),
        help="Up to four; change the model, hardware or workload above, then add the next.",
    )
    lines = st.multiselect(
        "Deployments",
        list(dict.fromkeys([*pinned, *_from_address(), line])),
        key=_PINNED,
        max_selections=MOST,
        placeholder="none yet",
        format_func=_label,
        bind="query-params",
    )
    plans: list[tuple[str, Plan]] = []
    for number, text in enumerate(lines[:MOST], 1):
        got = answer(asked_of_line(text), hub=hub_allowed())
        if got.plan is not None:
            plans.append((f"{number}", got.plan))
        for problem in got.problems:
            st.markdown(f":material/error: Deployment {number}: {escape(problem.text)}")
    if not plans:
        st.markdown("Nothing to compare yet: add the present deployment, change it, add it again.")
        return
    _show_facts(plans)
    _show_bars(plans)
    _show_money(plans)


def asked_of_line(line: str) -> Asked:
    """Return the question that one line of the list asks: an address without its page."""
    return address.read(dict(parse_qsl(line, max_num_fields=200)), session.first())[0]


def _label(line: str) -> str:
    return summary(asked_of_line(line))


def _from_address() -> list[str]:
    """Lines that the address brings on the first run, so that they are options already."""
    return st.query_params.get_all(_PINNED)[:MOST]


def _add(line: str) -> None:
    pinned = list(st.session_state.get(_PINNED, []))
    if line not in pinned and len(pinned) < MOST:
        st.session_state[_PINNED] = [*pinned, line]


def _show_facts(plans: list[tuple[str, Plan]]) -> None:
    columns = [facts(plan) for _, plan in plans]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = []
    for name in names:
        cells = [column.get(name, "—") for column in columns]
        differs = len(set(cells)) > 1
        label = f"**{name}** :material/difference:" if differs else name
        rows.append((label, *(f"**{cell}**" if differs else cell for cell in cells)))
    st.markdown(markdown_table(("", *(f"deployment {name}" for name, _ in plans)), rows))
    if len(plans) > 1:
        st.markdown("Rows in bold with :material/difference: differ.")


def _show_bars(plans: list[tuple[str, Plan]]) -> None:
    ranks = [(f"deployment {name}", plan.ranks[0]) for name, plan in plans if plan.ranks]
    if not ranks:
        return
    st.subheader("The fullest accelerator of each")
    words = "; ".join(
        f"{name}: {format_gib(rank.used)} used of {format_gib(rank.usable)} usable"
        for name, rank in ranks
    )
    draw(
        compared_bars(ranks, text=text_colour()),
        key="compare-bars",
        alt=words,
    )


def _number(label: str, key: str, value: float, most: float, step: float, help: str = "") -> float:
    return float(
        st.number_input(
            label,
            min_value=0.0,
            max_value=most,
            value=value,
            step=step,
            key=key,
            help=help or None,
            bind="query-params",
        )
    )


def _whole(label: str, key: str, value: int) -> int:
    return int(
        st.number_input(
            label,
            min_value=1,
            max_value=1_000_000,
            value=value,
            step=256,
            key=key,
            bind="query-params",
        )
    )


def _show_money(plans: list[tuple[str, Plan]]) -> None:
    st.subheader("Cost and break-even")
    with st.grid(4, gap="small"):
        prompt = _whole("Prompt tokens", "cost-prompt", 4096)
        output = _whole("Answer tokens", "cost-answer", 512)
        busy = st.slider("Busy, % of the day", 1, 100, 30, key="cost-busy", bind="query-params")
        years = _number("Written off over (years)", "cost-years", 3.0, 20.0, 0.5)
        kwh = _number("Electricity (USD per kWh)", "cost-kwh", 0.15, 5.0, 0.01)
        hosted_in = _number(
            "Hosted: USD per million input tokens",
            "cost-hosted-in",
            0.0,
            1000.0,
            0.05,
            "What a service would ask for the same model; 0 leaves the comparison out.",
        )
        hosted_out = _number(
            "Hosted: USD per million output tokens", "cost-hosted-out", 0.0, 1000.0, 0.05
        )
    assumed = Assumptions(
        prompt_tokens=prompt,
        output_tokens=output,
        utilization=busy / 100,
        price_per_kwh=kwh,
        years=years,
        hosted_input=hosted_in,
        hosted_output=hosted_out,
    )
    columns: list[dict[str, str]] = []
    for _, plan in plans:
        try:
            got = money(plan, assumed)
        except PlannerError as error:
            got = str(error)
        columns.append(_words(got, hosted=bool(hosted_in or hosted_out)))
    names = list(dict.fromkeys(name for column in columns for name in column))
    st.markdown(
        markdown_table(
            ("", *(f"deployment {name}" for name, _ in plans)),
            [(name, *(column.get(name, "—") for column in columns)) for name in names],
        )
    )
    st.markdown("Prices move: each carries its date, and electricity what it covers.")


def _words(found: Money | str, *, hosted: bool) -> dict[str, str]:
    if isinstance(found, str):
        return {"cost": escape(found)}
    option, spent = found.option, found.expense
    unit = "per hour" if option.kind == "hourly" else "to buy"
    rows = {
        "price": f"{option.value:,.2f} USD {unit}",
        "covers": escape(
            f"{option.note}; {option.source}{', ' + option.date if option.date else ''}"
        ),
        "per hour": f"{spent.per_hour:,.3f} USD",
    }
    if found.tokens is not None:
        tokens = found.tokens
        if tokens.per_million_input is not None:
            rows["per million input tokens"] = f"{tokens.per_million_input:,.3f} USD"
        rows["per million output tokens"] = f"{tokens.per_million_output:,.3f} USD"
        rows["requests per day"] = f"{tokens.requests_per_day:,.0f}"
    if hosted and found.even is not None:
        even = found.even
        rows["hosted, per day"] = f"{even.hosted_per_day:,.2f} USD"
        rows["own, per day"] = f"{even.own_per_day:,.2f} USD"
        rows["breaks even at"] = (
            f"{even.utilization:.1%} of the day busy"
            if even.reachable and even.utilization is not None
            else "no utilization"
        )
        if even.payback_days is not None:
            rows["paid back after"] = f"{even.payback_days:,.0f} days"
    if found.note:
        rows["note"] = escape(found.note)
    return rows
