"""AMD devices through sysfs: the kernel's own figures, no ROCm needed.

Read are /sys/class/drm/card*/device (memory, PCI) and /sys/class/kfd/kfd/topology (instruction
set, links). Field names are those of the amdgpu and amdkfd drivers.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations

from hardware_db.records import frozen
from planner.probing import mapping
from planner.probing.environment import Environment
from planner.probing.machine import NO_LINKS, Device, Pair, Topology, topology_of
from planner.probing.system import Host
from planner.probing.visible import apply_hip
from planner.units import MIB, format_gib

_DRM = "/sys/class/drm"
_NODES = "/sys/class/kfd/kfd/topology/nodes"
_VENDOR = "0x1002"
_XGMI = 11  # CRAT_IOLINK_TYPE_XGMI of the kernel's kfd_crat.h
_WHOLE_CARD = ("SPX", "NPS1")


@frozen
class Amd:
    """What sysfs answered; see `nvidia.Nvidia` for the fields."""

    devices: tuple[Device, ...] = ()
    driver_version: str | None = None
    topology: Topology = NO_LINKS
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@frozen
class _Node:
    """One compute node of the kernel's topology."""

    gfx: str | None
    pci_bus_id: str
    uuid: str | None
    xgmi_to: frozenset[int]


def read_amd(environment: Environment, host: Host) -> Amd:
    """Every AMD device of this machine, in the order of the compute driver where it is loaded."""
    if host.platform not in ("linux", "wsl2"):
        return Amd()
    nodes = _nodes(environment)
    order = {node.pci_bus_id: rank for rank, node in enumerate(nodes.values())}
    folders = [folder for folder in _cards(environment) if _is_amd(environment, folder)]
    bus = {folder: _bus_id(environment, folder) for folder in folders}
    folders.sort(key=lambda folder: (order.get(bus[folder], len(order)), folder))
    by_bus = {node.pci_bus_id: node for node in nodes.values()}
    notes: list[str] = []
    warnings: list[str] = []
    devices = tuple(
        _device(environment, host, folder, index, bus[folder], by_bus.get(bus[folder]), notes)
        for index, folder in enumerate(folders)
    )
    for device in devices:
        warnings += _doubts(device, by_bus)
    devices, hidden = apply_hip(devices, environment.environ)
    return Amd(
        devices=devices,
        driver_version=(environment.read_text("/sys/module/amdgpu/version") or "").strip() or None,
        topology=_topology(devices, nodes),
        notes=tuple(notes),
        warnings=(*warnings, *hidden),
    )


def _cards(environment: Environment) -> list[str]:
    names = [name for name in environment.listdir(_DRM) if re.fullmatch(r"card\d+", name)]
    return [f"{_DRM}/{name}/device" for name in sorted(names, key=lambda name: int(name[4:]))]


def _is_amd(environment: Environment, folder: str) -> bool:
    vendor = (environment.read_text(f"{folder}/vendor") or "").strip()
    return vendor == _VENDOR and _number(environment, f"{folder}/mem_info_vram_total") is not None


def _device(
    environment: Environment,
    host: Host,
    folder: str,
    index: int,
    bus_id: str,
    node: _Node | None,
    notes: list[str],
) -> Device:
    vram = _number(environment, f"{folder}/mem_info_vram_total") or 0
    used = _number(environment, f"{folder}/mem_info_vram_used")
    gtt = _number(environment, f"{folder}/mem_info_gtt_total") or 0
    gtt_used = _number(environment, f"{folder}/mem_info_gtt_used") or 0
    pci_device = (environment.read_text(f"{folder}/device") or "").strip().removeprefix("0x")
    gfx = node.gfx if node else None
    entry = mapping.by_gfx(gfx, pci_device or None, vram, host.memory_physical_bytes)
    product = (environment.read_text(f"{folder}/product_name") or "").strip()
    compute = (environment.read_text(f"{folder}/current_compute_partition") or "").strip()
    memory = (environment.read_text(f"{folder}/current_memory_partition") or "").strip()
    speed = re.match(r"([\d.]+) GT/s", environment.read_text(f"{folder}/max_link_speed") or "")
    width = _number(environment, f"{folder}/max_link_width")
    device = Device(
        index=index,
        name=product or (entry.name if entry else f"AMD GPU {gfx or pci_device or bus_id}"),
        vendor="amd",
        uuid=node.uuid if node else None,
        memory_driver_bytes=vram,
        memory_total_bytes=vram,
        memory_free_bytes=None if used is None else max(0, vram - used),
        gfx=gfx,
        pci_bus_id=bus_id,
        pci_id=f"1002:{pci_device}" if pci_device else None,
        pcie_generation=_PCIE.get(speed.group(1).removesuffix(".0")) if speed else None,
        pcie_width=width,
        partition="/".join(part for part in (compute, memory) if part) or None,
        accelerator_id=entry.id if entry else None,
        obtained=(("memory_total_bytes", "sysfs mem_info_vram_total"),),
    )
    if entry is None or not entry.is_unified:
        return device
    notes.append(
        f"GPU {index} shares the system's memory: {format_gib(vram)} set aside by firmware and up "
        f"to {format_gib(gtt)} lent by the kernel (GTT); amdgpu.gttsize and ttm.pages_limit "
        "change the latter."
    )
    return _shared(device, host, vram, used or 0, gtt, gtt_used)


