"""The kinds of layers that models are made of, each with what it keeps of the tokens it has read.

A kind is a frozen dataclass: its sizes as `config.json` names them, and its cache rule in
elements. The memory room turns elements into bytes (`planner.memory`), the table of tensors lists
the kind's weights (`planner.model.tensors`).
"""

from __future__ import annotations

from typing import Literal

from hardware_db.records import frozen

LayerType = Literal["linear_attention", "full_attention", "indexed_attention"]

FULL: LayerType = "full_attention"
LINEAR: LayerType = "linear_attention"
INDEXED: LayerType = "indexed_attention"
HYPER_CONNECTIONS = "hyper_connections"
NGRAM_EMBEDDING = "ngram_embedding"


@frozen
class Indexer:
    """A small attention that picks the blocks of tokens which a query reads.

    Cache rule: one key per block of `compress_ratio` tokens, beside K and V, which are all kept:
    the budget bounds what is read, not what is stored.

    Attributes:
        num_heads: its query heads.
        num_key_heads: its key heads.
        head_dim: elements of a head.
        budget: tokens that a query reads.
        compress_ratio: tokens of a block.
    """

    num_heads: int
    num_key_heads: int
    head_dim: int
    budget: int
    compress_ratio: int

    @property
    def key_elements(self) -> int:
        """Elements of one key."""
        return self.num_key_heads * self.head_dim


@frozen
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
        indexer: picks what a query reads; None where it reads everything.
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
    indexer: Indexer | None = None

    @property
    def kind(self) -> LayerType:
        """What such a layer is called."""
        return FULL if self.indexer is None else INDEXED

    @property
    def q_proj_rows(self) -> int:
        """Rows of q_proj, output gate included."""
        return self.num_attention_heads * self.head_dim * (2 if self.attn_output_gate else 1)

    def tokens_read(self, depth: float) -> float:
        """Return how many of `depth` tokens of context a query reads."""
        return depth if self.indexer is None else min(depth, float(self.indexer.budget))

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of K and V that one token adds in one layer."""
        return 2 * self.num_key_value_heads * self.head_dim


@frozen
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
        """What such a layer is called."""
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


@frozen
class DenseMLP:
    """gate_proj, up_proj, down_proj of `intermediate_size`."""

    intermediate_size: int


@frozen
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


@frozen
class HyperConnections:
    """A residual stream several times as wide as the model, read and written by gates.

    Every part of a layer reads a mix of the streams and adds to each; they stand in place of the
    layer's norms, and one last mixer in place of the final norm. Nothing is kept.

    Attributes:
        count: streams (`hc_count`).
        lowrank: width of the mixing gate's bottleneck.
    """

    count: int
    lowrank: int


@frozen
class NgramEmbedding:
    """Rows looked up by hashes of the last tokens, added to the streams of one layer.

    Cache rule: per sequence the window of a dilated convolution over all streams and the last
    tokens' ids.

    Attributes:
        embed_dim: elements looked up per token, all heads together.
        conv_kernel: width of the convolution, whose dilation is `ngram_size`.
        ngram_size: longest n-gram that is hashed.
        heads_per_ngram: hashes per length of n-gram.
        rows: rows of the table.
    """

    embed_dim: int
    conv_kernel: int
    ngram_size: int
    heads_per_ngram: int
    rows: int

    @property
    def heads(self) -> int:
        """Hashes per token: rows of the table that one token reads."""
        return (self.ngram_size - 1) * self.heads_per_ngram

    @property
    def row_elements(self) -> int:
        """Elements of one row."""
        return self.embed_dim // self.heads

    @property
    def window(self) -> int:
        """Tokens that the convolution looks back."""
        return (self.conv_kernel - 1) * self.ngram_size


@frozen
class Layer:
    """One decoder layer.

    Attributes:
        mixer: what lets its tokens see those before them.
        mlp: what it does to each token by itself.
        streams: None where the residual stream is plain.
        ngrams: None where the layer looks nothing up.
    """

    mixer: Mixer
    mlp: FeedForward
    streams: HyperConnections | None = None
    ngrams: NgramEmbedding | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the layer is made of, by name, as far as engines may not know it."""
        return (
            self.mixer.kind,
            *((HYPER_CONNECTIONS,) if self.streams else ()),
            *((NGRAM_EMBEDDING,) if self.ngrams else ()),
        )
