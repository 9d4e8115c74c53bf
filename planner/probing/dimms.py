"""Modules of system memory as udev keeps them from the firmware's tables, readable without root.

systemd's `dmi_memory_id` writes them since version 248; in most containers and under WSL they are
not there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from hardware_db.records import frozen
from planner.probing.environment import Environment

UDEV = "/run/udev/data/+dmi:id"

_PROPERTY = re.compile(r"^E:MEMORY_DEVICE_(\d+)_([A-Z_]+)=(.*)$", re.MULTILINE)
_CHANNEL = re.compile(
    r"((?:controller|mc|node|p|cpu|proc)[ _]?\d+[ _-]+)?ch(?:annel)?[ _-]?([a-z]|\d+)"
)
_SLOT = re.compile(r"dimm[ _]?([a-z])[ _]?\d")
_SOCKET = re.compile(r"\b(?:p|cpu|proc|node)[ _]?(\d)")
_WIDTH = 64
"""Bits of a channel whose firmware does not tell its width."""


@frozen
class Modules:
    """System memory by its modules.

    Attributes:
        kind: "DDR5", "LPDDR5".
        mt_s: configured transfers per second, millions.
        width: bits of all channels of one socket together.
        told: the firmware names the channels; else they are counted from the modules.
    """

    kind: str
    mt_s: int
    width: int
    told: bool

    @property
    def gb_s(self) -> float:
        """Width in bytes x transfers per second, GB/s of one socket."""
        return self.width / 8 * self.mt_s / 1000

    @property
    def words(self) -> str:
        """``DDR5-5600, 128 bits wide``."""
        return f"{self.kind}-{self.mt_s}, {self.width} bits wide"


def read_modules(environment: Environment) -> Modules | None:
    """Return the memory's speed and width; None where udev does not tell them."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for number, name, value in _PROPERTY.findall(environment.read_text(UDEV) or ""):
        found[number][name] = value
    present = [one for one in found.values() if one.get("PRESENT") != "0" and "TYPE" in one]
    speeds = [_whole(one, "CONFIGURED_SPEED_MTS") or _whole(one, "SPEED_MTS") for one in present]
    if not present or not all(speeds):
        return None
    channels: dict[str, dict[str, int]] = defaultdict(dict)
    for one in present:
        label = f"{one.get('BANK_LOCATOR', '')} {one.get('LOCATOR', '')}".lower()
        channel = _CHANNEL.search(label) or _SLOT.search(label)
        if channel is None:
            channels.clear()
            break
        socket = _SOCKET.search(label)
        of_socket = channels[socket[1] if socket else ""]
        width = _whole(one, "DATA_WIDTH") or _WIDTH
        of_socket[channel[0]] = max(width, of_socket.get(channel[0], 0))
    width = max((sum(one.values()) for one in channels.values()), default=0)
    return Modules(
        kind=present[0]["TYPE"],
        mt_s=min(speed for speed in speeds if speed),
        width=width or _WIDTH * min(2, len(present)),
        told=bool(width),
    )


def _whole(properties: Mapping[str, str], name: str) -> int | None:
    text = properties.get(name, "")
    return int(text) if text.isdigit() and len(text) <= 6 else None
