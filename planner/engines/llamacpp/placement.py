"""Which device holds which block: -ngl, --tensor-split, --n-cpu-moe and -ot.

Source: llama.cpp 0c1e570 src/llama-model.cpp (load_tensors), src/llama-model-loader.cpp (overrides),
src/llama-context.cpp (pipeline parallelism), common/common.h (LLM_FFN_EXPS_REGEX).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from functools import cached_property, lru_cache

from hardware_db.records import frozen, frozen_with_cache
from planner.engines.llamacpp.tensor_file import OUTSIDE, FileTensor

EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""Tensors that --n-cpu-moe moves: the routed experts of a block."""

_EXPERTS = frozenset(
    f"ffn_{part}_{chunk}exps" for part in ("up", "down", "gate", "gate_up") for chunk in ("", "ch")
)
"""The same as keys of tensors."""


NGRAM_TABLE = "per_layer_token_embd"
TABLES = frozenset({"token_embd", NGRAM_TABLE})
"""Tables of which a step looks rows up: they stay in RAM."""


def is_expert(tensor: FileTensor) -> bool:
    """Say whether --n-cpu-moe is about `tensor`."""
    return is_expert_key(tensor.key)


def is_expert_key(key: str) -> bool:
    """Say the same of a tensor's key."""
    return key in _EXPERTS


@frozen
class Override:
    """One -ot rule: tensors whose name matches `pattern` go to `backend` (the host's is the last).

    Attributes:
        pattern: a regular expression.
        backend: where they go.
        experts: the rule is that of --n-cpu-moe with this number, which needs no expression; 0: it
            is another one.
    """

    pattern: str
    backend: int
    experts: int = 0

    def takes(self, tensor: FileTensor) -> bool:
        """Say whether the rule is about `tensor`."""
        if self.experts:
            return is_expert(tensor) and OUTSIDE < tensor.block < self.experts
        from planner.patterns import read_pattern

        return read_pattern(self.pattern).search(tensor.name)[0]


@frozen_with_cache
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

    @property
    def experts_only(self) -> int | None:
        """Blocks whose experts lie in RAM, where nothing else is overridden; else None."""
        if not self.overrides:
            return 0
        only = self.overrides[0]
        return only.experts if len(self.overrides) == 1 and only.experts else None

    @cached_property
    def homes(self) -> tuple[int, ...]:
        """Backend of each block and of the output layer.

        The k-th of n offloaded layers goes to the first GPU whose cumulated share exceeds k/n, in
        32-bit floats.
        """
        return _devices(self.devices, self.blocks, self.n_gpu_layers, self.shares)

    def device_of(self, block: int) -> int:
        """Backend of a block; `blocks` is the output layer."""
        return self.homes[block]

    def on_host(self, blocks: int) -> int:
        """Return how many of the first `blocks` blocks lie on the host."""
        return self.homes[:blocks].count(self.host)

    def home(self, tensor: FileTensor) -> int:
        """Backend of a weight. Tables of embeddings always stay on the host."""
        for override in self.overrides:
            if override.takes(tensor):
                return override.backend
        if tensor.key in TABLES:
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
    return (Override(pattern=rf"blk\.(?:{indices}){EXPERTS}", backend=host, experts=blocks),)


@lru_cache(maxsize=4096)
def _devices(
    devices: int, blocks: int, n_gpu_layers: int, shares: tuple[float, ...]
) -> tuple[int, ...]:
    """Return the backend of each block and of the output layer."""
    offloaded = min(n_gpu_layers, blocks + 1) if devices else 0
    start = blocks + 1 - offloaded
    ends = _ends(shares)
    return (devices,) * start + tuple(
        bisect_right(ends, _float32(place / offloaded)) for place in range(offloaded)
    )


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
