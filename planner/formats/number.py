"""`NumberFormat`: how many bytes a tensor of a given shape takes in a given format."""

from __future__ import annotations

from dataclasses import field
from fractions import Fraction
from math import prod

from hardware_db.records import frozen
from planner.errors import UnsupportedModelError
from planner.units import ceil_div


@frozen
class NumberFormat:
    """One way of storing a matrix of shape [..., rows, columns].

    Attributes:
        name: the field's name of it.
        bits: bits of one element, without scales.
        block: (rows, columns) that share one scale; None if nothing is shared. Blocks at an edge
            are whole blocks (they are rounded up).
        block_bytes: bytes beside the elements per block (scale, zero point; fractions for packed
            zero points).
        row_bytes: bytes per row of the matrix (a scale per output channel).
        column_bytes: bytes per column of the matrix (GPTQ's g_idx).
        tensor_bytes: bytes per matrix (global scales, a packed weight's stored shape).
        whole_blocks: elements are stored in whole blocks, too (GGUF: a row that the block does not
            divide cannot be stored).
        flat: blocks run over the matrix as one long vector, not row by row (bitsandbytes).
        kernel: family of kernels that an engine needs to compute with it ("fp8-block", "nvfp4",
            "marlin-int4", ...); None for plain numbers that everything computes with.
        source: where the rule was read.
    """

    name: str
    bits: Fraction
    block: tuple[int, int] | None = None
    block_bytes: Fraction = Fraction(0)
    row_bytes: int = 0
    column_bytes: int = 0
    tensor_bytes: int = 0
    whole_blocks: bool = False
    flat: bool = False
    kernel: str | None = None
    source: str = ""
    _whole: tuple[int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put bits and bytes per block over their common denominator: it is ten times as fast."""
        bits, each = self.bits, self.block_bytes
        whole = (
            bits.numerator * each.denominator,
            8 * each.numerator * bits.denominator,
            8 * bits.denominator * each.denominator,
        )
        object.__setattr__(self, "_whole", whole)

    def __hash__(self) -> int:
        """Return that of the name: the hash of a fraction takes longer than most answers."""
        return hash(self.name)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a tensor of `shape`; leading dimensions are separate matrices.

            rows x columns x bits / 8 + blocks x block_bytes + rows x row_bytes
            + columns x column_bytes + tensor_bytes

        Raises:
            UnsupportedModelError: the block does not divide a row (whole-block formats only).
        """
        columns = shape[-1] if shape else 1
        rows = shape[-2] if len(shape) > 1 else 1
        elements, blocks, of = self._whole
        total = rows * columns * elements + self._blocks(rows, columns) * blocks
        whole = ceil_div(total, of)
        beside = rows * self.row_bytes + columns * self.column_bytes + self.tensor_bytes
        return prod(shape[:-2]) * (whole + beside)

    def _blocks(self, rows: int, columns: int) -> int:
        if self.block is None:
            return 0
        block_rows, block_columns = self.block
        if self.flat:
            return ceil_div(rows * columns, block_rows * block_columns)
        if self.whole_blocks and columns % block_columns:
            raise UnsupportedModelError(
                f"{self.name}: rows of {columns} elements are not whole blocks of {block_columns}"
            )
        return ceil_div(rows, block_rows) * ceil_div(columns, block_columns)

    @property
    def bits_per_weight(self) -> Fraction:
        """Bits per element of a large matrix, block scales included, edges ignored."""
        if self.block is None:
            return self.bits
        return self.bits + 8 * self.block_bytes / (self.block[0] * self.block[1])
