"""The parts of docs/hardware.md that are written by hand."""

from __future__ import annotations

__all__ = ["INTRODUCTION", "SCHEMA"]

INTRODUCTION = """
# Hardware

Written by `python -m hardware_db.reference` from the TOML files in `hardware_db/data`; do not edit
it by hand. `qwenplan hardware ID` shows one entry with the source of every figure.

**Grades.** A: machine output, or a file in the vendor's own repository. B: a public database,
two third parties that agree, or derived and confirmed by another source. C: derived by a stated rule, or a single third party. D: unverified;
marked with "?" here. "A public file on GitHub" was read through an index that does not tell in which
repository it lies: what it is and how many agree is said instead. A date is that of the source where
it bears one, else the day on which it was read.

**Memory.** A card has three sizes: the label, what the driver counts, and what CUDA or HIP calls
the total. Engines budget on the last one ("planned GiB"). Where nobody has read it, it is the
driver's total less 1 % (450 to 1100 MiB) under Linux and less 1 MiB under Windows and WSL2.

**One pool.** Where CPU and GPU share one memory there is no RAM beside it. `total_bytes` is what an
engine sees, `usable_bytes` what it gets as the machine comes (Metal's share, half of RAM as GTT on
Strix Halo, what a DGX Spark has free), `raisable_bytes` what it gets once the owner has raised the
limit, with the command. RAM of which nothing else is known: the system takes 4 GiB, and at most a
quarter.

**Rates** are dense TFLOPS (int8: TOPS) with fp32 accumulate. GeForce cards run fp16, bf16 and fp8
at half of the rate that they reach with fp16 accumulate. Bandwidth is nominal, in GB/s of 10^9
bytes. **Links** are GB/s per accelerator and direction; a bridge is bought apart, so systems are
planned over PCIe unless the entry says otherwise. **Prices** move; each has its date.

**Prices** to rank by are at most 150 days older than the newest price of the database, and never a
launch price, which is what the maker asked at first. Of a range, the lower end counts.

**Names.** `h100`, `RTX 4090`, `rtx-4090` and the driver's own name all work: case, spaces and
dashes do not matter, everything else must be equal. What is not known is answered with the nearest
names.

| write | for |
|---|---|
| `2x rtx-4090`, `rtx-4090 x2`, `h100:2`, `two 3090s`, `dual 3090` | several in one machine; `16x h100` is two nodes of eight |
| `2x dgx-spark`, `2 nodes of 3x rtx-3060` | two machines |
| `4090 + 64GB RAM`, `2x 3090, 128 GB`, `4090 with 2x32GB DDR5-6000` | the RAM beside them, with its kind where it is said ("DDR4-3200", "8-channel"); of one machine where there are several |
| `cpu, 64GB` | a machine without a GPU |
| `3090 + 3060` | different GPUs in one machine |
| `M4 Max 64GB`, `M4 Max + 64GB`, `RTX4090 48G`, `5060 Ti 16GB` | one size of what is sold in several |
| `24GB`, `2x 24GB` | GPUs of which only the size on the label is known |
| `custom:48GiB` | an accelerator of which only the memory is known, to the byte (GiB, GB, MiB or MB) |

A bare name that is sold in several sizes means the size that reports of people who run these models
name most often, else the smallest; a note says so. Cards whose memory was exchanged, and those with
ECC switched, have names of their own and are never meant by a bare one.
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
| `family` | a `[family.name]` table whose fields hold where the entry has none, or a list of such tables, the first first |
| `aliases`, `nvml_names`, `pci_device_ids`, `notes` | lists of texts; `nvml_names` as the driver prints them |
| `form_factor`, `memory_type`, `metal_family`, `link_name` | texts |
| `compute_capability`, `gfx`, `pcie`, `release` | texts like "9.0", "gfx942", "5.0 x16", "2025-10-15" |
| `memory_marketed_gb`, `memory_driver_mib`, `memory_cuda_mib`, `memory_cuda_wddm_mib` | figures; at least one of them |
| `memory_sizes_gb`, `bare_gb`, `by_size` | for a chip sold in several sizes: the sizes, the one that the bare name means, what differs by size |
| `gpu_share`, `raised_reserve_gib`, `raise_limit` | for such a chip, by size: the share lent to the GPU, what is left to the system where the owner raises it, and how (`name`, `command`, `after`) |
| `called` | text: what people call it, where that does not follow from `name` ("DGX Spark") |
| `variant` | text: why a bare name never means this entry ("memory exchanged") |
| `backends` | list of what software can compute on it: cuda, rocm, vulkan, metal, xpu, hpu, tpu, cpu |
| `bandwidth_gb_s`, `pcie_gb_s`, `nvlink_gb_s`, `tdp_w` | figures; links per direction |
| `bandwidth_measured_gb_s`, `power_measured_w` | lists of figures |
| `nvlink_domain`, `max_per_node` | whole numbers |
| `nvlink_kind` | "switch", "mesh" or "bridge" |
| `[accelerator.tflops]` | figures by format: fp32, fp16, bf16, fp8, fp6, fp4, int8 |
| `[accelerator.tflops_measured]` | lists of figures by format |
| `[accelerator.formats]`, `[accelerator.sources]` | texts: "native" or what happens instead; where a text comes from |
| `[accelerator.unified]` | where CPU and GPU share memory: `usable_mib`, `os_reserve_mib`, `default_gpu_share`, `safe_utilization`, `raisable`, `notes`; `raisable` holds `usable_mib`, `name`, `command` (with {mib}, {gib} or {pages}) and `after` |
| `prices` | list of `{ value, kind, source }` with kind "launch", "list", "street", "used" or "hourly", and `currency`, `date`, `region`, `provider`, `note`, `high` (the upper end of a range) |

| field of a system | what it holds |
|---|---|
| `id`, `name`, `accelerator`, `accelerators_per_node` | needed; `accelerator` is an id |
| `nodes`, `link_domain` | whole numbers |
| `aliases`, `notes`, `cpu`, `provider`, `prices` | as above; prices are for the whole system |
| `host_memory_gib`, `host_bandwidth_gb_s`, `power_w` | figures; RAM per node and what it streams at nominal, power of the whole |
| `host_memory_type`, `vcpus` | text like "DDR5-6000, 2 channels"; whole number |
| `intra_node_gb_s`, `intra_node_link`, `inter_node_gb_s`, `inter_node_link` | figures and names of the links; inside a node they follow from the accelerator |
| `bus_bandwidth_gb_s` | list of measured collective bandwidths inside a node |
| `mixed`, `assumptions` | not written in files: different GPUs of one machine, and what an expression left open |

| further tables | what they hold |
|---|---|
| `[[price]]` | a price of an entry that stands elsewhere: `of` (its id), and the fields of a price |
| `[[power]]` | watts that were measured: `of`, and the fields of a figure |
| `[[memory]]` | a class of RAM: `id`, `name`, `type`, `mt_s`, `channels`, `theoretical_gb_s`, `plan_gb_s`, `notes` |
| `[[electricity]]` | what a kilowatt-hour costs: `region`, `price_per_kwh`, `currency`, `kind`, `source`, `date`, `note` |
| `[[processor]]` | a line of processors: `id`, `name`, `match` (a pattern of its names in small letters), `type`, `mt_s` and `channels` (or `bits`) of its RAM, `usual_gb`, `source` |
| `cpu_words`, `board_words`, `laptop_words`, `machine_words`, `gpu_words`, `places` | lists of words that stand beside a name: of a processor, of a board's maker, of a laptop, of any machine, of a GPU, of whom it is rented from |
"""
