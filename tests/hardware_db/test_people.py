"""Machines as people type them: chips, makers, laptops, clouds, words in other languages."""

from __future__ import annotations

import pytest

from hardware_db import HardwareError, accelerators, resolve, systems
from hardware_db.database import bundled
from hardware_db.memory import MemoryKind
from hardware_db.processors import named, sockets
from hardware_db.stand_ins import stand_ins
from tests.present import some

ONE = [
    ("gtx 1650", "gtx-1650"), ("GTX 1060 6gb", "gtx-1060-6"), ("gtx 1060 3gb", "gtx-1060-3"), ("1050 ti", "gtx-1050-ti"),
    ("rtx 2070 max-q", "rtx-2070-max-q"), ("rtx 2060 laptop", "rtx-2060-laptop"), ("3050ti mobile", "rtx-3050-ti-laptop"),
    ("4070 ti s", "rtx-4070-ti-super"), ("4070tis", "rtx-4070-ti-super"), ("4070s", "rtx-4070-super"),
    ("4090m", "rtx-4090-laptop"), ("4050", "rtx-4050-laptop"), ("rx 580 8gb", "rx580-8"), ("5700 xt", "rx5700xt"),
    ("RX 6600", "rx6600"), ("9070 gre", "rx9070gre"), ("a380", "arc-a380"), ("7840u", "radeon-780m"),
    ("7840hs with 780M", "radeon-780m"), ("ryzen 7 pro 7840u", "radeon-780m"), ("8845hs 64gb", "radeon-780m-64"),
    ("ryzen 7 8845hs with 24gb", "radeon-780m-24gb"), ("8700g", "radeon-780m"), ("5600g", "radeon-vega-8"),
    ("framework 13 7840u", "radeon-780m"), ("hx 370", "radeon-890m"), ("ai max 390 64gb", "strix-halo-64"),
    ("orin nano super", "orin-nano-8"), ("jetson orin nano 4gb", "orin-nano-4"), ("a100 80gb sxm4", "a100-sxm-80"),
    ("lenovo legion 5 4060", "rtx-4060-laptop"), ("zephyrus g14 4060", "rtx-4060-laptop"),
    ("gigabyte rtx 4090 gaming oc", "rtx-4090"), ("4090 fe", "rtx-4090"), ("my 4090", "rtx-4090"),
    ("sapphire 7900xtx nitro+", "rx7900xtx"), ("colab t4", "t4"), ("azure H100", "h100-sxm"), ("gcp l4", "l4"),
    ("hf inference endpoint a10g", "a10g"), ("ml.g5.2xlarge", "a10g"), ("h100 mig 3g.40gb", "40gb-gpu"),
    ("n1-standard-8 + t4", "t4"), ("gpu-mi300x1-192gb", "mi300x"), ("L4-1-24G", "l4"), ("p3.2xlarge", "v100-sxm2-16"),
]  # fmt: skip

SEVERAL = [
    ("3090 (x2)", 2, "rtx-3090"), ("rx 7900 xtx 2x", 2, "rx7900xtx"), ("4 × L40S", 4, "l40s"), ("2 t4", 2, "t4"),
    ("dos 3090", 2, "rtx-3090"), ("zwei 3090", 2, "rtx-3090"), ("deux rtx 4090", 2, "rtx-4090"), ("两张4090", 2, "rtx-4090"),
    ("4张3090", 4, "rtx-3090"), ("3090双卡", 2, "rtx-3090"), ("2块A100", 2, "a100-sxm-80"),
    ("gpu_8x_a100_80gb_sxm4", 8, "a100-sxm-80"), ("BM.GPU.H100.8", 8, "h100-sxm"), ("gpu-h100x8-640gb", 8, "h100-sxm"),
    ("NC12s_v3", 2, "v100-pcie-16"), ("p3.8xlarge", 4, "v100-sxm2-16"), ("tpu v5e-8", 8, "tpu-v5e"),
    ("v5litepod-8", 8, "tpu-v5e"), ("DGX A100", 8, "a100-sxm-80"), ("supermicro 8x a100", 8, "a100-sxm-80"),
]  # fmt: skip

