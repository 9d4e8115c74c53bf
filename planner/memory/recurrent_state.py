"""Recurrent state of Gated DeltaNet layers: fixed per sequence, whatever its length."""

from __future__ import annotations

from planner.model.layers import NgramEmbedding
from planner.model.spec import LinearAttention


def conv_state_bytes(
    linear: LinearAttention, *, dtype_bytes: int, tensor_parallel: int = 1, rows: int | None = None
) -> int:
    """Bytes of one sequence's convolution state in one layer on one rank.

        rows x (2 x key dim + value dim) / tp x bytes;  rows = conv kernel - 1 unless given

    Speculative decoding keeps one more row per drafted token.

    Source: vLLM 0.33.0 layers/mamba/mamba_utils.py (gated_delta_net_state_shape).
    """
    kept = linear.linear_conv_kernel_dim - 1 if rows is None else rows
    return kept * (linear.conv_dim // tensor_parallel) * dtype_bytes


def ssm_state_bytes(linear: LinearAttention, *, dtype_bytes: int, tensor_parallel: int = 1) -> int:
    """Bytes of one sequence's SSM state in one layer on one rank.

        value heads / tp x d_v x d_k x bytes

    Source: vLLM 0.33.0 layers/mamba/mamba_utils.py (gated_delta_net_state_shape).
    """
    heads = linear.linear_num_value_heads // tensor_parallel
    return heads * linear.linear_value_head_dim * linear.linear_key_head_dim * dtype_bytes


def ngram_window_bytes(
    ngrams: NgramEmbedding, *, width: int, dtype_bytes: int, rows: int | None = None
) -> int:
    """Return the bytes of one sequence's window of an n-gram embedding's convolution.

        rows x width x bytes;  rows = (conv kernel - 1) x ngram_size unless given

    Tensor parallelism does not divide it: every rank has all streams.

    Args:
        ngrams: the embedding.
        width: elements of all residual streams together.
        dtype_bytes: bytes of an element.
        rows: tokens kept.

    Source: vLLM 0.33.0 models/qwen4_exp/nvidia/ple_layer.py; transformers 5.24
    models/qwen4_exp/modeling_qwen4_exp.py (short_conv_state_len).
    """
    kept = ngrams.window if rows is None else rows
    return kept * width * dtype_bytes
