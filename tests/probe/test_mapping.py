"""Every card of the database, as its own driver would announce it, finds itself again."""

from collections import Counter

import pytest

import hardware_db
from hardware_db.accelerator import Accelerator
from planner.probing import probe
from planner.probing.machine import Device
from tests.present import some
from tests.probe import machines
from tests.probe.recorded import NOT_SUPPORTED, Nvml, Recorded, card, linux, memory

DISCRETE = [
    (name, entry)
    for entry in hardware_db.accelerators()
    if entry.vendor == "nvidia" and not entry.is_unified and entry.memory_driver_mib
    for name in entry.nvml_names
]
INTEGRATED = [
    (name, entry)
    for entry in hardware_db.accelerators()
    if entry.vendor == "nvidia" and entry.is_unified
    for name in entry.nvml_names
]
AMD = [
    entry
    for entry in hardware_db.accelerators()
    if entry.vendor == "amd" and not entry.is_unified and entry.gfx and entry.pci_device_ids
]
ALIKE = Counter((entry.gfx, entry.total_bytes >> 30, entry.pci_device_ids[0]) for entry in AMD)
APPLE = [entry for entry in hardware_db.accelerators() if entry.vendor == "apple"]


def found(environment: Recorded) -> Device:
    (device,) = probe(environment=environment).devices
    return device


@pytest.mark.parametrize(("name", "entry"), DISCRETE, ids=lambda v: getattr(v, "id", v))
def test_nvidia(name: str, entry: Accelerator) -> None:
    total = int(some(entry.memory_driver_mib).value)
    capability = tuple(map(int, (entry.compute_capability or "7.0").split(".")))
    device = card(name, memory(total, 400), GetCudaComputeCapability=capability)
    assert found(Recorded(Nvml([device]), linux(999_000))).accelerator_id == entry.id


@pytest.mark.parametrize(("name", "entry"), INTEGRATED, ids=lambda v: getattr(v, "id", v))
def test_nvidia_with_shared_memory(name: str, entry: Accelerator) -> None:
    device = card(name, NOT_SUPPORTED, **machines.UNIFIED)
    environment = machines.arm(linux(entry.total_bytes >> 20), Nvml([device]))
    device = found(environment)
    assert (device.accelerator_id, device.unified) == (entry.id, True)


@pytest.mark.parametrize("entry", AMD, ids=lambda entry: entry.id)
def test_amd(entry: Accelerator) -> None:
    number = some(entry.gfx).removeprefix("gfx")
    version = int(number[:-2]) * 10000 + int(number[-2], 16) * 100 + int(number[-1], 16)
    figure = entry.memory_driver_mib or entry.memory_cuda_mib
    vram = int(figure.value) << 20 if figure else entry.total_bytes
    files = {
        **linux(999_000),
        **machines.amd_card(0, vram, 2**35, entry.pci_device_ids[0].lower(), version),
    }
    answered = found(Recorded(machines.NO_NVIDIA, files)).accelerator_id
    if ALIKE[(entry.gfx, entry.total_bytes >> 30, entry.pci_device_ids[0])] > 1:
        assert answered is None  # RX 6800, 6800 XT and 6900 XT: nothing in sysfs tells them apart
    else:
        assert answered == entry.id


@pytest.mark.parametrize("entry", APPLE, ids=lambda entry: entry.id)
def test_apple(entry: Accelerator) -> None:
    size = int(some(entry.memory_marketed_gb).value)
    brand = entry.name.removesuffix(f" {size}GB")
    device = found(machines.mac(brand, size))
    assert device.accelerator_id == entry.id
    assert device.memory_total_bytes == pytest.approx(entry.total_bytes, rel=0.01)
    assert some(device.memory_total_bytes) < size * 2**30
