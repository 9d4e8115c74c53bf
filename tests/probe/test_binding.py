"""The probe through NVIDIA's real binding, with a driver library of plain Python behind it.

The binding hands C structures to the library by reference; this library fills them. So a call that
the binding would not pass on (a tuple as index, a structure that is not by reference) fails here.
"""

from typing import Any

import pynvml
import pytest

from planner.probing import probe
from tests.present import some
from tests.probe.recorded import MIB, Recorded, linux

OK, NOT_SUPPORTED, INVALID, INSUFFICIENT = 0, 3, 2, 7


def write(reference: Any, value: int) -> int:
    reference._obj.value = value
    return OK


def text(buffer: Any, value: str) -> int:
    buffer.value = value.encode()
    return OK


class Library:
    """Two RTX 3090 with a bridge, as the C functions of libnvidia-ml.so.1 would answer."""

    def __init__(self) -> None:
        self.shut_down = 0

    def nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802 - the library's own names
        return OK

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.shut_down += 1
        return OK

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        answer = ANSWERS.get(name)
        if answer is None:
            raise AttributeError(name)  # ctypes' word for a symbol that the library lacks
        return answer


def _memory(device: Any, reference: Any) -> Any:
    memory = reference._obj
    memory.total, memory.used, memory.free = 24576 * MIB, 776 * MIB, 23800 * MIB
    if hasattr(memory, "reserved"):
        memory.reserved, memory.used = 450 * MIB, 326 * MIB
    return OK


def _pci(device: Any, reference: Any) -> Any:
    reference._obj.busId, reference._obj.pciDeviceId = b"00000000:01:00.0", 0x220410DE
    return OK


def _capability(device: Any, major: Any, minor: Any) -> Any:
    write(major, 8)
    return write(minor, 6)


def _processes(device: Any, count: Any, array: Any) -> Any:
    if array is None:
        write(count, 1)
        return INSUFFICIENT
    array[0].pid, array[0].usedGpuMemory = 77, 2**64 - 1  # not available
    return write(count, 1)


def _fields(device: Any, count: Any, values: Any) -> Any:
    values._obj[0].nvmlReturn, values._obj[0].value.uiVal = 0, 14062
    return OK


def _fabric(device: Any, reference: Any) -> Any:
    reference._obj.state = 0
    return OK


ANSWERS = {
    "nvmlSystemGetDriverVersion": lambda buffer, size: text(buffer, "570.124.06"),
    "nvmlSystemGetCudaDriverVersion_v2": lambda out: write(out, 12080),
    "nvmlSystemGetProcessName": lambda pid, buffer, size: text(buffer, "python3"),
    "nvmlDeviceGetCount_v2": lambda out: write(out, 2),
    "nvmlDeviceGetHandleByIndex_v2": lambda index, out: OK,
    "nvmlDeviceGetName": lambda device, buffer, size: text(buffer, "NVIDIA GeForce RTX 3090"),
    "nvmlDeviceGetUUID": lambda device, buffer, size: text(buffer, "GPU-30900000"),
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetMemoryInfo_v2": _memory,
    "nvmlDeviceGetPciInfo_v3": _pci,
    "nvmlDeviceGetCudaComputeCapability": _capability,
    "nvmlDeviceGetEccMode": lambda device, now, later: NOT_SUPPORTED,
    "nvmlDeviceGetMigMode": lambda device, now, later: NOT_SUPPORTED,
    "nvmlDeviceGetVirtualizationMode": lambda device, out: write(out, 0),
    "nvmlDeviceGetPowerManagementLimit": lambda device, out: write(out, 350_000),
    "nvmlDeviceGetMaxPcieLinkGeneration": lambda device, out: write(out, 4),
    "nvmlDeviceGetMaxPcieLinkWidth": lambda device, out: write(out, 8),
    "nvmlDeviceGetMemoryBusWidth": lambda device, out: write(out, 384),
    "nvmlDeviceGetMaxClockInfo": lambda device, kind, out: write(out, 9751),
    "nvmlDeviceGetComputeRunningProcesses_v3": _processes,
    "nvmlDeviceGetNvLinkState": lambda device, link, out: write(out, 1) if link < 4 else INVALID,
    "nvmlDeviceGetNvLinkVersion": lambda device, link, out: write(out, 5),
    "nvmlDeviceGetNvLinkRemoteDeviceType": lambda device, link, out: write(out, 0),
    "nvmlDeviceGetFieldValues": _fields,
    "nvmlDeviceGetGpuFabricInfoV": _fabric,
    "nvmlDeviceGetP2PStatus": lambda a, b, index, out: write(out, 0 if index == 2 else 1),
}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """The real binding, believing that it loaded a library."""
    fake = Library()
    monkeypatch.setattr(pynvml, "nvmlLib", fake)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return fake


def test_the_real_binding_passes_every_call_on(library: Library) -> None:
    machine = probe(environment=Recorded(pynvml, linux(64000)))
    device = machine.devices[0]
    assert len(machine.devices) == 2
    assert device.accelerator_id == "rtx-3090"
    assert device.memory_driver_bytes == 24576 * MIB
    assert device.memory_total_bytes == 24126 * MIB
    assert device.memory_free_bytes == 23800 * MIB
    assert (device.pci_bus_id, device.pci_id) == ("00000000:01:00.0", "10de:2204")
    assert (device.pcie_generation, device.pcie_width) == (4, 8)
    assert device.power_limit_w == 350
    assert device.bandwidth_derived_gb_s == pytest.approx(936, abs=1)
    assert (device.processes[0].name, device.processes[0].used_bytes) == ("python3", None)
    assert some(device.nvlink).gb_s == pytest.approx(56.25, abs=0.01)
    assert device.fabric is None
    assert machine.topology.fully_connected
    assert (machine.driver_version, machine.cuda_version) == ("570.124.06", "12.8")
    assert library.shut_down == 1


def test_the_slip_that_the_probe_must_not_trip_over_is_still_there_or_mended() -> None:
    assert pynvml.NVML_P2P_CAPS_INDEX_READ in ((0,), 0)
    assert pynvml.NVML_P2P_CAPS_INDEX_NVLINK == 2


def test_constants_that_the_probe_writes_out_are_the_bindings() -> None:
    from planner.probing import nvidia_memory, topology

    assert pynvml.nvmlMemory_v2 == nvidia_memory.MEMORY_V2
    assert topology._LINK_SPEED_FIELD == pynvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON
    assert topology._TO_SWITCH == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH
    assert topology._PATHS[pynvml.NVML_TOPOLOGY_SINGLE] == "pix"
    assert topology._PATHS[pynvml.NVML_TOPOLOGY_SYSTEM] == "sys"
    assert topology._VERSIONS[pynvml.NVML_NVLINK_VERSION_5_0] == ("5.0", 50.0)
