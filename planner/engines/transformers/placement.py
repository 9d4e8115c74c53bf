"""Find where accelerate puts each module: GPU by GPU, then host memory, then disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from hardware_db.records import frozen, frozen_with_cache
from planner.engines.transformers.loading import Module

HOST, DISK, APART = -1, -2, -3
"""Devices beside the GPUs, which count from 0; APART is host memory in which rows are looked up."""

SINGLE_GPU_SHARE = 0.9
"""Share of a single GPU's free memory that weights may take, unless `max_memory` is given."""

HOST_SHARE = 0.9
"""Share of the host's memory that weights may take, unless `max_memory` is given."""

QUANTIZER_SHARE = 0.9
"""bitsandbytes leaves a tenth of every budget for the buffers of quantization."""

SLACK = 1.25
"""A balanced GPU gets its share plus this many times the largest module."""


@frozen
class Budgets:
    """Bytes of weights that each device may take.

    Attributes:
        gpus: per GPU.
        host: host memory; 0 where nothing may go there.
        balanced: GPUs before the last are capped to an equal share ("auto").
    """

    gpus: tuple[int, ...]
    host: int
    balanced: bool = True


@frozen_with_cache
class DeviceMap:
    """Where every module went.

    Attributes:
        modules: in the order of the model.
        devices: device of each, as a GPU's index, `HOST`, `DISK` or `APART`.
    """

    modules: tuple[Module, ...]
    devices: tuple[int, ...]

    @cached_property
    def _held(self) -> dict[int, tuple[Module, ...]]:
        found: dict[int, list[Module]] = {}
        for module, where in zip(self.modules, self.devices, strict=True):
            found.setdefault(where, []).append(module)
        return {where: tuple(held) for where, held in found.items()}

    def on(self, device: int) -> tuple[Module, ...]:
        """Modules whose weights are kept on `device`."""
        return self._held.get(device, ())

    @cached_property
    def main(self) -> int:
        """The device that computes what is offloaded: the first GPU that holds anything."""
        return min((device for device in self.devices if device >= 0), default=HOST)

    def runs_on(self, device: int) -> tuple[Module, ...]:
        """Modules that are computed on `device`: its own, and on the main one the offloaded."""
        mine = self.on(device)
        return mine + self.offloaded if device == self.main and device >= 0 else mine

    @cached_property
    def offloaded(self) -> tuple[Module, ...]:
        """Modules in host memory or on disk."""
        return self.on(HOST) + self.on(DISK)


def place(modules: Sequence[Module], budgets: Budgets) -> DeviceMap:
    """Return the device map of `infer_auto_device_map` for modules that are not split.

        GPU i < last: min(budget, weights / GPUs + 1.25 x largest module) where balanced
        a module goes to the current device if used + its size <= budget - reserve, else on to the
        next; reserve = largest module still to come, on the first GPU and on the host
        a module with a table that would not fit the next GPU either is put without the table,
        which then stays in host memory

    Args:
        modules: in the order of the model.
        budgets: what each device may take.

    Source: transformers 5.24.0 integrations/accelerate.py (get_balanced_memory,
    infer_auto_device_map, no_placement_params); its own answers on the meta device agree (tests).
    """
    limits = list(budgets.gpus)
    if budgets.balanced and limits:
        whole = sum(module.counted for module in modules)
        largest = max(module.counted for module in modules)
        share = whole // len(limits) + int(SLACK * largest)
        limits[:-1] = [min(limit, share) for limit in limits[:-1]]
    devices = [*range(len(limits)), HOST]
    limits.append(budgets.host)
    reserving = {0, HOST} if len(devices) > 1 else {HOST}
    current, used = 0, 0
    placed: list[tuple[Module, int]] = []
    for index, entry in enumerate(modules):
        module = entry
        later = max((other.counted for other in modules[index + 1 :]), default=0)
        while current < len(devices):
            reserve = later if devices[current] in reserving else 0
            if used + module.counted <= limits[current] - reserve:
                break
            beside = current + 1 < len(devices) - 1 and module.counted > limits[current + 1]
            if module.table and beside:
                table = replace(
                    module, name=f"{module.name}.table", layer=None, nbytes=module.table
                )
                placed.append((replace(table, counted=0, largest_part=0), APART))
                module = without_table(module)
                continue
            current, used = current + 1, 0
        used += module.counted
        placed.append((module, devices[current] if current < len(devices) else DISK))
    return DeviceMap(
        modules=tuple(module for module, _ in placed),
        devices=tuple(device for _, device in placed),
    )


def without_table(module: Module) -> Module:
    """Return a module less its table of n-grams."""
    return replace(
        module,
        nbytes=module.nbytes - module.table,
        counted=module.counted - module.table,
        largest_part=min(module.largest_part, module.nbytes - module.table),
        table=0,
    )


def on_one_gpu(modules: Sequence[Module]) -> DeviceMap:
    """Return everything on the first GPU, whether it fits or not (`device_map="cuda"`)."""
    return DeviceMap(modules=tuple(modules), devices=(0,) * len(modules))
