"""`ModelSpec`: the facts of an architecture that memory and speed follow from.

Field names are those of `config.json`. Sizes are element counts.
"""

from __future__ import annotations

from dataclasses import field, replace

from hardware_db.records import frozen
from planner.errors import UnsupportedModelError
from planner.model.layers import (
    FULL,
    LINEAR,
    DenseMLP,
    FeedForward,
    FullAttention,
    HyperConnections,
    Layer,
    LayerType,
    LinearAttention,
    Mixer,
    MoE,
    NgramEmbedding,
)

__all__ = [
    "FULL",
    "LINEAR",
    "DenseMLP",
    "FullAttention",
    "Layer",
    "LayerType",
    "LinearAttention",
    "MTPModule",
    "MoE",
    "ModelSpec",
    "VisionTower",
]


@frozen
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


@frozen
class MTPModule:
    """The multi-token-prediction module: fc, norms and decoder layers of its own.

    Attributes:
        layers: its decoder layers.
        split_fc: embedding and hidden state have a projection each instead of one fc for both.
        shipped: the checkpoint contains its tensors; a config that declares it proves nothing.
    """

    layers: tuple[Layer, ...]
    split_fc: bool = False
    shipped: bool = True

    @property
    def num_layers(self) -> int:
        """Decoder layers (`mtp_num_hidden_layers`)."""
        return len(self.layers)


@frozen
class ModelSpec:
    """One architecture, complete enough to count every tensor of it.

    Attributes:
        name: what to call it (repository id or file name).
        model_type: of `config.json`.
        dtype: dtype of stored 16-bit tensors.
        layers: the trunk's layers, first to last; layers of one kind share one description.
        vision: None for text-only models.
        mtp: None when neither declared nor shipped.
        float32_components: components that the checkpoint stores in FP32 (`gdn.A_log`, `gdn.norm`).
        attention: the attention of a model whose attention layers are all alike (see `shapes`).
        linear: its linear attention, likewise; None when no layer is.
        full_attention_layers: indices of the layers that keep a KV cache.
        linear_attention_layers: indices of the layers that keep a recurrent state.
        layer_types: what each trunk layer mixes tokens with, by the name that configs use.
        kinds: every kind of thing that the layers are made of, MTP module included, each once.
    """

    name: str
    model_type: str
    architecture: str
    dtype: str
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    layers: tuple[Layer, ...]
    vision: VisionTower | None = None
    mtp: MTPModule | None = None
    float32_components: tuple[str, ...] = ()

    # Derived from the layers once, because sweeps read them thousands of times.
    attention: FullAttention = field(init=False, repr=False, compare=False)
    linear: LinearAttention | None = field(init=False, repr=False, compare=False)
    full_attention_layers: tuple[int, ...] = field(init=False, repr=False, compare=False)
    linear_attention_layers: tuple[int, ...] = field(init=False, repr=False, compare=False)
    layer_types: tuple[LayerType, ...] = field(init=False, repr=False, compare=False)
    kinds: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the layers of each kind.

        Raises:
            UnsupportedModelError: no layer is attention.
        """
        mixers = [layer.mixer for layer in self.layers]
        full = tuple(i for i, mixer in enumerate(mixers) if isinstance(mixer, FullAttention))
        linear = tuple(i for i, mixer in enumerate(mixers) if isinstance(mixer, LinearAttention))
        if not full:
            raise UnsupportedModelError(f"{self.name}: no layer keeps keys and values")
        object.__setattr__(self, "attention", mixers[full[0]])
        object.__setattr__(self, "linear", mixers[linear[0]] if linear else None)
        object.__setattr__(self, "full_attention_layers", full)
        object.__setattr__(self, "linear_attention_layers", linear)
        object.__setattr__(self, "layer_types", tuple(mixer.kind for mixer in mixers))
        layers = (*self.layers, *(self.mtp.layers if self.mtp else ()))
        kinds = dict.fromkeys(kind for layer in layers for kind in layer.kinds)
        object.__setattr__(self, "kinds", tuple(kinds))

    def __hash__(self) -> int:
        """Hash what tells models apart soonest; models are the keys of many caches."""
        return hash((self.name, self.dtype, len(self.layers), self.mlp))

    def with_layers(
        self, *, mixer: Mixer | None = None, mlp: FeedForward | None = None
    ) -> ModelSpec:
        """Return the model with these parts in every layer, those of the MTP module too."""

        def changed(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
            return tuple(
                replace(layer, mixer=mixer or layer.mixer, mlp=mlp or layer.mlp) for layer in layers
            )

        mtp = self.mtp and replace(self.mtp, layers=changed(self.mtp.layers))
        return replace(self, layers=changed(self.layers), mtp=mtp)

    @property
    def streams(self) -> HyperConnections | None:
        """The residual streams; None where the residual stream is plain."""
        return self.layers[0].streams

    @property
    def stream_width(self) -> int:
        """Elements of the residual stream: those of all streams together."""
        return self.hidden_size * (self.streams.count if self.streams else 1)

    @property
    def ngram_layers(self) -> tuple[int, ...]:
        """Indices of the layers that look up n-grams."""
        return tuple(index for index, layer in enumerate(self.layers) if layer.ngrams is not None)

    @property
    def ngrams(self) -> NgramEmbedding | None:
        """The n-gram embedding of the first layer that has one."""
        return next((layer.ngrams for layer in self.layers if layer.ngrams is not None), None)

    @property
    def num_hidden_layers(self) -> int:
        """Trunk layers."""
        return len(self.layers)

    @property
    def mlp(self) -> FeedForward:
        """The feed-forward part of a model whose layers all have the same."""
        return self.layers[0].mlp

    @property
    def moe(self) -> MoE | None:
        """The experts, or None for a dense model."""
        return self.mlp if isinstance(self.mlp, MoE) else None
