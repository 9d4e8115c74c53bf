"""The machines, as data. Figures are those of real machines where one was read (see probe facts)."""

from typing import Any

from tests.probe.recorded import (
    MIB,
    NO_PERMISSION,
    NOT_SUPPORTED,
    Nvml,
    Recorded,
    Refused,
    card,
    linux,
    memory,
)


def h100(number: int, **answers: Any) -> Any:
    return card(
        "NVIDIA H100 80GB HBM3",
        memory(81559, 478, 600),
        GetUUID=f"GPU-{number:08d}-aaaa-bbbb-cccc-dddddddddddd",
        GetCudaComputeCapability=(9, 0),
        GetPciInfo=(f"00000000:{0x10 + number:02X}:00.0", 0x233010DE),
        GetMaxPcieLinkGeneration=5,
        GetEccMode=[1, 1],
        GetMigMode=[0, 0],
        GetPowerManagementLimit=700_000,
        GetMemoryBusWidth=5120,
        GetMaxClockInfo=2619,
        GetNvLinkState=18,
        GetNvLinkVersion=6,
        GetNvLinkRemoteDeviceType=2,
        **{"link speed": 26562, **answers},
    )


def rtx_4090(number: int = 0, total: int = 24564, **answers: Any) -> Any:
    return card(
        "NVIDIA GeForce RTX 4090",
        memory(total, 380, 200),
        GetUUID=f"GPU-4090000{number}-1111-2222-3333-444444444444",
        GetPciInfo=(f"00000000:{number + 1:02X}:00.0", 0x268410DE),
        **answers,
    )


RTX_3060 = card(
    "NVIDIA GeForce RTX 3060",
    memory(12288, 200, 900),
    GetUUID="GPU-30600000-1111-2222-3333-444444444444",
    GetCudaComputeCapability=(8, 6),
    GetMemoryBusWidth=192,
    GetMaxClockInfo=7501,
)

UNIFIED = {
    "GetEccMode": NOT_SUPPORTED,
    "GetPowerManagementLimit": NOT_SUPPORTED,
    "GetMaxPcieLinkGeneration": 1,
    "GetMaxPcieLinkWidth": 1,
    "GetMemoryBusWidth": NOT_SUPPORTED,
    "GetAddressingMode": 2,
}


def instance(number: int, total_mib: int, slices: int, multiprocessors: int) -> Any:
    return card(
        f"NVIDIA H200 MIG {slices}g.{total_mib * MIB // 10**9}gb",
        memory(total_mib, 0, 12),
        GetUUID=f"MIG-{number:08d}-5555-6666-7777-888888888888",
        GetAttributes_v2={
            "multiprocessorCount": multiprocessors,
            "gpuInstanceSliceCount": slices,
            "computeInstanceSliceCount": slices,
            "memorySizeMB": total_mib,
        },
    )


def split_h200(mem: Any, **answers: Any) -> Any:
    return card(
        "NVIDIA H200",
        mem,
        GetUUID="GPU-00000200-aaaa-bbbb-cccc-dddddddddddd",
        GetCudaComputeCapability=(9, 0),
        instances={0: instance(0, 33280, 1, 16), 2: instance(2, 71424, 3, 60)},
        **{"GetMigMode": [1, 1], "GetMaxMigDeviceCount": 7, **answers},
    )


def arm(files: dict[str, str], nvml: Nvml, product: str | None = None, **more: Any) -> Recorded:
    if product:
        files = {**files, "/sys/class/dmi/id/product_name": product + "\n"}
    return Recorded(nvml, files, machine="aarch64", **more)


def start_up(word: str) -> Recorded:
    return Recorded(Nvml(init=Refused(word)), linux(64000))


def numa(node: int, total_mib: int, cpus: str) -> dict[str, str]:
    root = f"/sys/devices/system/node/node{node}"
    return {
        f"{root}/meminfo": f"Node {node} MemTotal:       {total_mib * 1024} kB\n",
        f"{root}/cpulist": cpus + "\n",
    }


def h100_x8(**environ: Any) -> Any:
    return Recorded(
        Nvml([h100(i) for i in range(8)], link=lambda a, b: "nvlink"),
        linux(2_000_000),
        environ=environ,
    )


def mixed(**environ: Any) -> Any:
    return Recorded(Nvml([rtx_4090(0), dict(RTX_3060), rtx_4090(2)]), linux(64000), environ=environ)


