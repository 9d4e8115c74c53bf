from typing import Any

import pytest

from planner.probing import probe
from planner.probing.machine import Machine
from planner.probing.system import cgroup_memory, meminfo, read_host
from tests.present import some
from tests.probe import machines
from tests.probe.recorded import MIB, Recorded, linux

GIB = 2**30


def machine_with(files: dict[str, Any], **more: Any) -> Machine:
    return probe(environment=Recorded(machines.NO_NVIDIA, {**linux(64 * 1024), **files}, **more))


def test_cgroup_v2_limits_a_container() -> None:
    machine = machine_with(
        {
            "/.dockerenv": "",
            "/proc/self/cgroup": "0::/\n",
            "/sys/fs/cgroup/memory.max": f"{8 * GIB}\n",
            "/sys/fs/cgroup/memory.current": f"{5 * GIB}\n",
            "/sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {2 * GIB}\nactive_file 7\n",
        }
    )
    assert machine.container
    assert machine.host_memory_total_bytes == 8 * GIB
    assert machine.host_memory_limit_bytes == 8 * GIB
    assert machine.host_memory_available_bytes == 5 * GIB, "page cache is given back"
    assert any("container's limit" in note for note in machine.notes)


def test_the_tightest_group_above_binds() -> None:
    root = "/sys/fs/cgroup"
    environment = Recorded(
        None,
        {
            "/proc/self/cgroup": "0::/kubepods.slice/pod1/box\n",
            f"{root}/kubepods.slice/pod1/box/memory.max": "max\n",
            f"{root}/kubepods.slice/pod1/memory.max": f"{4 * GIB}\n",
            f"{root}/kubepods.slice/pod1/memory.current": f"{GIB}\n",
            f"{root}/kubepods.slice/memory.max": f"{60 * GIB}\n",
        },
    )
    assert cgroup_memory(environment) == (4 * GIB, GIB)


def test_cgroup_v1_and_its_no_limit() -> None:
    base = "/sys/fs/cgroup/memory"
    files = {
        "/proc/self/cgroup": "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n",
        f"{base}/memory.limit_in_bytes": f"{2 * GIB}\n",
        f"{base}/memory.usage_in_bytes": f"{GIB}\n",
        f"{base}/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 2}\n",
    }
    machine = machine_with(files)
    assert machine.host_memory_total_bytes == 2 * GIB
    files[f"{base}/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert machine_with(files).host_memory_total_bytes == 64 * GIB


def test_a_limit_above_the_machine_is_none() -> None:
    machine = machine_with({"/sys/fs/cgroup/user.slice/memory.max": f"{100 * GIB}\n"})
    assert machine.host_memory_limit_bytes is None
    assert machine.host_memory_total_bytes == 64 * GIB


def test_unified_memory_that_is_free_stays_within_the_container() -> None:
    files = {
        "/sys/fs/cgroup/user.slice/memory.max": f"{32 * GIB}\n",
        "/sys/fs/cgroup/user.slice/memory.current": f"{2 * GIB}\n",
    }
    environment = machines.gb10()
    environment.files.update(files)
    machine = probe(environment=environment)
    assert machine.devices[0].memory_total_bytes == 124610 * MIB
    assert machine.devices[0].memory_free_bytes == 30 * GIB
    assert any("this container may use 32.0 GiB" in warning for warning in machine.warnings)


@pytest.mark.parametrize(
    ("files", "environ"),
    [
        ({"/run/.containerenv": ""}, {}),
        ({"/proc/1/cgroup": "0::/docker/abc\n"}, {}),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
        ({}, {"container": "podman"}),
    ],
)
def test_a_container_is_seen(files: dict[str, Any], environ: dict[str, Any]) -> None:
    assert machine_with(files, environ=environ).container


def test_a_bare_machine_is_no_container() -> None:
    machine = machine_with({"/proc/1/cgroup": "0::/init.scope\n"})
    assert (machine.container, machine.platform) == (False, "linux")
    assert (machine.cpu, machine.cpu_count) == ("A Processor", 16)


def test_files_of_another_form_are_no_figures() -> None:
    assert meminfo("MemTotal: many kB\nMemFree:   12 kB\nHugePages_Total:       0\n") == {
        "MemFree": 12288
    }
    host = read_host(Recorded(None, {}))
    assert host.memory_total_bytes is None
    assert host.memory_available_bytes is None


def test_another_system_is_an_answer_too() -> None:
    machine = probe(environment=Recorded(machines.NO_NVIDIA, {}, system="FreeBSD"))
    assert machine.platform == "other"
    assert machine.devices == ()


def test_apple_takes_the_default_share_or_the_owners_limit() -> None:
    (device,) = probe(environment=machines.mac()).devices
    assert device.accelerator_id == "apple-m4-max"
    assert device.unified
    assert device.memory_total_bytes == pytest.approx(110100 * MIB, rel=0.001)
    assert device.memory_free_bytes == 1_510_000 * 16384
    (raised,) = probe(environment=machines.mac(wired_mb="122880")).devices
    assert raised.memory_total_bytes == 122880 * MIB
    assert dict(raised.obtained)["memory_total_bytes"] == "sysctl iogpu.wired_limit_mb"


@pytest.mark.parametrize(
    ("brand", "gib", "mib", "entry"),
    [
        ("Apple M4 Max", 64, 53084, "apple-m4-max-64"),
        ("Apple M4 Max", 36, 28753, "apple-m4-max-36"),
        ("Apple M5", 24, 18186, "apple-m5-24"),
        ("Apple M5", 32, 25559, "apple-m5-32"),
        ("Apple M5", 16, 12124, "apple-m5"),
    ],
)
def test_apple_by_size(brand: str, gib: int, mib: int, entry: str) -> None:
    (device,) = probe(environment=machines.mac(brand, gib, None)).devices
    assert device.accelerator_id == entry
    assert device.memory_total_bytes == pytest.approx(mib * MIB, rel=0.01)


def test_an_apple_chip_of_tomorrow_and_an_intel_mac() -> None:
    (device,) = probe(environment=machines.mac("Apple M9 Max", 64)).devices
    assert (device.accelerator_id, device.parent_accelerator_id) == (None, None)
    assert device.memory_total_bytes == pytest.approx(53084 * MIB, rel=0.01)
    intel = machines.mac("Intel(R) Core(TM) i9")
    intel.machine = "x86_64"
    machine = probe(environment=intel)
    assert machine.devices == ()
    assert "Apple silicon" in some(machine.reason)
    assert machine.host_memory_total_bytes == 128 * GIB
