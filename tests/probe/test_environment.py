"""The real environment: what is not there is None, and nothing is waited for too long."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.probing import REAL, environment
from planner.probing.cuda_driver import CudaDevice, cuda_devices
from tests.present import some

WAITS_FOR_EVER = (sys.executable, "-c", "import threading; threading.Event().wait()")


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert REAL.read_text(str(tmp_path / "nothing")) is None
    assert REAL.read_text(str(tmp_path)) is None
    assert REAL.listdir(str(tmp_path / "nothing")) == ()
    assert REAL.run(("no-such-program-anywhere",)) is None
    assert REAL.run((sys.executable, "-c", "raise SystemExit(3)")) is None


def test_what_is_there_is_read(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"caf\xe9")
    (tmp_path / "a").write_text("")
    assert REAL.read_text(str(tmp_path / "b")) == "caf�"
    assert REAL.listdir(str(tmp_path)) == ("a", "b")
    assert some(REAL.run((sys.executable, "-c", "print(1)"))).strip() == "1"
    assert some(REAL.cpu_count) >= 1


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "COMMAND_TIMEOUT_S", 0.05)
    assert REAL.run(WAITS_FOR_EVER) is None


class Cuda:
    """The CUDA driver's library with one discrete and one integrated device."""

    def __init__(self, started: int = 0) -> None:
        self.started = started

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the library's own names
        return self.started

    def cuDeviceGetCount(self, out: Any) -> int:  # noqa: N802
        out._obj.value = 2
        return 0

    def cuDeviceGet(self, out: Any, ordinal: int) -> int:  # noqa: N802
        out._obj.value = ordinal
        return 0

    def cuDeviceTotalMem_v2(self, out: Any, device: Any) -> int:  # noqa: N802
        out._obj.value = (device.value + 1) * 2**33
        return 0

    def cuDeviceGetAttribute(self, out: Any, attribute: int, device: Any) -> int:  # noqa: N802
        assert attribute == 18
        out._obj.value = device.value
        return 0


def test_the_cuda_driver_tells_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Cuda())
    assert cuda_devices() == (
        CudaDevice(total_bytes=2**33, integrated=False),
        CudaDevice(total_bytes=2**34, integrated=True),
    )


@pytest.mark.parametrize("library", ["libno-such-driver.so.1"])
def test_no_cuda_driver(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda_devices(library) == ()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Cuda(started=100))
    assert cuda_devices() == ()
