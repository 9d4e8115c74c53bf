"""The data: every constant in its range, every class reachable, every rule readable."""

import tomllib
from importlib.resources import files
from typing import Any

import pytest

import hardware_db
from planner.throughput.bands import rough_reasons
from planner.throughput.constants import (
    acceptance,
    calibration,
    compute_dtypes,
    device_class,
    link,
)
from planner.throughput.step import CEILING
from tests.present import some

SHARES = ("bandwidth", "experts", "kv", "state")


def table(name: str) -> Any:
    return tomllib.loads((files("planner.throughput") / "data" / f"{name}.toml").read_text("utf-8"))


def test_no_stream_passes_the_ceiling() -> None:
    serving, kernel = table("serving"), table("kernel")
    rows = [serving["default"], kernel["constants"]]
    rows += [serving["default"] | row["constants"] for row in serving["fit"]]
    for row in rows:
        assert all(0 < row[name] < CEILING for name in SHARES)
        assert row["layer_us"] >= 0 <= row["sequence_us"]


def test_rows_name_classes_that_exist_and_constants_that_exist() -> None:
    serving = table("serving")
    classes = {row["id"] for row in table("devices")["class"]}
    for row in serving["fit"]:
        assert row["device"] in classes
        assert set(row["constants"]) <= set(serving["default"])
        low, high = row.get("band", serving["bands"]["fitted"])
        assert low < 1 < high


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


def test_precision_decides_where_a_fit_holds_for_some_only() -> None:
    system = hardware_db.resolve("8x mi300x")
    plain = calibration(system, "sglang", preset="serving", precision="bf16")
    narrow = calibration(system, "sglang", preset="serving", precision="fp8")
    other = calibration(system, "sglang", preset="serving", precision="mxfp4")
    assert (plain.basis, narrow.basis, other.basis) == ("fitted", "fitted", "sibling")
    assert narrow.constants.layer_us > plain.constants.layer_us


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


def test_rules_of_roughness_name_known_facts() -> None:
    assert rough_reasons.__doc__
    for rule in table("serving")["rough"]:
        assert rule["when"]
        assert rule["reason"]
