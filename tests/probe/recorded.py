"""Recorded machines: a stand-in for the NVML binding, and for everything else a probe may read.

The stand-in has the real binding's surface: a function exists only if `pynvml` has it, arguments
must fit its signature, errors are its classes, structures its structures, and constants its
constants, slips included (NVML_P2P_CAPS_INDEX_READ is the tuple (0,)).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pynvml

from planner.probing.cuda_driver import CudaDevice

MIB = 2**20
KIB = 2**10


class Refused:
    """An answer that is an error; the word is NVML's ("NotSupported")."""

    def __init__(self, word: str) -> None:
        self.error = getattr(pynvml, f"NVMLError_{word}")


NOT_SUPPORTED = Refused("NotSupported")
NO_PERMISSION = Refused("NoPermission")


def memory(total_mib: Any, reserved_mib: int = 0, used_mib: int = 0) -> Any:
    return (total_mib * MIB, reserved_mib * MIB, used_mib * MIB)


def card(name: Any, mem: Any, **answers: Any) -> Any:
    """One device: what each NVML function answers, without the prefix nvmlDevice."""
    defaults = {
        "GetName": name,
        "GetMemoryInfo": mem,
        "GetUUID": "GPU-" + name.lower().replace(" ", "")[-8:].rjust(8, "0"),
        "GetCudaComputeCapability": (8, 9),
        "GetPciInfo": ("00000000:01:00.0", 0x268410DE),
        "GetMaxPcieLinkGeneration": 4,
        "GetMaxPcieLinkWidth": 16,
        "GetEccMode": NOT_SUPPORTED,
        "GetMigMode": NOT_SUPPORTED,
        "GetVirtualizationMode": 0,
        "GetAddressingMode": 0,
        "GetPowerManagementLimit": 450_000,
        "GetMemoryBusWidth": 384,
        "GetMaxClockInfo": 10501,
        "GetComputeRunningProcesses_v3": [],
        "GetGraphicsRunningProcesses_v3": [],
        "GetNvLinkState": NOT_SUPPORTED,
    }
    return {**defaults, **answers}


