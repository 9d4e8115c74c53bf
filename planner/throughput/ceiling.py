"""How fast a model is in another layout at most, told before that is allocated."""

from __future__ import annotations

from math import inf

from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.throughput.answer import SpeedEstimate
from planner.throughput.bands import band
from planner.throughput.decode import WEIGHTS
from planner.throughput.traffic import rank_weights


def most_per_user(
    known: SpeedEstimate, checkpoint: Checkpoint, known_in: Layout, layout: Layout
) -> float:
    """Return tokens per second that the lower end for one user in `layout` does not exceed.

        low / (seconds of the weights that every step reads / best share of the bandwidth)

    Whatever else a step does takes time as well, and what makes an estimate rough lowers its end.

    Args:
        known: the rates in one layout, on the same machine.
        checkpoint: what is served.
        known_in: that layout.
        layout: another, all of whose weights lie on accelerators of the same kind.

    Returns:
        Infinity where it cannot be told: of drafts, and where weights lie elsewhere.
    """
    found, nominal = known.calibration, sum(p.amount for p in known.parts if p.name == WEIGHTS)
    if known.host is not None or known.speculation is not None or not nominal:
        return inf
    here, there = (
        held.dense.nbytes + held.lm_head.nbytes
        for held in (rank_weights(checkpoint, known_in), rank_weights(checkpoint, layout))
    )
    every = (found.constants, *(older for _, older in found.older))
    low, _ = band(found, "serving" if known.workload.concurrency > 1 else "decode")
    return low * max(constants["bandwidth"] for constants in every) * here / (nominal * there)