def gb10(
    mem: Refused | tuple[int, int, int] = NOT_SUPPORTED, total_mib: int = 124610, **more: Any
) -> Recorded:
    processes = [(4242, 30 * 1024 * MIB)]
    device = card(
        "NVIDIA GB10",
        mem,
        GetCudaComputeCapability=(12, 1),
        GetComputeRunningProcesses_v3=processes,
        **UNIFIED,
    )
    return arm(linux(total_mib, 98000), Nvml([device]), "NVIDIA_DGX_Spark", **more)


def thor() -> Recorded:
    device = card("NVIDIA Thor", NOT_SUPPORTED, GetCudaComputeCapability=(11, 0), **UNIFIED)
    return arm(linux(125748, 110000), Nvml([device], driver="580.00"))


def orin(init: str = "LibraryNotFound", total_mib: int = 62827) -> Recorded:
    files = {
        **linux(total_mib, 55000),
        "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3",
        "/sys/firmware/devicetree/base/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
        "/sys/firmware/devicetree/base/compatible": "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0",
    }
    return arm(files, Nvml(init=Refused(init)))


def gh200(total_mib: int = 97871, host_mib: int = 580_000) -> Recorded:
    device = card(
        "NVIDIA GH200 480GB",
        memory(total_mib, 600, 1000),
        GetCudaComputeCapability=(9, 0),
        GetAddressingMode=2,
        GetMaxPcieLinkGeneration=5,
        GetMigMode=[0, 0],
        GetMemoryBusWidth=6144,
        GetMaxClockInfo=2619,
    )
    files = {
        **linux(host_mib),
        **numa(0, host_mib - total_mib, "0-71"),
        **numa(1, total_mib, ""),
    }
    return arm(files, Nvml([device]))


def gb200() -> Recorded:
    cards = [
        card(
            "NVIDIA GB200",
            memory(189471, 700, 900),
            GetUUID=f"GPU-0000b20{number}-aaaa-bbbb-cccc-dddddddddddd",
            GetCudaComputeCapability=(10, 0),
            GetAddressingMode=2,
            GetMaxPcieLinkGeneration=5,
            GetNvLinkState=18,
            GetNvLinkVersion=7,
            GetNvLinkRemoteDeviceType=2,
            GetGpuFabricInfoV=0xAB,
        )
        for number in range(4)
    ]
    return arm(linux(1_700_000), Nvml(cards, link=lambda a, b: "nvlink"))