MACHINES = [
    ("epyc 9654 768gb", 768, 460.8), ("2x epyc 9654 1536gb ddr5-4800", 1536, 460.8),
    ("dual socket epyc 9654, 24 channels ddr5-4800, 1.5tb", 1536, 460.8), ("epyc 7763 512gb", 512, 204.8),
    ("threadripper 7970x 256gb", 256, 166.4), ("threadripper pro 7965wx 384gb", 384, 332.8), ("xeon w9-3495x 512gb", 512, 307.2),
    ("dual xeon e5-2690 v4 256gb", 256, 76.8), ("xeon 6 6980p 1.5tb", 1536, 614.4), ("7950x 64gb", 64, 83.2),
    ("9950x 192gb", 192, 89.6), ("i9 14900k 128gb ddr4", 128, 38.4), ("n100 16gb", 16, 38.4),
    ("raspberry pi 5 8gb", 8, 17.068), ("rpi 4 8gb", 8, 12.8), ("orange pi 5 plus 32gb", 32, 34.136),
    ("snapdragon x elite 32gb", 32, 135.168), ("epyc 9654 4 channel ddr5-4800 128gb", 128, 153.6),
    ("i7-13700k 64gb ddr5 rtx 4080", 64, 89.6), ("RTX 3060 12GB, 32GB RAM, Ryzen 5600", 32, 51.2), ("16gb laptop", 16, None),
    ("epyc 9654 768gb lpddr2", 768, 307.2),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "identity"), ONE)
def test_one_gpu(typed: str, identity: str) -> None:
    system = resolve(typed)
    assert (system.count, system.accelerator.id) == (1, identity)


@pytest.mark.parametrize(("typed", "count", "identity"), SEVERAL)
def test_several(typed: str, count: int, identity: str) -> None:
    system = resolve(typed)
    assert (system.count, system.accelerator.id) == (count, identity)


@pytest.mark.parametrize(("typed", "ram", "rate"), MACHINES)
def test_a_processor_tells_of_its_ram(typed: str, ram: float, rate: float | None) -> None:
    system = resolve(typed)
    figure = system.host_bandwidth_gb_s
    assert system.host_memory_gib is not None
    assert system.host_memory_gib.value == ram
    assert (figure.value if figure is not None else None) == pytest.approx(rate)
    assert resolve(system.id).host_bandwidth_gb_s == figure


def test_what_stands_in_a_row_is_taken_apart() -> None:
    mixed = resolve("2x3090 1x4090")
    assert [one.id for one in mixed.accelerators] == ["rtx-3090", "rtx-3090", "rtx-4090"]
    beside = resolve("7840hs with rtx 4060 laptop 32gb ram")
    assert beside.accelerator.id == "rtx-4060-laptop"
    assert beside.cpu == "7840hs"
    assert "left out" in beside.assumptions[0]


def test_a_machine_of_which_only_the_ram_is_said() -> None:
    system = resolve("thinkpad t480 32gb")
    assert (system.accelerator.id, some(system.host_memory_gib).value) == ("cpu", 32)
    assert any("'thinkpad t480'" in said for said in system.assumptions)
    with pytest.raises(HardwareError, match="'cpu, 256GB' without a GPU, '256GB' for a GPU"):
        resolve("dell r730 256gb")


@pytest.mark.parametrize(
    "name",
    ["RTX PRO 9999 Blackwell Laptop 12GB", "rtx 9999 laptop 8GB", "laptop nvidia mx-9999 2GB"],
)
def test_a_laptop_with_an_unknown_gpu_is_not_one_without(name: str) -> None:
    with pytest.raises(HardwareError, match="unknown hardware"):
        resolve(name)