@dataclass
class Nvml:
    """The stand-in. `link(a, b)` is "nvlink" or a topology level (30: host bridge); `init` an error at start-up."""

    cards: list[Any] = field(default_factory=list)
    init: Refused | None = None
    driver: Any = "580.95.05"
    cuda: Any = 13000
    link: Any = None
    missing: frozenset[str] = frozenset()  # from the driver's library
    unbound: frozenset[str] = frozenset()  # from the binding
    started: int = 0
    stopped: int = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(pynvml, name)  # AttributeError where the binding has no such name
        if name in self.unbound:
            raise AttributeError(name)
        return partial(self._call, name) if name.startswith("nvml") and callable(real) else real

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        try:
            bound = inspect.signature(getattr(pynvml, name)).bind(*arguments, **options)
        except TypeError as wrong:
            raise AssertionError(f"{name} cannot be called like this: {wrong}") from wrong
        if name == "nvmlInit":
            self._answer(self.init)
            self.started += 1
            return None
        if self.started == self.stopped:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        if name in self.missing:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        if name == "nvmlShutdown":
            self.stopped += 1
            return None
        own = getattr(self, "_" + name.removeprefix("nvml").lower(), None)
        if own is not None:
            return own(*bound.args, **bound.kwargs)
        found = bound.args[0].get(name.removeprefix("nvmlDevice"), NOT_SUPPORTED)
        return self._answer(found)

    @staticmethod
    def _answer(found: Any) -> Any:
        if isinstance(found, Refused):
            raise found.error()
        return found

    def _systemgetdriverversion(self) -> Any:
        return self._answer(self.driver)

    def _systemgetcudadriverversion_v2(self) -> Any:
        return self._answer(self.cuda)

    _systemgetcudadriverversion = _systemgetcudadriverversion_v2

    def _systemgetprocessname(self, pid: Any) -> Any:
        return f"process-{pid}"

    def _devicegetcount(self) -> Any:
        return len(self.cards)

    def _devicegethandlebyindex(self, index: int) -> Any:
        return self._answer(self.cards[index])

    def _devicegetmemoryinfo(self, handle: Any, version: Any = None) -> Any:
        total, reserved, used = self._answer(handle["GetMemoryInfo"])
        free = total - reserved - used
        if version is None:
            return pynvml.c_nvmlMemory_t(total=total, free=free, used=used + reserved)
        if "memory v2" in self.missing:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        assert version == pynvml.nvmlMemory_v2
        return pynvml.c_nvmlMemory_v2_t(
            version=version, total=total, reserved=reserved, free=free, used=used
        )

    def _devicegetpciinfo(self, handle: Any) -> Any:
        bus, ids = self._answer(handle["GetPciInfo"])
        return pynvml.nvmlPciInfo_t(busId=bus.encode(), pciDeviceId=ids)

    def _devicegetmaxclockinfo(self, handle: Any, kind: Any) -> Any:
        assert kind == pynvml.NVML_CLOCK_MEM
        return self._answer(handle["GetMaxClockInfo"])

    def _processes(self, handle: Any, name: Any) -> Any:
        listed = self._answer(handle[name])
        return [
            pynvml.nvmlFriendlyObject({"pid": pid, "usedGpuMemory": used}) for pid, used in listed
        ]

    def _devicegetcomputerunningprocesses_v3(self, handle: Any) -> Any:
        return self._processes(handle, "GetComputeRunningProcesses_v3")

    def _devicegetgraphicsrunningprocesses_v3(self, handle: Any) -> Any:
        return self._processes(handle, "GetGraphicsRunningProcesses_v3")

    def _pair(self, a: Any, b: Any) -> Any:
        first, second = (next(i for i, c in enumerate(self.cards) if c is x) for x in (a, b))
        return self._answer(self.link(first, second) if self.link else 30)

    def _devicegetp2pstatus(self, a: Any, b: Any, index: Any) -> Any:
        assert isinstance(index, int), "the binding passes a tuple on to C, which refuses it"
        return 0 if self._pair(a, b) == "nvlink" else 1

    def _devicegettopologycommonancestor(self, a: Any, b: Any) -> Any:
        level = self._pair(a, b)
        return 50 if level == "nvlink" else level

    def _devicegetnvlinkstate(self, handle: Any, link: Any) -> Any:
        links = self._answer(handle["GetNvLinkState"])
        if link >= links:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return 1

    def _devicegetnvlinkversion(self, handle: Any, link: Any) -> Any:
        return handle["GetNvLinkVersion"]

    def _devicegetnvlinkremotedevicetype(self, handle: Any, link: Any) -> Any:
        return handle["GetNvLinkRemoteDeviceType"]

    def _devicegetfieldvalues(self, handle: Any, fields: Any) -> Any:
        values = (pynvml.c_nvmlFieldValue_t * len(fields))()
        speed = handle.get("link speed")
        values[0].nvmlReturn = 0 if speed else pynvml.NVML_ERROR_NOT_SUPPORTED
        values[0].value.uiVal = speed or 0
        return values

    def _devicegetgpufabricinfov(self, handle: Any, info: Any) -> Any:
        cluster = self._answer(handle.get("GetGpuFabricInfoV", NOT_SUPPORTED))
        info._obj.clusterUuid[:] = [cluster] * 16
        info._obj.cliqueId, info._obj.state, info._obj.status = 7, 3, 0
        return 0

    def _devicegetmigdevicehandlebyindex(self, handle: Any, index: Any) -> Any:
        instances = handle.get("instances", {})
        if index not in instances:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self._answer(instances[index])

    def _devicegetattributes_v2(self, handle: Any) -> Any:
        return pynvml.c_nvmlDeviceAttributes(**self._answer(handle["GetAttributes_v2"]))


@dataclass
class Recorded:
    """A machine: files, folders that follow from them, commands, variables, drivers."""

    nvml_module: Any = None
    files: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    system: str = "Linux"
    machine: str = "x86_64"
    processor: str = ""
    cpu_count: int | None = 16
    nvml_timeout_s: float = 10.0
    windows_memory: tuple[int, int] | None = None
    cuda_devices: tuple[CudaDevice, ...] = ()

    def nvml(self) -> Any:
        if self.nvml_module is None:
            raise ImportError("No module named 'pynvml'")
        return self.nvml_module

    def cuda(self) -> tuple[CudaDevice, ...]:
        return self.cuda_devices

    def read_text(self, path: str) -> str | None:
        return self.files.get(path)

    def listdir(self, path: str) -> tuple[str, ...]:
        inside = [name[len(path) + 1 :] for name in self.files if name.startswith(path + "/")]
        return tuple(sorted({name.split("/")[0] for name in inside}))

    def run(self, argv: Sequence[str]) -> str | None:
        return self.commands.get(" ".join(argv))

    def physical_memory(self) -> tuple[int, int] | None:
        return self.windows_memory


def linux(total_mib: Any, available_mib: Any = None, *, wsl: bool = False) -> Any:
    """The files that every Linux has."""
    available = total_mib * 9 // 10 if available_mib is None else available_mib
    kernel = "6.6.87.2-microsoft-standard-WSL2" if wsl else "6.8.0-60-generic"
    return {
        "/proc/version": f"Linux version {kernel} (builder@host) #1 SMP",
        "/proc/meminfo": (
            f"MemTotal:       {total_mib * KIB} kB\n"
            f"MemFree:        {available // 2 * KIB} kB\n"
            f"MemAvailable:   {available * KIB} kB\n"
        ),
        "/proc/cpuinfo": "processor\t: 0\nmodel name\t: A Processor\n",
        "/proc/self/cgroup": "0::/user.slice\n",
    }
