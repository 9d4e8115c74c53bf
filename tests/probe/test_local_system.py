import json
from collections.abc import Callable

import pytest
from syrupy.assertion import SnapshotAssertion

import hardware_db
from planner.errors import InputError
from planner.probing import probe
from planner.probing.local_system import pcie_gb_s
from planner.probing.report import report_lines
from tests.present import accelerator_of, some
from tests.probe import machines
from tests.probe.recorded import MIB, Nvml, Recorded, Refused, card, linux, memory

MACHINES = {
    "8x h100": machines.h100_x8,
    "4090s and a 3060": machines.mixed,
    "4090 48 GB": lambda: Recorded(Nvml([machines.rtx_4090(total=49140)]), linux(64000)),
    "mig from outside": lambda: machines.MIG_OUTSIDE,
    "mig from inside": lambda: machines.MIG_INSIDE,
    "gb10": machines.gb10,
    "thor": machines.thor,
    "orin": machines.orin,
    "gh200": machines.gh200,
    "gb200": machines.gb200,
    "n1x": machines.n1x,
    "laptop": machines.laptop,
    "vgpu": machines.vgpu,
    "wsl2": machines.wsl2,
    "old driver": lambda: machines.OLD,
    "mi300x": machines.mi300x,
    "7900 xtx": machines.rx_7900_xtx,
    "strix halo": machines.strix_halo,
    "m4 max": machines.mac,
}
WITHOUT = {
    "no library": lambda: machines.start_up("LibraryNotFound"),
    "dead driver": lambda: machines.start_up("DriverNotLoaded"),
    "no permission": lambda: machines.start_up("NoPermission"),
    "no device": lambda: Recorded(Nvml([]), linux(64000)),
}


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("free", [False, True])
def test_every_machine_can_be_planned_for_with_its_own_memory(name: str, free: bool) -> None:
    machine = probe(environment=MACHINES[name]())
    system = machine.to_system(free=free)
    devices = machine.visible_devices
    wanted = {d.memory_free_bytes if free else d.memory_total_bytes for d in devices}
    assert system.accelerator.total_bytes in wanted, "measured to the byte"
    assert system.accelerator.total_bytes_on("wddm") == system.accelerator.total_bytes
    assert system.accelerator.total_bytes_source.source.startswith("probe of this machine")
    assert system.nodes == 1
    assert 1 <= system.count <= len(devices)


@pytest.mark.parametrize("name", WITHOUT)
def test_no_device_is_one_line_that_says_what_to_do(name: str) -> None:
    with pytest.raises(InputError, match="name the hardware instead"):
        probe(environment=WITHOUT[name]()).to_system()


@pytest.mark.parametrize("name", [*MACHINES, *WITHOUT])
def test_the_document_and_the_report(name: str, snapshot: SnapshotAssertion) -> None:
    machines_by_name: dict[str, Callable[[], Recorded]] = {**MACHINES, **WITHOUT}
    machine = probe(environment=machines_by_name[name]())
    document = json.loads(json.dumps(machine.to_dict()))
    assert len(document["devices"]) == len(machine.devices)
    assert "\n".join(report_lines(machine)) == snapshot


def test_eight_joined_cards_are_one_group() -> None:
    system = probe(environment=machines.h100_x8()).to_system()
    assert system.count == 8
    assert system.accelerator.id == "h100-sxm"
    assert system.intra_node_link == "NVLink 4"
    assert some(system.intra_node_gb_s).value == 450
    assert some(system.host_memory_gib).value == pytest.approx(2_000_000 / 1024)


def test_without_nvlink_between_them_pcie_joins_the_group() -> None:
    environment = machines.h100_x8()
    environment.nvml_module.link = lambda a, b: 50
    system = probe(environment=environment).to_system()
    assert system.intra_node_link == "PCIe 5.0 x16"
    assert some(system.intra_node_gb_s).value == pytest.approx(63.0, abs=0.1)
    assert any("does not join all" in note for note in system.notes)


def test_the_largest_group_is_taken_and_the_rest_is_named() -> None:
    system = probe(environment=machines.mixed()).to_system()
    assert system.count == 2
    assert system.accelerator.id == "rtx-4090"
    assert system.intra_node_link == "PCIe 4.0 x16"
    assert any("Not used by this plan" in n and "RTX 3060" in n for n in system.notes)


def test_hidden_devices_are_not_planned_with() -> None:
    system = probe(environment=machines.mixed(CUDA_VISIBLE_DEVICES="1")).to_system()
    assert system.accelerator.id == "rtx-3060-12"
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES"):
        probe(environment=machines.mixed(CUDA_VISIBLE_DEVICES="")).to_system()


def test_one_name_in_two_sizes_is_two_groups() -> None:
    cards = [machines.rtx_4090(0), machines.rtx_4090(1, total=49140), machines.rtx_4090(2)]
    system = probe(environment=Recorded(Nvml(cards), linux(64000))).to_system()
    assert system.count == 2 or system.accelerator.id == "rtx-4090-48"
    assert system.count * system.accelerator.total_bytes == max(
        2 * (24564 - 380) * MIB, (49140 - 380) * MIB
    )


