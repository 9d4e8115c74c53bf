"""What people type and what drivers say, to entries: exact after normalisation, never a guess."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from hardware_db import Accelerator, HardwareError, System, UnknownHardware, get, resolve
from hardware_db.database import bundled
from hardware_db.names import key, nearest
from tests.present import accelerator_of, some

match = hardware_db.match_driver_name
GIB = 1 << 30

TYPED = {
    "h100": "h100-sxm",
    "H100 80GB": "h100-sxm",
    "h200": "h200-sxm",
    "b200": "b200",
    "a100": "a100-sxm-80",
    "a100-80": "a100-sxm-80",
    "a100-80gb": "a100-sxm-80",
    "a100-80-sxm": "a100-sxm-80",
    "4090": "rtx-4090",
    "rtx4090": "rtx-4090",
    "rtx 4090": "rtx-4090",
    "RTX_4090": "rtx-4090",
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "GeForce RTX 4090": "rtx-4090",
    "5090": "rtx-5090",
    "3090": "rtx-3090",
    "pro 6000": "rtx-pro-6000-ws",
    "rtx-pro-6000": "rtx-pro-6000-ws",
    "RTX PRO 6000 Blackwell Max-Q Workstation Edition": "rtx-pro-6000-maxq",
    "l40s": "l40s",
    "l4": "l4",
    "gb10": "gb10",
    "mi300x": "mi300x",
    "Mi 300 X": "mi300x",
    "m4-max-128gb": "apple-m4-max",
    "m4 max 64": "apple-m4-max-64",
    "apple-m4-max-128": "apple-m4-max",
    "Apple M3 Ultra": "apple-m3-ultra",
    "m3-ultra-96gb": "apple-m3-ultra-96",
    "strix halo": "strix-halo-128",
    "Ryzen AI Max+ 395": "strix-halo-128",
    "7900 xtx": "rx7900xtx",
    "spark": "dgx-spark",
    "DGX Spark": "dgx-spark",
    "dgx-spark-x2": "2x-dgx-spark",
    "p5.48xlarge": "aws-p5-48xlarge",
    "MacBook Pro M4 Max 128GB": "apple-m4-max",
    "Mac mini M4 Pro 24GB": "apple-m4-pro-24",
    "AI Max+ 395": "strix-halo-128",
    "Framework Desktop 64GB": "strix-halo-64",
    "B200 192GB": "b200",
    "Tesla V100": "v100-sxm2-32",
    "NVIDIA RTX 4090": "rtx-4090",
    "Nvidia H200": "h200-sxm",
    "AMD MI300X": "mi300x",
}


@pytest.mark.parametrize(("typed", "identity"), TYPED.items())
def test_names_that_people_type(typed: str, identity: str) -> None:
    assert get(typed).id == identity


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("h10", "h100-sxm"),
        ("rtx-4900", "rtx-4090"),
        ("h100 pci", "h100-pcie"),
        ("m4 max 100", "apple-m4-max"),
        ("dgxspark2", "dgx-spark"),
        ("7900 xtt", "rx7900xtx"),
        ("rtx-6090", "rtx-5090"),
        ("a1001", "a100-sxm-80"),
    ],
)
def test_near_misses_list_candidates(typed: str, expected: str) -> None:
    with pytest.raises(UnknownHardware) as caught:
        resolve(typed)
    assert expected in caught.value.candidates
    assert 1 <= len(caught.value.candidates) <= 5
    for candidate in caught.value.candidates:
        assert get(candidate).id == candidate
    assert "\n" not in str(caught.value)
    assert typed in str(caught.value)


@pytest.mark.parametrize("typed", ["pi 6", "banana pi m5 pro 16gb", "nuc 14 32gb"])
def test_a_generation_or_a_size_alone_likens_nothing(typed: str) -> None:
    with pytest.raises(UnknownHardware) as caught:
        resolve(typed)
    assert not {"apple-m5", "apple-m4-32", "rtx-4080"} & set(caught.value.candidates)


def test_nothing_near_says_what_to_do() -> None:
    with pytest.raises(UnknownHardware, match=r"'cpu, 16GB' without a GPU") as caught:
        get("zzzzzzzzzzzz")
    assert caught.value.candidates == ()
    assert pickle.loads(pickle.dumps(caught.value)).candidates == ()


def test_a_part_of_a_name_is_no_name() -> None:
    inside = [
        (short, long)
        for short in bundled().accelerators
        for long in bundled().accelerators
        if key(short.id) in key(long.id) and short is not long
    ]
    assert len(inside) > 50  # l4 in l40s, h200 in gh200, a10 in a100, ...
    for short, long in inside:
        assert get(short.id) is short
        assert get(long.id) is long
    for wrong in ("a1", "l", "h", "rtx", "nvidia", "geforce rtx", "apple", "50", "gh", "h100!"):
        with pytest.raises(UnknownHardware):
            get(wrong)


@pytest.mark.parametrize(
    ("expression", "count", "nodes", "identity"),
    [
        ("h100", 1, 1, "h100-sxm"),
        ("2x rtx-4090", 2, 1, "rtx-4090"),
        ("2 x rtx 4090", 2, 1, "rtx-4090"),
        ("2×4090", 2, 1, "rtx-4090"),
        ("2*4090", 2, 1, "rtx-4090"),
        ("rtx-4090 x2", 2, 1, "rtx-4090"),
        ("8 x h200-sxm", 8, 1, "h200-sxm"),
        ("16x h100", 16, 2, "h100-sxm"),
        ("12x h100", 12, 2, "h100-sxm"),
        ("9x h100", 9, 3, "h100-sxm"),
        ("dgx-spark", 1, 1, "gb10"),
        ("2x dgx-spark", 2, 2, "gb10"),
        ("3x dgx-spark", 3, 3, "gb10"),
        ("2x gb10", 2, 2, "gb10"),
        ("dgx-h100", 8, 1, "h100-sxm"),
        ("2x dgx-h100", 16, 2, "h100-sxm"),
        ("2x p5.48xlarge", 16, 2, "h100-sxm"),
        ("gb200-nvl72", 72, 18, "gb200"),
        ("custom:48GiB", 1, 1, "custom-48gib"),
        ("4x custom:24GB", 4, 1, "custom-24gb"),
        ("100000x l4", 100_000, 12_500, "l4"),
    ],
)
def test_expressions(expression: str, count: int, nodes: int, identity: str) -> None:
    system = resolve(expression)
    assert isinstance(system, System)
    assert (system.count, system.nodes, system.accelerator.id) == (count, nodes, identity)
    assert system.count == system.nodes * system.accelerators_per_node


def test_links_inside_a_node() -> None:
    assert some(resolve("4x h100").intra_node_gb_s).value == 450
    assert resolve("4x h100").intra_node_link == "NVLink 4"
    assert resolve("2x rtx-4090").intra_node_link == "PCIe 4.0 x16"
    assert some(resolve("2x rtx-4090").intra_node_gb_s).value == 31.5
    assert resolve("2x h100-nvl").intra_node_link == "PCIe 5.0 x16"  # a bridge is bought apart
    assert resolve("8x mi300x").intra_node_link == "xGMI"
    assert resolve("h100").intra_node_gb_s is None
    assert resolve("2x dgx-spark").intra_node_link == "unified"


def test_links_between_nodes() -> None:
    spark = some(resolve("2x dgx-spark").inter_node_gb_s)
    assert spark.value == 21
    assert {3.0, 23.74} <= {other.value for other in spark.alternatives}
    assert some(resolve("4x dgx-spark").inter_node_gb_s).value == 21
    sixteen = resolve("16x h100")
    assert some(sixteen.inter_node_gb_s).value == 400
    assert any("dgx-h100" in note for note in sixteen.notes)
    frames = resolve("16x rtx-3090")
    assert frames.nodes == 2
    assert frames.inter_node_gb_s is None
    assert any("not known" in note for note in frames.notes)


def test_a_rack_joins_its_nodes_by_the_fast_link() -> None:
    rack = resolve("16x gb200")
    assert (rack.nodes, rack.accelerators_per_node, rack.link_domain) == (4, 4, 72)
    assert some(rack.inter_node_gb_s).value == 4 * 900
    assert rack.inter_node_link == "NVLink 5"
    assert resolve("gb200-nvl72").link_domain == 72
    assert resolve("144x gb200").inter_node_gb_s is None
    assert resolve("16x h100").link_domain is None


def test_several_of_a_system_cost_and_draw_as_much() -> None:
    one, three = resolve("p5.48xlarge"), resolve("3x p5.48xlarge")
    assert three.prices[0].value == pytest.approx(3 * one.prices[0].value)
    assert three.id == "3x-aws-p5-48xlarge"
    assert some(resolve("2x dgx-h100").power_w).value == 2 * some(resolve("dgx-h100").power_w).value


@pytest.mark.parametrize(
    "expression",
    [
        "0x h100", "-1x h100", "1.5x h100", "100001x h100", "999999999999999999x h100",
        "1e3x h100", "2x", "x2", "2x 2x", "", "   ", "\n", "h100 x0", "NaN x h100", "²x h100",
        "50000x dgx-h100", "a" * 10_000, "2x " * 60, "custom:", "custom:48", "custom:48G",
        "custom:0GiB", "custom:-4GiB", "custom:nanGiB", "custom:1e9GiB", "custom:100MiB",
        "custom:99999999GiB", "custom:48GiB GiB", "custom:4 8GiB", "custom:48TiB", "custom:abc",
        "2x custom:", "custom:48GiB; rm", "\x00", "h100\x00",
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_is_one_clear_line(expression: str) -> None:
    with pytest.raises(HardwareError) as caught:
        resolve(expression)
    message = str(caught.value)
    assert 10 < len(message) < 700
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("wrong", [None, 4090, 1.5, b"h100", ["h100"]])
def test_what_is_no_text(wrong: Any) -> None:
    for ask in (resolve, get):
        with pytest.raises(HardwareError, match="must be a text"):
            ask(wrong)


@given(st.text(max_size=60))
def test_any_text_is_answered(text: Any) -> None:
    try:
        system = resolve(text)
    except HardwareError as caught:
        problem = str(caught)
    else:
        assert system.accelerator.total_bytes > 0
        problem = f"none: {system.count}"
    assert len(problem.splitlines()) == 1


@given(
    st.integers(1, 100_000),
    st.sampled_from([entry for entry in bundled().accelerators if not entry.is_unified]),
)
def test_a_count_is_kept_and_no_node_holds_more_than_it_can(count: Any, accelerator: Any) -> None:
    system = resolve(f"{count}x {accelerator.id}")
    assert system.count == count
    assert system.accelerator is accelerator
    most = accelerator.max_per_node
    curated = any(system is known for known in bundled().systems)
    told = any("more than most boards have slots for" in said for said in system.assumptions)
    assert most is None or curated or told or system.accelerators_per_node <= most


@given(st.integers(1, 4096))
def test_custom_memory_is_exact(gib: Any) -> None:
    accelerator = accelerator_of(get(f"custom:{gib}GiB"))
    assert accelerator.total_bytes == gib * GIB
    assert accelerator.total_bytes_on("wddm") == gib * GIB
    assert accelerator.bandwidth_gb_s is None


@given(st.sampled_from(bundled().accelerators), st.data())
def test_case_spaces_and_dashes_do_not_matter(entry: Any, data: Any) -> None:
    name = data.draw(st.sampled_from([entry.id, *entry.aliases]))
    joint = data.draw(st.sampled_from([" ", "-", "_", "  ", ""]))
    loud = data.draw(st.booleans())
    typed = joint.join(name.split("-"))
    assert get(typed.upper() if loud else typed) is entry


@pytest.mark.parametrize(
    ("name", "memory", "identity"),
    [
        ("NVIDIA A10", 23028, "a10"),
        ("NVIDIA A10G", 23028, "a10g"),
        ("NVIDIA A10", 81920, None),
        ("NVIDIA A100", 81920, None),
        ("NVIDIA A100-SXM4-80GB", 81920, "a100-sxm-80"),
        ("A100-SXM4-80GB", 81251, "a100-sxm-80"),
        ("NVIDIA L4", 23034, "l4"),
        ("NVIDIA L40", 46068, "l40"),
        ("NVIDIA L40", 49140, "l40"),
        ("NVIDIA L40S", 46068, "l40s"),
        ("NVIDIA L40S", 23034, None),
        ("NVIDIA H200", 143771, "h200-sxm"),
        ("NVIDIA GH200 480GB", 97871, "gh200-96"),
        ("NVIDIA GH200 120GB", 97871, "gh200-96"),
        ("NVIDIA GH200 480GB", 491520, None),
        ("NVIDIA B200", 183359, "b200"),
        ("NVIDIA GB200", 189471, "gb200"),
        ("NVIDIA GB300", 284208, "gb300"),
        ("NVIDIA GeForce RTX 5090", 32607, "rtx-5090"),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", 24463, "rtx-5090-laptop"),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", 32607, None),
        ("NVIDIA GeForce RTX 5070", 12227, "rtx-5070"),
        ("NVIDIA GeForce RTX 5070 Ti", 16303, "rtx-5070-ti"),
        ("NVIDIA GeForce RTX 4090", 24564, "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", 49140, "rtx-4090-48"),
        ("NVIDIA GeForce RTX 4090", None, None),
        ("NVIDIA GeForce RTX 4090", 36000, None),
        ("NVIDIA GeForce RTX 4080", 32760, None),
        ("NVIDIA GeForce RTX 4060 Ti", 8188, "rtx-4060-ti-8"),
        ("NVIDIA GeForce RTX 4060 Ti", 16380, "rtx-4060-ti-16"),
        ("NVIDIA GeForce RTX 5060 Ti", 8151, "rtx-5060-ti-8"),
        ("NVIDIA GeForce RTX 5060 Ti", 16311, "rtx-5060-ti-16"),
        ("NVIDIA GeForce RTX 3080", 10240, "rtx-3080-10"),
        ("NVIDIA GeForce RTX 3080", 12288, "rtx-3080-12"),
        ("NVIDIA GeForce RTX 3060", 12288, "rtx-3060-12"),
        ("NVIDIA GeForce RTX 3060", 8192, "rtx-3060-8"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", 6144, "rtx-3060-laptop"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "rtx-6000-ada"),
        ("NVIDIA RTX 6000 Ada Generation", 46068, "rtx-6000-ada-ecc"),
        ("NVIDIA GeForce RTX 2080 Ti", 22528, "rtx-2080-ti-22"),
        ("Orin (nvgpu)", 7620, "orin-nano-8"),
        ("NVIDIA GB10", None, "gb10"),
        ("NVIDIA GB10", 122548, "gb10"),
        ("NVIDIA Thor", None, "thor"),
        ("NVIDIA RTX Spark N1X", 8128, "n1x"),
        ("Apple M4 Max", 65536, "apple-m4-max-64"),
        ("Apple M4 Max", 131072, "apple-m4-max"),
        ("Apple M4 Max", None, None),
        ("AMD Instinct MI300X", 196592, "mi300x"),
        ("GRID A100D-20C", 20480, None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9728, None),
        ("NVIDIA H100 80GB HBM3", 9728, None),
        ("", 24564, None),
        ("NVIDIA", 24564, None),
        ("NVIDIA GeForce RTX 4090", 0, None),
        ("NVIDIA GeForce RTX 4090", -24564, None),
    ],
)
def test_driver_names(name: str, memory: int | None, identity: str | None) -> None:
    found = match(name, memory)
    assert (found.id if found else None) == identity


@given(st.text(max_size=40), st.none() | st.integers(-(10**18), 10**18))
def test_any_driver_name_is_answered(name: Any, memory: Any) -> None:
    found = match(name, memory)
    assert found is None or isinstance(found, Accelerator)


@given(st.sampled_from(bundled().accelerators), st.integers(256, 700_000))
def test_a_match_is_never_more_than_7_percent_off(entry: Any, memory: Any) -> None:
    for name in entry.nvml_names:
        found = match(name, memory)
        if found is None or found.is_unified:
            continue
        figure = found.memory_driver_mib or found.memory_cuda_mib
        if figure is not None:
            totals = [figure.value, *(other.value for other in figure.alternatives)]
            if found.memory_cuda_mib:
                totals.append(found.memory_cuda_mib.value)
            assert min(abs(memory / total - 1) for total in totals) <= 0.07


def test_shared_entries_survive_copies() -> None:
    system = resolve("2x dgx-spark")
    for twin in (copy.deepcopy(system), pickle.loads(pickle.dumps(system))):
        assert twin == system
        assert hash(twin) == hash(system)
    with pytest.raises(dataclasses.FrozenInstanceError):
        system.__setattr__("nodes", 3)


def test_nearest_prefers_numbers_to_letters() -> None:
    known = [(key(entry.id), entry.id) for entry in bundled().accelerators]
    assert nearest("rtx 5090 ti", known)[0] == "rtx-5090"
    assert nearest("", known) == ()
    assert len(nearest("rtx", known, limit=3)) <= 3


@pytest.mark.parametrize(
    ("typed", "count", "identity"),
    [
        ("3090 x2", 2, "rtx-3090"),
        ("3090x2", 2, "rtx-3090"),
        ("dual 3090", 2, "rtx-3090"),
        ("quad RTX 4090", 4, "rtx-4090"),
        ("mi300x x8", 8, "mi300x"),
        ("8xmi300x", 8, "mi300x"),
        ("spark x2", 2, "gb10"),
    ],
)
def test_counts_behind_and_in_words(typed: str, count: int, identity: str) -> None:
    system = resolve(typed)
    assert (system.count, system.accelerator.id) == (count, identity)


def test_a_4090_d_is_not_the_one_whose_memory_was_exchanged() -> None:
    assert resolve("RTX 4090 D").accelerator.id == "rtx-4090-d"
    assert some(match("NVIDIA GeForce RTX 4090 D", 24564)).id == "rtx-4090-d"
    assert some(match("NVIDIA GeForce RTX 4090 D", 49140)).id == "rtx-4090-d-48"
    assert some(match("NVIDIA GeForce RTX 4090", 49140)).id == "rtx-4090-48"


TWICE = {"gb300-station"}
"""What is called as another is, where nobody says which machine it sits in."""


def test_every_name_that_tables_print_can_be_typed() -> None:
    """Strix Halo (GTT raised) 128 GB stood in a table and was unknown."""
    for entry in hardware_db.accelerators():
        typed = resolve(entry.short_name).accelerator
        assert typed.id == entry.id or entry.id in TWICE
