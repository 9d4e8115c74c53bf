"""Memory modules as udev tells them, and what a plan for this machine makes of them."""

import pytest

from planner.probing import probe
from planner.probing.dimms import UDEV, Modules, read_modules
from planner.probing.report import report_lines
from planner.throughput import host_memory
from tests.present import some
from tests.probe import machines
from tests.probe.recorded import Nvml, Recorded, linux


def udev(*modules: tuple[str, str, int | None, int], kind: str = "DDR5", mts: int = 5600) -> str:
    """(locator, bank, width, present) as systemd writes them."""
    lines = ["N:dmi/id", "E:MEMORY_ARRAY_NUM_DEVICES=4"]
    for n, (locator, bank, width, present) in enumerate(modules):
        head = f"E:MEMORY_DEVICE_{n}_"
        lines += [f"{head}LOCATOR={locator}", f"{head}BANK_LOCATOR={bank}"]
        if not present:
            lines += [f"{head}PRESENT=0", f"{head}TYPE=Unknown"]
            continue
        lines += [
            f"{head}TYPE={kind}",
            f"{head}SPEED_MTS=6000",
            f"{head}CONFIGURED_SPEED_MTS={mts}",
        ]
        if width is not None:
            lines.append(f"{head}DATA_WIDTH={width}")
    return "\n".join(lines)


def modules(text: str) -> Modules | None:
    return read_modules(Recorded(files={UDEV: text}))


@pytest.mark.parametrize(
    ("text", "width", "gb_s", "told"),
    [
        (  # two of four slots, each on a channel of its own
            udev(
                ("DIMM 0", "P0 CHANNEL A", 64, 0),
                ("DIMM 1", "P0 CHANNEL A", 64, 1),
                ("DIMM 0", "P0 CHANNEL B", 64, 0),
                ("DIMM 1", "P0 CHANNEL B", 64, 1),
            ),
            128,
            89.6,
            True,
        ),
        (  # two modules on one channel are not two channels
            udev(("DIMM 0", "P0 CHANNEL A", 64, 1), ("DIMM 1", "P0 CHANNEL A", 64, 1)),
            64,
            44.8,
            True,
        ),
        (udev(("DIMM_A1", "", None, 1), ("DIMM_B1", "", None, 1)), 128, 89.6, True),
        (  # soldered memory: eight narrow channels of two controllers
            udev(
                *[(f"Controller{c}-Channel{x}", "BANK 0", 16, 1) for c in range(2) for x in "ABCD"],
                kind="LPDDR5",
                mts=7467,
            ),
            128,
            119.472,
            True,
        ),
        (  # the channels of one socket
            udev(
                *[
                    (f"P{p}_DIMM_{x}0", f"P{p} CHANNEL {x}", 64, 1)
                    for p in range(2)
                    for x in "ABCDEFGH"
                ],
                kind="DDR4",
                mts=3200,
            ),
            512,
            204.8,
            True,
        ),
        (udev(("Top", "BANK 0", 64, 1), ("Bottom", "BANK 1", 64, 1)), 128, 89.6, False),
        (udev(*[(f"Bay {n}", "", 64, 1) for n in range(4)]), 128, 89.6, False),
        (udev(("Bay", "", 64, 1)), 64, 44.8, False),
    ],
)
def test_modules_are_read(text: str, width: int, gb_s: float, told: bool) -> None:
    found = some(modules(text))
    assert (found.width, found.told) == (width, told)
    assert found.gb_s == pytest.approx(gb_s)


@pytest.mark.parametrize(
    "text",
    ["", "E:MEMORY_ARRAY_NUM_DEVICES=4", udev(("A", "B", 64, 0)), udev(("A", "B", 64, 1), mts=0)],
)
def test_nothing_is_made_up_where_udev_does_not_tell(text: str) -> None:
    assert modules(text.replace("SPEED_MTS=6000", "SPEED_MTS=x")) is None


def test_a_plan_for_this_machine_reads_weights_at_the_speed_of_its_modules() -> None:
    text = udev(("DIMM 1", "P0 CHANNEL A", 64, 1), ("DIMM 1", "P0 CHANNEL B", 64, 1))
    machine = probe(
        environment=Recorded(Nvml([machines.rtx_4090()]), {**linux(64 * 1024), UDEV: text})
    )
    host = host_memory(machine.to_system())
    assert host.gb_s == pytest.approx(89.6)
    assert not host.assumed
    assert host.words == "RAM DDR5-5600, 128 bits wide (90 GB/s)"
    assert "DDR5-5600, 128 bits wide (90 GB/s)" in "\n".join(report_lines(machine))


def test_channels_that_are_only_counted_are_said_to_be_assumed() -> None:
    text = udev(("Bay 1", "", 64, 1), ("Bay 2", "", 64, 1))
    machine = probe(
        environment=Recorded(Nvml([machines.rtx_4090()]), {**linux(64 * 1024), UDEV: text})
    )
    host = host_memory(machine.to_system())
    assert host.assumed
    assert "--ram-bandwidth" in host.words
