"""What is said beside an estimate's figures: who computes what, and what was taken for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.layout import Layout
from planner.throughput.constants import Constants
from planner.throughput.decode import Serving, host_rate
from planner.throughput.host import host_flops
from planner.throughput.part import Part, bandwidth
from planner.throughput.prefill import BY_CPU


def replicas(layout: Layout) -> Iterator[str]:
    """Say that one prompt is not computed by all accelerators, where replicas share the users."""
    if layout.data_parallel > 1:
        whole = layout.accelerators
        yield (
            f"one prompt is computed by {whole // layout.data_parallel} of the {whole} accelerators"
            f" ({layout.data_parallel} replicas share the users); without replicas all compute it"
        )


def cores(serving: Serving, parts: Sequence[Part]) -> Iterator[str]:
    """Say what stands for the CPU's cores, where the CPU computes prompts."""
    if any(part.name == BY_CPU for part in parts):
        yield (
            f"the CPU's cores are not known: taken to be those of machines with {serving.cores / 1e9:.0f}"
            f" GB/s of RAM ({host_flops(serving.cores) / 1e12:.2g} TFLOP/s); faster modules alone do not"
            " make prompts faster"
        )


def fast_ram(serving: Serving, constants: Constants) -> list[str]:
    """What to say where weights in RAM are read as fast as on the card."""
    card = bandwidth(serving.system.accelerator) * constants["experts"]
    if host_rate(serving.ram) * constants["host"] < card:
        return []
    return ["RAM is read as fast as the accelerator's memory, so weights in RAM cost little"]
