"""First-order peak of a prefill step in MLX. Not measured: shown as assumed, with a wide band."""

from __future__ import annotations

from planner.formats import get_cache_format
from planner.model.spec import DenseMLP, ModelSpec

FUSED_HEAD_DIMS = (64, 80, 128)
"""Head sizes with a fused prefill kernel; others hold the whole matrix of scores."""


def scores_bytes(model: ModelSpec, *, batch: int, step: int, context: int) -> int:
    """Scores of one layer where attention is not fused: batch x heads x step x context x bytes.

    Source: mlx 0.31.1 backend/metal/scaled_dot_product_attention.cpp (use_fallback); whether later
    releases fuse heads of 256 depends on the device and was not verified.
    """
    attention = model.attention
    if attention.head_dim in FUSED_HEAD_DIMS:
        return 0
    width = int(get_cache_format(model.dtype).bits) // 8
    return batch * attention.num_attention_heads * step * context * width


def layer_bytes(model: ModelSpec, *, tokens: int) -> int:
    """The widest layer over `tokens`, without scores.

        DeltaNet: b (3 H + 3 conv + 2 V);  dense: b (4 H + 3 I);  experts: b (5 H + k (2 H + 3 Im))

    Source: first-order reading of mlx-lm 0.32.2 models/qwen3_5.py, models/switch_layers.py.
    """
    hidden, mlp = model.hidden_size, model.mlp
    if isinstance(mlp, DenseMLP):
        widths = [4 * hidden + 3 * mlp.intermediate_size]
    else:
        chosen = mlp.num_experts_per_tok * (2 * hidden + 3 * mlp.moe_intermediate_size)
        widths = [5 * hidden + chosen]
    if model.linear is not None:
        widths.append(3 * hidden + 3 * model.linear.conv_dim + 2 * model.linear.value_dim)
    return tokens * max(widths) * int(get_cache_format(model.dtype).bits) // 8
