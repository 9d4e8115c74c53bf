import json
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from planner.errors import InputError
from planner.probing import probe
from planner.probing.report import report_lines
from tests.present import some
from tests.probe import machines
from tests.probe.recorded import Nvml, Recorded, Refused, linux


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("LibraryNotFound", "NVML library not found"),
        ("DriverNotLoaded", "driver not loaded"),
        ("NoPermission", "no permission"),
        ("LibRmVersionMismatch", "driver/library version mismatch"),
        ("GpuIsLost", "the GPU is lost"),
        ("Timeout", "NVML failed: Timeout"),
    ],
)
def test_each_start_up_failure_has_its_sentence(word: str, sentence: str) -> None:
    machine = probe(environment=machines.start_up(word))
    assert machine.devices == ()
    assert some(machine.reason).startswith(sentence)
    assert "\n" not in some(machine.reason)


def test_a_driver_without_device() -> None:
    machine = probe(environment=Recorded(Nvml([]), linux(64000)))
    assert machine.devices == ()
    assert machine.reason == "NVIDIA driver 580.95.05 is loaded, but it finds no device"
    assert (machine.driver_version, machine.cuda_version) == ("580.95.05", "13.0")


def test_no_binding() -> None:
    machine = probe(environment=Recorded(None, linux(64000)))
    assert "nvidia-ml-py" in some(machine.reason)


def test_every_gpu_lost() -> None:
    machine = probe(environment=Recorded(Nvml([Refused("GpuIsLost")] * 2), linux(64000)))
    assert machine.devices == ()
    assert "lost" in some(machine.reason)


def test_a_card_on_the_bus_without_driver_is_told() -> None:
    files = linux(64000)
    files["/sys/bus/pci/devices/0000:01:00.0/vendor"] = "0x10de\n"
    files["/sys/bus/pci/devices/0000:01:00.0/class"] = "0x030000\n"
    reason = probe(environment=Recorded(machines.NO_NVIDIA, files)).reason
    assert "an NVIDIA GPU is on the PCI bus" in some(reason)
    files["/.dockerenv"] = ""
    reason = probe(environment=Recorded(machines.NO_NVIDIA, files)).reason
    assert "started without GPU access" in some(reason)


def test_a_driver_that_never_answers_does_not_hang_the_probe() -> None:
    release = threading.Event()

    class Wedged(Nvml):
        @staticmethod
        def _answer(found: Any) -> Any:
            release.wait()
            return found

    environment = Recorded(Wedged([]), linux(64000), nvml_timeout_s=0.05)
    machine = probe(environment=environment)
    release.set()
    assert machine.reason == "the NVIDIA driver did not answer within 0.05 s"


def test_our_own_bug_in_the_nvml_thread_is_not_swallowed() -> None:
    class Broken(Nvml):
        def _devicegetcount(self) -> None:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        probe(environment=Recorded(Broken([]), linux(64000)))


def test_planning_on_nothing_is_one_line() -> None:
    machine = probe(environment=machines.start_up("LibraryNotFound"))
    with pytest.raises(InputError, match="NVML library not found") as caught:
        machine.to_system()
    assert "\n" not in str(caught.value)


def test_the_report_of_nothing_is_useful() -> None:
    lines = report_lines(probe(environment=machines.start_up("DriverNotLoaded")))
    assert any("driver not loaded" in line for line in lines)
    assert any(line.startswith("Memory: 62.5 GiB") for line in lines)
    assert any("name the hardware" in line for line in lines)


def test_the_program_prints_one_document_and_leaves_with_0() -> None:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "planner.probing"], capture_output=True, text=True, timeout=60
    )
    took = time.perf_counter() - begun
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert done.stderr == ""
    if not document["devices"]:
        assert document["reason"]
        assert took < 10, "0.2 s on an idle machine; the bound is for a busy one"


def test_no_heavy_library_is_loaded() -> None:
    program = (
        "import sys; from planner.probing import probe; probe();"
        "print([m for m in ('torch', 'numpy', 'pandas', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
