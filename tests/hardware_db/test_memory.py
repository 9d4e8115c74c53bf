"""The memory on which engines budget, machine by machine (facts: NVML and CUDA totals)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_db import Accelerator, Figure, UnifiedMemory, get
from hardware_db.accelerator import reserved_mib
from tests.present import accelerator_of, some

MIB = 1 << 20


@pytest.mark.parametrize(
    ("name", "mib", "grade"),
    [
        ("h100-sxm", 81081, "A"),
        ("h200-sxm", 143155, "A"),
        ("b200", 182642, "A"),
        ("a100-sxm-80", 81151, "A"),
        ("rtx-pro-6000", 97249, "A"),
        ("l40s", 45467, "A"),
        ("l4", 22559, "B"),
        ("t4", 14910, "A"),
        ("rtx-5090", 32109, "A"),
        ("rtx-4090", 24210, "A"),
        ("rtx-3090", 24126, "A"),
        ("mi300x", 196592, "B"),
        ("gb10", 124610, "A"),
        ("rtx-5080", 16303 - 450, "C"),
        ("gb200", 189471 - 1100, "C"),
        ("b300", 275040 - 1100, "C"),
        ("h100-nvl", 95830 - 958, "C"),
        ("apple-m4-max-128", 110100, "B"),
        ("apple-m4-max-64", 53084, "B"),
        ("apple-m3-pro-36", 28753, "B"),
        ("apple-m5-32", 25559, "B"),
        ("apple-m5-24", 18186, "B"),
        ("apple-m3-16", 12124, "B"),
        ("apple-m2-max-96", 79626, "B"),
    ],
)
def test_total_on_linux(name: str, mib: int, grade: str) -> None:
    accelerator = get(name)
    assert accelerator_of(accelerator).total_bytes == mib * MIB
    assert accelerator_of(accelerator).total_bytes_source.grade == grade
    assert accelerator_of(accelerator).total_bytes_source.value == mib


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("rtx-5090", 32606),
        ("rtx-4090", 24563),
        ("rtx-5070-ti", 16302),
        ("rtx-5080", 16302),
        ("rtx-3090", 24575),
        ("gh200-144", 145920),
    ],
)
def test_total_under_windows_and_wsl2(name: str, mib: int) -> None:
    assert accelerator_of(get(name)).total_bytes_on("wddm") == mib * MIB


def test_derived_totals_say_how() -> None:
    derived = accelerator_of(get("rtx-5080")).total_bytes_source
    assert "16303" in derived.source
    assert "450" in derived.source
    label_only = Accelerator(
        id="x", name="x", vendor="x", architecture="x",
        memory_marketed_gb=Figure(value=100, source="box", grade="A"),
    )  # fmt: skip
    assert label_only.total_bytes_source.grade == "D"
    assert label_only.total_bytes < 100 * 10**9


def test_the_largest_apple_machines_are_assumed() -> None:
    for size in (256, 512):
        ultra = get(f"apple-m3-ultra-{size}")
        assert accelerator_of(ultra).unified is not None
        assert some(some(accelerator_of(ultra).unified).default_gpu_share).grade == "D"
        assert accelerator_of(ultra).total_bytes == int(0.84 * size * 1024) * MIB


def test_smaller_apple_chips_of_a_size_are_slower() -> None:
    assert some(accelerator_of(get("apple-m4-max")).bandwidth_gb_s).value == 546
    small = accelerator_of(get("apple-m4-max-36")).bandwidth_gb_s
    assert some(small).value == 410
    assert some(small).grade == "D"
    assert some(small).alternatives[0].value == 546


def test_dgx_spark() -> None:
    spark = accelerator_of(get("gb10")).unified
    assert some(some(spark).safe_utilization).value == 0.85
    assert (
        some(some(spark).usable_mib).value < some(accelerator_of(get("gb10")).memory_cuda_mib).value
    )
    assert 103424 in {other.value for other in some(some(spark).usable_mib).alternatives}
    assert accelerator_of(get("gb10")).memory_driver_mib is None
    assert not accelerator_of(get("gb200")).is_unified
    assert not accelerator_of(get("gh200")).is_unified


def test_strix_halo_as_it_comes_and_set_up() -> None:
    plain, raised = get("strix-halo-128"), get("strix-halo-128-gtt")
    assert some(some(accelerator_of(plain).unified).default_gpu_share).value == pytest.approx(0.488)
    assert accelerator_of(plain).total_bytes / 2**30 == pytest.approx(62.4, abs=0.1)
    assert accelerator_of(raised).total_bytes == 124 << 30
    assert accelerator_of(get("strix-halo-64")).total_bytes == pytest.approx(
        accelerator_of(plain).total_bytes / 2, abs=MIB
    )
    assert (
        accelerator_of(get("strix-halo-64")).bandwidth_gb_s == accelerator_of(plain).bandwidth_gb_s
    )


@given(st.integers(1, 2_000_000))
def test_reserve_is_one_percent_within_bounds(driver: Any) -> None:
    reserve = reserved_mib(driver)
    assert 450 <= reserve <= 1100
    if 45_000 < driver < 110_000:
        assert reserve == pytest.approx(driver / 100, abs=1)


def test_reserve_against_readings() -> None:
    """The rule stays within a quarter of a GiB of what was read on real cards."""
    for driver, seen in [
        (81559, 478), (143771, 616), (183359, 717), (284208, 1072), (81920, 769), (97887, 638),
        (46068, 601), (23034, 475), (15360, 450), (32607, 498), (24564, 354), (24576, 450),
    ]:  # fmt: skip
        assert abs(reserved_mib(driver) - seen) <= 850, driver
        if driver < 120_000:
            assert abs(reserved_mib(driver) - seen) <= 350, driver


@given(
    cuda=st.none() | st.integers(1024, 300_000),
    usable=st.none() | st.integers(1024, 300_000),
    driver=st.none() | st.integers(1024, 300_000),
    unified=st.booleans(),
)
def test_which_figure_is_behind_the_total(
    cuda: Any, usable: Any, driver: Any, unified: Any
) -> None:
    def figure(value: Any) -> Any:
        return None if value is None else Figure(value=value, source="a test", grade="A")

    accelerator = Accelerator(
        id="x", name="x", vendor="x", architecture="x",
        memory_marketed_gb=figure(16), memory_driver_mib=figure(driver),
        memory_cuda_mib=figure(cuda),
        unified=UnifiedMemory(usable_mib=figure(usable)) if unified else None,
    )  # fmt: skip
    total = accelerator.total_bytes // MIB
    if cuda is not None:
        assert total == cuda
    elif unified and usable is not None:
        assert total == usable
    elif driver is not None:
        assert total == driver - reserved_mib(driver)
    else:
        assert total < 16 * 1024
    if unified:
        assert accelerator.total_bytes_on("wddm") == accelerator.total_bytes
