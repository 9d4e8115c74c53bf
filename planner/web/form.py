"""The form that asks for a deployment. Its values live in the page's address, so links restore it."""

from __future__ import annotations

import streamlit as st

from hardware_db import System
from planner.errors import InputError, PlannerError
from planner.model import catalog
from planner.units import format_gib, format_tokens, parse_tokens
from planner.web import choices, devices
from planner.web.access import hub_allowed, is_own_user
from planner.web.answering import checkpoint
from planner.web.asked import Asked, OptionValue, system
from planner.web.engine_options import ask_options, option_fields
from planner.web.tables import escape

_CONTEXT, _SLIDER = "context", "context-slider"
_YARN = "yarn"


def ask(*, wide: bool) -> Asked:
    """Show the form and return what it says.

    Args:
        wide: fields side by side over the page's width, instead of one below the other.
    """
    areas = st.columns(4, gap="medium") if wide else [st.container()] * 4
    with areas[0]:
        model = _ask_model()
        own_user = is_own_user()
        hub = hub_allowed(own_user=own_user)
        precision = _ask_precision(model, hub=hub)
    with areas[1]:
        on, count, memory, machine = _ask_hardware(own_user=own_user)
    with areas[2]:
        engine = _select("Engine", choices.engines(), "engine", help="Who serves the model.")
        cache = _select(
            "KV cache dtype",
            choices.cache_formats(),
            "kv_cache_dtype",
            help="Number format of the KV cache. auto: what the engine takes by itself.",
        )
    with areas[3]:
        context = _ask_context(model)
        concurrency = st.number_input(
            "Sequences at once",
            min_value=1,
            max_value=1_000_000,
            value=choices.defaults()["concurrency"],
            step=1,
            key="concurrency",
            help="How many sequences are held at the full context at the same time.",
            bind="query-params",
        )
    degrees, experts, yarn, options = _folded(engine)
    return Asked(
        model=model,
        precision=precision,
        on=on,
        count=count,
        memory_gib=memory,
        machine=machine,
        engine=engine,
        context=context,
        concurrency=int(concurrency),
        kv_cache_dtype=cache,
        degrees=degrees,
        experts=experts,
        yarn=yarn,
        options=options,
        hub=hub,
    )


def _select(label: str, options: tuple[str, ...], name: str, help: str | None = None) -> str:
    start = choices.defaults()[name]
    value = st.selectbox(
        label, options, index=options.index(start), key=name, help=help, bind="query-params"
    )
    return str(value)


def _ask_model() -> str:
    model = _select("Model", choices.models(), "model", help="The bundled family; type to search.")
    if model != choices.OTHER:
        return model
    named = st.text_input(
        "Repository",
        key="repository",
        max_chars=200,
        placeholder="Qwen/Qwen3.5-27B-FP8",
        help=(
            "A bundled checkpoint, or any public repository of the Hugging Face Hub where the"
            " operator of this page allows it. Only headers are read."
        ),
        bind="query-params",
    )
    return str(named).strip()


def _ask_precision(model: str, *, hub: bool) -> str | None:
    """The precision; of a repository that the visitor names, what it stores."""
    chosen = None
    if st.session_state.get("model") != choices.OTHER:
        chosen = _select(
            "Precision", choices.precisions(), "precision", help="How the weights are stored."
        )
    try:
        with st.spinner("Reading the headers of its files", show_time=True):
            found = checkpoint(model, chosen, hub=hub)
        words = f"**{format_gib(found.nbytes())}** of weights: {escape(found.scheme.title)}"
        if found.hypothetical:
            words += "; no official checkpoint is known"
        st.markdown(f":small[{words}]")
    except PlannerError:
        pass  # the verdict says what is wrong
    return chosen


