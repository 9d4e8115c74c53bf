"""Say how a graph is made, beside the model, its placement and the batch."""

from __future__ import annotations

from hardware_db.records import frozen

OFFLOAD_MIN_BATCH = 32
"""From this batch on CUDA computes with weights that lie on the host (GGML_OP_OFFLOAD_MIN_BATCH)."""


@frozen
class Setting:
    """How a graph is made, beside the model, its placement and the batch.

    Attributes:
        mtp: it is the MTP block's.
        op_offload: large batches compute on a GPU even where their weights are on the host.
        pipeline: every input is kept several times.
        pinned: norms are tied to their block's backend.
        tied: attention is tied to the host, where caches are kept there.
    """

    mtp: bool
    op_offload: bool
    pipeline: bool
    pinned: bool
    tied: bool
