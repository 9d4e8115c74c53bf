"""NVIDIA devices through NVML: one session, every device, and a clear sentence when there is none."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Literal

from hardware_db.records import frozen
from planner.probing import mapping, mig
from planner.probing.environment import Environment
from planner.probing.machine import NO_LINKS, Device, Process, Topology
from planner.probing.nvidia_memory import Memory, read_memory
from planner.probing.nvml import Nvml, Reply
from planner.probing.system import Host
from planner.probing.topology import read_nvlink, read_topology
from planner.units import GIB, format_gib

_VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host-vgpu", 4: "host-vsga"}
_ADDRESSING = {0: "none", 1: "hmm", 2: "ats"}
_CLOCK_MEMORY = 2  # NVML_CLOCK_MEM
_DRIVER_WDDM = 0
_FABRIC_COMPLETED = 3

# What start-up can answer, and what to do about it.
_REASONS = {
    "LibraryNotFound": "NVML library not found: no NVIDIA driver is installed here",
    "DriverNotLoaded": "driver not loaded: the NVIDIA library is here, its kernel module is not",
    "NoPermission": "no permission to use the NVIDIA driver (check /dev/nvidia* and your groups)",
    "LibRmVersionMismatch": (
        "driver/library version mismatch: the NVIDIA driver was updated without a reboot"
    ),
    "GpuIsLost": "the GPU is lost: it fell off the bus; reset it or reboot",
}


@frozen
class Nvidia:
    """What NVML answered.

    Attributes:
        devices: every device, in NVML's (PCI) order.
        reason: why there is none.
        installed: whether the driver's library is here, working or not.
        driver_version: the driver.
        cuda_version: newest CUDA it supports.
        topology: links between the devices.
        notes: what a reader should know.
        warnings: what is likely to make a plan wrong.
    """

    devices: tuple[Device, ...] = ()
    reason: str | None = None
    installed: bool = True
    driver_version: str | None = None
    cuda_version: str | None = None
    topology: Topology = NO_LINKS
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_nvidia(environment: Environment, host: Host) -> Nvidia:
    """Everything NVML tells, within the environment's time limit.

    The calls run in a thread of their own: a wedged driver blocks inside the kernel, where only
    leaving the thread behind helps.
    """
    try:
        module = environment.nvml()
    except ImportError:
        return Nvidia(
            reason="the NVML binding is not installed (pip install nvidia-ml-py)", installed=False
        )
    answer: list[Nvidia] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            answer.append(_session(Nvml(module), environment, host))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="nvml", daemon=True)
    thread.start()
    thread.join(environment.nvml_timeout_s)
    if failure:
        raise failure[0]
    if not answer:
        limit = environment.nvml_timeout_s
        return Nvidia(reason=f"the NVIDIA driver did not answer within {limit:g} s")
    return answer[0]


def _session(nvml: Nvml, environment: Environment, host: Host) -> Nvidia:
    started = nvml.ask("nvmlInit")
    if started.error is not None:
        return Nvidia(reason=_reason(started), installed=started.error != "LibraryNotFound")
    try:
        return _read(nvml, environment, host)
    finally:
        nvml.ask("nvmlShutdown")


def _reason(reply: Reply) -> str:
    return _REASONS.get(reply.error or "", f"NVML failed: {reply.error}")


def _read(nvml: Nvml, environment: Environment, host: Host) -> Nvidia:
    driver = nvml.text("nvmlSystemGetDriverVersion")
    cuda = _cuda_version(nvml)
    counted = nvml.ask("nvmlDeviceGetCount")
    if counted.error is not None:
        return Nvidia(reason=_reason(counted), driver_version=driver, cuda_version=cuda)
    if not counted.value:
        named = f"NVIDIA driver {driver}" if driver else "the NVIDIA driver"
        empty = f"{named} is loaded, but it finds no device"
        return Nvidia(reason=empty, driver_version=driver, cuda_version=cuda)
    devices, handles = [], {}
    notes: list[str] = []
    warnings: list[str] = []
    refused: list[str] = []
    for index in range(counted.value):
        reply = nvml.ask("nvmlDeviceGetHandleByIndex", index)
        found = (
            None
            if reply.error
            else _device(nvml, environment, reply.value, index, host, notes, warnings)
        )
        if found is None:
            why = _reason(reply if reply.error else Reply(error="GpuIsLost"))
            refused.append(why)
            warnings.append(f"GPU {index} is left out: {why}.")
            continue
        devices.append(found)
        handles[index] = reply.value
    reason = None if devices else refused[0]
    whole = {device.index: handles[device.index] for device in devices if not device.mig_enabled}
    return Nvidia(
        devices=tuple(devices),
        reason=reason,
        driver_version=driver,
        cuda_version=cuda,
        topology=read_topology(nvml, whole),
        notes=tuple(dict.fromkeys(notes)),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _cuda_version(nvml: Nvml) -> str | None:
    number = nvml.whole("nvmlSystemGetCudaDriverVersion_v2")
    if number is None:
        number = nvml.whole("nvmlSystemGetCudaDriverVersion")
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def _device(
    nvml: Nvml,
    environment: Environment,
    handle: Any,
    index: int,
    host: Host,
    notes: list[str],
    warnings: list[str],
) -> Device | None:
    """One device, or None if it is lost."""
    if nvml.ask("nvmlDeviceGetName", handle).error == "GpuIsLost":
        return None
    name = nvml.text("nvmlDeviceGetName", handle) or "NVIDIA GPU"
    memory = read_memory(
        nvml, handle, name, host, wddm=_wddm(nvml, handle, host), cuda=environment.cuda
    )
    if memory.lost:
        return None
    capability = nvml.get("nvmlDeviceGetCudaComputeCapability", handle)
    compute_capability = f"{capability[0]}.{capability[1]}" if capability else None
    virtualization = _VIRTUALIZATION.get(
        _or_minus_one(nvml.whole("nvmlDeviceGetVirtualizationMode", handle))
    )
    accelerator, parent = _entry(name, memory, virtualization, host)
    split = mig.is_split(nvml, handle)
    instances: tuple[Device, ...] = ()
    if split or memory.hidden:
        instances = mig.read_instances(
            nvml, handle, index=index, parent=name, compute_capability=compute_capability,
            parent_accelerator_id=accelerator or parent,
        )  # fmt: skip
        split = bool(split or instances)
    addressing = _ADDRESSING.get(_or_minus_one(nvml.whole("nvmlDeviceGetAddressingMode", handle)))
    _remark(name, index, memory, virtualization, addressing, split, instances, notes, warnings)
    pci = nvml.get("nvmlDeviceGetPciInfo", handle)
    ecc = nvml.get("nvmlDeviceGetEccMode", handle)
    power = nvml.whole("nvmlDeviceGetPowerManagementLimit", handle)
    processes = _processes(nvml, handle)
    _unseen_use(index, memory, processes, split, notes)
    return Device(
        index=index,
        name=name,
        vendor="nvidia",
        uuid=nvml.text("nvmlDeviceGetUUID", handle),
        unified=memory.unified,
        memory_driver_bytes=memory.driver,
        memory_reserved_bytes=memory.reserved,
        memory_total_bytes=memory.total,
        memory_free_bytes=memory.free,
        compute_capability=compute_capability,
        pci_bus_id=_text(getattr(pci, "busId", None)),
        pci_id=_pci_id(getattr(pci, "pciDeviceId", None)),
        # An integrated GPU answers with a slot that it does not sit in.
        pcie_generation=None
        if memory.unified
        else nvml.whole("nvmlDeviceGetMaxPcieLinkGeneration", handle),
        pcie_width=None if memory.unified else nvml.whole("nvmlDeviceGetMaxPcieLinkWidth", handle),
        bandwidth_derived_gb_s=None if memory.unified else _bandwidth(nvml, handle),
        ecc=None if ecc is None else bool(ecc[0]),
        mig_enabled=split,
        mig_instances=instances,
        virtualization=virtualization,
        addressing_mode=addressing,
        power_limit_w=None if power is None else power / 1000,
        nvlink=None if memory.unified else read_nvlink(nvml, handle),
        fabric=_fabric(nvml, handle),
        processes=processes,
        accelerator_id=accelerator,
        parent_accelerator_id=parent,
        obtained=memory.obtained,
    )


def _entry(
    name: str, memory: Memory, virtualization: str | None, host: Host
) -> tuple[str | None, str | None]:
    """(this device's database entry, else the entry of the card or chip that it is a part of)."""
    if memory.unified:
        exact = mapping.by_driver_name(name, host.memory_physical_bytes)
        shared = mapping.unified_by_name(name, host.memory_physical_bytes)
        return (exact.id, None) if exact else (None, shared.id if shared else None)
    if virtualization == "vgpu":
        card = mapping.card_of_vgpu(name) or mapping.by_driver_name(name, memory.driver)
        return None, card.id if card else None
    found = mapping.by_driver_name(name, memory.driver)
    return (found.id if found else None), None


def _remark(
    name: str,
    index: int,
    memory: Memory,
    virtualization: str | None,
    addressing: str | None,
    split: bool | None,
    instances: tuple[Device, ...],
    notes: list[str],
    warnings: list[str],
) -> None:
    notes += memory.notes
    warnings += (f"GPU {index}: {warning}" for warning in memory.warnings)
    if split:
        notes.append(
            f"GPU {index} is split into MIG instances ({len(instances)} seen): a process uses one "
            "of them, and tensor parallelism across instances is impossible."
        )
        if not instances:
            warnings.append(f"GPU {index} has MIG on and no instance: nothing can run on it.")
    elif memory.hidden:
        warnings.append(f"GPU {index}: the driver refuses to tell its memory (no permission).")
    if addressing == "ats" and not memory.unified:
        notes.append(
            "GPU memory is coherent with the processor's: page cache can sit in it and make "
            "less of it look free than there is."
        )
    if virtualization == "vgpu":
        notes.append(
            f"GPU {index} ({name}) is a virtual GPU: its memory is the profile's, its speed "
            "depends on who shares the card."
        )


def _wddm(nvml: Nvml, handle: Any, host: Host) -> bool:
    """Whether Windows manages the device's memory; compute-only drivers on Windows do not."""
    if host.platform == "wsl2":
        return True
    if host.platform != "windows":
        return False
    model = nvml.get("nvmlDeviceGetDriverModel", handle)
    return model is None or model[0] == _DRIVER_WDDM


def _or_minus_one(value: int | None) -> int:
    return -1 if value is None else value


def _text(value: object) -> str | None:
    return (
        value.decode(errors="replace") if isinstance(value, bytes) else (str(value or "") or None)
    )


def _pci_id(packed: object) -> str | None:
    """NVML packs the device's id above the vendor's."""
    if not isinstance(packed, int):
        return None
    return f"{packed & 0xFFFF:04x}:{packed >> 16:04x}"


def _bandwidth(nvml: Nvml, handle: Any) -> float | None:
    """Bus width x memory clock x 2 (double data rate), in GB/s."""
    bits = nvml.whole("nvmlDeviceGetMemoryBusWidth", handle)
    mhz = nvml.whole("nvmlDeviceGetMaxClockInfo", handle, _CLOCK_MEMORY)
    return bits / 8 * mhz * 2 / 1000 if bits and mhz else None


def _processes(nvml: Nvml, handle: Any) -> tuple[Process, ...]:
    found: dict[int, Process] = {}
    kinds: tuple[tuple[Literal["compute", "graphics"], str], ...] = (
        ("compute", "nvmlDeviceGetComputeRunningProcesses"),
        ("graphics", "nvmlDeviceGetGraphicsRunningProcesses"),
    )
    for kind, function in kinds:
        listed = nvml.get(f"{function}_v3", handle)
        if listed is None:
            listed = nvml.get(f"{function}_v2", handle)
        for process in listed or ():
            found.setdefault(
                process.pid,
                Process(
                    pid=process.pid,
                    name=nvml.text("nvmlSystemGetProcessName", process.pid),
                    used_bytes=process.usedGpuMemory,
                    kind=kind,
                ),
            )
    return tuple(found.values())


def _unseen_use(
    index: int, memory: Memory, processes: tuple[Process, ...], split: bool | None, notes: list[str]
) -> None:
    """Memory in use that no listed process accounts for: other containers' processes are unseen."""
    known = [process.used_bytes for process in processes if process.used_bytes is not None]
    if split or memory.unified or len(known) < len(processes):
        return
    if memory.total is None or memory.free is None:
        return
    unseen = memory.total - memory.free - sum(known)
    if unseen > GIB:
        notes.append(
            f"GPU {index}: {format_gib(unseen)} is in use by processes that cannot be seen from "
            "here (another container or user, or the display)."
        )


def _fabric(nvml: Nvml, handle: Any) -> str | None:
    """Cluster and clique of a multi-node NVLink domain whose registration is complete."""
    info = nvml.structure("c_nvmlGpuFabricInfo_v2_t")
    if not isinstance(info, ctypes.Structure):
        return None
    if nvml.ask("nvmlDeviceGetGpuFabricInfoV", handle, ctypes.byref(info)).error is not None:
        return None
    cluster = bytes(info.clusterUuid)
    if info.state != _FABRIC_COMPLETED or info.status != 0 or not any(cluster):
        return None
    return f"{cluster.hex()}/{info.cliqueId}"
