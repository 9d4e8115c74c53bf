"""One system: accelerators, how they are joined, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from hardware_db.accelerator import Accelerator
from hardware_db.figures import Figure, Price

__all__ = ["System"]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """`nodes` equal machines with `accelerators_per_node` accelerators each.

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
    host_memory_gib: Figure | None = None
    cpu: str | None = None
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

    def __hash__(self) -> int:
        return hash((self.id, self.nodes, self.accelerators_per_node))

    @property
    def count(self) -> int:
        """Accelerators in all nodes."""
        return self.nodes * self.accelerators_per_node
