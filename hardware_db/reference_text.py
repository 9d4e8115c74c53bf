"""The parts of docs/hardware.md that are written by hand."""

from __future__ import annotations

__all__ = ["INTRODUCTION", "SCHEMA"]

INTRODUCTION = """
# Hardware

Written by `python -m hardware_db.reference` from the TOML files in `hardware_db/data`; do not edit
it by hand. `qwenplan hardware ID` shows one entry with the source of every figure.

**Grades.** A: machine output, or a file in the vendor's own repository. B: a public database,
two third parties that agree, or derived and confirmed by another source. C: derived by a stated rule, or a single third party. D: unverified;
marked with "?" here. A source that reads "public file 123" is a public file of which only a number
is known; several are cited where there are several. A date is that of the source where it bears
one, else the day on which it was read.

**Memory.** A card has three sizes: the label, what the driver counts, and what CUDA or HIP calls
the total. Engines budget on the last one ("planned GiB"). Where nobody has read it, it is the
driver's total less 1 % (450 to 1100 MiB) under Linux and less 1 MiB under Windows and WSL2.
Apple silicon and Strix Halo: what the system lends to the GPU by default; the notes of the entry
say how to raise it. DGX Spark: MemTotal, of which an engine should take at most 0.85.

**Rates** are dense TFLOPS (int8: TOPS) with fp32 accumulate. GeForce cards run fp16, bf16 and fp8
at half of the rate that they reach with fp16 accumulate. Bandwidth is nominal, in GB/s of 10^9
bytes. **Links** are GB/s per accelerator and direction; a bridge is bought apart, so systems are
planned over PCIe unless the entry says otherwise. **Prices** move; each has its date.

**Names.** `h100`, `RTX 4090`, `rtx-4090` and the driver's own name all work: case, spaces and
dashes do not matter, everything else must be equal. `2x rtx-4090` is two in one node, `16x h100`
two nodes of eight, `2x dgx-spark` two machines. `custom:48GiB` is an accelerator of which only the
memory is known (GiB, GB, MiB or MB). What is not known is answered with the nearest names.
"""

SCHEMA = """
## Your own hardware

Put a file of the same form at `$XDG_CONFIG_HOME/qwenplan/hardware.toml` (without that variable:
`~/.config/qwenplan/`, on macOS `~/Library/Application Support/qwenplan/`, on Windows
`%APPDATA%\\\\qwenplan\\\\`), or name a file in `QWENPLAN_HARDWARE`. It adds to the bundled data; an id
or alias that is taken already is an error. Mistakes are answered with file, entry and field.

```toml
accessed = "2026-11-21"            # the date of figures that have none of their own

[[accelerator]]
id = "rtx-5090-64"
name = "RTX 5090 with 64 GB"
family = "blackwell-120"           # architecture, formats: see hardware_db/data/families.toml
memory_type = "GDDR7"
memory_driver_mib = { value = 65247, grade = "A", source = "nvidia-smi on our machine" }
bandwidth_gb_s = { value = 1792, grade = "C", source = "as rtx-5090" }
pcie = "5.0 x16"
pcie_gb_s = { value = 63, grade = "C", source = "line rate" }

[accelerator.tflops]
bf16 = { value = 209.5, grade = "C", source = "as rtx-5090" }

[[system]]
id = "our-server"
name = "our server"
accelerator = "rtx-5090-64"
accelerators_per_node = 4
prices = [{ value = 32000, kind = "street", source = "invoice", date = "2026-10-01" }]
```

A figure is `{ value, grade, source }` and may have `date`, `note` and `alternatives` (a list of
figures that contradict it). A `source` may cite a `[sources.name]` table as `{name}`.

| field of an accelerator | what it holds |
|---|---|
| `id`, `name`, `vendor`, `architecture` | texts, needed (a family may give the last two) |
| `family` | a `[family.name]` table whose fields hold where the entry has none |
| `aliases`, `nvml_names`, `pci_device_ids`, `notes` | lists of texts; `nvml_names` as the driver prints them |
| `form_factor`, `memory_type`, `metal_family`, `link_name` | texts |
| `compute_capability`, `gfx`, `pcie`, `release` | texts like "9.0", "gfx942", "5.0 x16", "2025-10-15" |
| `memory_marketed_gb`, `memory_driver_mib`, `memory_cuda_mib`, `memory_cuda_wddm_mib` | figures; at least one of them |
| `memory_sizes_gb`, `gpu_share`, `by_size` | for a chip sold in several sizes: the sizes, the share lent to the GPU by size, what differs by size |
| `bandwidth_gb_s`, `pcie_gb_s`, `nvlink_gb_s`, `tdp_w` | figures; links per direction |
| `bandwidth_measured_gb_s` | a list of figures |
| `nvlink_domain`, `max_per_node` | whole numbers |
| `nvlink_kind` | "switch", "mesh" or "bridge" |
| `[accelerator.tflops]` | figures by format: fp32, fp16, bf16, fp8, fp6, fp4, int8 |
| `[accelerator.tflops_measured]` | lists of figures by format |
| `[accelerator.formats]`, `[accelerator.sources]` | texts: "native" or what happens instead; where a text comes from |
| `[accelerator.unified]` | where CPU and GPU share memory: `usable_mib`, `os_reserve_mib`, `default_gpu_share`, `safe_utilization`, `notes` |
| `prices` | list of `{ value, kind, source }` with kind "msrp", "street" or "hourly", and `currency`, `date`, `region`, `provider`, `note` |

| field of a system | what it holds |
|---|---|
| `id`, `name`, `accelerator`, `accelerators_per_node` | needed; `accelerator` is an id |
| `nodes`, `link_domain` | whole numbers |
| `aliases`, `notes`, `cpu`, `provider`, `prices` | as above; prices are for the whole system |
| `host_memory_gib`, `power_w` | figures; memory per node, power of the whole |
| `intra_node_gb_s`, `intra_node_link`, `inter_node_gb_s`, `inter_node_link` | figures and names of the links; inside a node they follow from the accelerator |
| `bus_bandwidth_gb_s` | list of measured collective bandwidths inside a node |
"""