_PCIE = {"2.5": 1, "5": 2, "8": 3, "16": 4, "32": 5, "64": 6}


def _shared(device: Device, host: Host, vram: int, used: int, gtt: int, gtt_used: int) -> Device:
    """Unified memory: what firmware set aside, and what the kernel lends of the rest (GTT)."""
    lent = gtt if host.memory_physical_bytes is None else min(gtt, host.memory_physical_bytes)
    lendable = max(0, lent - gtt_used)
    if host.memory_available_bytes is not None:
        lendable = min(lendable, host.memory_available_bytes)
    return replace(
        device,
        unified=True,
        pcie_generation=None,
        pcie_width=None,
        memory_total_bytes=vram + lent,
        memory_free_bytes=max(0, vram - used) + lendable,
        obtained=(
            ("memory_driver_bytes", "sysfs mem_info_vram_total"),
            (
                "memory_total_bytes",
                "sysfs mem_info_vram_total + min(mem_info_gtt_total, MemTotal)",
            ),
            ("memory_free_bytes", "the same less what is used, GTT within MemAvailable"),
        ),
    )


def _doubts(device: Device, known: dict[str, _Node]) -> list[str]:
    found = []
    if device.pci_bus_id not in known:
        found.append(
            f"GPU {device.index} ({device.name}) is not a compute device of the amdkfd driver "
            "here: ROCm will not use it."
        )
    parts = (device.partition or "").split("/")
    if any(part not in _WHOLE_CARD for part in parts if part):
        found.append(
            f"GPU {device.index} is partitioned ({device.partition}): ROCm shows it as several "
            "devices, each with a part of the memory listed here."
        )
    if device.memory_total_bytes is not None and device.memory_total_bytes < 256 * MIB:
        found.append(f"GPU {device.index} has next to no memory of its own.")
    return found


def _nodes(environment: Environment) -> dict[int, _Node]:
    """GPU nodes by number, in the driver's order; CPUs are nodes too and are left out."""
    found: dict[int, _Node] = {}
    for name in sorted(filter(str.isdigit, environment.listdir(_NODES)), key=int):
        values = _properties(environment, f"{_NODES}/{name}/properties")
        if not values.get("simd_count"):
            continue
        links = frozenset(
            link.get("node_to", -1)
            for entry in environment.listdir(f"{_NODES}/{name}/io_links")
            if (link := _properties(environment, f"{_NODES}/{name}/io_links/{entry}/properties"))
            and link.get("type") == _XGMI
        )
        unique = values.get("unique_id")
        found[int(name)] = _Node(
            gfx=gfx_name(values.get("gfx_target_version", 0)),
            pci_bus_id=_location(values.get("domain", 0), values.get("location_id", 0)),
            uuid=f"GPU-{unique:016x}" if unique else None,
            xgmi_to=links,
        )
    return found


def gfx_name(version: int) -> str | None:
    """The instruction set's name from kfd's number: 90402 → "gfx942", 110501 → "gfx1151"."""
    if version <= 0:
        return None
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _location(domain: int, location: int) -> str:
    """The PCI address behind kfd's location number: 8 bits bus, 5 device, 3 function."""
    return f"{domain:04x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"


def _bus_id(environment: Environment, folder: str) -> str:
    text = environment.read_text(f"{folder}/uevent") or ""
    found = re.search(r"^PCI_SLOT_NAME=(\S+)$", text, re.MULTILINE)
    return found.group(1).lower() if found else ""


def _topology(devices: tuple[Device, ...], nodes: dict[int, _Node]) -> Topology:
    number = {node.pci_bus_id: key for key, node in nodes.items()}
    pairs = []
    for a, b in combinations(devices, 2):
        first, second = number.get(a.pci_bus_id or ""), number.get(b.pci_bus_id or "")
        if first is None or second is None:
            path = "unknown"
        else:
            path = "xgmi" if second in nodes[first].xgmi_to else "pcie"
        pairs.append(Pair(vendor="amd", a=a.index, b=b.index, path=path))
    return topology_of(pairs)


def _properties(environment: Environment, path: str) -> dict[str, int]:
    """A kfd properties file: one "name number" per line."""
    found = re.findall(r"^(\w+) (\d+)$", environment.read_text(path) or "", re.MULTILINE)
    return {name: int(value) for name, value in found}


def _number(environment: Environment, path: str) -> int | None:
    text = (environment.read_text(path) or "").strip()
    return int(text) if text.isdigit() else None
