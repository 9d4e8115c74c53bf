"""`ModelSpec`: the facts of an architecture that memory and speed follow from.

Field names are those of `config.json`. Sizes are element counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LayerType = Literal["linear_attention", "full_attention"]

FULL: LayerType = "full_attention"
LINEAR: LayerType = "linear_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class FullAttention:
    """Grouped-query attention; it alone keeps a KV cache.

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
    def q_proj_rows(self) -> int:
        """Rows of q_proj, output gate included."""
        return self.num_attention_heads * self.head_dim * (2 if self.attn_output_gate else 1)

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of K and V that one token adds in one layer."""
        return 2 * self.num_key_value_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAttention:
    """Gated DeltaNet: a fixed state per sequence (conv state + SSM state), no KV cache.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionTower:
    """The vision transformer and its merger into the text width."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int
    temporal_patch_size: int
    in_channels: int
    spatial_merge_size: int
    num_position_embeddings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MTPModule:
    """The multi-token-prediction module: fc, three norms and full-attention layers.

    Attributes:
        num_layers: decoder layers (`mtp_num_hidden_layers`), each with the trunk's MLP.
        shipped: the checkpoint contains its tensors; a config that declares it proves nothing.
    """

    num_layers: int
    shipped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One architecture, complete enough to count every tensor of it.

    Attributes:
        name: what to call it (repository id or file name).
        model_type: of `config.json`.
        dtype: dtype of stored 16-bit tensors.
        layer_types: one entry per trunk layer.
        linear: None when all layers are full attention.
        vision: None for text-only models.
        mtp: None when neither declared nor shipped.
        float32_components: components that the checkpoint stores in FP32 (`gdn.A_log`, `gdn.norm`).
    """

    name: str
    model_type: str
    architecture: str
    dtype: str
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    layer_types: tuple[LayerType, ...]
    attention: FullAttention
    linear: LinearAttention | None
    mlp: DenseMLP | MoE
    vision: VisionTower | None = None
    mtp: MTPModule | None = None
    float32_components: tuple[str, ...] = ()

    @property
    def num_hidden_layers(self) -> int:
        """Trunk layers."""
        return len(self.layer_types)

    @property
    def full_attention_layers(self) -> tuple[int, ...]:
        """Indices of the layers that keep a KV cache."""
        return tuple(i for i, kind in enumerate(self.layer_types) if kind == FULL)

    @property
    def linear_attention_layers(self) -> tuple[int, ...]:
        """Indices of the layers that keep a recurrent state."""
        return tuple(i for i, kind in enumerate(self.layer_types) if kind == LINEAR)

    @property
    def moe(self) -> MoE | None:
        """The experts, or None for a dense model."""
        return self.mlp if isinstance(self.mlp, MoE) else None
