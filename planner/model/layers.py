"""The kinds of layers that models are made of, each with what it keeps of the tokens it has read.

A kind is a frozen dataclass: its sizes as `config.json` names them, and its cache rule in
elements. The memory room turns elements into bytes (`planner.memory`), the table of tensors lists
the kind's weights (`planner.model.tensors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LayerType = Literal["linear_attention", "full_attention"]

FULL: LayerType = "full_attention"
LINEAR: LayerType = "linear_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class FullAttention:
    """Grouped-query attention. Cache rule: K and V of every token.

    Attributes:
        num_attention_heads: query heads.
        num_key_value_heads: KV heads.
        head_dim: elements of a head (not hidden_size / heads in this family).
        attn_output_gate: q_proj has twice the rows, the second half gates the output.
        qk_norm: an RMSNorm of `head_dim` on q and on k.
        rotary_dim: dimensions of a head that RoPE turns.
        rope_theta: RoPE's base.
        mrope_section: dimensions of time, height and width in multimodal RoPE; empty without.
    """

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    attn_output_gate: bool
    qk_norm: bool = True
    attention_bias: bool = False
    rotary_dim: int = 0
    rope_theta: float = 0
    mrope_section: tuple[int, ...] = ()
    mrope_interleaved: bool = False

    @property
    def kind(self) -> LayerType:
        """What configs call such a layer."""
        return FULL

    @property
    def q_proj_rows(self) -> int:
        """Rows of q_proj, output gate included."""
        return self.num_attention_heads * self.head_dim * (2 if self.attn_output_gate else 1)

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of K and V that one token adds in one layer."""
        return 2 * self.num_key_value_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAttention:
    """Gated DeltaNet. Cache rule: per sequence a convolution and an SSM state, nothing per token.

    Attributes:
        linear_conv_kernel_dim: width of the causal convolution over q, k and v.
        mamba_ssm_dtype: dtype that the config asks for the SSM state; None if it does not say.
        fused_projections: q, k, v, z are stored as in_proj_qkvz and b, a as in_proj_ba.
    """

    linear_num_key_heads: int
    linear_num_value_heads: int
    linear_key_head_dim: int
    linear_value_head_dim: int
    linear_conv_kernel_dim: int
    mamba_ssm_dtype: str | None = None
    fused_projections: bool = False

    @property
    def kind(self) -> LayerType:
        """What configs call such a layer."""
        return LINEAR

    @property
    def key_dim(self) -> int:
        """Elements of all key heads (and of all query heads: they are as many)."""
        return self.linear_num_key_heads * self.linear_key_head_dim

    @property
    def value_dim(self) -> int:
        """Elements of all value heads."""
        return self.linear_num_value_heads * self.linear_value_head_dim

    @property
    def conv_dim(self) -> int:
        """Channels of the convolution: q, k and v."""
        return 2 * self.key_dim + self.value_dim

    @property
    def ssm_elements(self) -> int:
        """Elements of one sequence's SSM state in one layer: value heads x d_v x d_k."""
        return self.value_dim * self.linear_key_head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseMLP:
    """gate_proj, up_proj, down_proj of `intermediate_size`."""

    intermediate_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoE:
    """Routed experts behind a router, and optionally one shared expert behind a gate."""

    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    shared_expert_intermediate_size: int = 0


Mixer = FullAttention | LinearAttention
"""What lets a layer's tokens see those before them."""

FeedForward = DenseMLP | MoE
"""What a layer does to each token by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One decoder layer."""

    mixer: Mixer
    mlp: FeedForward
