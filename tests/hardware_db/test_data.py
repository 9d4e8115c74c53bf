"""Checks on the bundled data: sources, bands, ratios, names."""

import math
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import hardware_db
from hardware_db import Accelerator, Figure, System
from hardware_db.database import bundled
from hardware_db.figures import FrozenMap
from hardware_db.names import driver_key, key, shorter
from hardware_db.walk import figures
from tests.present import some

DATA = Path(hardware_db.__file__).parent / "data"
ACCELERATORS = bundled().accelerators
SYSTEMS = bundled().systems
ENTRIES: tuple[Accelerator | System, ...] = (*ACCELERATORS, *SYSTEMS)
BY_ID = {entry.id: entry for entry in ACCELERATORS}

# GB/s that a memory of this kind can have: slowest and fastest product known
BANDWIDTH = {
    "HBM2": (400, 1700),
    "HBM2e": (900, 4000),
    "HBM3": (2000, 5500),
    "HBM3e": (4500, 8200),
    "HBM": (700, 1800),
    "GDDR6": (90, 1000),
    "GDDR6 ECC": (400, 1000),
    "GDDR6X": (500, 1100),
    "GDDR7": (280, 1800),
    "GDDR7 ECC": (600, 1800),
    "GDDR5": (110, 360),
    "GDDR5X": (280, 560),
    "DDR4": (45, 55),
    "DDR5": (75, 130),
    "LPDDR4X": (30, 140),
    "LPDDR5": (30, 250),
    "LPDDR5X": (115, 320),
}
PCIE_LANE = {3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
TEXTS = ("source", "cite", "note")


def every_figure() -> list[tuple[str, Figure]]:
    found = []
    for entry in ENTRIES:
        for field, figure in figures(entry):
            found.append((f"{entry.id}: {field}", figure))
            found += [(f"{entry.id}: {field}: alternative", one) for one in figure.alternatives]
    return found


def test_the_walk_sees_every_figure_of_the_files() -> None:
    """What the files write down is what the checks below look at (sizes of a chip count more)."""
    texts = [file.read_text(encoding="utf-8") for file in DATA.glob("*.toml")]
    written = sum(len(re.findall(r"\bvalue = .*?\bgrade = ", text)) for text in texts)
    assert len(every_figure()) >= written > 900


@pytest.mark.parametrize("grade", ["A", "B", "C", "D"])
def test_every_grade_is_in_use(grade: str) -> None:
    assert any(figure.grade == grade for _, figure in every_figure())


def test_every_figure_has_source_grade_and_date() -> None:
    for place, figure in every_figure():
        assert len(figure.source) >= 5, place
        assert "{" not in figure.source + (figure.note or ""), place
        assert figure.grade in "ABCD", place
        assert figure.date, place
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", figure.date), place
        assert figure.date <= "2026-11-27", place


def test_every_figure_is_a_finite_positive_number() -> None:
    for place, figure in every_figure():
        assert math.isfinite(figure.value), place
        assert figure.value > 0, place
        if place.split(": ")[1].endswith("_mib"):
            assert isinstance(figure.value, int), place


def test_conflicts_say_why_one_was_chosen() -> None:
    for entry in ENTRIES:
        for field, figure in figures(entry):
            if figure.alternatives:
                assert figure.note, f"{entry.id}: {field}"
            assert figure.value not in [other.value for other in figure.alternatives], entry.id


def test_what_was_not_verified_is_grade_d() -> None:
    for place, figure in every_figure():
        if "not verified" in figure.source and figure.grade != "D":
            # a second source may stand beside the unverified remark; alone it may not
            assert ";" in figure.source, place


def test_derived_figures_are_not_called_machine_output() -> None:
    for place, figure in every_figure():
        if figure.source.startswith(("derived", "assumed")):
            assert figure.grade != "A", place


def test_no_figure_is_derived_from_itself() -> None:
    for place, figure in every_figure():
        name = place.removesuffix(": alternative").rsplit(".", 1)[-1]
        assert not re.search(rf"(as|twice|half of) {re.escape(name)}\b", figure.source), place
        if "the driver's total" in figure.source:
            assert place.endswith("memory_cuda_mib"), place


def test_prices_are_dated_and_volatile() -> None:
    prices = [(entry.id, price) for entry in ENTRIES for price in entry.prices]
    assert len(prices) > 120
    for place, price in prices:
        assert price.volatile, place
        if price.kind != "launch":  # the day on which it was read is not when it was asked
            assert price.date, place
        assert price.date is None or price.date >= "2024", place
        assert 0.05 < price.value < 1_000_000, place
        assert price.currency == "USD", place
        assert price.value < 200 if price.kind == "hourly" else price.value >= 120, place
        assert price.high is None or price.high > price.value, place


def test_ids_are_well_formed_and_unique() -> None:
    assert max(Counter(entry.id for entry in ENTRIES).values()) == 1
    for entry in ENTRIES:
        assert re.fullmatch(r"[a-z0-9]+([-._][a-z0-9]+)*", entry.id), entry.id


def test_no_name_means_two_entries() -> None:
    """Ids, aliases and names, compared as `get` compares them; no alias is written twice."""
    owners: dict[str, str] = {}
    for entry in ENTRIES:
        own = [key(entry.id), *map(key, entry.aliases)]
        assert max(Counter(own).values()) == 1, entry.id
        for name in {*own, key(entry.name)}:
            assert owners.setdefault(name, entry.id) == entry.id, name


def test_every_name_is_found() -> None:
    for entry in ENTRIES:
        for name in (entry.id, entry.name, *entry.aliases):
            assert hardware_db.get(name).id == entry.id
        for name in shorter(entry.name):
            assert hardware_db.get(name).id == entry.id


def test_every_accelerator_can_be_planned_with() -> None:
    for entry in ACCELERATORS:
        total = entry.total_bytes
        label = entry.memory_marketed_gb
        assert label is not None, entry.id
        assert 2.8 * 2**30 <= total <= 600 << 30, entry.id
        share = total / (label.value * 2**30)
        lowest = 0.45 if entry.is_unified else 0.82
        assert lowest <= share <= 1.0, entry.id
        if entry.id != "n1x":  # nothing is published about it
            assert entry.bandwidth_gb_s is not None, entry.id


def test_cuda_total_is_below_the_driver_total() -> None:
    for entry in ACCELERATORS:
        driver, cuda = entry.memory_driver_mib, entry.memory_cuda_mib
        if driver and cuda:
            most = 1110 if entry.vendor == "nvidia" else 0.016 * driver.value
            assert 0 <= driver.value - cuda.value <= most, entry.id
        if driver and entry.memory_cuda_wddm_mib:
            assert driver.value - entry.memory_cuda_wddm_mib.value == 1, entry.id


def test_bandwidth_fits_the_memory() -> None:
    seen = set()
    for entry in ACCELERATORS:
        if entry.bandwidth_gb_s is None:
            continue
        kind = (entry.memory_type or "").split(",")[0].split("-")[0].removesuffix(" unified")
        if kind == "LPDDR5/5X":
            low, high = 60, 820
        else:
            low, high = BANDWIDTH[kind]
        seen.add(kind)
        scale = 0.45 if "one of two dies" in entry.name else 1
        assert low * scale <= entry.bandwidth_gb_s.value <= high, entry.id
        for measured in entry.bandwidth_measured_gb_s:
            assert 0.4 <= measured.value / entry.bandwidth_gb_s.value <= 1.0, entry.id
    assert len(seen) > 8


def test_rates_stand_in_the_ratios_of_their_formats() -> None:
    checked = 0
    for entry in ACCELERATORS:
        rate = {name: figure.value for name, figure in entry.tflops.items()}
        base = rate.get("bf16") or rate.get("fp16")
        for name, low, high in (("fp8", 0.98, 2.1), ("fp4", 3.9, 8.4), ("int8", 0.98, 4.1)):
            if base is None or name not in rate:
                continue
            ratio = rate[name] / base
            if name == "int8" and entry.architecture == "Blackwell Ultra":
                assert ratio < 0.1, entry.id  # INT8 was cut there
            elif name == "fp4" and entry.id == "rtx-5090-laptop":
                assert entry.tflops["fp4"].grade == "D"  # the vendor's figure is at another power
            else:
                assert low <= ratio <= high, f"{entry.id}: {name} is {ratio:.2f} x bf16"
            checked += 1
        for name, measured in entry.tflops_measured.items():
            for figure in measured:
                assert 0.4 <= figure.value / rate[name] <= 1.1, f"{entry.id}: {name}"
    assert checked > 120


def test_native_formats_have_the_hardware_for_it() -> None:
    for entry in ACCELERATORS:
        if entry.compute_capability is None:
            continue
        capability = float(entry.compute_capability)
        assert (entry.formats["bf16"] == "native") == (capability >= 8.0), entry.id
        assert entry.formats["fp8"].startswith("native") == (capability >= 8.9), entry.id
        assert entry.formats["nvfp4"].startswith("native") == (capability >= 10.0), entry.id
        assert ("fp4" in entry.tflops) <= (capability >= 10.0), entry.id
        assert ("fp8" in entry.tflops) <= (capability >= 8.9), entry.id


def test_missing_nvfp4_kernels_are_named() -> None:
    for entry in ACCELERATORS:
        if entry.compute_capability in ("12.0", "12.1"):
            assert "Marlin" in entry.formats["nvfp4"], entry.id
            assert "tcgen05" in entry.formats["nvfp4"], entry.id
        elif entry.compute_capability in ("10.0", "10.3"):
            assert entry.formats["nvfp4"] == "native (tcgen05)", entry.id


def test_pcie_rate_follows_from_generation_and_lanes() -> None:
    for entry in ACCELERATORS:
        assert (entry.pcie is None) == (entry.pcie_gb_s is None), entry.id
        if entry.pcie and entry.pcie_gb_s:
            generation, lanes = some(re.fullmatch(r"(\d)\.0 x(\d+)", entry.pcie)).groups()
            rate = PCIE_LANE[int(generation)] * int(lanes)
            assert entry.pcie_gb_s.value == pytest.approx(rate, rel=0.01), entry.id


def test_links_are_complete() -> None:
    for entry in ACCELERATORS:
        given = [entry.nvlink_gb_s, entry.nvlink_domain, entry.nvlink_kind, entry.link_name]
        assert all(given) or not any(given), entry.id


def test_systems_refer_to_accelerators_of_the_database() -> None:
    for system in SYSTEMS:
        assert system.accelerator is BY_ID[system.accelerator.id], system.id
        assert system.count == system.nodes * system.accelerators_per_node
        assert 1 <= system.count <= 72, system.id
        if system.nodes > 1:
            assert system.inter_node_gb_s, system.id
        if system.accelerators_per_node > 1:
            assert system.intra_node_gb_s, system.id
            assert system.intra_node_link, system.id
        if system.provider:
            assert system.prices or system.notes, system.id


def test_cloud_prices_reach_the_accelerator() -> None:
    hourly = [price for price in BY_ID["h100-sxm"].prices if price.kind == "hourly"]
    assert {price.provider for price in hourly} >= {"AWS", "Azure", "GCP", "Lambda", "RunPod"}
    p5 = next(price for price in hourly if price.note and price.note.startswith("p5.48xlarge"))
    assert p5.value == pytest.approx(55.04 / 8)
    assert p5.date == "2026-11-09"


def test_driver_names_of_several_entries_are_told_apart_by_memory() -> None:
    shared = Counter(driver_key(name) for entry in ACCELERATORS for name in set(entry.nvml_names))
    several = [name for name, count in shared.items() if count > 1]
    assert len(several) > 10
    for entry in ACCELERATORS:
        memory = entry.memory_driver_mib or entry.memory_cuda_mib
        for name in entry.nvml_names:
            if memory is not None:
                assert hardware_db.match_driver_name(name, int(memory.value)) is entry, entry.id


def test_files_are_hand_kept_and_short() -> None:
    for file in DATA.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        assert text.startswith("# "), f"{file.name} says nothing about itself"
        assert len(text.splitlines()) < 1100, file.name
        assert tomllib.loads(text), file.name


def test_shared_sources_are_all_cited() -> None:
    cited = "\n".join(file.read_text() for file in DATA.glob("*.toml"))
    for name in tomllib.loads((DATA / "sources.toml").read_text())["sources"]:
        assert f"{{{name}}}" in cited, name


def test_entries_are_hashable_and_frozen() -> None:
    assert len({*ENTRIES}) == len(ENTRIES)
    tflops = BY_ID["h100-sxm"].tflops
    assert isinstance(tflops, FrozenMap)
    assert hash(tflops) == hash(FrozenMap(dict(tflops)))
    with pytest.raises(AttributeError):
        tflops.anything = 1


def test_every_accelerator_says_what_can_compute_on_it() -> None:
    for entry in ACCELERATORS:
        assert entry.backends, entry.id
    assert BY_ID["tpu-v6e"].backends == ("tpu",)
    assert BY_ID["gaudi3"].backends == BY_ID["gaudi2"].backends == ("hpu",)
    assert "cuda" in BY_ID["gb10"].backends
    assert BY_ID["apple-m4-max"].backends == ("metal",)


def test_what_a_bare_name_never_means_says_why() -> None:
    variants = {entry.id for entry in ACCELERATORS if entry.variant}
    assert {"rtx-4090-48", "rtx-2080-ti-22", "strix-halo-128-gtt", "rtx-6000-ada-ecc"} <= variants


def test_prices_that_people_were_misled_by() -> None:
    """A Spark lists at 6,950 since October 2026, an RTX PRO 6000 at 16,000 since August."""
    asked = {(p.kind, p.value, p.date) for p in BY_ID["gb10"].prices}
    assert ("list", 6950, "2026-10-02") in asked
    assert 4699 not in {price.value for price in BY_ID["gb10"].prices}
    assert ("list", 16000, "2026-09-30") in {
        (p.kind, p.value, p.date) for p in BY_ID["rtx-pro-6000-ws"].prices
    }
    launched = next(p for p in BY_ID["gb10"].prices if p.kind == "launch")
    assert (launched.value, launched.date) == (3999, None)
    assert hardware_db.prices_as_of() == "2026-11-09"


def test_ram_and_electricity_are_data_with_sources() -> None:
    classes = {memory.id: memory for memory in hardware_db.host_memories()}
    assert some(classes["ddr5-6000-2ch"].plan_gb_s).value == 62
    for memory in classes.values():
        nominal = memory.channels * 8 * memory.mt_s / 1000
        assert some(memory.theoretical_gb_s).value == pytest.approx(nominal, rel=0.01), memory.id
        assert 0.5 <= some(memory.plan_gb_s).value / nominal <= 0.95, memory.id
    tariffs = hardware_db.electricity()
    assert {"US", "Germany", "France", "UK"} <= {tariff.region for tariff in tariffs}
    for tariff in tariffs:
        assert 0.05 < tariff.price_per_kwh < 1
        assert tariff.source
        assert tariff.date


def test_clouds_carry_their_ram() -> None:
    for system in SYSTEMS:
        if system.provider in ("AWS", "Azure") and system.vcpus:
            assert system.host_memory_gib, system.id
    small = hardware_db.resolve("g6e.2xlarge")
    assert (small.host_memory, small.vcpus) == (64 << 30, 8)
    assert hardware_db.resolve("g2-standard-24").count == 2


def test_azures_machines_are_found_without_the_first_word_of_their_names() -> None:
    machines = [one for one in SYSTEMS if one.name.startswith("Standard_")]
    assert machines
    for system in machines:
        short = system.name.removeprefix("Standard_")
        for said in (system.name, short, short.replace("_", " ")):
            assert hardware_db.resolve(said).id == system.id
