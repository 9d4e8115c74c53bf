"""The machine around the accelerators: platform, container, processor, memory and its limits."""

from __future__ import annotations

import re

from hardware_db.records import frozen
from planner.probing.environment import Environment
from planner.probing.machine import Platform

_UNLIMITED = 2**60
"""Cgroup v1 writes "no limit" as a number near 2**63."""

_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_CGROUP = re.compile(r"docker|kubepods|containerd|libpod|lxc|crio")


@frozen
class Host:
    """The host as a process here meets it.

    Attributes:
        platform: kind of operating system.
        arm: whether the processor is 64-bit Arm.
        container: whether this is one.
        product: the machine's own name.
        cpu: processor name.
        cpu_count: logical processors for this process.
        memory_physical_bytes: system memory as the kernel counts it (MemTotal).
        memory_limit_bytes: the cgroup's limit, if below the physical memory.
        memory_available_bytes: free for a new process, the cgroup's rest considered.
    """

    platform: Platform
    arm: bool
    container: bool = False
    product: str | None = None
    cpu: str | None = None
    cpu_count: int | None = None
    memory_physical_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_available_bytes: int | None = None

    @property
    def memory_total_bytes(self) -> int | None:
        """Physical memory or the cgroup's limit, whichever is less."""
        if self.memory_limit_bytes is None:
            return self.memory_physical_bytes
        return self.memory_limit_bytes


def read_host(environment: Environment) -> Host:
    """Read the host; nothing raises, what cannot be read is None."""
    arm = environment.machine.lower() in ("aarch64", "arm64")
    if environment.system == "Darwin":
        return _darwin(environment, arm)
    if environment.system == "Windows":
        memory = environment.physical_memory()
        return Host(
            platform="windows",
            arm=arm,
            cpu=environment.processor or None,
            cpu_count=environment.cpu_count,
            memory_physical_bytes=memory[0] if memory else None,
            memory_available_bytes=memory[1] if memory else None,
        )
    if environment.system == "Linux":
        return _linux(environment, arm)
    return Host(platform="other", arm=arm, cpu_count=environment.cpu_count)


def _linux(environment: Environment, arm: bool) -> Host:
    version = environment.read_text("/proc/version") or ""
    wsl = "microsoft" in version.lower()
    info = meminfo(environment.read_text("/proc/meminfo") or "")
    physical, available = info.get("MemTotal"), info.get("MemAvailable", info.get("MemFree"))
    limit, used = cgroup_memory(environment)
    if limit is not None and physical is not None and limit >= physical:
        limit = None
    if limit is not None and available is not None:
        available = min(available, max(0, limit - (used or 0)))
    return Host(
        platform="wsl2" if wsl else "linux",
        arm=arm,
        container=_in_container(environment),
        product=_product(environment),
        cpu=_linux_cpu(environment),
        cpu_count=environment.cpu_count,
        memory_physical_bytes=physical,
        memory_limit_bytes=limit,
        memory_available_bytes=available,
    )


def meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo (or a NUMA node's) as bytes by name; lines of another form are left out."""
    found = re.findall(r"^(?:Node \d+ )?(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {name: int(kib) * 1024 for name, kib in found}


def cgroup_memory(environment: Environment) -> tuple[int | None, int | None]:
    """(limit, used) bytes of this process's memory cgroup, versions 1 and 2.

    Every ancestor's limit binds, so the least one counts. Page cache that the kernel would give
    back (inactive_file) is not counted as used. (None, None) without a limit.
    """
    memberships = environment.read_text("/proc/self/cgroup") or ""
    tightest: tuple[int | None, int | None] = (None, None)
    for root, path, limit_file, usage_file in _memory_groups(memberships):
        for folder in _ancestors(root, path):
            limit = _number(environment.read_text(f"{folder}/{limit_file}"))
            if limit is None or limit >= _UNLIMITED:
                continue
            if tightest[0] is None or limit < tightest[0]:
                used = _number(environment.read_text(f"{folder}/{usage_file}"))
                stat = environment.read_text(f"{folder}/memory.stat") or ""
                cache = re.search(r"^(?:total_)?inactive_file (\d+)$", stat, re.MULTILINE)
                if used is not None and cache:
                    used = max(0, used - int(cache.group(1)))
                tightest = (limit, used)
    return tightest


def _memory_groups(memberships: str) -> list[tuple[str, str, str, str]]:
    """(mount, group path, limit file, usage file) for the unified and the v1 memory hierarchy."""
    groups = []
    for line in memberships.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups.append(("/sys/fs/cgroup", path, "memory.max", "memory.current"))
        elif "memory" in controllers.split(","):
            groups.append(
                ("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
            )
    return groups


def _ancestors(root: str, path: str) -> list[str]:
    """The group's folder and those above it up to the mount, innermost first.

    Inside a container without its own cgroup name space the path is the host's and does not exist
    here; the mount itself then is the container's group.
    """
    parts = [part for part in path.split("/") if part and part != ".."]
    return ["/".join((root, *parts[:depth])) for depth in range(len(parts), -1, -1)]


def _number(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isdigit() else None


def _in_container(environment: Environment) -> bool:
    if environment.environ.get("container") or "KUBERNETES_SERVICE_HOST" in environment.environ:
        return True
    if any(environment.read_text(path) is not None for path in _CONTAINER_FILES):
        return True
    return bool(_CONTAINER_CGROUP.search(environment.read_text("/proc/1/cgroup") or ""))


def _product(environment: Environment) -> str | None:
    for path in ("/sys/firmware/devicetree/base/model", "/sys/class/dmi/id/product_name"):
        name = (environment.read_text(path) or "").strip("\0 \n")
        if name:
            return name
    return None


def _linux_cpu(environment: Environment) -> str | None:
    text = environment.read_text("/proc/cpuinfo") or ""
    found = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else environment.machine or None


def cpu_attached_memory(environment: Environment) -> int | None:
    """Memory of the NUMA nodes that have processors, in bytes.

    A GPU whose own memory appears as a NUMA node without processors (Grace Hopper and Grace
    Blackwell outside CDMM mode) is counted in MemTotal; this leaves it out. None where the kernel
    does not list nodes or every node has processors.
    """
    root = "/sys/devices/system/node"
    with_cpus, without = 0, 0
    for node in environment.listdir(root):
        if not re.fullmatch(r"node\d+", node):
            continue
        size = meminfo(environment.read_text(f"{root}/{node}/meminfo") or "").get("MemTotal", 0)
        if (environment.read_text(f"{root}/{node}/cpulist") or "").strip():
            with_cpus += size
        else:
            without += size
    return with_cpus if with_cpus and without else None


def _darwin(environment: Environment, arm: bool) -> Host:
    memory = _number(environment.run(("sysctl", "-n", "hw.memsize")))
    cpu = (environment.run(("sysctl", "-n", "machdep.cpu.brand_string")) or "").strip()
    product = (environment.run(("sysctl", "-n", "hw.model")) or "").strip()
    return Host(
        platform="darwin",
        arm=arm,
        product=product or None,
        cpu=cpu or None,
        cpu_count=environment.cpu_count,
        memory_physical_bytes=memory,
        memory_available_bytes=_darwin_available(environment.run(("vm_stat",)) or ""),
    )


def _darwin_available(vm_stat: str) -> int | None:
    """Free, inactive, speculative and purgeable pages of `vm_stat`, in bytes."""
    page = re.search(r"page size of (\d+) bytes", vm_stat)
    pages = dict(re.findall(r"^Pages ([a-z ]+):\s+(\d+)\.$", vm_stat, re.MULTILINE))
    if page is None or "free" not in pages:
        return None
    kinds = ("free", "inactive", "speculative", "purgeable")
    return int(page.group(1)) * sum(int(pages.get(kind, 0)) for kind in kinds)
