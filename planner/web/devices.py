"""Hardware that the database does not list: this machine's, and devices of the visitor's own.

Own devices live in the visitor's session and nowhere else.
"""

from __future__ import annotations

import dataclasses

import streamlit as st

import hardware_db
from hardware_db import Accelerator, Figure, HardwareError, System
from hardware_db.compose import several as compose_several
from planner.errors import InputError
from planner.systems import resolve_hardware

PREFIX = "my-"
_KEY = "own-devices"
MOST_DEVICES = 20


def own_devices() -> dict[str, Accelerator]:
    """The visitor's own devices by id."""
    return dict(st.session_state.get(_KEY, {}))


def add_device(name: str, memory_gib: float, like: str, bandwidth_gb_s: float | None) -> str:
    """Keep a device for this session and return its id.

    Args:
        name: what the visitor calls it.
        memory_gib: what the driver lets programs allocate.
        like: id of the accelerator whose formats, links and rates it shares; empty for none.
        bandwidth_gb_s: of its memory, decimal GB/s; None takes that of `like`.

    Raises:
        InputError: no name or one that is taken, an absurd size, or too many devices.
    """
    words = "".join(c if c.isalnum() else "-" for c in name.strip().lower())[:40].strip("-")
    if not words:
        raise InputError("name: give the device a name of letters or digits")
    own = own_devices()
    key = f"{PREFIX}{words}"
    if key in own:
        raise InputError(f"name: {own[key].name} is one of your devices already; give it another")
    if len(own) >= MOST_DEVICES:
        raise InputError(f"devices: {MOST_DEVICES} of your own are enough for one session")
    try:
        given = hardware_db.get(f"custom:{memory_gib:g}GiB")
        base = hardware_db.get(like) if like else given
    except HardwareError as error:
        raise InputError(str(error)) from None
    if not isinstance(given, Accelerator) or not isinstance(base, Accelerator):
        raise InputError(f"like: {like} is a system; name an accelerator")
    device = dataclasses.replace(
        base,
        id=key,
        name=name.strip()[:60],
        aliases=(),
        nvml_names=(),
        memory_cuda_mib=given.memory_cuda_mib,
        memory_marketed_gb=None,  # what it is sold as was not said
        called=None,
        prices=(),
        bandwidth_gb_s=base.bandwidth_gb_s
        if bandwidth_gb_s is None
        else Figure(value=bandwidth_gb_s, source="given by the visitor", grade="D"),
    )
    st.session_state[_KEY] = own | {key: device}
    return key


def several(accelerator: Accelerator, count: int) -> System:
    """`count` of a device of the visitor's own."""
    return compose_several(accelerator, count, known=())


@st.cache_data(ttl=30, show_spinner="Looking at this machine")
def _looked() -> System | str:
    try:
        return resolve_hardware("local")
    except InputError as error:
        return str(error)


def this_machine() -> System:
    """The accelerators of the machine that serves the page, looked at every half minute.

    Raises:
        InputError: nothing here can be planned for.
    """
    found = _looked()
    if isinstance(found, str):
        raise InputError(found)
    return found
