"""The page's address: what it may hold before any field reads it."""

from __future__ import annotations

import math
import re
from contextlib import suppress

import streamlit as st

import hardware_db
from hardware_db import HardwareError
from planner.errors import InputError
from planner.model import catalog
from planner.model.quantization import get_scheme
from planner.web import choices
from planner.web.devices import PREFIX

_READ = "address-read"
NOTICE = "address-notice"
"""Where the session keeps what the visitor should know about the link that was followed."""

LONGEST_VALUE = 300
"""Characters; no field of this app holds more."""


def clean_address() -> None:
    """Drop values that no field could hold and spell names as the fields do, then start over.

    Fields fall back to their defaults on unknown values by themselves; numbers beyond floating
    point would break them (seen with Streamlit 1.67: `?count=1e400`).
    """
    bad = [name for name, value in st.query_params.items() if not _is_plausible(value)]
    if st.query_params.get("on", "").startswith(PREFIX) and _READ not in st.session_state:
        st.session_state[NOTICE] = (
            "This link names a device that somebody added for a session of their own: the hardware"
            " shown here is another."
        )
    for name in bad:
        del st.query_params[name]
    respelled = {} if _READ in st.session_state else _respelled(st.query_params.to_dict())
    st.session_state[_READ] = True
    for name, value in respelled.items():
        st.query_params[name] = value
    if bad or respelled:
        st.rerun()


def _respelled(query: dict[str, str]) -> dict[str, str]:
    """What a person wrote as on the command line ("2x h100", "Qwen/..."), as the fields say it."""
    found: dict[str, str] = {}
    counted = re.fullmatch(r"(\d{1,6})\s*[x×*]\s*(\S.*)", query.get("on", ""))
    if counted and "count" not in query:
        found |= {"count": counted[1], "on": counted[2]}
    on = found.get("on", query.get("on"))
    if on is not None and on not in (*choices.hardware(), choices.LOCAL):
        try:
            found["on"] = hardware_db.get(on).id
        except HardwareError:
            found.pop("on", None)  # the field falls back
    model = catalog.find(query.get("model", ""))
    if model is not None and query["model"] not in choices.models():
        found["model"] = model[0].id.rpartition("/")[2]
        found |= {} if "precision" in query else {"precision": model[1]}
    if (precision := query.get("precision")) and precision not in choices.precisions():
        with suppress(InputError):  # the field falls back
            found["precision"] = get_scheme(precision).name
    if query.get("engine", "") != (engine := query.get("engine", "").lower()):
        found["engine"] = engine
    return found


def _is_plausible(value: str) -> bool:
    if len(value) > LONGEST_VALUE or not value.isprintable():
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return True
