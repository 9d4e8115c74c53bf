from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.probing import probe
from planner.probing.visible import by_uuid, select
from tests.present import some
from tests.probe import machines


def seen(**environ: Any) -> Any:
    machine = probe(environment=machines.h100_x8(**environ))
    return [device.index for device in machine.visible_devices], machine


@pytest.mark.parametrize(
    ("value", "order"),
    [
        ("0,1", [0, 1]),
        ("3,1,2", [3, 1, 2]),
        (" 2 , 0", [2, 0]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,2,-1,1", [0, 2]),
        ("0,8,1", [0]),
        ("0,,1", [0]),
        ("1gpu2,2ampere", [1, 2]),
        ("0,0", []),
        ("GPU-00000005", [5]),
        ("GPU-00000005-aaaa-bbbb-cccc-dddddddddddd,GPU-00000001", [5, 1]),
        ("gpu-00000002", [2]),
        ("GPU-0000000", []),
        ("GPU-ffffffff,0", []),
        ("99999999999999999999", []),
    ],
)
def test_cuda_visible_devices(value: str, order: list[Any]) -> None:
    assert seen(CUDA_VISIBLE_DEVICES=value)[0] == order


def test_unset_shows_all_and_nothing_visible_has_a_reason() -> None:
    assert seen()[0] == list(range(8))
    order, machine = seen(CUDA_VISIBLE_DEVICES="")
    assert order == []
    assert len(machine.devices) == 8
    assert "CUDA_VISIBLE_DEVICES" in machine.reason


def test_what_hides_devices_by_mistake_is_told() -> None:
    assert any("'9' names no device" in w for w in seen(CUDA_VISIBLE_DEVICES="1,9")[1].warnings)
    assert any("twice" in w for w in seen(CUDA_VISIBLE_DEVICES="1,1")[1].warnings)
    assert seen(CUDA_VISIBLE_DEVICES="1,2")[1].warnings == ()


def test_a_mig_uuid_selects_one_instance() -> None:
    environment = machines.MIG_OUTSIDE
    environment.environ = {"CUDA_VISIBLE_DEVICES": "MIG-00000002-5555-6666-7777-888888888888"}
    try:
        (instance,) = probe(environment=environment).visible_devices
        environment.environ = {"CUDA_VISIBLE_DEVICES": "0"}
        both = probe(environment=environment).visible_devices
    finally:
        environment.environ = {}
    assert some(instance.uuid).startswith("MIG-00000002")
    assert len(both) == 2


def test_indices_on_mixed_cards_are_doubtful_unless_ordered_by_the_bus() -> None:
    doubtful = probe(environment=machines.mixed(CUDA_VISIBLE_DEVICES="0,2"))
    assert any("may name other devices" in warning for warning in doubtful.warnings)
    sure = probe(
        environment=machines.mixed(CUDA_VISIBLE_DEVICES="0,2", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    )
    assert sure.warnings == ()
    assert [device.name[-4:] for device in sure.visible_devices] == ["4090", "4090"]
    assert probe(environment=machines.mixed(CUDA_VISIBLE_DEVICES="GPU-3060")).warnings == ()


def test_amd_lists_apply_one_within_the_other() -> None:
    def left(**environ: Any) -> Any:
        return [d.index for d in probe(environment=machines.mi300x(4, **environ)).visible_devices]

    assert left() == [0, 1, 2, 3]
    assert left(HIP_VISIBLE_DEVICES="2,0") == [2, 0]
    assert left(ROCR_VISIBLE_DEVICES="1,3") == [1, 3]
    assert left(ROCR_VISIBLE_DEVICES="1,3", HIP_VISIBLE_DEVICES="1") == [3]
    assert left(ROCR_VISIBLE_DEVICES="GPU-000000000000abc2") == [2]
    assert left(CUDA_VISIBLE_DEVICES="1") == [1]
    assert left(CUDA_VISIBLE_DEVICES="1", HIP_VISIBLE_DEVICES="2") == [2]


@given(st.text(max_size=40), st.integers(0, 16))
def test_any_text_selects_each_device_at_most_once(value: Any, count: Any) -> None:
    order = select(value, count, by_uuid(["GPU-abc"] * count)).order
    assert len(set(order)) == len(order)
    assert all(0 <= position < count for position in order)


@given(st.lists(st.integers(0, 7), unique=True, min_size=1))
def test_a_list_of_indices_is_taken_as_it_stands(order: Any) -> None:
    value = ",".join(map(str, order))
    assert select(value, 8, by_uuid([])).order == tuple(order)
