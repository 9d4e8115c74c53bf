"""Bytes of PyTorch's allocator, and of a cache object's tensors."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class Meter:
    """Bytes of PyTorch's allocator on one device; zeros where there is no such allocator."""

    def __init__(self, torch: ModuleType, device: str) -> None:
        """`device` is "cuda", "cuda:1" or "cpu"."""
        self._torch, self._device = torch, device
        self._cuda = device.startswith("cuda")

    def settle(self) -> None:
        """Free what nobody holds."""
        gc.collect()
        if self._cuda:
            self._torch.cuda.synchronize(self._device)
            self._torch.cuda.empty_cache()

    def allocated(self) -> int:
        """Bytes in tensors now."""
        return int(self._torch.cuda.memory_allocated(self._device)) if self._cuda else 0

    def reset(self) -> None:
        """Start a new peak."""
        if self._cuda:
            self._torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> tuple[int, int]:
        """(bytes in tensors, bytes taken from the driver) at most since `reset`."""
        if not self._cuda:
            return 0, 0
        cuda = self._torch.cuda
        return int(cuda.max_memory_allocated(self._device)), int(
            cuda.max_memory_reserved(self._device)
        )

    def free_and_total(self) -> tuple[int, int]:
        """What the driver says, bytes."""
        if not self._cuda:
            return 0, 0
        free, total = self._torch.cuda.mem_get_info(self._device)
        return int(free), int(total)

    def outside(self) -> int | None:
        """Bytes that the process takes beside its tensors (context, libraries)."""
        if not self._cuda:
            return None
        free, total = self.free_and_total()
        return total - free - int(self._torch.cuda.memory_reserved(self._device))


def cache_tensors(torch: ModuleType, value: object, seen: set[int]) -> Iterator[Any]:
    """Every tensor inside a cache object, whatever its layout, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from cache_tensors(torch, part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from cache_tensors(torch, part, seen)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith("transformers"):
        yield from cache_tensors(torch, vars(value), seen)


def held_bytes(torch: ModuleType, cache: object) -> tuple[int, int]:
    """(KV, state) bytes of a cache: tensors that are as long as the context, and the rest."""
    kv = state = 0
    layers = getattr(cache, "layers", None) or [cache]
    for layer in layers:
        size = sum(
            tensor.numel() * tensor.element_size()
            for tensor in cache_tensors(torch, layer, set())
            if tensor.is_floating_point()
        )
        if hasattr(layer, "conv_states"):
            state += size
        else:
            kv += size
    return kv, state
