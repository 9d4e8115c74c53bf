"""Who holds what: heads, layers and experts of every rank under a layout, by the common rule.

Heads are shared out in order; where there are more ranks than KV heads, each KV head is kept on
several. Experts under expert parallelism are whole and shared out in order, else every rank holds
a slice of each. Layers are cut into stages as vLLM does it; other engines may cut elsewhere.
"""

from __future__ import annotations

from hardware_db.records import frozen
from planner.engines.vllm.weights import stage_layers
from planner.layout import Layout
from planner.model.spec import ModelSpec


@frozen
class Holding:
    """What one accelerator holds.

    Attributes:
        name: "GPU 3".
        replica: which data-parallel replica.
        stage: which pipeline stage.
        layers: first and last layer.
        query_heads: first and last query head of every full-attention layer.
        kv_heads: the KV heads.
        kv_copies: on how many ranks of this replica's stage each of its KV heads is kept.
        value_heads: first and last value head of every DeltaNet layer; None without such layers.
        experts: first and last whole expert; None where every rank has a slice of each.
    """

    name: str
    replica: int
    stage: int
    layers: tuple[int, int]
    query_heads: tuple[int, int]
    kv_heads: tuple[int, int]
    kv_copies: int
    value_heads: tuple[int, int] | None
    experts: tuple[int, int] | None


def holdings(model: ModelSpec, layout: Layout) -> tuple[Holding, ...]:
    """What every accelerator of `layout` holds, replica by replica, stage by stage."""
    tensor, stages = layout.tensor_parallel, layout.pipeline_parallel
    attention, linear, moe = model.attention, model.linear, model.moe
    cuts = stage_layers(model.num_hidden_layers, stages)
    found = []
    for number in range(layout.accelerators):
        replica, rest = divmod(number, tensor * stages)
        stage, rank = divmod(rest, tensor)
        copies = max(1, tensor // attention.num_key_value_heads)
        kv_ranks = min(tensor, attention.num_key_value_heads)
        experts = None
        if moe is not None and layout.expert_parallel:
            place = replica * tensor + rank
            experts = _share(moe.num_experts, layout.expert_ranks, place)
        found.append(
            Holding(
                name=f"GPU {number}",
                replica=replica,
                stage=stage,
                layers=(cuts[stage].start, cuts[stage].stop - 1),
                query_heads=_share(attention.num_attention_heads, tensor, rank),
                kv_heads=_share(attention.num_key_value_heads, kv_ranks, rank // copies),
                kv_copies=copies,
                value_heads=_share(linear.linear_num_value_heads, tensor, rank)
                if linear is not None
                else None,
                experts=experts,
            )
        )
    return tuple(found)


def _share(whole: int, parts: int, index: int) -> tuple[int, int]:
    """First and last of the `index`-th of `parts` shares; the first ones are the larger."""
    small, larger = divmod(whole, parts)
    first = index * small + min(index, larger)
    return first, max(first, first + small + (index < larger) - 1)


def words(span: tuple[int, int]) -> str:
    """``0-7``, or ``3`` for one alone."""
    first, last = span
    return str(first) if first == last else f"{first}-{last}"