def test_free_leaves_out_a_card_that_is_taken() -> None:
    environment = machines.h100_x8()
    environment.nvml_module.cards[3]["GetMemoryInfo"] = memory(81559, 478, 80_000)
    machine = probe(environment=environment)
    assert machine.to_system().count == 8
    system = machine.to_system(free=True)
    assert system.count == 7
    assert system.accelerator.total_bytes == (81081 - 600) * MIB
    assert any("Not used" in note and "GPU 3" in note for note in system.notes)
    assert any("free now" in note for note in system.notes)


def test_instances_are_never_joined() -> None:
    system = probe(environment=machines.MIG_OUTSIDE).to_system()
    whole = hardware_db.get("h200-sxm")
    assert system.count == 1
    assert system.accelerator.total_bytes == 71424 * MIB
    share = 71424 / some(accelerator_of(whole).memory_driver_mib).value
    assert some(system.accelerator.bandwidth_gb_s).value == pytest.approx(
        some(accelerator_of(whole).bandwidth_gb_s).value * share
    )
    assert system.accelerator.tflops["bf16"].value == pytest.approx(
        accelerator_of(whole).tflops["bf16"].value * 3 / 7
    )
    assert system.accelerator.max_per_node == 1


def test_a_display_card_beside_the_large_one_is_left_alone() -> None:
    large = card(
        "NVIDIA GB300",
        memory(284208, 1072),
        GetCudaComputeCapability=(10, 3),
        GetAddressingMode=2,
    )
    small = card("NVIDIA RTX PRO 2000 Blackwell", memory(16311, 400))
    environment = machines.arm(linux(500_000), Nvml([small, large]))
    system = probe(environment=environment).to_system()
    assert system.count == 1
    assert system.accelerator.total_bytes == (284208 - 1072) * MIB


def test_devices_of_two_makers_do_not_lend_each_other_their_links() -> None:
    environment = machines.mi300x(2)
    environment.nvml_module = Nvml(
        [machines.rtx_4090(0), machines.rtx_4090(1)], link=lambda a, b: "nvlink"
    )
    machine = probe(environment=environment)
    assert not machine.topology.fully_connected
    assert machine.to_system().accelerator.id == "mi300x"
    assert len(machine.topology.pairs) == 2
    for path in [path for path in environment.files if "io_links" in path]:
        del environment.files[path]
    assert some(probe(environment=environment).to_system().intra_node_link).startswith("PCIe")


def test_a_dead_nvidia_driver_beside_another_makers_chip_is_told() -> None:
    environment = machines.rx_7900_xtx()
    assert probe(environment=environment).warnings == ()
    environment.nvml_module = Nvml(init=Refused("LibRmVersionMismatch"))
    machine = probe(environment=environment)
    assert any("version mismatch" in warning for warning in machine.warnings)
    assert machine.reason is None


def test_an_unknown_card_has_what_was_measured_and_what_its_kin_share() -> None:
    device = card(
        "NVIDIA GeForce RTX 4055",
        memory(10240, 300),
        GetMemoryBusWidth=128,
        GetMaxClockInfo=9001,
        GetMaxPcieLinkWidth=8,
    )
    accelerator = probe(environment=Recorded(Nvml([device]), linux(64000))).to_system().accelerator
    assert accelerator.id == "local-nvidia"
    assert some(accelerator.bandwidth_gb_s).value == pytest.approx(288, abs=0.1)
    assert some(accelerator.bandwidth_gb_s).grade == "C"
    assert accelerator.formats["fp8"] == "native"
    assert accelerator.pcie == "4.0 x8"
    assert accelerator.tflops == {}


def test_a_card_in_a_slow_slot_has_that_slots_rate() -> None:
    device = machines.rtx_4090(GetMaxPcieLinkGeneration=3, GetMaxPcieLinkWidth=4)
    accelerator = probe(environment=Recorded(Nvml([device]), linux(64000))).to_system().accelerator
    assert accelerator.pcie == "3.0 x4"
    assert some(accelerator.pcie_gb_s).value == pytest.approx(3.94, abs=0.01)


def test_unified_memory_keeps_the_entrys_rules_for_it() -> None:
    accelerator = probe(environment=machines.gb10()).to_system().accelerator
    assert accelerator.is_unified
    known = accelerator_of(hardware_db.get("gb10")).unified
    assert some(accelerator.unified).safe_utilization == some(known).safe_utilization
    nearly_full = probe(environment=machines.gb10()).to_system(free=True).accelerator
    assert nearly_full.total_bytes == 98000 * MIB
    assert some(nearly_full.unified).usable_mib is None, "more than is free"


@pytest.mark.parametrize(
    ("generation", "width", "gb_s"), [(1, 1, 0.25), (3, 16, 15.75), (4, 8, 15.75), (5, 16, 63.02)]
)
def test_pcie_rates(generation: int, width: int, gb_s: float) -> None:
    assert pcie_gb_s(generation, width) == pytest.approx(gb_s, abs=0.01)
