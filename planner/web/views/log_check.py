"""Check a log: what a server printed against what the planner says, and what explains a difference."""

from __future__ import annotations

import io

import pandas as pd
import streamlit as st

from planner.engines import ENGINES
from planner.engines.log_readers import readers
from planner.errors import PlannerError
from planner.log_text import text_lines
from planner.remedying import remedies
from planner.units import capital, counted
from planner.web import working
from planner.web.bounds import LOG_FIELD
from planner.web.choices import tokens_label
from planner.web.frames import height_of
from planner.web.pasted import LONGEST, Checked, Ended, checked, table, verdict
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.theme import show_command
from planner.web.wording import layout_words, told

_KEPT = f"{LOG_FIELD}-kept"
MOST_ADVICE = 3


def show(found: Answer) -> None:
    """Draw the field and, once a log was given, the comparison."""
    known = ", ".join(ENGINES[name].title for name in readers())
    with st.form("trust-form", border=False, enter_to_submit=False):
        text = st.text_area(
            f"Start-up log of {known}",
            st.session_state.get(_KEPT, ""),  # a field forgets on another page
            key=LOG_FIELD,
            height=180,
            max_chars=LONGEST,
            placeholder="Paste the lines from the start of the server until it is ready.",
            help="Keys, tokens and passwords in it are blotted out before it is read; nothing is kept.",
        )
        file = st.file_uploader(
            "or its file", type=["log", "txt"], key="trust-file", max_upload_size=5
        )
        asked = st.form_submit_button("Compare with the plan", icon=":material/difference:")
    if file is not None and not text:
        try:
            text = text_of_file(file.name, file.getvalue())
        except PlannerError as error:
            st.error(capital(told(error)), title="Cannot be compared", icon=":material/help:")
            return
    text = text[:LONGEST]  # the field's own limit holds in a browser only
    st.session_state[_KEPT] = text
    if not text.strip():
        if asked:
            st.info("Paste a log first.", icon=":material/content_paste:")
        return
    try:
        with st.spinner("Reading the log and planning its start"):
            answer = working.run(
                checked,
                text,
                system=found.wanted.system if found.wanted is not None else None,
                checkpoint=found.plan.deployment.checkpoint if found.plan is not None else None,
                engine=found.plan.engine if found.plan is not None else None,
            )
    except PlannerError as error:
        st.error(capital(told(error)), title="Cannot be compared", icon=":material/help:")
        return
    if isinstance(answer, Ended):
        _show_end(answer)
    else:
        _show_check(answer)


def text_of_file(name: str, content: bytes) -> str:
    """Return the text of a log's file, in UTF-8 or as PowerShell writes it.

    Raises:
        InputError: no text.
    """
    return "".join(text_lines(io.BytesIO(content), name))


def _show_end(ended: Ended) -> None:
    """How a start failed that cannot be planned again."""
    words = f"{capital(ended.helps)}." if ended.helps else ""
    if not ended.memory:
        words = f"It is not for want of GPU memory. {words}"
    st.error(escape(words), title=_failed(ended.title), icon=":material/error:")
    st.code(ended.line, language=None, wrap_lines=True)
    st.markdown(
        "The log does not say what was started: paste it from its first line on, or choose engine and"
        " model above, for a change that is checked."
    )


def _failed(title: str) -> str:
    return f"{title} did not start"


def _show_check(answer: Checked) -> None:
    check, plan = answer.check, answer.check.plan
    good, text = verdict(check)
    if check.refusal is not None or check.objection is not None:
        st.error(escape(text), title=_failed(plan.engine_title), icon=":material/error:")
    elif good and all(row.agrees is None for row in check.rows):
        st.info(escape(text), title="Not judged", icon=":material/help:")
    elif good:
        st.success(escape(text), title="Agrees", icon=":material/check_circle:")
    else:
        st.warning(escape(text), title="Differs", icon=":material/difference:")
    deployment = plan.deployment
    st.markdown(
        f"**{escape(deployment.checkpoint.id)}** on **{escape(deployment.system.short_name)}**,"
        f" {escape(layout_words(deployment.layout))}, {tokens_label(deployment.context)} tokens, KV cache"
        f" {escape(deployment.kv_cache_dtype)}, {plan.engine_title}"
        f" {escape(check.version or plan.release)}"
    )
    lines = table(check.rows)
    if lines:
        st.dataframe(
            pd.DataFrame(lines, columns=list(lines[0])),
            hide_index=True,
            height=height_of(len(lines)),
            column_config={
                name: st.column_config.TextColumn(alignment="right")
                for name in ("Planned", "In the log", "Difference")
            }
            | {"Figure": st.column_config.TextColumn(pinned=True)},
            alt="Figures of the log beside those of the plan",
        )
    if check.unplanned:
        more = counted(len(check.unplanned), "more figure")
        with st.expander(f"{more} without a word from the plan"):
            st.table(
                pd.DataFrame(
                    {"": [line["In the log"] for line in table(check.unplanned)]},
                    index=[line["Figure"] for line in table(check.unplanned)],
                ),
                border="horizontal",
                hide_header=True,
                alt="Further figures of the log",
            )
    _explain(answer)


def _explain(answer: Checked) -> None:
    """What explains a difference, and what to change where the start fails."""
    check = answer.check
    notes = [*answer.notes, *map(capital, check.notes), *check.plan.warnings]
    if notes:
        st.markdown("**What explains a difference**" if not check.agrees else "**What to know**")
        st.markdown("\n".join(f"- {told(note)}" for note in notes))
    if check.refusal is None:
        return
    try:
        pieces = working.run(remedies, check)[:MOST_ADVICE]
    except PlannerError:
        return
    if pieces:
        st.markdown("**What to change**")
        for piece in pieces:
            st.markdown(f"- {capital(told(piece.words))}")
            if piece.command is not None:
                show_command(piece.command)
