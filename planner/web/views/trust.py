"""Trust: every term with its rule and source, a log against its plan, and how close we came elsewhere."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from planner.memory.breakdown import Rank, Term
from planner.provenance import Confidence
from planner.report.explain import band_text
from planner.units import capital, format_bytes, format_gib
from planner.web import fidelity
from planner.web.asked import Asked
from planner.web.frames import kept_tabs
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.views import log_check
from planner.web.views.trust_speed import show_speed
from planner.web.wording import held_line, told, whole_words

TABS = ("This answer", "Check a log", "How close it comes")

ICONS = {
    Confidence.EXACT: ":material/verified:",
    Confidence.ENGINE_RULE: ":material/rule:",
    Confidence.PUBLISHED: ":material/inventory_2:",
    Confidence.CALIBRATED: ":material/straighten:",
    Confidence.ASSUMED: ":material/help:",
}
MEANING = {
    Confidence.EXACT: "follows from the architecture or from file headers alone",
    Confidence.ENGINE_RULE: "read from the engine's own code and checked against it",
    Confidence.PUBLISHED: "the file size that the publisher states, shared out as in the nearest known recipe; with a band",
    Confidence.CALIBRATED: "constants fitted to measured start-ups; with a band",
    Confidence.ASSUMED: "not verified",
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page."""
    answer, log, close = kept_tabs(TABS, key="trust-tab")
    if answer.open:
        with answer:
            _show_answer(found)
    if log.open:
        with log:
            log_check.show(found)
    if close.open:
        with close:
            _show_fidelity()


def _show_answer(found: Answer) -> None:
    plan = found.plan
    if plan is None:
        st.info("The question above has no plan yet.", icon=":material/function:")
        return
    for refusal in plan.refusals:
        st.subheader("The rule that forbids it")
        st.markdown(f"{told(refusal.reason)}  \nSource: {escape(refusal.source.where)}")
        if refusal.engine_message:
            st.code(refusal.engine_message, language=None, wrap_lines=True)
    held = found.held or plan
    if few := held_line(plan, held):
        st.markdown(few)
    for rank in held.ranks:
        _show_rank(rank, whole_words(held))
    if held.fits and found.speed is not None:
        show_speed(found.speed)
    if held.expected_log:
        st.subheader(f"What {plan.server} would print")
        if (alike := plan.deployment.layout.data_parallel) > 1:
            st.markdown(
                f"Each of the {alike} data-parallel ranks prints its own; together they hold"
                f" {alike} times as much."
            )
        st.code("\n".join(held.expected_log), language=None, wrap_lines=True)
        st.markdown("Started it already? Paste its log under **Check a log**.")
    if plan.ranks:
        st.markdown("**How sure a number is**")
        with st.container(key="how-sure"):
            st.table(
                pd.DataFrame(
                    {"": [MEANING[level] for level in Confidence]},
                    index=[f"{ICONS[level]} {level.value}" for level in Confidence],
                ),
                border="horizontal",
                hide_header=True,
                alt="How sure a number is",
            )


def _show_rank(rank: Rank, whole: str) -> None:
    many = f", {rank.count} alike" if rank.count > 1 else ""
    st.subheader(capital(rank.label) + many)
    used, usable = format_gib(rank.used), format_gib(rank.usable)
    words = f"{used} of {usable} usable"
    if rank.headroom < 0:
        words = f"Needs {used}; {usable} are usable"
    total = f"; {whole} {format_gib(rank.total)}" if rank.total != rank.usable else ""
    st.markdown(f"{words}{total}.")
    for number, term in enumerate(rank.terms):
        label = f"{capital(term.name)}: **{format_bytes(term.nbytes)}** ({_sure(term)})"
        with st.expander(label, icon=ICONS[term.confidence], key=f"term-{rank.name}-{number}"):
            _show_term(term)


def _sure(term: Term) -> str:
    return ", ".join(filter(None, (term.confidence.value, band_text(term))))


def _show_term(term: Term) -> None:
    numbers = term.substituted
    lines = [term.formula, f"= {numbers}"] if numbers != term.formula else [term.formula]
    st.code("\n".join([*lines, f"= {term.nbytes:,} bytes"]), language=None, wrap_lines=True)
    rows = {
        "amount": f"{format_bytes(term.nbytes)} ({term.nbytes / 1e9:,.3f} GB)",
        "kind": term.kind.value,
        "how sure": f"{term.confidence.value}: {MEANING[term.confidence]}",
    }
    if term.band is not None:
        rows["band"] = band_text(term)
    when = f", {term.source.when}" if term.source.when else ""
    rows["source"] = f"{escape(term.source.where)}{when}"
    st.table(
        pd.DataFrame({"": list(rows.values())}, index=list(rows)),
        border="horizontal",
        hide_header=True,
        alt=f"{term.name}: amount, kind and source",
    )


def _show_fidelity() -> None:
    shipped = fidelity.shipped()
    if shipped is None:
        st.info("This build ships no run of the reference cases.", icon=":material/straighten:")
        return
    st.markdown(
        f"Reference cases run with version {escape(shipped.version)} on {escape(shipped.date)}:"
        " what engines computed, published sizes, printed logs."
    )
    st.table(
        pd.DataFrame(
            {
                "Agree": [fidelity.agreement(suite) for suite in shipped.suites],
                "Error": [fidelity.errors(suite) for suite in shipped.suites],
            },
            index=[capital(suite.about) for suite in shipped.suites],
        ),
        border="horizontal",
        alt="Measured against predicted, by suite",
    )
    st.markdown(
        "Exact: every compared field is equal. Where the planner estimates, it states a band, and"
        " what is told is how often the truth lay in it; too fast: it took longer than the band"
        " allows. Errors are relative, or in GiB."
    )
    _show_peers()


def _show_peers() -> None:
    """Draw other planners' answers to the same questions, as the tools themselves gave them."""
    peers = fidelity.peers()
    if peers is None:
        return
    st.subheader("Other planners, on the same questions")
    st.markdown(f"Asked on {escape(peers['date'])}, of BF16 weights.")
    st.markdown("**Weights, KV cache and state**")
    st.markdown(
        f"Of {escape(' / '.join(peers['models']))}. The truth is what the engines' own code counts."
    )
    _show_tools(fidelity.answers_of_peers(peers), alt="Weights, KV cache and state, by planner")
    st.markdown("**Sequences that vLLM holds at once**")
    st.markdown(
        "The last column: whether so many users fit, asked for the powers of two just below and just"
        " above the reference; how many of those verdicts are right."
    )
    _show_tools(fidelity.counts_of_peers(peers), alt="Sequences at once, by planner")
    with st.expander("How each was asked, and how long it took", icon=":material/notes:"):
        st.markdown(
            "Time is the CPU time of a whole answer for the first model, in starts of a bare Python."
        )
        notes = fidelity.notes_of_peers(peers)
        st.markdown("\n".join(f"- **{escape(tool)}**: {escape(words)}" for tool, words in notes))


def _show_tools(rows: list[dict[str, str]], *, alt: str) -> None:
    """One line per tool, which is the first of its words."""
    frame = pd.DataFrame([{name: escape(cell) for name, cell in row.items()} for row in rows])
    st.table(frame.set_index("Tool"), border="horizontal", alt=alt)
