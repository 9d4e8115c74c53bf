"""Which device holds which block: -ngl, --tensor-split, --n-cpu-moe and -ot.

Source: llama.cpp 0c1e570 src/llama-model.cpp (load_tensors), src/llama-model-loader.cpp (overrides),
src/llama-context.cpp (pipeline parallelism), common/common.h (LLM_FFN_EXPS_REGEX).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from planner.engines.llamacpp.tensor_file import OUTSIDE, FileTensor

EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""Tensors that --n-cpu-moe moves: the routed experts of a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One -ot rule: tensors whose name matches `pattern` go to `backend` (the host's is the last)."""

    pattern: str
    backend: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a model's tensors and caches lie.

    Attributes:
        devices: GPUs used; zero: everything on the host.
        blocks: blocks of the file, those of the MTP module included.
        n_gpu_layers: how many of `blocks` and the output layer go to GPUs, counted from the end.
        shares: proportions of the GPUs (free memory, or --tensor-split).
        overrides: exceptions for single tensors, first match wins.
        kv_offload: caches lie with their blocks; else on the host (-nkvo).
    """

    devices: int
    blocks: int
    n_gpu_layers: int
    shares: tuple[float, ...]
    overrides: tuple[Override, ...] = ()
    kv_offload: bool = True

    @property
    def host(self) -> int:
        """Index of the host's backend, behind the GPUs."""
        return self.devices

    @property
    def backends(self) -> int:
        """GPUs and the host."""
        return self.devices + 1

    @property
    def full(self) -> bool:
        """All blocks and the output layer are on GPUs."""
        return self.devices > 0 and self.n_gpu_layers > self.blocks

    @property
    def pipeline(self) -> bool:
        """llama.cpp turns pipeline parallelism on: several GPUs, nothing on the host."""
        return self.devices > 1 and self.full and self.kv_offload and not self.overrides

    def device_of(self, block: int) -> int:
        """Backend of a block; `blocks` is the output layer.

        The k-th of n offloaded layers goes to the first GPU whose cumulated share exceeds k/n, in
        32-bit floats.
        """
        if not self.devices:
            return self.host
        offloaded = min(self.n_gpu_layers, self.blocks + 1)
        start = max(self.blocks + 1 - self.n_gpu_layers, 0)
        if block < start or block - start >= offloaded:
            return self.host
        return bisect_right(_ends(self.shares), _float32((block - start) / offloaded))

    def home(self, tensor: FileTensor) -> int:
        """Backend of a weight. The embedding table always stays on the host."""
        for override in self.overrides:
            if re.search(override.pattern, tensor.name):
                return override.backend
        if tensor.key == "token_embd":
            return self.host
        return self.device_of(self.blocks if tensor.block == OUTSIDE else tensor.block)

    def cache_home(self, block: int) -> int:
        """Backend of a block's cache and recurrent state."""
        return self.device_of(block) if self.kv_offload else self.host


def experts_on_host(blocks: int, *, host: int) -> tuple[Override, ...]:
    """What --n-cpu-moe `blocks` stands for: the experts of the first blocks on the host."""
    if not blocks:
        return ()
    indices = "|".join(str(block) for block in range(blocks))
    return (Override(pattern=rf"blk\.(?:{indices}){EXPERTS}", backend=host),)


@lru_cache(maxsize=256)
def _ends(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Cumulated shares, normalized."""
    total, ends = 0.0, []
    for share in shares:
        total = _float32(total + _float32(share))
        ends.append(total)
    return tuple(_float32(end / total) for end in ends)


def _float32(value: float) -> float:
    """`value` as C's float holds it."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)
