import pytest

from planner.probing import probe
from planner.probing.amd import gfx_name
from tests.present import some
from tests.probe import machines
from tests.probe.recorded import MIB, Recorded, linux


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (90402, "gfx942"),
        (90010, "gfx90a"),
        (90500, "gfx950"),
        (110000, "gfx1100"),
        (110501, "gfx1151"),
        (120001, "gfx1201"),
        (0, None),
    ],
)
def test_instruction_set_names(number: int, name: str | None) -> None:
    assert gfx_name(number) == name


def test_mi300x_pair_over_xgmi() -> None:
    machine = probe(environment=machines.mi300x(2))
    assert [device.accelerator_id for device in machine.devices] == ["mi300x"] * 2
    device = machine.devices[0]
    assert device.memory_total_bytes == 206141652992
    assert device.memory_free_bytes == 206141652992 - 2**30
    assert (device.gfx, device.pci_id) == ("gfx942", "1002:74a1")
    assert device.pci_bus_id == "0000:c1:00.0"
    assert (device.pcie_generation, device.pcie_width) == (4, 16)
    assert machine.topology.fully_connected
    assert machine.topology.joins("amd", (0, 1)) == "xgmi"
    assert machine.reason is None


def test_radeon_of_its_own_memory() -> None:
    (device,) = probe(environment=machines.rx_7900_xtx()).devices
    assert device.accelerator_id == "rx7900xtx"
    assert not device.unified
    assert device.memory_total_bytes == 25753026560


def test_the_same_instruction_set_with_other_memory_is_another_card() -> None:
    files = {
        **linux(64000),
        **machines.amd_card(0, 28 * 2**30, 2**35, "744c", 110000),
    }
    (device,) = probe(environment=Recorded(machines.NO_NVIDIA, files)).devices
    assert device.accelerator_id is None
    assert device.name == "AMD GPU gfx1100"


def test_strix_halo_has_its_carve_out_and_what_the_kernel_lends() -> None:
    (device,) = probe(environment=machines.strix_halo()).devices
    assert device.unified
    assert device.accelerator_id == "strix-halo-128"
    assert device.memory_total_bytes == (512 + 62000) * MIB
    assert device.memory_free_bytes == (412 + 61900) * MIB
    assert device.pcie_width is None


def test_strix_halo_cannot_lend_more_than_there_is() -> None:
    environment = machines.strix_halo(vram_mib=96 * 1024, gtt_mib=126_976, system_mib=31_000)
    (device,) = probe(environment=environment).devices
    assert device.memory_total_bytes == (96 * 1024 + 31_000) * MIB
    assert device.memory_free_bytes == (96 * 1024 - 100 + 25_000) * MIB


def test_a_partitioned_card_is_doubtful() -> None:
    extra = {"current_compute_partition": "CPX\n", "current_memory_partition": "NPS4\n"}
    files = {
        **linux(64000),
        **machines.amd_card(0, 206141652992, 2**35, "74a1", 90402, extra=extra),
    }
    machine = probe(environment=Recorded(machines.NO_NVIDIA, files))
    assert machine.devices[0].partition == "CPX/NPS4"
    assert any("partitioned" in warning for warning in machine.warnings)


def test_a_card_without_compute_driver_is_told() -> None:
    files = {**linux(64000), **machines.amd_card(0, 2**34, 2**35, "73bf", 100300)}
    files = {path: text for path, text in files.items() if "/kfd/" not in path}
    machine = probe(environment=Recorded(machines.NO_NVIDIA, files))
    assert any("ROCm will not use it" in warning for warning in machine.warnings)


def test_a_display_chip_of_another_maker_is_no_device() -> None:
    files = {**linux(64000), "/sys/class/drm/card0/device/vendor": "0x1a03\n"}
    machine = probe(environment=Recorded(machines.NO_NVIDIA, files))
    assert machine.devices == ()
    assert some(machine.reason).startswith("NVML library not found")