@pytest.mark.parametrize(
    "typed", ["rtx 4090 ti", "5080 super", "rtx 4090 gaming supreme lite", "epyc", "colab", "7950x", "surface studio 2"]
)  # fmt: skip
def test_no_word_that_means_something_is_dropped(typed: str) -> None:
    with pytest.raises(HardwareError):
        resolve(typed)


def test_every_line_of_processors_is_found_by_its_id() -> None:
    lines = bundled().processors
    assert len(lines) > 40
    for line in lines:
        found = named(line.id, lines)
        assert found is not None
        assert found.id == line.id
        rate = line.bandwidth(MemoryKind())
        assert 10 < rate.value < 1000
        assert (rate.grade, rate.date is not None) == ("D", True)


def test_two_sockets_are_two() -> None:
    assert [sockets(text) for text in ("dual epyc 9654", "2x xeon", "epyc 9654 x2", "epyc 9254")] == [
        2, 2, 2, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "read_as", "count"),
    [
        ("c7i.8xlarge", "cpu, 64GB", 1),
        ("m7g.16xlarge", "cpu, 256GB", 1),
        ("aws r7i.xlarge", "cpu, 32GB", 1),
        ("hetzner gex44", "rtx 4000 sff ada + 64GB RAM", 1),
        ("ovh l40s-180", "2x l40s + 180GB RAM", 2),
        ("DGX-2", "16x v100 32GB", 16),
        ("Steam Deck OLED", "cpu, 16GB", 1),
    ],
)
def test_what_has_no_entry_is_read_as_what_is_in_it(typed: str, read_as: str, count: int) -> None:
    system, meant = resolve(typed), resolve(read_as)
    assert (system.id, system.count) == (meant.id, count)
    assert f"{typed} is read as {read_as}: " in system.assumptions[0]


@pytest.mark.parametrize(
    "typed",
    [
        "jetson nano",
        "nvidia mx450",
        "tesla k80",
        "tpu v4-8",
        "v5p-8",
        "ironwood",
        "trn2.48xlarge",
        "inf2.xlarge",
        "playstation 5",
        "xbox series x",
        "ascend 910b",
        "tenstorrent p150",
        "c4-standard-96",
        "Standard_D16s_v5",
        "hetzner ax102",
    ],
)
def test_what_is_known_and_not_planned_says_why_and_what_to_type(typed: str) -> None:
    with pytest.raises(HardwareError, match="is not planned: ") as refused:
        resolve(typed)
    example = str(refused.value).rpartition("type for example ")[2]
    assert resolve(example.strip("'")).count


def test_every_stand_in_leads_to_something_that_is_planned() -> None:
    for row in stand_ins():
        assert row.source
        assert (row.read_as is None) is (row.example is not None)
        meant = (
            row.example if row.read_as is None else row.read_as.format(gb=8 * (row.gb_each or 1))
        )
        assert resolve(str(meant)).total_bytes > 0


def test_no_stand_in_hides_an_entry() -> None:
    names = [name for entry in accelerators() for name in (entry.id, entry.name, *entry.aliases)]
    names += [name for entry in systems() for name in (entry.id, entry.name, *entry.aliases)]
    assert not [name for name in names if any(row.name.fullmatch(name) for row in stand_ins())]


@pytest.mark.parametrize(
    ("case", "never"),
    [
        ("mac mini 24gb", " M3 "),
        ("mac mini 64gb", " Max "),
        ("macbook air 16gb", " Pro "),
        ("mac pro", " Max"),
        ("macbook pro 64gb", " Ultra "),
    ],
)
def test_a_case_is_offered_no_chip_that_was_never_in_it(case: str, never: str) -> None:
    """An M3 was named for a Mac mini."""
    with pytest.raises(HardwareError, match="chip") as refused:
        resolve(case)
    assert never not in str(refused.value).replace(",", " ,")
