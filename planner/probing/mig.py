"""MIG: a card split into instances, each a device of its own for one process."""

from __future__ import annotations

from typing import Any

from planner.probing.machine import Device
from planner.probing.nvidia_memory import read_instance_memory
from planner.probing.nvml import Nvml

MOST_INSTANCES = 8
"""Asked for one by one where the driver does not say how many a card can have (7 today)."""


def is_split(nvml: Nvml, handle: Any) -> bool | None:
    """Whether MIG is on now; None where the card has no such mode or does not tell."""
    mode = nvml.get("nvmlDeviceGetMigMode", handle)
    return None if mode is None else bool(mode[0])


def read_instances(
    nvml: Nvml,
    handle: Any,
    *,
    index: int,
    parent: str,
    compute_capability: str | None,
    parent_accelerator_id: str | None,
) -> tuple[Device, ...]:
    """The card's instances that this process may see; numbers may have holes."""
    slices = nvml.whole("nvmlDeviceGetMaxMigDeviceCount", handle)
    found = []
    for number in range(slices or MOST_INSTANCES):
        reply = nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
        if reply.error == "NotFound":
            continue
        if reply.error is not None:
            break
        instance = reply.value
        attributes = nvml.get("nvmlDeviceGetAttributes_v2", instance)
        memory = read_instance_memory(nvml, instance, attributes)
        compute = getattr(attributes, "computeInstanceSliceCount", None)
        found.append(
            Device(
                index=index,
                kind="mig",
                name=nvml.text("nvmlDeviceGetName", instance) or f"{parent} MIG",
                uuid=nvml.text("nvmlDeviceGetUUID", instance),
                vendor="nvidia",
                compute_capability=compute_capability,
                memory_driver_bytes=memory.driver,
                memory_reserved_bytes=memory.reserved,
                memory_total_bytes=memory.total,
                memory_free_bytes=memory.free,
                mig_share=compute / slices if compute and slices else None,
                multiprocessor_count=getattr(attributes, "multiprocessorCount", None),
                parent_accelerator_id=parent_accelerator_id,
                obtained=memory.obtained,
            )
        )
    return tuple(found)
