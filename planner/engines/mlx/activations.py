"""Estimate the first-order peak of a prefill step in MLX. Not measured: shown as assumed, with a wide band."""

from __future__ import annotations

from fractions import Fraction

from hardware_db import Accelerator
from planner.formats import dtype_bytes
from planner.model.spec import DenseMLP, ModelSpec

FUSED_HEAD_DIMS = (64, 80, 128)
"""Head sizes with a fused prefill kernel; others hold the whole matrix of scores."""

PROMPTS_SEEN = 4
"""Prompts whose scores were seen in one buffer of the server (see `score_bytes`): it takes up to
--prompt-concurrency of them together, whatever somebody plans for."""

MAX_BUFFER_SHARE = Fraction(3, 4)
"""Metal's largest buffer (maxBufferLength) as a share of the working set that macOS lends the GPU by
default. What MLX prints of itself (mx.device_info): 20,100,415,488 of 26,800,553,984 bytes on an M1
Max 32 GB, 30,150,672,384 of 40,200,896,512 on an M4 Pro 48 GB, 86,586,540,032 of 115,448,725,504 on
128 GB (also where iogpu.wired_limit_mb was raised to 130,566,586,368), 167,503,724,544 of
223,338,299,392 on an M3 Ultra 256 GB. Under macOS 13 it was half of the memory (M1 16 GB)."""

PAGE = 16_384
"""The limit is whole pages."""


def max_buffer_bytes(accelerator: Accelerator) -> int:
    """Return the bytes of Metal's largest buffer; raising the working set does not raise it."""
    return int(accelerator.total_bytes * MAX_BUFFER_SHARE) // PAGE * PAGE


def score_bytes(model: ModelSpec) -> int:
    """Return the bytes of one query's scores over one key in one layer, all heads: zero where attention is fused.

    Those of a step, prompts x tokens of each x context, are one buffer. A report of 2026-09-03
    (local-ai-registry pull request 43: Qwen3.5-9B on an M1 Max 32 GB) names one of 22.01 GB, which to
    the last digit is 4 prompts x 16 heads x 2048 x 83,968 x 2, in the 41st step of prompts of 128,022
    tokens.

    Source: mlx 0.31.1 backend/metal/scaled_dot_product_attention.cpp (use_fallback); whether later
    releases fuse heads of 256 depends on the device and was not verified.
    """
    attention = model.attention
    if attention.head_dim in FUSED_HEAD_DIMS:
        return 0
    return attention.num_attention_heads * dtype_bytes(model.dtype)


def layer_bytes(model: ModelSpec) -> int:
    """Return the bytes of one token in the widest layer, without scores.

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
    return max(widths) * dtype_bytes(model.dtype)
