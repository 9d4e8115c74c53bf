"""Why trust it: every term with its rule, the numbers put in, where the rule was read."""

from __future__ import annotations

import streamlit as st

from planner.memory.breakdown import Rank, Term
from planner.provenance import Confidence
from planner.report.explain import band_text
from planner.units import capital, format_bytes, format_gib
from planner.web import fidelity
from planner.web.asked import Asked
from planner.web.solving import Answer
from planner.web.tables import escape, markdown_table

_ICONS = {
    Confidence.EXACT: ":material/verified:",
    Confidence.ENGINE_RULE: ":material/rule:",
    Confidence.PUBLISHED: ":material/inventory_2:",
    Confidence.CALIBRATED: ":material/straighten:",
    Confidence.ASSUMED: ":material/help:",
}
_MEANING = {
    Confidence.EXACT: "follows from the architecture or from file headers alone",
    Confidence.ENGINE_RULE: "read from the engine's own code and checked against it",
    Confidence.PUBLISHED: "bytes that the publisher states, spread by the nearest recipe; carries a band",
    Confidence.CALIBRATED: "constants fitted to measured start-ups; carries a band",
    Confidence.ASSUMED: "not verified",
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page below the answer."""
    plan = found.plan
    if plan is not None:
        for refusal in plan.refusals:
            st.subheader("The rule that forbids it")
            st.markdown(f"{escape(refusal.reason)}  \nSource: {escape(refusal.source.where)}")
            if refusal.engine_message:
                st.code(refusal.engine_message, language=None, wrap_lines=True)
        for rank in plan.ranks:
            _show_rank(rank)
        if plan.ranks:
            st.markdown(
                "How sure a number is: "
                + "; ".join(
                    f"{_ICONS[level]} **{level.value}**, {_MEANING[level]}" for level in Confidence
                )
                + "."
            )
        if plan.expected_log:
            st.subheader(f"What {plan.engine_title} {plan.engine_version} would print")
            st.code("\n".join(plan.expected_log), language=None, wrap_lines=True)
    _show_fidelity()


def _show_rank(rank: Rank) -> None:
    many = f", {rank.count} alike" if rank.count > 1 else ""
    st.subheader(capital(rank.name) + many)
    st.markdown(
        f"{format_gib(rank.used)} of {format_gib(rank.usable)} usable;"
        f" {format_gib(rank.total)} is what the driver lets programs allocate."
    )
    for number, term in enumerate(rank.terms):
        label = f"{term.name}: **{format_gib(term.nbytes, 2)}** ({_sure(term)})"
        with st.expander(label, icon=_ICONS[term.confidence], key=f"term-{rank.name}-{number}"):
            _show_term(term)


def _sure(term: Term) -> str:
    return ", ".join(filter(None, (term.confidence.value, band_text(term))))


def _show_term(term: Term) -> None:
    numbers = term.substituted
    lines = [term.formula, f"= {numbers}"] if numbers != term.formula else [term.formula]
    st.code("\n".join([*lines, f"= {term.nbytes:,} bytes"]), language=None, wrap_lines=True)
    rows = [
        ("amount", f"{format_bytes(term.nbytes)} ({term.nbytes / 1e9:,.3f} GB)"),
        ("kind", term.kind.value),
        ("how sure", f"{term.confidence.value}: {_MEANING[term.confidence]}"),
    ]
    if term.band is not None:
        rows.append(("band", band_text(term)))
    when = f", {term.source.when}" if term.source.when else ""
    rows.append(("source", f"{escape(term.source.where)}{when}"))
    st.markdown(markdown_table(("", ""), rows))


def _show_fidelity() -> None:
    shipped = fidelity.shipped()
    if shipped is None:
        return
    st.subheader("Measured against predicted")
    st.markdown(
        f"Suites of reference cases run with version {escape(shipped.version)} on"
        f" {escape(shipped.date)}: what engines computed, published sizes, printed logs."
    )
    rows = [
        (
            f"**{escape(suite.name)}**: {suite.about}",
            f"{suite.cases:,}",
            suite.exact,
            suite.median,
            suite.most,
            suite.largest,
            suite.band,
        )
        for suite in shipped.suites
    ]
    st.markdown(
        markdown_table(
            ("suite", "cases", "exact", "median error", "9 in 10", "largest", "in its band"),
            rows,
            numbers=range(1, 7),
        )
    )
    st.markdown(
        "Exact: every compared field is equal. Where the planner estimates, it states a band, and"
        " the last column says how often the truth lay in it. Errors are relative, or in GiB."
    )
