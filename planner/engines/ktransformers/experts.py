"""Count the routed experts: a few lie on the GPUs, all of them in host memory."""

from __future__ import annotations

from fractions import Fraction

from hardware_db.records import frozen
from planner.model.checkpoint import Checkpoint

ROUTED = "moe.routed_experts"

METHOD_OF = {None: "BF16", "fp8-block": "FP8", "marlin-int4": "GPTQ_INT4"}
"""Kernel family of the stored experts -> `--kt-method` that computes them as they are."""

CONVERTED_BITS = {"AMXINT8": Fraction(8), "AMXINT4": Fraction(4)}
"""Methods with weights converted for AMX; their scales were not looked at."""


@frozen
class Experts:
    """The routed experts of a checkpoint.

    Attributes:
        kernel: kernel family that they are stored for; None for 16 bit.
        stored: their bytes as stored.
        parameters: their elements.
        layers: layers that have them.
        per_layer: experts of one layer.
    """

    kernel: str | None
    stored: int
    parameters: int
    layers: int
    per_layer: int

    def method(self, asked: str) -> str | None:
        """Return the method that is used; None if no method computes what is stored."""
        return METHOD_OF.get(self.kernel) if asked == "auto" else asked

    def on_host(self, method: str) -> int:
        """Return the bytes in host memory: as stored, or converted."""
        bits = CONVERTED_BITS.get(method)
        return self.stored if bits is None else int(self.parameters * bits / 8)

    @property
    def layer_bytes(self) -> int:
        """Bytes of one layer's experts as stored."""
        return self.stored // self.layers


def experts_of(checkpoint: Checkpoint) -> Experts | None:
    """Return the routed experts; None for a dense model."""
    rows = [row for row in checkpoint.rows("text") if row.tensor.component == ROUTED]
    moe = checkpoint.model.moe
    if moe is None or not rows:
        return None
    return Experts(
        kernel=rows[0].format.kernel,
        stored=sum(row.nbytes for row in rows),
        parameters=sum(row.tensor.parameters for row in rows),
        layers=max(1, len({layer for row in rows for layer in row.tensor.layers})),
        per_layer=moe.num_experts,
    )
