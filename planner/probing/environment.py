"""The only door between the probe and the machine: everything it reads, runs or loads goes here.

A test hands in a recorded machine; `REAL` is this one. Nothing here raises for what a machine may
lack: an unreadable file, a missing program or a program that hangs all answer None.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from planner.probing.cuda_driver import CudaDevice, cuda_devices

COMMAND_TIMEOUT_S = 2.0
"""A command that has not answered by then is treated as absent."""

NVML_TIMEOUT_S = 30.0
"""Without persistence mode the driver initialises every GPU on first use, which takes seconds."""

_NVML = "libnvidia-ml.so.1"

# Folders that hold libnvidia-ml.so.1 but are not always on the loader's path: WSL2, GKE, NixOS.
_DRIVER_FOLDERS = ("/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/run/opengl-driver/lib")


class Environment(Protocol):
    """What the probe may ask of a machine.

    Attributes:
        system: kernel name as `platform.system()` gives it: "Linux", "Windows", "Darwin".
        machine: instruction set as `platform.machine()` gives it: "x86_64", "aarch64", "arm64".
        processor: the processor's name where the platform module knows it, else "".
        environ: environment variables.
        cpu_count: logical processors this process may use, if known.
        nvml_timeout_s: seconds to wait for the NVIDIA driver in all.
    """

    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def machine(self) -> str: ...  # noqa: D102
    @property
    def processor(self) -> str: ...  # noqa: D102
    @property
    def environ(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def cpu_count(self) -> int | None: ...  # noqa: D102
    @property
    def nvml_timeout_s(self) -> float: ...  # noqa: D102

    def nvml(self) -> Any:
        """The `pynvml` module; raises ImportError where it is not installed."""
        ...

    def cuda(self) -> tuple[CudaDevice, ...]:
        """What the CUDA driver tells about its devices; empty without one."""
        ...

    def read_text(self, path: str) -> str | None:
        """A file's text, or None when it cannot be read."""
        ...

    def listdir(self, path: str) -> tuple[str, ...]:
        """Sorted names in a folder; empty when it cannot be read."""
        ...

    def run(self, argv: Sequence[str]) -> str | None:
        """Standard output of a command that succeeded in time, else None."""
        ...

    def physical_memory(self) -> tuple[int, int] | None:
        """(total, available) bytes where the operating system has a call for it (Windows)."""
        ...


class RealEnvironment:
    """This machine."""

    nvml_timeout_s = NVML_TIMEOUT_S

    @property
    def system(self) -> str:
        """Kernel name."""
        return platform.system()

    @property
    def machine(self) -> str:
        """Instruction set."""
        return platform.machine()

    @property
    def processor(self) -> str:
        """Processor name; only Windows is asked, where it costs nothing."""
        return os.environ.get("PROCESSOR_IDENTIFIER", "")

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables."""
        return os.environ

    @property
    def cpu_count(self) -> int | None:
        """Logical processors this process may run on."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count()

    def nvml(self) -> ModuleType:
        """Import the binding, after loading a driver library that lies off the loader's path."""
        import pynvml

        if os.name == "posix":
            for path in (_NVML, *(f"{folder}/{_NVML}" for folder in _DRIVER_FOLDERS)):
                try:
                    ctypes.CDLL(path)  # the binding's own look-up by this soname then finds it
                except OSError:
                    continue
                break

        return pynvml  # type: ignore[no-any-return]

    def cuda(self) -> tuple[CudaDevice, ...]:
        """Ask the driver's library, where there is one."""
        return cuda_devices()

    def read_text(self, path: str) -> str | None:
        """A file's text, undecodable bytes replaced."""
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    def listdir(self, path: str) -> tuple[str, ...]:
        """Sorted names in a folder."""
        try:
            return tuple(sorted(os.listdir(path)))
        except OSError:
            return ()

    def run(self, argv: Sequence[str]) -> str | None:
        """Run a command without a shell, with nothing on its standard input."""
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def physical_memory(self) -> tuple[int, int] | None:
        """GlobalMemoryStatusEx on Windows."""
        windll = getattr(ctypes, "windll", None)
        if windll is None:
            return None
        status = _MemoryStatusEx(dwLength=ctypes.sizeof(_MemoryStatusEx))
        if not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None
        return int(status.ullTotalPhys), int(status.ullAvailPhys)


class _MemoryStatusEx(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API, field for field."""

    _fields_ = [
        ("dwLength", ctypes.c_uint32),
        ("dwMemoryLoad", ctypes.c_uint32),
        ("ullTotalPhys", ctypes.c_uint64),
        ("ullAvailPhys", ctypes.c_uint64),
        ("ullTotalPageFile", ctypes.c_uint64),
        ("ullAvailPageFile", ctypes.c_uint64),
        ("ullTotalVirtual", ctypes.c_uint64),
        ("ullAvailVirtual", ctypes.c_uint64),
        ("ullAvailExtendedVirtual", ctypes.c_uint64),
    ]


REAL = RealEnvironment()
