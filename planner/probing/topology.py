"""How NVIDIA devices reach each other, and how fast their NVLinks are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from planner.probing.machine import NvLink, Pair, Topology, topology_of
from planner.probing.nvml import Nvml

# NVML_TOPOLOGY_*, named as `nvidia-smi topo -m` names them.
_PATHS = {0: "internal", 10: "pix", 20: "pxb", 30: "phb", 40: "node", 50: "sys"}

_P2P_NVLINK = 2  # NVML_P2P_CAPS_INDEX_NVLINK
_P2P_OK = 0
_MOST_LINKS = 36  # NVML_NVLINK_MAX_LINKS of binding 13.615; 18 in older ones
_LINK_SPEED_FIELD = 90  # NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON
_TO_SWITCH = 2  # NVML_NVLINK_DEVICE_TYPE_SWITCH

# NVML_NVLINK_VERSION_* to the generation and what one link carries per direction, net of line
# coding: NVLink 2 to 4 25 GB/s, NVLink 5 50 GB/s (stas00/ml-engineering, network/README.md).
_VERSIONS: dict[int, tuple[str, float | None]] = {
    1: ("1.0", None),
    2: ("2.0", 25.0),
    3: ("2.2", 25.0),
    4: ("3.0", 25.0),
    5: ("3.1", 25.0),
    6: ("4.0", 25.0),
    7: ("5.0", 50.0),
    8: ("6.0", None),
}


def read_topology(nvml: Nvml, handles: Mapping[int, Any]) -> Topology:
    """Pairwise paths between the devices, by index.

    All pairs with a working NVLink path are "fully connected", which is the rule vLLM uses
    (platforms/cuda.py); any error counts as no link.
    """
    pairs = []
    for a, b in combinations(sorted(handles), 2):
        linked = nvml.whole("nvmlDeviceGetP2PStatus", handles[a], handles[b], _P2P_NVLINK)
        if linked == _P2P_OK:
            path = "nvlink"
        else:
            level = nvml.whole("nvmlDeviceGetTopologyCommonAncestor", handles[a], handles[b])
            path = _PATHS.get(-1 if level is None else level, "unknown")
        pairs.append(Pair(vendor="nvidia", a=a, b=b, path=path))
    return topology_of(pairs)


def read_nvlink(nvml: Nvml, handle: Any) -> NvLink | None:
    """The device's active NVLinks; None without any."""
    links, version, to_switch = 0, None, None
    for link in range(nvml.constant("NVML_NVLINK_MAX_LINKS", _MOST_LINKS)):
        state = nvml.ask("nvmlDeviceGetNvLinkState", handle, link)
        if state.error is not None:
            break  # no such link, or no NVLink at all
        if not state.value:
            continue
        links += 1
        if links == 1:
            version = nvml.whole("nvmlDeviceGetNvLinkVersion", handle, link)
            far = nvml.whole("nvmlDeviceGetNvLinkRemoteDeviceType", handle, link)
            to_switch = None if far is None else far == _TO_SWITCH
    if not links:
        return None
    name, nominal = _VERSIONS.get(version or 0, (None, None))
    line = _line_rate(nvml, handle)
    # The line rate includes coding; only where it is below nominal does it tell of slower links.
    rates = [rate for rate in (nominal, line) if rate is not None]
    return NvLink(
        links=links,
        version=name,
        gb_s=links * min(rates) if rates else None,
        to_switch=to_switch,
    )


def _line_rate(nvml: Nvml, handle: Any) -> float | None:
    """GB/s per link and direction as the driver reports it, coding included."""
    values = nvml.get("nvmlDeviceGetFieldValues", handle, [_LINK_SPEED_FIELD])
    if not values or values[0].nvmlReturn != 0:
        return None
    return values[0].value.uiVal / 1000 or None
