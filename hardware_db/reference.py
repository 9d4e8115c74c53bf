"""Writes docs/hardware.md from the data: `python -m hardware_db.reference [--check]`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from hardware_db.accelerator import Accelerator
from hardware_db.database import bundled
from hardware_db.electricity import Electricity
from hardware_db.figures import Figure
from hardware_db.memory import HostMemory
from hardware_db.reference_text import INTRODUCTION, SCHEMA
from hardware_db.system import System
from hardware_db.walk import figures

__all__ = ["main", "page"]

_PAGE = Path(__file__).parent.parent / "docs" / "hardware.md"
_GIB = 1 << 30
_VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "apple": "Apple", "intel": "Intel"}


def page() -> str:
    """The reference page of the bundled data, without the user's own file."""
    known = bundled()
    sections = [INTRODUCTION.strip(), _counts(known.accelerators, known.systems)]
    vendors = dict.fromkeys(entry.vendor for entry in known.accelerators)
    for vendor in sorted(vendors, key=lambda name: (*_VENDORS, name).index(name)):
        entries = [entry for entry in known.accelerators if entry.vendor == vendor]
        sections.append(f"## Accelerators: {_VENDORS.get(vendor, vendor.capitalize())}")
        sections.append(_accelerator_table(entries))
    for provider in dict.fromkeys(system.provider for system in known.systems):
        systems = [system for system in known.systems if system.provider == provider]
        sections.append(f"## Systems: {provider or 'to buy or build'}")
        sections.append(_system_table(systems))
    sections.append("## RAM beside the accelerators")
    sections.append(_memory_table(known.memories))
    sections.append("## Electricity")
    sections.append(_electricity_table(known.electricity))
    sections.append("## Formats without a native kernel")
    sections.append(_format_table(known.accelerators))
    sections.append("## Conflicts, and why the figure was chosen")
    sections.append(_conflict_table((*known.accelerators, *known.systems)))
    sections.append(SCHEMA.strip())
    return "\n\n".join(sections) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check only compare: 0 where it is current, 1 where it is not."""
    text = page()
    if "--check" in arguments:
        return 0 if _PAGE.is_file() and _PAGE.read_text(encoding="utf-8") == text else 1
    _PAGE.write_text(text, encoding="utf-8")
    return 0


def _counts(accelerators: Sequence[Accelerator], systems: Sequence[System]) -> str:
    entries: tuple[Accelerator | System, ...] = (*accelerators, *systems)
    grades = Counter(str(figure.grade) for entry in entries for _, figure in figures(entry))
    counted = ", ".join(f"{grades[grade]} of grade {grade}" for grade in "ABCD")
    return (
        f"{len(accelerators)} accelerators (sizes of one chip counted apart) and {len(systems)} "
        f"systems; figures: {counted}."
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _value(figure: Figure | None) -> str:
    """The figure for a table; grade D is marked."""
    if figure is None:
        return ""
    return f"{figure.value:g}" + ("?" if figure.grade == "D" else "")


def _accelerator_table(entries: Iterable[Accelerator]) -> str:
    header = (
        "id", "also", "label GB", "driver MiB", "planned GiB", "GB/s", "bf16", "fp8", "fp4",
        "int8", "target", "links", "W",
    )  # fmt: skip
    rows = [
        (
            f"`{entry.id}`",
            ", ".join(entry.aliases[:4]),
            _value(entry.memory_marketed_gb),
            _whole(entry.memory_driver_mib),
            f"{entry.total_bytes / _GIB:.2f} {entry.total_bytes_source.grade}",
            _value(entry.bandwidth_gb_s),
            _value(entry.tflops.get("bf16") or entry.tflops.get("fp16")),
            _value(entry.tflops.get("fp8")),
            _value(entry.tflops.get("fp4")),
            _value(entry.tflops.get("int8")),
            entry.compute_capability or entry.gfx or entry.metal_family or "",
            _links(entry),
            _value(entry.tdp_w),
        )
        for entry in entries
    ]
    return _table(header, rows)


def _whole(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.0f}" + ("?" if figure.grade == "D" else "")


def _links(entry: Accelerator) -> str:
    parts = []
    if entry.nvlink_gb_s is not None:
        kind = "" if entry.nvlink_kind == "switch" else f" {entry.nvlink_kind}"
        domain = f" x{entry.nvlink_domain}" if entry.nvlink_domain else ""
        parts.append(f"{entry.link_name} {_value(entry.nvlink_gb_s)}{domain}{kind}")
    if entry.pcie is not None:
        parts.append(f"PCIe {entry.pcie}")
    if entry.is_unified:
        parts.append("unified")
    return ", ".join(parts)


def _system_table(systems: Iterable[System]) -> str:
    header = (
        "id", "name", "accelerators", "nodes", "GiB in all", "in a node GB/s",
        "between nodes GB/s", "host GiB", "price",
    )  # fmt: skip
    rows = [
        (
            f"`{system.id}`",
            system.name,
            f"{system.count} x {system.accelerator.id}",
            str(system.nodes),
            f"{system.count * system.accelerator.total_bytes / _GIB:.0f}",
            _linked(system.intra_node_gb_s, system.intra_node_link),
            _linked(system.inter_node_gb_s, system.inter_node_link),
            _value(system.host_memory_gib),
            "; ".join(
                f"{price.value:g} {price.currency}"
                f"{'/h' if price.kind == 'hourly' else ''} ({price.date})"
                for price in system.prices
            ),
        )
        for system in systems
    ]
    return _table(header, rows)


def _linked(figure: Figure | None, link: str | None) -> str:
    return " ".join(part for part in (_value(figure), f"({link})" if link else "") if part)


def _memory_table(memories: Iterable[HostMemory]) -> str:
    rows = [
        (f"`{memory.id}`", memory.name, _value(memory.theoretical_gb_s), _value(memory.plan_gb_s))
        for memory in memories
    ]
    return _table(("id", "name", "theoretical GB/s", "planned GB/s"), rows)


def _electricity_table(tariffs: Iterable[Electricity]) -> str:
    rows = [
        (t.region, f"{t.price_per_kwh:g} {t.currency}", t.kind, t.date or "", t.source)
        for t in tariffs
    ]
    return _table(("region", "per kWh", "kind", "date", "source"), rows)


def _format_table(accelerators: Iterable[Accelerator]) -> str:
    grouped: dict[tuple[str, str], list[str]] = {}
    for entry in accelerators:
        for name, text in entry.formats.items():
            if text != "native":
                target = entry.compute_capability or entry.gfx or entry.architecture
                who = f"{entry.architecture} ({target})" if target != entry.architecture else target
                found = grouped.setdefault((name, text), [])
                if who not in found:
                    found.append(who)
    rows = [(name, ", ".join(who), text) for (name, text), who in sorted(grouped.items())]
    return _table(("format", "on", "what happens"), rows)


def _conflict_table(entries: Iterable[Accelerator | System]) -> str:
    shared: dict[tuple[str, ...], list[str]] = {}
    for entry in entries:
        for field, figure in figures(entry):
            if not figure.alternatives:
                continue
            others = "; ".join(
                f"{other.value:g} ({other.source}{', ' + other.note if other.note else ''})"
                for other in figure.alternatives
            )
            kept = f"{figure.value:g} {figure.grade}"
            row = (field, kept, figure.note or "", figure.source, others)
            shared.setdefault(row, []).append(f"`{entry.id}`")
    rows = [(", ".join(ids), *row) for row, ids in shared.items()]
    return _table(("entries", "figure", "kept", "because", "source", "others"), rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
