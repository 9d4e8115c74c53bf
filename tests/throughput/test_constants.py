"""The data: every constant in its range, every class reachable, every rule readable."""

import tomllib
from importlib.resources import files
from typing import Any

import pytest

import hardware_db
from planner.throughput.constants import (
    acceptance,
    calibration,
    compute_dtypes,
    device_class,
    effects,
    link,
    pooled,
)
from planner.throughput.part import CEILING
from tests.present import some

SHARES = ("bandwidth", "experts", "kv", "state")


def table(name: str) -> Any:
    return tomllib.loads((files("planner.throughput") / "data" / f"{name}.toml").read_text("utf-8"))


def test_no_stream_passes_the_ceiling() -> None:
    serving = table("serving")
    engines = {row["engine"] for row in serving["effect"] if "engine" in row}
    rows = [table("kernel")["constants"]]
    for device in {row["id"] for row in table("devices")["class"]}:
        for engine in engines | {"unheard-of"}:
            rows += [pooled(serving["default"], effects(device, engine, w)) for w in (4, 8, 16)]
    for row in rows:
        assert all(0 < row[name] < CEILING for name in SHARES)
        assert row["layer_us"] > 0 <= row["sequence_us"]


def test_rows_name_classes_and_constants_that_exist() -> None:
    serving = table("serving")
    classes = {row["id"] for row in table("devices")["class"]}
    for row in serving["effect"]:
        assert row.get("device", "other") in classes | {"other"}
        assert set(row["times"]) <= set(serving["default"])
        assert "points of" in row["title"]


def test_bands_hold_their_estimate_and_widen_with_ignorance() -> None:
    for kind, ends in table("serving")["band"].items():
        assert all(low < 1 < high for low, high in ends.values()), kind
        if "fitted" in ends:
            widths = [
                ends[basis][1] / ends[basis][0] for basis in ("fitted", "sibling", "unmeasured")
            ]
            assert widths == sorted(widths), kind


def test_kernels_know_every_constant() -> None:
    assert set(table("kernel")["constants"]) == set(table("serving")["default"])


def test_every_class_has_an_accelerator() -> None:
    found = {device_class(accelerator) for accelerator in hardware_db.accelerators()}
    assert {row["id"] for row in table("devices")["class"]} <= found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gb10", "blackwell-unified"),
        ("rtx-5090", "blackwell-gddr"),
        ("b300", "blackwell-datacentre"),
        ("h20", "hopper"),
        ("rtx-3090", "ampere-gddr"),
        ("a100-sxm-80", "ampere-hbm"),
        ("mi355x", "cdna4"),
        ("strix-halo-128", "rdna35-unified"),
        ("r9700", "rdna"),
        ("apple-m3-ultra", "apple-ultra"),
        ("apple-m3-max", "apple"),
        ("gaudi3", None),
        ("custom:48GiB", None),
    ],
)
def test_classes_follow_from_facts(name: str, expected: str | None) -> None:
    assert device_class(hardware_db.resolve(name).accelerator) == expected


def test_what_is_known_of_class_and_engine_is_pooled() -> None:
    both = calibration(hardware_db.resolve("rtx-4090"), "llamacpp", preset="serving")
    other = calibration(hardware_db.resolve("rtx-4090"), "tensorrt-llm", preset="serving")
    neither = calibration(hardware_db.resolve("gaudi3"), "unheard-of", preset="serving")
    assert (both.basis, other.basis, neither.basis) == ("fitted", "sibling", "unmeasured")
    assert neither.constants == table("serving")["default"]


def test_links() -> None:
    fast, bus = hardware_db.resolve("8x h200-sxm"), hardware_db.resolve("4x rtx-pro-6000-server")
    assert some(link(fast, ranks=8)).latency(8) == pytest.approx(6e-6)
    assert some(link(bus, ranks=2)).latency(2) < some(link(bus, ranks=4)).latency(4)
    assert some(link(bus, ranks=4)).latency(3) == some(link(bus, ranks=4)).latency(4)
    assert link(hardware_db.resolve("custom:24GiB"), ranks=2) is None


def test_fast_links_reach_across_the_nodes_of_a_rack() -> None:
    rack = hardware_db.resolve("8x gb200")
    assert rack.nodes > 1
    assert some(link(rack, ranks=8)).name == "NVLink or xGMI"


@pytest.mark.parametrize(
    ("kernel", "first"),
    [
        ("plain", "bf16"),
        ("fp8-block", "fp8"),
        ("nvfp4", "fp4"),
        ("nvfp4-marlin", "bf16"),
        ("marlin-int4", "bf16"),
    ],
)
def test_weight_only_formats_compute_in_sixteen_bits(kernel: str, first: str) -> None:
    assert compute_dtypes(kernel)[0] == first


def test_acceptance_stays_within_what_can_be_accepted() -> None:
    assert all(1 <= acceptance(n) <= n + 1 for n in range(1, 17))


def test_rules_of_roughness_have_a_reason() -> None:
    for rule in table("rules")["rough"]:
        assert rule["when"]
        assert rule["reason"]
        low, high = rule.get("band", (0.5, 2))
        assert low < 1 < high
