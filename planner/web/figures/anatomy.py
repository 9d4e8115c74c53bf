"""What a model is made of: the strip of its layers, in a picture and in words."""

from __future__ import annotations

from typing import Any

from planner.model.spec import ModelSpec
from planner.web.palette import PARTS

_LINEAR_PART = PARTS[2]
_FULL_PART = PARTS[1]
_TABLE_PART = PARTS[3]


def layer_strip(model: ModelSpec, *, text: str) -> dict[str, Any]:
    """One bar per layer: attention, which keeps a KV cache, or Gated DeltaNet with its state.

    Layers that look n-grams up carry a mark.

    Args:
        model: the architecture.
        text: colour of text.
    """
    kinds = [
        ("Gated DeltaNet (recurrent state)", _LINEAR_PART, model.linear_attention_layers),
        (_attention_name(model), _FULL_PART, model.full_attention_layers),
    ]
    data = [
        {
            "type": "bar",
            "name": f"{len(layers)} × {name}",
            "x": list(layers),
            "y": [1.0 if part is _FULL_PART else 0.6] * len(layers),
            "width": 0.82,
            "marker": {"color": part.fill},
            "hovertemplate": f"layer %{{x}}: {name}<extra></extra>",
        }
        for name, part, layers in kinds
        if layers
    ]
    looked_up = [index for index, layer in enumerate(model.layers) if layer.ngrams]
    if looked_up:
        name = "n-gram table (on the host by default)"
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": looked_up,
                "y": [0.8] * len(looked_up),
                "marker": {"color": _TABLE_PART.fill, "size": 12, "symbol": "diamond"},
                "hovertemplate": f"layer %{{x}}: {name}<extra></extra>",
            }
        )
    return {
        "data": data,
        "layout": {
            "barmode": "overlay",
            "bargap": 0.15,
            "height": 190,
            "margin": {"l": 8, "r": 8, "t": 8, "b": 72},
            "font": {"color": text},
            "xaxis": {
                "title": {"text": "layer", "font": {"color": text}},
                "fixedrange": True,
                "tickfont": {"color": text},
                "range": [-0.7, model.num_hidden_layers - 0.3],
            },
            "yaxis": {"visible": False, "fixedrange": True, "range": [0, 1.05]},
            "legend": _legend(text),
        },
    }


def _attention_name(model: ModelSpec) -> str:
    if model.attention.indexer is None:
        return "full attention (KV cache)"
    return "indexed attention (KV cache and keys of blocks)"


def describe_layers(model: ModelSpec) -> str:
    """Return the strip in words, and what else the layers are made of."""
    full, linear = len(model.full_attention_layers), len(model.linear_attention_layers)
    indexer = model.attention.indexer
    kind = "full-attention" if indexer is None else "indexed-attention"
    if linear:
        pattern = model.full_attention_layers[0]
        words = [
            f"{model.num_hidden_layers} layers: {linear} Gated DeltaNet layers with a fixed state"
            f" per sequence and {full} {kind} layers with a KV cache, in the repeating pattern of"
            f" {pattern} DeltaNet layers and one attention layer."
        ]
    else:
        words = [f"All {full} layers are {kind} layers and keep a KV cache."]
    if indexer is not None:
        words.append(
            f"A query reads {indexer.budget:,} tokens, which a small indexer picks by one key per"
            f" {indexer.compress_ratio} tokens; all tokens are kept."
        )
    if model.streams is not None:
        words.append(
            f"The residual stream is {model.streams.count} times as wide as the model, which makes"
            " activations larger."
        )
    for index, layer in enumerate(model.layers):
        if layer.ngrams is not None:
            size = layer.ngrams.rows * layer.ngrams.row_elements
            words.append(
                f"Layer {index} looks {layer.ngrams.heads} rows per token up in a table of n-grams"
                f" with {size / 1e9:.1f} billion parameters; engines keep it in host memory or on"
                " disk."
            )
    return " ".join(words)


def _legend(text: str) -> dict[str, Any]:
    return {
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "x": 0,
        "font": {"color": text},
        "itemclick": False,
        "itemdoubleclick": False,
    }