def n1x(carve_out_mib: int = 8128, system_mib: int = 55501) -> Recorded:
    device = card(
        "NVIDIA RTX Spark N1X",
        memory(carve_out_mib, 0, 500),
        GetCudaComputeCapability=(12, 1),
        **UNIFIED,
    )
    return Recorded(
        Nvml([device]),
        system="Windows",
        machine="ARM64",
        windows_memory=(system_mib * MIB, system_mib // 2 * MIB),
    )


def laptop() -> Recorded:
    device = card(
        "NVIDIA GeForce RTX 5090 Laptop GPU",
        memory(24463, 400, 300),
        GetCudaComputeCapability=(12, 0),
        GetPowerManagementLimit=NOT_SUPPORTED,
    )
    return Recorded(Nvml([device]), linux(64000))


def vgpu() -> Recorded:
    device = card(
        "NVIDIA A10-12Q",
        memory(12288, 300, 100),
        GetCudaComputeCapability=(8, 6),
        GetVirtualizationMode=2,
        GetPowerManagementLimit=NOT_SUPPORTED,
    )
    return Recorded(Nvml([device]), linux(110000))


def wsl2(**answers: Any) -> Recorded:
    device = card(
        "NVIDIA GeForce RTX 5090",
        memory(32607, 518, 1500),
        GetCudaComputeCapability=(12, 0),
        GetMigMode=NOT_SUPPORTED,
        GetGraphicsRunningProcesses_v3=[(31, None)],
        **answers,
    )
    return Recorded(Nvml([device]), linux(48000, wsl=True))


OLD = Recorded(
    Nvml(
        [
            card(
                "Tesla V100-SXM2-32GB",
                memory(32768, 0, 0),
                GetCudaComputeCapability=(7, 0),
                GetNvLinkState=6,
                GetNvLinkVersion=2,
                GetNvLinkRemoteDeviceType=0,
            )
        ],
        driver=b"418.226.00",
        cuda=10010,
        missing=frozenset(
            {
                "memory v2",
                "nvmlSystemGetCudaDriverVersion_v2",
                "nvmlDeviceGetAddressingMode",
                "nvmlDeviceGetMigMode",
                "nvmlDeviceGetNvLinkRemoteDeviceType",
                "nvmlDeviceGetComputeRunningProcesses_v3",
                "nvmlDeviceGetGraphicsRunningProcesses_v3",
                "nvmlDeviceGetFieldValues",
                "nvmlDeviceGetGpuFabricInfoV",
            }
        ),
    ),
    linux(256000),
)


def amd_card(
    number: int,
    vram: int,
    gtt: int,
    device: str,
    gfx_version: int,
    *,
    used: int = 0,
    extra: dict[str, str] | None = None,
    links: list[int] | tuple[Any, ...] = (),
) -> dict[str, str]:
    """One AMD card in /sys/class/drm and its node, number + 1, in the compute driver's topology."""
    bus = 0xC1 + number
    drm, kfd = (
        f"/sys/class/drm/card{number}/device",
        f"/sys/class/kfd/kfd/topology/nodes/{number + 1}",
    )
    files = {
        f"{drm}/vendor": "0x1002\n",
        f"{drm}/device": f"0x{device}\n",
        f"{drm}/mem_info_vram_total": f"{vram}\n",
        f"{drm}/mem_info_vram_used": f"{used}\n",
        f"{drm}/mem_info_gtt_total": f"{gtt}\n",
        f"{drm}/mem_info_gtt_used": f"{100 * MIB}\n",
        f"{drm}/uevent": f"DRIVER=amdgpu\nPCI_SLOT_NAME=0000:{bus:02x}:00.0\n",
        f"{drm}/max_link_speed": "16.0 GT/s PCIe\n",
        f"{drm}/max_link_width": "16\n",
        f"{kfd}/properties": (
            f"simd_count 304\ngfx_target_version {gfx_version}\nlocation_id {bus << 8}\n"
            f"domain 0\nunique_id {0xABC0 + number}\n"
        ),
        **{f"{drm}/{name}": text for name, text in (extra or {}).items()},
    }
    for link, other in enumerate(links):
        files[f"{kfd}/io_links/{link}/properties"] = f"type 11\nnode_to {other + 1}\n"
    return files


NO_NVIDIA = Nvml(init=Refused("LibraryNotFound"))
CPU_NODE = {"/sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 64\nsimd_count 0\n"}


def mi300x(count: int = 2, **environ: Any) -> Recorded:
    files = {**linux(1_500_000), **CPU_NODE}
    for number in range(count):
        others = [other for other in range(count) if other != number]
        files |= amd_card(number, 206141652992, 2**39, "74a1", 90402, used=2**30, links=others)
    return Recorded(NO_NVIDIA, files, environ=environ)


def rx_7900_xtx() -> Recorded:
    files = {**linux(64000), **CPU_NODE, **amd_card(0, 25753026560, 2**35, "744c", 110000)}
    return Recorded(NO_NVIDIA, files)


def strix_halo(vram_mib: int = 512, gtt_mib: int = 62000, system_mib: int = 126_000) -> Recorded:
    files = {**linux(system_mib, system_mib - 6000), **CPU_NODE}
    files |= amd_card(0, vram_mib * MIB, gtt_mib * MIB, "1586", 110501, used=100 * MIB)
    return Recorded(NO_NVIDIA, files)


VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                             1000000.
Pages active:                            500000.
Pages inactive:                          400000.
Pages speculative:                       100000.
Pages purgeable:                          10000.
"""


def mac(brand: str = "Apple M4 Max", memory_gib: int = 128, wired_mb: str | None = "0") -> Recorded:
    commands = {
        "sysctl -n hw.memsize": f"{memory_gib * 2**30}\n",
        "sysctl -n machdep.cpu.brand_string": f"{brand}\n",
        "sysctl -n hw.model": "Mac16,5\n",
        "vm_stat": VM_STAT,
    }
    if wired_mb is not None:
        commands["sysctl -n iogpu.wired_limit_mb"] = f"{wired_mb}\n"
    return Recorded(commands=commands, system="Darwin", machine="arm64")


MIG_OUTSIDE = Recorded(Nvml([split_h200(memory(143771, 700, 100))]), linux(1_000_000))
MIG_INSIDE = Recorded(
    Nvml(
        [
            split_h200(
                NO_PERMISSION,
                GetMigMode=NO_PERMISSION,
                GetMaxMigDeviceCount=NO_PERMISSION,
                GetEccMode=NO_PERMISSION,
                GetComputeRunningProcesses_v3=NO_PERMISSION,
            )
        ]
    ),
    {**linux(1_000_000), "/.dockerenv": ""},
)
