from typing import Any

import pytest

from planner.probing import probe
from planner.probing.cuda_driver import CudaDevice
from planner.probing.machine import Device, Machine
from tests.present import some
from tests.probe import machines
from tests.probe.recorded import MIB, NOT_SUPPORTED, Nvml, Recorded, Refused, card, linux, memory


def only(environment: Recorded) -> tuple[Machine, Device]:
    machine = probe(environment=environment)
    (device,) = machine.devices
    return machine, device


def test_eight_h100_joined_by_nvlink() -> None:
    environment = machines.h100_x8()
    machine = probe(environment=environment)
    assert [device.accelerator_id for device in machine.devices] == ["h100-sxm"] * 8
    first = machine.devices[0]
    assert first.memory_driver_bytes == 81559 * MIB
    assert first.memory_reserved_bytes == 478 * MIB
    assert first.memory_total_bytes == 81081 * MIB
    assert first.memory_free_bytes == (81081 - 600) * MIB
    assert (first.compute_capability, first.pci_id) == ("9.0", "10de:2330")
    assert (first.pcie_generation, first.pcie_width, first.ecc) == (5, 16, True)
    assert first.mig_enabled is False
    assert first.power_limit_w == 700
    assert first.bandwidth_derived_gb_s == pytest.approx(3352, abs=1)
    assert (some(first.nvlink).links, some(first.nvlink).version, some(first.nvlink).gb_s) == (
        18,
        "4.0",
        450,
    )
    assert some(first.nvlink).to_switch is True
    assert machine.topology.fully_connected
    assert len(machine.topology.pairs) == 28
    assert (machine.driver_version, machine.cuda_version) == ("580.95.05", "13.0")
    assert machine.reason is None
    assert machine.warnings == ()


def test_one_broken_link_is_not_fully_connected() -> None:
    environment = machines.h100_x8()
    environment.nvml_module.link = lambda a, b: Refused("Unknown") if (a, b) == (2, 5) else "nvlink"
    topology = probe(environment=environment).topology
    assert not topology.fully_connected
    assert {pair.path for pair in topology.pairs} == {"nvlink", "unknown"}
    assert topology.joins("nvidia", (0, 1, 2, 3)) == "nvlink"
    assert topology.joins("nvidia", (2, 3, 4, 5)) is None


def test_mixed_cards_keep_the_bus_order_and_say_that_cuda_may_not() -> None:
    machine = probe(environment=machines.mixed())
    assert [d.accelerator_id for d in machine.devices] == ["rtx-4090", "rtx-3060-12", "rtx-4090"]
    assert {pair.path for pair in machine.topology.pairs} == {"phb"}
    assert any("CUDA_DEVICE_ORDER" in warning for warning in machine.warnings)
    assert not probe(environment=machines.mixed(CUDA_DEVICE_ORDER="PCI_BUS_ID")).warnings


def test_memory_tells_a_modded_card() -> None:
    _, device = only(Recorded(Nvml([machines.rtx_4090(total=49140)]), linux(64000)))
    assert device.accelerator_id == "rtx-4090-48"
    assert device.memory_total_bytes == (49140 - 380) * MIB


def test_a_laptop_card_is_not_the_desktop_one() -> None:
    _, device = only(machines.laptop())
    assert device.accelerator_id == "rtx-5090-laptop"
    assert device.power_limit_w is None


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090 Ultra", "NVIDIA H1", "NVIDIA A1000"])
def test_an_unknown_name_is_no_entry(name: str) -> None:
    _, device = only(Recorded(Nvml([card(name, memory(24564, 400))]), linux(64000)))
    assert device.accelerator_id is None
    assert device.memory_total_bytes == 24164 * MIB


