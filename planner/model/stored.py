"""A row of the table of tensors with the format that a checkpoint stores it in."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.formats import NumberFormat
from planner.model.tensors import Tensor


@frozen
class Stored:
    """One row of the table of tensors together with the format it is stored in."""

    tensor: Tensor
    format: NumberFormat

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors of this row."""
        return self.tensor.count * self.format.nbytes(self.tensor.shape)
