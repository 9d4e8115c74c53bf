"""The memory that SGLang finds: free before loading, free after, and what it leaves outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from hardware_db import Accelerator
from planner.engines.sglang.server import Server
from planner.engines.sglang.weights import draft_weights, target_weights
from planner.provenance import Band, Source
from planner.units import GIB, MIB


def _gib(value: float) -> int:
    return int(value * GIB)


LOGS = Source(where="SGLang start-up logs (L40S, GB10, H200), 0.5.x", when="2026-11-21")
CONTEXT = _gib(0.39)
"""CUDA context on one discrete GPU: 44.01 of 44.40 GiB were free before loading (L40S)."""
CONTEXT_BAND = Band(below=_gib(0.15), above=_gib(0.25))
COLLECTIVES = _gib(1.0)
"""NCCL and the like with several ranks: 1.0 GiB at TP 2 on H200; one log, hence the band."""
COLLECTIVES_BAND = Band(below=_gib(0.5), above=_gib(0.5))
HOST_RESERVE = _gib(8.0)
"""RAM that system and engine need on unified memory: 6.3 to 9.4 GiB were taken on GB10."""
HOST_BAND = Band(below=_gib(1.7), above=_gib(1.4))
LEFTOVERS = _gib(0.15)
"""What loading takes beyond the parameters (L40S)."""
LEFTOVERS_BAND = Band(below=_gib(0.15), above=_gib(0.15))
SAFE_UNIFIED_FRACTION = 0.70
"""On GB10 a fraction of 0.70 passed and 0.75 did not (25 to 40 GB of transient allocations)."""
UNIFIED_SOURCE = "sgl-project/sglang#34872, hasso5703/dgx-spark-qwen38"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pipeline stage: its layers and what is loaded on one of its ranks."""

    index: int
    layers: range
    target: dict[str, int]
    draft: dict[str, int]

    @property
    def text_bytes(self) -> int:
        """Bytes of the language model."""
        return sum(size for name, size in self.target.items() if name.startswith("text."))

    @property
    def vision_bytes(self) -> int:
        """Bytes of the vision tower."""
        return sum(size for name, size in self.target.items() if name.startswith("vision."))

    @property
    def draft_bytes(self) -> int:
        """Bytes of the draft worker while pools are sized."""
        return sum(self.draft.values())

    @property
    def loaded(self) -> int:
        """Bytes gone once everything is loaded."""
        return self.text_bytes + self.vision_bytes + self.draft_bytes + LEFTOVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Memory of one device under one server.

    Attributes:
        total: bytes that the driver lets programs allocate.
        free_before_load: bytes free before weights (``pre``).
        stages: the pipeline stages.
        free_after_load: bytes free on the fullest rank once everything is loaded.
        runtime_band: how far `total - free_before_load` may lie off.
    """

    total: int
    free_before_load: int
    stages: tuple[Stage, ...]
    runtime_band: Band
    free_after_load: int = field(init=False)

    def __post_init__(self) -> None:
        """Sum the weights up once: the pools are sized many times."""
        fullest = max(stage.loaded for stage in self.stages)
        object.__setattr__(self, "free_after_load", self.free_before_load - fullest)

    @property
    def runtime(self) -> int:
        """Bytes taken before loading."""
        return self.total - self.free_before_load


def budget_of(server: Server, accelerator: Accelerator) -> Budget:
    """What `server` finds on `accelerator`.

        discrete: free = CUDA total - context - collectives (several ranks)
        unified:  free = total RAM - what the system needs

    Source: SGLang 0.5.23 distributed/bootstrap.py (measure_pre_model_load_memory); the constants
    are calibrated on start-up logs.
    """
    total, several = accelerator.total_bytes, server.parallel.tp_size * server.parallel.pp_size > 1
    if server.gpu.integrated:
        unified = accelerator.unified
        reserve = unified.os_reserve_mib if unified is not None else None
        runtime = int(reserve.value * MIB) if reserve is not None else HOST_RESERVE
        band = HOST_BAND
    else:
        runtime, band = CONTEXT, CONTEXT_BAND
    if several:
        runtime += COLLECTIVES
        band = Band(
            below=band.below + COLLECTIVES_BAND.below, above=band.above + COLLECTIVES_BAND.above
        )
    layers = server.parallel.stages(server.checkpoint.model.num_hidden_layers)
    stages = tuple(
        Stage(
            index=index,
            layers=held,
            target=target_weights(server, stage=index, layers=held),
            draft=draft_weights(server),
        )
        for index, held in enumerate(layers)
    )
    return Budget(
        total=total,
        free_before_load=max(MIB, total - runtime),
        stages=stages,
        runtime_band=band,
    )
