"""Turns the tables of a hardware file into accelerators, systems, and what stands beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hardware_db.accelerator import Accelerator, NvlinkKind, RaisableLimit, UnifiedMemory
from hardware_db.electricity import Electricity
from hardware_db.errors import HardwareError
from hardware_db.figures import Cited, Figure, FrozenMap, Price
from hardware_db.memory import HostMemory, MemoryKind
from hardware_db.processors import CHANNEL_BITS, Processor
from hardware_db.reader import Reader
from hardware_db.regex import pattern
from hardware_db.system import System, intra_node

__all__ = [
    "hourly_prices",
    "read_accelerator",
    "read_electricity",
    "read_memory",
    "read_power",
    "read_prices",
    "read_processor",
    "read_system",
]

_ID = pattern(r"[a-z0-9]+(?:[-._][a-z0-9]+)*")
_CAPABILITY = pattern(r"[1-9]\d?\.\d")
_GFX = pattern(r"gfx[0-9a-f]{3,4}")
_PCIE = pattern(r"[1-7]\.0 x(?:1|2|4|8|16)")
_KINDS: tuple[NvlinkKind, ...] = ("switch", "mesh", "bridge")
_BACKENDS = ("cuda", "rocm", "vulkan", "metal", "xpu", "hpu", "tpu", "cpu")
_BLANKS = ("mib", "gib", "pages")


def read_accelerator(table: Mapping[str, Any], where: str, cited: Cited) -> Accelerator:
    """One `[[accelerator]]` table. Errors: HardwareError with file, entry and field."""
    reader = Reader(dict(table), where, cited)
    identity = _identity(reader)
    reader.where = f"{where} {identity!r}"
    kind = reader.one_of("nvlink_kind", _KINDS) if reader.has("nvlink_kind") else None
    measured = reader.table("tflops_measured")
    accelerator = Accelerator(
        id=identity,
        name=reader.text("name"),
        vendor=reader.text("vendor").lower(),
        architecture=reader.text("architecture"),
        aliases=reader.texts("aliases"),
        nvml_names=reader.texts("nvml_names"),
        pci_device_ids=reader.texts("pci_device_ids"),
        form_factor=reader.optional_text("form_factor"),
        variant=reader.optional_text("variant"),
        called=reader.optional_text("called"),
        compute_capability=_shaped(reader, "compute_capability", _CAPABILITY, "9.0"),
        gfx=_shaped(reader, "gfx", _GFX, "gfx942"),
        metal_family=reader.optional_text("metal_family"),
        memory_marketed_gb=reader.optional_figure("memory_marketed_gb"),
        memory_driver_mib=reader.optional_figure("memory_driver_mib"),
        memory_cuda_mib=reader.optional_figure("memory_cuda_mib"),
        memory_cuda_wddm_mib=reader.optional_figure("memory_cuda_wddm_mib"),
        memory_type=reader.optional_text("memory_type"),
        bandwidth_gb_s=reader.optional_figure("bandwidth_gb_s"),
        bandwidth_measured_gb_s=reader.figures("bandwidth_measured_gb_s"),
        tflops=reader.figure_map("tflops"),
        tflops_measured=_figure_lists(measured, f"{reader.where}: tflops_measured", cited),
        formats=reader.text_map("formats"),
        backends=tuple(_backend(reader, name) for name in reader.texts("backends")),
        link_name=reader.optional_text("link_name"),
        nvlink_gb_s=reader.optional_figure("nvlink_gb_s"),
        nvlink_domain=reader.optional_whole("nvlink_domain"),
        nvlink_kind=next((known for known in _KINDS if known == kind), None),
        pcie=_shaped(reader, "pcie", _PCIE, "5.0 x16"),
        pcie_gb_s=reader.optional_figure("pcie_gb_s"),
        tdp_w=reader.optional_figure("tdp_w"),
        power_measured_w=reader.figures("power_measured_w"),
        max_per_node=reader.optional_whole("max_per_node"),
        unified=_unified(reader),
        prices=reader.prices("prices"),
        release=reader.date("release") if reader.has("release") else None,
        sources=reader.source_map("sources"),
        notes=reader.notes(),
    )
    reader.done()
    _check_memory(accelerator, reader)
    return accelerator


def read_system(
    table: Mapping[str, Any], where: str, cited: Cited, accelerators: Mapping[str, Accelerator]
) -> System:
    """One `[[system]]` table; links inside a node follow from the accelerator unless given."""
    reader = Reader(dict(table), where, cited)
    identity = _identity(reader)
    reader.where = f"{where} {identity!r}"
    wanted = reader.text("accelerator")
    if wanted not in accelerators:
        raise reader.error("accelerator", f"names no known accelerator: {wanted!r}")
    accelerator = accelerators[wanted]
    per_node = reader.whole("accelerators_per_node")
    figure, link = intra_node(accelerator, per_node)
    system = System(
        id=identity,
        name=reader.text("name"),
        accelerator=accelerator,
        accelerators_per_node=per_node,
        nodes=reader.optional_whole("nodes") or 1,
        aliases=reader.texts("aliases"),
        host_memory_gib=reader.optional_figure("host_memory_gib"),
        host_memory_type=reader.optional_text("host_memory_type"),
        host_bandwidth_gb_s=reader.optional_figure("host_bandwidth_gb_s"),
        cpu=reader.optional_text("cpu"),
        vcpus=reader.optional_whole("vcpus"),
        intra_node_gb_s=reader.optional_figure("intra_node_gb_s") or figure,
        intra_node_link=reader.optional_text("intra_node_link") or link,
        inter_node_gb_s=reader.optional_figure("inter_node_gb_s"),
        inter_node_link=reader.optional_text("inter_node_link"),
        link_domain=reader.optional_whole("link_domain"),
        bus_bandwidth_gb_s=reader.figures("bus_bandwidth_gb_s"),
        prices=reader.prices("prices"),
        power_w=reader.optional_figure("power_w"),
        provider=reader.optional_text("provider"),
        notes=reader.notes(),
    )
    reader.done()
    return system


def read_memory(table: Mapping[str, Any], where: str, cited: Cited) -> HostMemory:
    """Return one `[[memory]]` table as a class. Errors: HardwareError with file, entry, field."""
    reader = Reader(dict(table), where, cited)
    plan = reader.figure("plan_gb_s")
    memory = HostMemory(
        id=reader.text("id"),
        name=reader.text("name"),
        type=reader.text("type"),
        mt_s=reader.whole("mt_s"),
        channels=reader.whole("channels"),
        plan_gb_s=plan,
        theoretical_gb_s=reader.optional_figure("theoretical_gb_s"),
        notes=reader.notes(),
    )
    reader.done()
    return memory


def read_electricity(table: Mapping[str, Any], where: str, cited: Cited) -> Electricity:
    """Return one `[[electricity]]` table. Errors: HardwareError with file, entry, field."""
    reader = Reader(dict(table), where, cited)
    source, dated = reader.source("source")
    tariff = Electricity(
        region=reader.text("region"),
        price_per_kwh=reader.number("price_per_kwh", most=100.0),
        currency=reader.text("currency"),
        kind=reader.text("kind"),
        source=source,
        date=reader.optional_date("date") or dated,
        note=reader.optional_text("note"),
    )
    reader.done()
    return tariff


def read_processor(table: Mapping[str, Any], where: str, cited: Cited) -> Processor:
    """Return one `[[processor]]` table. Errors: HardwareError with file, entry, field."""
    reader = Reader(dict(table), where, cited)
    identity, match = reader.text("id"), reader.text("match")
    try:
        re.compile(match)
    except re.error as problem:
        raise reader.error("match", f"must be a pattern: {problem}") from None
    channels = reader.optional_whole("channels")
    bits = reader.optional_whole("bits") or CHANNEL_BITS * (channels or 0)
    if not bits:
        raise HardwareError(f"{where}: give channels or bits")
    source, date = reader.source("source")
    found = Processor(
        id=identity,
        name=reader.text("name"),
        match=match,
        kind=MemoryKind(type=reader.text("type"), mt_s=reader.whole("mt_s"), channels=channels),
        bits=bits,
        usual_gb=reader.whole("usual_gb"),
        source=source,
        date=date,
    )
    reader.done()
    return found


def _identity(reader: Reader) -> str:
    identity = reader.text("id")
    if not _ID.fullmatch(identity) or len(identity) > 64:
        raise reader.error("id", f"must be lower-case words joined by dashes, not {identity!r}")
    return identity


def _backend(reader: Reader, name: str) -> str:
    if name not in _BACKENDS:
        raise reader.error("backends", f"must be of {', '.join(_BACKENDS)}, not {name!r}")
    return name


def _shaped(reader: Reader, field: str, shape: re.Pattern[str], example: str) -> str | None:
    value = reader.optional_text(field)
    if value is not None and not shape.fullmatch(value):
        raise reader.error(field, f'must look like "{example}", not {value!r}')
    return value


def _figure_lists(
    table: dict[str, Any], where: str, cited: Cited
) -> Mapping[str, tuple[Figure, ...]]:
    reader = Reader(table, where, cited)
    return FrozenMap({name: reader.figures(name) for name in list(reader.left)})


def _unified(reader: Reader) -> UnifiedMemory | None:
    if not reader.has("unified"):
        return None
    inner = Reader(reader.table("unified"), f"{reader.where}: unified", reader.cited)
    unified = UnifiedMemory(
        usable_mib=inner.optional_figure("usable_mib"),
        os_reserve_mib=inner.optional_figure("os_reserve_mib"),
        default_gpu_share=inner.optional_figure("default_gpu_share", share=True),
        safe_utilization=inner.optional_figure("safe_utilization", share=True),
        raisable=_raisable(inner),
        notes=inner.notes(),
    )
    inner.done()
    return unified


def _raisable(reader: Reader) -> RaisableLimit | None:
    if not reader.has("raisable"):
        return None
    inner = Reader(reader.table("raisable"), f"{reader.where}: raisable", reader.cited)
    usable = inner.figure("usable_mib")
    command = inner.text("command")
    if any(blank not in _BLANKS for blank in re.findall(r"\{(.*?)\}", command)):
        raise inner.error("command", "may hold {mib}, {gib} and {pages} only")
    limit = RaisableLimit(
        usable_mib=usable,
        name=inner.text("name"),
        command=command,
        after=inner.optional_text("after"),
    )
    inner.done()
    return limit


def _check_memory(accelerator: Accelerator, reader: Reader) -> None:
    try:
        total = accelerator.total_mib_on("linux").value
    except ValueError:
        raise HardwareError(
            f"{reader.where}: give one of memory_cuda_mib, memory_driver_mib, memory_marketed_gb"
        ) from None
    if not 256 <= total <= 64 * 1024 * 1024:
        raise HardwareError(f"{reader.where}: {total:g} MiB of memory is outside 256 MiB to 64 TiB")


def read_prices(tables: list[Any], where: str, cited: Cited) -> Iterator[tuple[str, Price]]:
    """Yield each `[[price]]` with the id that it is `of`; HardwareError with file and number."""
    for number, table in enumerate(tables, 1):
        reader = Reader(table, f"{where}: price {number}", cited)
        yield reader.text("of"), reader.as_price()


def read_power(tables: list[Any], where: str, cited: Cited) -> Iterator[tuple[str, Figure]]:
    """Yield each `[[power]]` with the id that it is `of`; HardwareError with file and number."""
    for number, table in enumerate(tables, 1):
        reader = Reader(table, f"{where}: power {number}", cited)
        yield reader.text("of"), reader.as_figure()


def hourly_prices(systems: tuple[System, ...]) -> dict[str, tuple[Price, ...]]:
    """Per accelerator id: what one of them costs per hour in each instance that holds it."""
    found: dict[str, tuple[Price, ...]] = {}
    for system in systems:
        for price in system.prices:
            if price.kind != "hourly":
                continue
            share = Price(
                value=round(price.value / system.count, 6),
                currency=price.currency,
                kind="hourly",
                source=price.source,
                date=price.date,
                provider=system.provider,
                region=price.region,
                note=f"{system.name}: {price.value:g} {price.currency} / {system.count}",
            )
            known = found.get(system.accelerator.id, ())
            found[system.accelerator.id] = (*known, share)
    return found
