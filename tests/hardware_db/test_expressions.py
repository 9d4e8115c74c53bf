"""Machines as people type them: RAM beside GPUs, machines without one, unequal GPUs, bare names."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hardware_db
from hardware_db import Accelerator, HardwareError, System, UnknownHardware, resolve
from hardware_db.database import bundled
from hardware_db.expression import memory
from tests.present import some

GIB = 1 << 30
TYPED = [
    ("2 nodes of 3x rtx-3060-12", ["rtx-3060-12"] * 6, None),
    ("two machines with 2x 3090, 64GB each", ["rtx-3090"] * 4, 64),
    ("4 nodes of 8 h100", ["h100-sxm"] * 32, None),
    ("32 h100 on 4 nodes", ["h100-sxm"] * 32, None),
    ("16x h100 in 2 servers, 1TB RAM", ["h100-sxm"] * 16, 1024),
    ("1 pc with a 3090 and 64GB ram", ["rtx-3090"], 64),
    ("4090 + 64GB RAM", ["rtx-4090"], 64),
    ("4090 64GB RAM", ["rtx-4090"], 64),
    ("4090 64GB", ["rtx-4090"], 64),
    ("a 4090 with 64 GB of RAM", ["rtx-4090"], 64),
    ("RTX 4090, 64 GB DDR5", ["rtx-4090"], 64),
    ("64GB, 4090", ["rtx-4090"], 64),
    ("2x 3090, 128 GB", ["rtx-3090"] * 2, 128),
    ("2x 4090 + 4x32GB", ["rtx-4090"] * 2, 128),
    ("8x h100 + 2TB", ["h100-sxm"] * 8, 2048),
    ("h100:2", ["h100-sxm"] * 2, None),
    ("A100-80GB:8", ["a100-sxm-80"] * 8, None),
    ("two 3090s", ["rtx-3090"] * 2, None),
    ("a pair of 3090s", ["rtx-3090"] * 2, None),
    ("L40S", ["l40s"], None),
    ("RTX4090 48G", ["rtx-4090-48"], None),
    ("rtx 4090 24gb", ["rtx-4090"], None),
    ("3090 (24 GB VRAM) + 32GB", ["rtx-3090"], 32),
    ("4090, 48GB", ["rtx-4090"], 48),
    ("4060 Ti, 16GB", ["rtx-4060-ti-16"], None),
    ("3090 + 3060", ["rtx-3090", "rtx-3060-12"], None),
    ("2x 3090 + 3060 + 128GB RAM", ["rtx-3090", "rtx-3090", "rtx-3060-12"], 128),
    ("3090 + 3090", ["rtx-3090"] * 2, None),
    ("2x 3090 + 2x 3090", ["rtx-3090"] * 4, None),
    ("DGX Spark + DGX Spark", ["gb10"] * 2, None),
    ("EVO-X2", ["strix-halo-128"], None),
    ("Lenovo PGX", ["gb10"], None),
    ("strix halo", ["strix-halo-128"], None),
    ("Strix Halo + 64GB", ["strix-halo-64"], None),
    ("Ryzen AI Max+ 395", ["strix-halo-128"], None),
    ("Ryzen AI Max+ 395 128GB", ["strix-halo-128"], None),
    ("Ryzen AI Max+ 395 + 128GB RAM", ["strix-halo-128"], None),
    ("DGX Spark", ["gb10"], None),
    ("DGX Spark 128GB", ["gb10"], None),
    ("Mac mini M4 Pro 24GB", ["apple-m4-pro-24"], None),
    ("M4 Max", ["apple-m4-max"], None),
    ("M4 Max, 64GB", ["apple-m4-max-64"], None),
    ("3080", ["rtx-3080-10"], None),
    ("5060 Ti", ["rtx-5060-ti-16"], None),
    ("RTX 4070 laptop", ["rtx-4070-laptop"], None),
    ("laptop 4060 + 16GB RAM", ["rtx-4060-laptop"], 16),
    ("7900 xt", ["rx7900xt"], None),
    ("Ryzen 7950X + 4090 + 64GB DDR5-6000 CL30", ["rtx-4090"], 64),
    ("24GB", ["24gb-gpu"], None),
    ("12.5g", ["12.5gb-gpu"], None),
    ("2x 24GB", ["24gb-gpu"] * 2, None),
    ("cpu, 64 GB", ["cpu"], None),
    ("cpu 64GB", ["cpu"], None),
    ("no gpu, 64GB", ["cpu"], None),
    ("64GB RAM", ["cpu"], None),
    ("epyc 9654 + 64GB 12-channel DDR5-4800", ["cpu"], None),
    ("g6e.xlarge", ["l40s"], 32),
    ("laptop 4070 8GB", ["rtx-4070-laptop"], None),
    ("4060 8gb laptop", ["rtx-4060-laptop"], None),
    ("a 4070 laptop with 8gb", ["rtx-4070-laptop"], None),
    ("laptop 4070 16GB", ["rtx-4070-laptop"], 16),
    ("4070 laptop 8GB 32GB RAM", ["rtx-4070-laptop"], 32),
    ("laptop 4070 8GB vram 32GB", ["rtx-4070-laptop"], 32),
    ("gaming laptop rtx 4060 8gb 16gb ram", ["rtx-4060-laptop"], 16),
    ("2x 3090 48GB", ["rtx-3090"] * 2, None),
    ("2x 3090 (48GB)", ["rtx-3090"] * 2, None),
    ("2x 3090 48GB RAM", ["rtx-3090"] * 2, 48),
    ("3090 24GB 64GB", ["rtx-3090"], 64),
    ("raspberry pi 5 16gb", ["cpu"], None),
]


@pytest.mark.parametrize(("typed", "accelerators", "ram"), TYPED)
def test_machines_that_people_type(typed: str, accelerators: list[str], ram: int | None) -> None:
    system = resolve(typed)
    assert [one.id for one in system.accelerators] == accelerators
    assert system.count == len(accelerators)
    assert system.host_memory == (None if ram is None else ram * GIB)


def machine(system: System) -> tuple[object, ...]:
    """What an id must bring back."""
    return (
        system.id, system.accelerators, system.nodes, system.host_memory_gib,
        system.host_memory_type, system.host_bandwidth_gb_s,
    )  # fmt: skip


@pytest.mark.parametrize("typed", [typed for typed, *_ in TYPED])
def test_the_id_of_a_machine_means_that_machine(typed: str) -> None:
    system = resolve(typed)
    assert machine(resolve(system.id)) == machine(system)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from([a for a in bundled().accelerators if not a.is_unified]),
        ),
        min_size=1,
        max_size=3,
    ),
    st.none() | st.integers(1, 4096),
    st.sampled_from(["RAM", "DDR5", "DDR5-6000", "DDR4-3200 8-channel", "of RAM"]),
    st.sampled_from([" + ", ", ", " and ", " with "]),
)
def test_every_machine_that_is_put_together_round_trips(
    cards: list[tuple[int, Accelerator]], ram: int | None, kind: str, joint: str
) -> None:
    parts = [f"{count}x {card.id}" for count, card in cards]
    if ram is not None:
        parts.append(f"{ram}GB {kind}")
    system = resolve(joint.join(parts))
    assert system.count == sum(count for count, _ in cards)
    assert system.total_bytes == sum(count * card.total_bytes for count, card in cards)
    assert system.accelerator.total_bytes == min(card.total_bytes for _, card in cards)
    if ram is not None:
        assert system.host_memory == ram * GIB
    assert machine(resolve(system.id)) == machine(system)


WORDS = [
    "4090", "rtx", "+", ",", "and", "with", "x", "2x", "64GB", "RAM", "ddr5", "cpu", ":", "2", "-",
    "m4", "max", "halo", "GB", "24", "vram", "6000", "channel", "two", "s", "(", ")", "custom:",
    "0", "1e9", "TB", "  ", "&", "ryzen", "laptop", "²", "ß", "\u200b", "none",
]  # fmt: skip


@example("laptop 2 laptop")
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=220))
def test_any_words_are_answered_in_one_line(text: str) -> None:
    try:
        system = resolve(text)
    except HardwareError as problem:
        said = [str(problem)]
        assert len(said[0]) < 700
    else:
        assert system.count >= 1
        assert system.accelerator.total_bytes > 0
        said = list(system.assumptions)
    for line in said:
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("cpu", "say how much RAM"),
        ("cpu + 4090", "says both that there is no GPU and which"),
        ("4090 + 64GB + 32GB", "several sizes of RAM: 64 GB and 32 GB"),
        ("M4 Max + 100GB", "one memory of 36, 48, 64, 128 GB between CPU and GPU, not 100"),
        ("DGX Spark + 64GB RAM", "one memory of 128 GB between CPU and GPU, not 64"),
        ("4090 + dgx spark", "is a machine of its own"),
        ("2x dgx-h100 + 3090", "is a machine of its own"),
        ("65x 4090 + 3090", "more than one machine holds"),
        ("4090 + 0x 3060", "whole number from 1"),
        ("4090 + 64GB 99-channel", "1 to 32 channels"),
        ("4090 + 900000GB RAM", "must lie between"),
        ("4090" + " + 3060" * 20, "has 21 parts, at most 12"),
        ("raspberry pi 5", "say how much RAM it has, like 'raspberry pi 5, 8GB'"),
        ("steam box", "or say what it has: 'cpu, 16GB' without a GPU"),
        ("mac mini 24GB", "several chips: name it, such as M5 Pro 24 GB, .*M4 24 GB"),
        ("MacBook Pro", "several chips: name it, such as M5"),
        ("mac studio 256", "does not name its chip: only M3 Ultra 256 GB has such a memory"),
        ("4090+", "unknown hardware"),
        ("+ 64GB", "unknown hardware"),
    ],
)
def test_what_cannot_be_meant_is_said_in_words(typed: str, said: str) -> None:
    with pytest.raises(HardwareError, match=said):
        resolve(typed)


def test_an_unknown_part_is_named_alone() -> None:
    with pytest.raises(UnknownHardware, match="unknown hardware 'rtx-6090'") as caught:
        resolve("rtx-6090 + 64GB RAM")
    assert caught.value.candidates[:3] == ("rtx-3090", "rtx-4090", "rtx-5090")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("M4 Max", "M4 Max is sold with 36, 48, 64 and 128 GB: 128 GB is assumed"),
        ("Mac Studio M3 Ultra", "96, 256 and 512 GB: 256 GB is assumed"),
        ("V100", "16 and 32 GB: 32 GB is assumed; write 'V100 16GB' for another"),
        ("3080", "10 and 12 GB: 10 GB is assumed; write '3080 12GB' for another"),
        ("2x 5060 Ti", "8 and 16 GB: 16 GB is assumed"),
        ("24GB", "only the memory is known"),
        ("64GB RAM", "planned as a machine without one"),
        ("3090 + 3060", "2 x the smallest, 23 GiB; one that splits unevenly has 35 GiB"),
        ("4060 Ti, 16GB", "write '16GB RAM' if it is the machine's"),
        ("2x 3090 48GB", "48 GB is read as the memory of the GPU; write '48 GB RAM'"),
        ("raspberry pi 5 16GB", "LPDDR4X-4267 (17 GB/s"),
        ("celeron 16GB", "a board such as a Raspberry Pi is slower"),
    ],
)
def test_what_is_assumed_is_said(typed: str, said: str) -> None:
    assert any(said in line for line in resolve(typed).assumptions)


@pytest.mark.parametrize(
    "typed",
    ["4090", "h100", "M4 Max 64GB", "M4 Max + 64GB", "strix halo 128gb", "cpu, 64GB", "2x rtx-3090",
     "4090 + 64GB RAM", "dgx spark", "v100 16gb", "rtx-4090-48"],
)  # fmt: skip
def test_nothing_is_said_where_nothing_was_assumed(typed: str) -> None:
    assert resolve(typed).assumptions == ()


def test_a_machine_without_a_gpu_is_one_pool_of_ram() -> None:
    system = resolve("cpu, 64 GB")
    assert system.is_cpu_only
    assert not resolve("4090").is_cpu_only
    assert system.accelerator.backends == ("cpu",)
    assert system.accelerator.total_bytes == 64 * GIB
    assert system.accelerator.usable_bytes == 60 * GIB
    assert resolve("cpu, 8GB").accelerator.usable_bytes == 6 * GIB
    assert system.host_memory is None  # the same memory, not another
    assert system.accelerator.bandwidth_gb_s is None
    fast = resolve("cpu, 128GB DDR5-6000")
    assert some(fast.accelerator.bandwidth_gb_s).value == 96
    assert some(fast.host_bandwidth_gb_s).value == 96


def test_unequal_gpus_keep_what_even_engines_plan_with() -> None:
    system = resolve("3090 + 3060 + 64GB RAM")
    assert system.is_mixed
    assert (system.accelerator.id, system.count) == ("rtx-3060-12", 2)
    assert system.intra_node_link == "PCIe 4.0 x16"
    assert not resolve("2x 3090").is_mixed
    assert resolve("2x 3090").accelerators == (resolve("3090").accelerator,) * 2


def test_the_kind_of_ram_gives_its_bandwidth() -> None:
    def rate(kind: str) -> float | None:
        figure = resolve(f"4090 + 64GB {kind}").host_bandwidth_gb_s
        return None if figure is None else figure.value

    assert rate("RAM") is None
    assert rate("DDR5-6000") == 96
    assert rate("DDR4-3200") == 51.2
    assert rate("8-channel DDR4-3200") == 204.8
    assert rate("DDR5") == 76.8  # the slowest that is sold
    assert rate("DDR4-3000") == 48
    assert rate("7-channel DDR5") == 268.8
    system = resolve("4090 + 2x32GB DDR5-6000")
    assert system.host_memory_type == "DDR5-6000"
    assert resolve("4090, 64GB RAM, quad channel").host_memory_type == "4 channels"


@given(st.integers(1, 8), st.integers(1, 512))
def test_modules_add_up(modules: int, size: int) -> None:
    told = memory(f"{modules}x{size}GB DDR5")
    assert told is not None
    assert told.gib == modules * size
    assert (told.of, told.modules) == ("ram", modules)


@pytest.mark.parametrize("text", ["4090", "RAM", "64", "GB", "h100 64GB", "64GB 32GB", ""])
def test_what_is_no_memory(text: str) -> None:
    assert memory(text) is None


def test_a_card_by_its_label_is_never_planned_with_too_much() -> None:
    for label, card in (("24GB", "a10"), ("24GB", "rtx-3090"), ("48GB", "l40s"), ("16GB", "t4")):
        total = resolve(card).accelerator.total_bytes
        least = 0.89 if card == "rtx-3090" else 0.95
        assert least * total <= resolve(label).accelerator.total_bytes <= 1.001 * total


def test_limits_that_the_owner_can_raise_come_with_the_command() -> None:
    halo = resolve("strix halo").accelerator
    assert halo.usable_bytes / GIB == pytest.approx(62.5, abs=0.1)
    assert halo.raisable_bytes == 124 * GIB == resolve("strix-halo-gtt").accelerator.total_bytes
    limit = some(some(halo.unified).raisable)
    assert limit.line == (
        "echo 'options ttm pages_limit=32505856 page_pool_size=32505856'"
        " | sudo tee /etc/modprobe.d/ttm.conf"
    )
    mac = resolve("M1 Max 64GB").accelerator
    assert mac.raisable_bytes == 58 * GIB
    raised = some(some(mac.unified).raisable)
    assert raised.line == "sudo sysctl iogpu.wired_limit_mb=59392"
    assert some(resolve("M1 8GB").accelerator.unified).raisable is None  # nothing to win there


@given(st.sampled_from(bundled().accelerators))
def test_what_can_be_had_stands_in_order(entry: Accelerator) -> None:
    assert 0 < entry.usable_bytes <= entry.total_bytes
    assert entry.usable_bytes <= entry.raisable_bytes
    if not entry.is_unified:
        assert entry.usable_bytes == entry.total_bytes == entry.raisable_bytes


def test_a_spark_is_planned_with_what_is_free_of_it() -> None:
    spark = resolve("dgx spark").accelerator
    assert 101 * GIB < spark.usable_bytes < 118 * GIB < spark.total_bytes
    assert hardware_db.system_reserve_mib(128 * 1024) == 4096


def test_cards_that_add_up_to_a_known_machine_are_that_machine() -> None:
    assert resolve("4x mi355x + 4x mi355x") == resolve("8x mi355x")


@pytest.mark.parametrize(
    ("text", "nodes", "each"),
    [
        ("2 nodes of 3x rtx-3060-12", 2, 3),
        ("2 nodes of 2x 3090, 64GB", 2, 2),
        ("32 h100 on 4 nodes", 4, 8),
        ("2 boxes of dgx spark", 2, 1),
        ("8x h100 in 1 server", 1, 8),
    ],
)
def test_machines_are_counted_apart_from_what_is_in_them(text: str, nodes: int, each: int) -> None:
    system = resolve(text)
    assert (system.nodes, system.accelerators_per_node) == (nodes, each)
    assert resolve(system.id).id == system.id


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("7 h100 on 2 nodes", "do not come out even on 2 machines"),
        ("2 nodes of cpu, 64GB", "machines without a GPU are planned one at a time"),
        ("2 nodes of 3090 + 3060", "machines with different GPUs are planned one at a time"),
        ("100000 nodes of 8x h100", "more than 100000"),
        ("2 nodes of foo", "unknown hardware 'foo'"),
    ],
)
def test_machines_that_are_not_planned_together_are_refused(text: str, told: str) -> None:
    with pytest.raises(HardwareError, match=told):
        resolve(text)
