"""What a model is made of: the strip of its layers, its parameters, the sizes of its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.model.checkpoint import Checkpoint
from planner.model.spec import FULL, ModelSpec
from planner.units import GIB, format_gib
from planner.web.palette import PARTS

_LINEAR_PART = PARTS[2]
_FULL_PART = PARTS[1]
_OFFICIAL, _KNOWN = PARTS[0], PARTS[4]


def layer_strip(model: ModelSpec, *, text: str) -> dict[str, Any]:
    """One bar per layer: full attention, which keeps a KV cache, or Gated DeltaNet with its state.

    Args:
        model: the architecture.
        text: colour of text.
    """
    kinds = [
        ("Gated DeltaNet (recurrent state)", _LINEAR_PART, model.linear_attention_layers),
        ("full attention (KV cache)", _FULL_PART, model.full_attention_layers),
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


def describe_layers(model: ModelSpec) -> str:
    """The strip in words."""
    full, linear = len(model.full_attention_layers), len(model.linear_attention_layers)
    if not linear:
        return f"All {full} layers are full attention and keep a KV cache."
    pattern = model.layer_types.index(FULL)
    return (
        f"{model.num_hidden_layers} layers: {linear} Gated DeltaNet layers with a fixed state per"
        f" sequence and {full} full-attention layers with a KV cache, in the repeating pattern of"
        f" {pattern} DeltaNet layers and one attention layer."
    )


def checkpoint_sizes(checkpoints: Sequence[Checkpoint], *, text: str) -> dict[str, Any]:
    """One bar per precision, official checkpoints apart from those that follow a recipe.

    Args:
        checkpoints: the same model in several precisions, in the order to show.
        text: colour of text.
    """
    rows = [checkpoint.scheme.name for checkpoint in checkpoints]
    data = []
    for name, part, wanted in (
        ("official checkpoint", _OFFICIAL, False),
        ("size by the recipe; no official checkpoint", _KNOWN, True),
    ):
        chosen = [c for c in checkpoints if c.hypothetical is wanted]
        if not chosen:
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": [c.scheme.name for c in chosen],
                "x": [c.nbytes() / GIB for c in chosen],
                "text": [format_gib(c.nbytes()) for c in chosen],
                "textposition": "outside",
                "textfont": {"color": text},
                "cliponaxis": False,
                "marker": {
                    "color": part.fill,
                    "pattern": {"shape": "/" if wanted else "", "solidity": 0.2},
                },
                "customdata": [f"{c.nbytes() / 1e9:,.2f} GB" for c in chosen],
                "hovertemplate": "<b>%{y}</b><br>%{x:,.2f} GiB (%{customdata})<extra></extra>",
            }
        )
    return {
        "data": data,
        "layout": {
            "barmode": "overlay",
            "height": 90 + 26 * len(rows),
            "margin": {"l": 8, "r": 64, "t": 8, "b": 72},
            "font": {"color": text},
            "xaxis": {
                "ticksuffix": " GiB",
                "fixedrange": True,
                "tickfont": {"color": text},
                "nticks": 6,
            },
            "yaxis": {
                "categoryorder": "array",
                "categoryarray": rows[::-1],
                "fixedrange": True,
                "automargin": True,
                "tickfont": {"color": text},
            },
            "legend": _legend(text),
        },
    }


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
