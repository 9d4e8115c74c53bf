"""Put a plan into one row of a table."""

from __future__ import annotations

from typing import Any

from planner.memory.breakdown import Kind
from planner.planning import Plan


def plan_row(plan: Plan, *, verdict: bool = True) -> dict[str, Any]:
    """Return what a row says about a plan; bytes are those of the tightest accelerator.

    They are for the number that was asked for, `sequences` is how many of it are held.

    Args:
        plan: the plan.
        verdict: say the verdict in words, too, which takes longer than the rest.
    """
    layout = plan.deployment.layout
    row: dict[str, Any] = {
        "engine": plan.engine,
        "engine_version": plan.release,
        "layout": str(layout),
        "tensor_parallel": layout.tensor_parallel,
        "pipeline_parallel": layout.pipeline_parallel,
        "data_parallel": layout.data_parallel,
        "expert_parallel": layout.expert_parallel,
        "outcome": plan.outcome.value,
        "fits": plan.fits,
        "headroom_bytes": plan.headroom,
        **({"verdict": plan.verdict} if verdict else {}),
    }
    if plan.refusals:
        row["error"] = plan.refusals[0].reason
    if plan.ranks:
        rank = plan.ranks[0]
        row |= {
            "used_bytes": rank.used,
            "usable_bytes": rank.usable,
            "weights_bytes": rank.of_kind(Kind.WEIGHTS),
            "kv_cache_bytes": rank.of_kind(Kind.KV_CACHE),
            "state_bytes": rank.of_kind(Kind.RECURRENT_STATE),
        }
    if plan.capacity is not None:
        row |= {
            "sequences": plan.capacity.sequences,
            "tokens": plan.capacity.tokens,
            "longest_context": plan.capacity.longest_context,
            "limited_by": plan.capacity.limited_by,
        }
    return row