def _ask_hardware(*, own_user: bool) -> tuple[str, int, float | None, System | None]:
    own = devices.own_devices()
    local = (choices.LOCAL,) if own_user else ()
    with st.container(horizontal=True, vertical_alignment="top"):
        on = _select(
            "Hardware",
            (*local, *own, *choices.hardware()),
            "on",
            help="Type to search: 4090, h200, spark…",
        )
        count = 1
        if on != choices.LOCAL:
            count = st.number_input(
                "How many",
                min_value=1,
                max_value=4096,
                value=choices.defaults()["count"],
                step=1,
                key="count",
                width=110,
                bind="query-params",
            )
    memory, machine = None, None
    if on == choices.CUSTOM:
        memory = st.number_input(
            "Memory of each (GiB)",
            min_value=1.0,
            max_value=4096.0,
            value=48.0,
            step=1.0,
            key="memory_gib",
            help="What the driver lets programs allocate.",
            bind="query-params",
        )
    try:
        if on == choices.LOCAL:
            machine = devices.this_machine()
        elif on in own:
            machine = devices.several(own[on], int(count))
        found = machine or system(on, int(count), memory)
        each = found.accelerator
        words = f"{escape(found.name)}: **{format_gib(each.total_bytes)}** each"
        if each.is_unified:
            words += ", shared with the system"
        st.markdown(f":small[{words}]")
    except InputError as error:
        if on == choices.LOCAL:
            st.markdown(f":small[{escape(error)}]")
        # else the verdict says what is wrong
    return on, int(count), memory, machine


def _ask_context(model: str) -> str:
    """The exact entry is what counts and what the address holds; the slider writes into it."""
    slider = st.container()
    text = st.text_input(
        "Context, exactly (tokens)",
        value=choices.defaults()["context"],
        key=_CONTEXT,
        max_chars=20,
        help="Tokens per sequence, prompt and output together: 32768, 128k, 1M.",
        bind="query-params",
    )
    found = catalog.find(model)
    native = found[0].model.max_position_embeddings if found else 262_144
    longest = choices.longest_context(native, yarn=bool(st.session_state.get(_YARN)))
    try:
        tokens: int | None = parse_tokens(text)
    except InputError:
        tokens = None
    stops = choices.contexts(longest)
    if tokens is not None:
        stops = tuple(sorted({*stops, tokens}))
    labels = tuple(choices.tokens_label(stop) for stop in stops)
    current = choices.tokens_label(tokens) if tokens is not None else labels[0]
    st.session_state[_SLIDER] = current
    with slider:
        st.select_slider(
            f"Context per sequence: {format_tokens(tokens) if tokens else '?'} tokens",
            options=labels,
            key=_SLIDER,
            on_change=_slid,
        )
    return str(text)


def _slid() -> None:
    st.session_state[_CONTEXT] = st.session_state[_SLIDER]


def _folded(
    engine: str,
) -> tuple[tuple[int, int, int], bool, bool, tuple[tuple[str, OptionValue], ...]]:
    """The further options; drawn only while they are open or one of them is set.

    Two dozen fields would cost more time per key press than everything else on the page.
    """
    more = st.expander("More options", icon=":material/tune:", key="more", on_change="rerun")
    if more.open or _is_set(engine):
        with more:
            return _ask_more(engine)
    return (0, 0, 0), False, False, ()


def _is_set(engine: str) -> bool:
    """One of the folded fields holds something, from the address or from this session."""
    fields = {
        f"{engine}-{field.name}": field.shown(field.default) for field in option_fields(engine)
    }
    fields |= {"tp": 0, "pp": 0, "dp": 0, "ep": False, _YARN: False}
    state, query = st.session_state, st.query_params
    return any(
        name in query or (name in state and state[name] != start) for name, start in fields.items()
    )


def _ask_more(
    engine: str,
) -> tuple[tuple[int, int, int], bool, bool, tuple[tuple[str, OptionValue], ...]]:
    st.markdown("**Layout** (0 takes the best one)")
    with st.grid(3, gap="small"):
        tensor = _degree("Tensor parallel", "tp")
        pipeline = _degree("Pipeline parallel", "pp")
        data = _degree("Data parallel", "dp")
    experts = st.toggle("Expert parallel", key="ep", bind="query-params")
    yarn = st.toggle(
        "YaRN beyond the native context",
        key=_YARN,
        help="Allow contexts that the model was not trained for, by scaling RoPE.",
        bind="query-params",
    )
    st.markdown(f"**Options of {engine}**")
    return (tensor, pipeline, data), experts, yarn, ask_options(engine)


def _degree(label: str, key: str) -> int:
    return int(
        st.number_input(
            label, min_value=0, max_value=4096, value=0, step=1, key=key, bind="query-params"
        )
    )