def test_split_card_from_outside() -> None:
    machine, device = only(machines.MIG_OUTSIDE)
    assert device.accelerator_id == "h200-sxm"
    assert device.mig_enabled is True
    assert device.memory_total_bytes == (143771 - 700) * MIB
    assert [some(part.memory_total_bytes) // MIB for part in device.mig_instances] == [33280, 71424]
    assert [part.mig_share for part in device.mig_instances] == [1 / 7, 3 / 7]
    assert all(part.kind == "mig" for part in machine.visible_devices)
    assert machine.topology.pairs == ()
    assert any("tensor parallelism across instances is impossible" in n for n in machine.notes)


def test_split_card_from_inside_a_container() -> None:
    machine, device = only(machines.MIG_INSIDE)
    assert device.memory_total_bytes is None
    assert device.mig_enabled is True
    assert device.mig_instances[0].memory_total_bytes == 33280 * MIB
    assert machine.container
    assert machine.reason is None


def test_instances_of_two_cards_have_no_links() -> None:
    cards = [machines.split_h200(memory(143771, 700)) for _ in range(2)]
    nvml = Nvml(cards, link=lambda a, b: "nvlink")
    assert probe(environment=Recorded(nvml, linux(64000))).topology.pairs == ()


def test_split_card_without_instances_says_so() -> None:
    cards = [machines.split_h200(memory(143771, 700))]
    cards[0]["instances"] = {}
    machine, _ = only(Recorded(Nvml(cards), linux(64000)))
    assert any("no instance" in warning for warning in machine.warnings)
    assert machine.visible_devices == ()
    assert "no instance" in some(machine.reason)


def test_gb10_has_the_systems_memory() -> None:
    machine, device = only(machines.gb10())
    assert device.accelerator_id == "gb10"
    assert device.unified
    assert device.memory_driver_bytes is None
    assert device.memory_total_bytes == 124610 * MIB
    assert device.memory_free_bytes == 98000 * MIB, "MemAvailable, not MemFree"
    assert device.memory_held_bytes == 30 * 1024 * MIB
    assert device.processes[0].name == "process-4242"
    assert (device.pcie_generation, device.pcie_width) == (None, None), "gen 1 x1 means nothing"
    assert machine.product == "NVIDIA_DGX_Spark"
    assert machine.reason is None


@pytest.mark.parametrize("mem", [memory(124610, 0, 20000), memory(0)])
def test_gb10_whose_driver_reports_memtotal_or_zero(mem: tuple[int, int, int]) -> None:
    _, device = only(machines.gb10(mem))
    assert device.unified
    assert device.memory_total_bytes == 124610 * MIB
    assert device.memory_free_bytes == 98000 * MIB


def test_gb10_of_the_first_firmware_is_the_same_entry() -> None:
    _, device = only(machines.gb10(total_mib=122548))
    assert device.accelerator_id == "gb10"
    assert device.memory_total_bytes == 122548 * MIB


def test_an_unknown_integrated_gpu_is_unified() -> None:
    files = linux(60000, 40000)
    silent = machines.arm(files, Nvml([card("NVIDIA GB99", NOT_SUPPORTED, **machines.UNIFIED)]))
    telling = machines.arm(files, Nvml([card("NVIDIA GB99", memory(58000), **machines.UNIFIED)]))
    for environment in (silent, telling):
        _, device = only(environment)
        assert device.unified
        assert device.accelerator_id is None
        assert device.memory_total_bytes == 60000 * MIB


def test_a_card_about_as_large_as_the_systems_memory_keeps_its_own() -> None:
    device = card("NVIDIA RTX 9999", memory(62000, 600), GetCudaComputeCapability=(13, 0))
    _, found = only(Recorded(Nvml([device]), linux(64000)))
    assert not found.unified
    assert found.memory_total_bytes == 61400 * MIB


def test_thor() -> None:
    _, device = only(machines.thor())
    assert device.unified
    assert device.accelerator_id == "thor"
    assert device.compute_capability == "11.0"
    assert device.memory_total_bytes == 125748 * MIB


@pytest.mark.parametrize("word", ["LibraryNotFound", "DriverNotLoaded", "Unknown"])
def test_orin_without_nvml_is_read_from_the_device_tree(word: str) -> None:
    machine, device = only(machines.orin(word))
    assert device.unified
    assert device.name == "NVIDIA Jetson AGX Orin Developer Kit"
    assert device.accelerator_id == "orin-64"
    assert device.compute_capability == "8.7"
    assert device.memory_total_bytes == 62827 * MIB
    assert machine.reason is None


def test_a_smaller_orin_is_not_the_large_one() -> None:
    _, device = only(machines.orin(total_mib=30000))
    assert device.accelerator_id == "orin-32"
    assert device.memory_total_bytes == 30000 * MIB
    _, between = only(machines.orin(total_mib=22000))
    assert between.accelerator_id is None


@pytest.mark.parametrize("host_mib", [580_000, 100_000])
def test_gh200_has_its_own_memory(host_mib: int) -> None:
    machine, device = only(machines.gh200(host_mib=max(host_mib, 98_000)))
    assert not device.unified
    assert device.accelerator_id == "gh200-96"
    assert device.addressing_mode == "ats"
    assert device.memory_total_bytes == (97871 - 600) * MIB
    assert machine.host_memory_total_bytes == (host_mib - 97871) * MIB, "HBM is a NUMA node"
    assert some(machine.host_memory_available_bytes) <= some(machine.host_memory_total_bytes)


def test_gb200_has_its_own_memory_and_a_fabric() -> None:
    machine = probe(environment=machines.gb200())
    assert {device.accelerator_id for device in machine.devices} == {"gb200"}
    assert not any(device.unified for device in machine.devices)
    assert some(machine.devices[0].nvlink).gb_s == 900
    assert machine.devices[0].fabric == "ab" * 16 + "/7"
    assert machine.topology.fully_connected


@pytest.mark.parametrize(("carve_out", "least"), [(8128, 8128), (40896, 40896)])
def test_n1x_reports_its_carve_out_only(carve_out: int, least: int) -> None:
    machine, device = only(machines.n1x(carve_out))
    assert device.unified
    assert device.accelerator_id == "n1x"
    assert device.memory_driver_bytes == carve_out * MIB
    assert some(device.memory_total_bytes) > least * MIB
    assert dict(device.obtained)["memory_total_bytes"].startswith("assumed")
    assert any("firmware set aside" in warning for warning in machine.warnings)
    assert machine.platform == "windows"


def test_n1x_has_at_least_its_carve_out_and_at_most_all_there_is() -> None:
    _, device = only(machines.n1x(60_000, 4_000))
    assert device.memory_total_bytes == 60_000 * MIB
    _, device = only(machines.n1x(8_000, 16_000))
    assert device.memory_total_bytes == 24_000 * MIB


def test_cuda_knows_what_n1x_can_have() -> None:
    environment = machines.n1x(40896)
    environment.cuda_devices = (
        CudaDevice(total_bytes=32 * 2**30, integrated=False),
        CudaDevice(total_bytes=51480 * MIB, integrated=True),
    )
    machine, device = only(environment)
    assert device.memory_total_bytes == 51480 * MIB
    assert dict(device.obtained)["memory_total_bytes"] == "cuDeviceTotalMem"
    assert machine.warnings == ()


def test_vgpu_is_no_database_card() -> None:
    machine, device = only(machines.vgpu())
    assert device.virtualization == "vgpu"
    assert device.accelerator_id is None
    assert device.parent_accelerator_id == "a10"
    assert device.memory_total_bytes == (12288 - 300) * MIB
    assert any("virtual GPU" in note for note in machine.notes)


def test_wsl2_gives_all_but_one_mib() -> None:
    machine, device = only(machines.wsl2())
    assert machine.platform == "wsl2"
    assert device.accelerator_id == "rtx-5090"
    assert device.memory_total_bytes == 32606 * MIB
    assert device.processes[0].used_bytes is None
    assert device.memory_held_bytes is None


def test_windows_compute_driver_keeps_a_reserve() -> None:
    for model, total in (([0, 0], 32606), ([1, 1], 32607 - 518)):
        environment = machines.wsl2(GetDriverModel=model)
        environment.system = "Windows"
        assert only(environment)[1].memory_total_bytes == total * MIB


def test_an_old_driver_lacks_functions() -> None:
    machine, device = only(machines.OLD)
    assert device.accelerator_id == "v100-sxm2-32"
    assert device.memory_reserved_bytes is None
    assert device.memory_total_bytes == (32768 - 450) * MIB, "at least 450 MiB"
    assert dict(device.obtained)["memory_total_bytes"].startswith("assumed")
    assert (device.mig_enabled, device.addressing_mode) == (None, None)
    assert (some(device.nvlink).gb_s, some(device.nvlink).to_switch) == (150, None)
    assert (machine.driver_version, machine.cuda_version) == ("418.226.00", "10.1")


def test_an_old_binding_lacks_functions_too() -> None:
    device = machines.rtx_4090()
    unbound = frozenset(
        {
            "NVMLLibraryMismatchError",
            "NVML_NVLINK_MAX_LINKS",
            "c_nvmlGpuFabricInfo_v2_t",
            "nvmlDeviceGetAddressingMode",
            "nvmlDeviceGetComputeRunningProcesses_v3",
            "nvmlMemory_v2",
            "nvmlSystemGetCudaDriverVersion_v2",
        }
    )
    machine, found = only(Recorded(Nvml([device], unbound=unbound), linux(64000)))
    assert found.memory_total_bytes == (24564 - 380) * MIB
    assert found.addressing_mode is None
    assert machine.cuda_version == "13.0"


def test_a_name_that_is_not_text_is_no_crash() -> None:
    class Garbled(Nvml):
        def _systemgetprocessname(self, pid: Any) -> Any:
            return b"\xff".decode()

    device = machines.rtx_4090()
    device["GetComputeRunningProcesses_v3"] = [(7, 2_000 * MIB)]
    _, found = only(Recorded(Garbled([device]), linux(64000)))
    assert found.processes[0].name is None


def test_slower_links_count_with_their_own_rate() -> None:
    device = machines.rtx_4090(GetNvLinkState=4, GetNvLinkVersion=5, GetNvLinkRemoteDeviceType=0)
    device["link speed"] = 14062
    _, found = only(Recorded(Nvml([device]), linux(64000)))
    assert some(found.nvlink).gb_s == pytest.approx(56.25, abs=0.01)


def test_a_known_card_that_hides_its_memory_is_not_unified() -> None:
    device = card("NVIDIA H200", NOT_SUPPORTED, GetCudaComputeCapability=(9, 0))
    machine, found = only(Recorded(Nvml([device]), linux(64000)))
    assert not found.unified
    assert found.memory_total_bytes == 143155 * MIB
    assert any("assumed" in warning for warning in machine.warnings)


def test_a_lost_gpu_is_left_out() -> None:
    cards = [machines.h100(number) for number in range(3)]
    cards[1] = Refused("GpuIsLost")
    cards[2]["GetMemoryInfo"] = Refused("GpuIsLost")
    machine = probe(environment=Recorded(Nvml(cards), linux(64000)))
    assert [device.index for device in machine.devices] == [0]
    assert sum("lost" in warning for warning in machine.warnings) == 2
    assert machine.reason is None


def test_use_by_unseen_processes_is_told() -> None:
    device = machines.rtx_4090()
    device["GetMemoryInfo"] = memory(24564, 380, 10_000)
    device["GetComputeRunningProcesses_v3"] = [(7, 2_000 * MIB)]
    machine, _ = only(Recorded(Nvml([device]), linux(64000)))
    assert any("7.8 GiB is in use by processes that cannot be seen" in n for n in machine.notes)


@pytest.mark.parametrize(
    "environment",
    [machines.h100_x8(), machines.gb10(), machines.OLD, machines.MIG_INSIDE, machines.vgpu()],
)
def test_nvml_is_always_shut_down(environment: Recorded) -> None:
    module = environment.nvml_module
    before = module.started
    probe(environment=environment)
    assert module.started == module.stopped == before + 1
