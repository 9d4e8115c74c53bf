"""`Tensor`: one row of the table of tensors, and how tensor parallelism divides it."""

from __future__ import annotations

from enum import Enum
from math import prod
from typing import Literal

from hardware_db.records import frozen

Part = Literal["text", "vision", "mtp"]

NGRAM_TABLE = "ple.ngram_table"
"""Component of a table that tokens read a few rows of; engines keep it apart from the weights."""


class Split(Enum):
    """Which axis tensor parallelism divides."""

    REPLICATED = "replicated"
    COLUMN = "output rows"
    ROW = "input columns"
    KV = "KV heads, replicated beyond their number"
    VOCAB = "vocabulary"
    EXPERT_COLUMN = "experts, output rows"
    EXPERT_ROW = "experts, input columns"


@frozen
class Tensor:
    """One kind of tensor and how often it occurs.

    Attributes:
        name: its name in a checkpoint; ``{layer}`` and ``{expert}`` stand for indices.
        part: text, vision or mtp.
        component: what it belongs to, such as ``gdn.in_proj_qkv`` or ``moe.routed_experts``.
        shape: [output rows, input columns], or as stored.
        layers: indices of the layers it occurs in, upwards; empty for tensors outside the layers.
        experts: how many of it one layer holds (routed experts), else 1.
        experts_read: how many of them one token is routed to.
        split: what tensor parallelism divides.
        kv_heads: KV heads that the output rows belong to (`Split.KV`), else 1.
        constant: number format of stored constants that are no parameters; None for parameters.
    """

    name: str
    part: Part
    component: str
    shape: tuple[int, ...]
    layers: tuple[int, ...] = ()
    experts: int = 1
    experts_read: int = 1
    split: Split = Split.REPLICATED
    kv_heads: int = 1
    constant: str | None = None

    @property
    def count(self) -> int:
        """How many tensors of this kind the model has."""
        return max(1, len(self.layers)) * self.experts

    @property
    def parameters(self) -> int:
        """Elements of all of them; zero for constants."""
        return 0 if self.constant else self.count * prod(self.shape)

    @property
    def is_routed(self) -> bool:
        """A weight of routed experts."""
        return self.split in (Split.EXPERT_COLUMN, Split.EXPERT_ROW)

    @property
    def is_matrix(self) -> bool:
        """Two-dimensional: the kind that quantization may touch."""
        return len(self.shape) == 2
