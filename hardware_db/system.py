"""One system: accelerators, how they are joined, and what it costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import field

from hardware_db.accelerator import CPU_VENDOR, Accelerator
from hardware_db.figures import Figure, Price, fill_slots
from hardware_db.records import frozen

__all__ = ["System", "intra_node"]


@frozen
class System:
    """`nodes` equal machines with `accelerators_per_node` accelerators each.

    `accelerator` is the only kind of them, or the one with the least memory where they differ:
    `mixed` then holds all of them in device order, and an engine that cuts a model evenly plans
    with `accelerator` and `count`, one that can split unevenly with `accelerators`.
    `host_memory_gib` is the RAM of one machine beside its accelerators, None where it is not
    known or is the accelerator's own memory (unified); `host_bandwidth_gb_s` what it
    streams at nominal, `host_memory_type` what it is ("DDR5-6000, 2 channels"). `assumptions` are sentences
    for the user about what the expression left open; they are not compared.
    `intra_node_gb_s` is nominal GB/s per accelerator and direction between the accelerators of one
    node (NVLink or the like where it joins all of them, else PCIe); `inter_node_gb_s` GB/s per
    node and direction between nodes, a measured collective bandwidth where there is one, else the
    line rate (its note says which). `bus_bandwidth_gb_s`: measured NCCL/RCCL bus bandwidths (GB/s)
    inside a node. `link_domain`: how many accelerators the fast link joins across nodes (72 in an
    NVL72 rack), where that is more than a node holds. `power_w` is of the whole system.
    """

    id: str
    name: str
    accelerator: Accelerator
    accelerators_per_node: int
    nodes: int = 1
    aliases: tuple[str, ...] = ()
    mixed: tuple[Accelerator, ...] = ()
    host_memory_gib: Figure | None = None
    host_memory_type: str | None = None
    host_bandwidth_gb_s: Figure | None = None
    cpu: str | None = None
    vcpus: int | None = None
    intra_node_gb_s: Figure | None = None
    intra_node_link: str | None = None
    inter_node_gb_s: Figure | None = None
    inter_node_link: str | None = None
    link_domain: int | None = None
    bus_bandwidth_gb_s: tuple[Figure, ...] = ()
    prices: tuple[Price, ...] = ()
    power_w: Figure | None = None
    provider: str | None = None
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = field(default=(), compare=False)

    __setstate__ = fill_slots

    def __hash__(self) -> int:
        return hash((self.id, self.nodes, self.accelerators_per_node))

    @property
    def count(self) -> int:
        """Accelerators in all nodes."""
        return self.nodes * self.accelerators_per_node

    @property
    def accelerators(self) -> tuple[Accelerator, ...]:
        """Every accelerator in device order, node by node; as many as `count`."""
        return self.mixed or (self.accelerator,) * self.count

    @property
    def short_name(self) -> str:
        """The name as people say it: ``2× RTX 3090``, ``RTX 4090, 64 GB RAM``, ``2× DGX Spark``."""
        if self.mixed:
            counts = Counter(accelerator.short_name for accelerator in self.mixed)
            name = " + ".join(f"{n}× {what}" if n > 1 else what for what, n in counts.items())
        else:
            alone = self.accelerator.short_name
            name = f"{self.count}× {alone}" if self.count > 1 else alone
        given = self.host_memory_gib
        if given is None or not (given.is_given or given.source.startswith("assumed")):
            return name
        return f"{name}, {given.value:g} GB RAM"

    @property
    def is_mixed(self) -> bool:
        """True where the accelerators differ."""
        return bool(self.mixed)

    @property
    def is_cpu_only(self) -> bool:
        """True for a machine without a GPU: `accelerator` stands for its processor and RAM."""
        return self.accelerator.vendor == CPU_VENDOR

    @property
    def is_card(self) -> bool:
        """True for one accelerator of which nothing is said but what it is."""
        return self.count == 1 and not self.is_cpu_only and self.host_memory is None

    @property
    def host_memory(self) -> int | None:
        """Bytes of RAM of one machine beside its accelerators.

        None where it is not known, and where accelerator and processor share one memory: what the
        accelerator leaves is all there is then.
        """
        if self.host_memory_gib is None or self.accelerator.is_unified:
            return None
        return int(self.host_memory_gib.value * (1 << 30))

    @property
    def total_bytes(self) -> int:
        """Bytes of all accelerators together, as engines budget on them under Linux."""
        if self.mixed:
            return sum(accelerator.total_bytes for accelerator in self.mixed)
        return self.count * self.accelerator.total_bytes


def intra_node(accelerator: Accelerator, per_node: int) -> tuple[Figure | None, str | None]:
    """The link between the accelerators of one node: GB/s per direction, and its name.

    A bridge is bought apart and joins pairs, so nobody may count on it: PCIe then.
    """
    if accelerator.is_unified:
        return None, "unified"
    if per_node == 1:
        return None, None
    joined = accelerator.nvlink_kind in ("switch", "mesh")
    if joined and per_node <= (accelerator.nvlink_domain or 0):
        return accelerator.nvlink_gb_s, accelerator.link_name
    if accelerator.pcie is None:
        return accelerator.pcie_gb_s, None
    return accelerator.pcie_gb_s, f"PCIe {accelerator.pcie}"
