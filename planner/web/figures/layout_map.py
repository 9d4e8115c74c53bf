"""How a model is spread: one column per accelerator, one block per thing that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.web.holdings import Holding, words
from planner.web.palette import NEUTRAL, PARTS, Part

_WEIGHTS, _KV, _STATE, _OTHER, _PLAIN = PARTS
MOST = 16
"""Columns that can still be read."""


def layout_map(held: Sequence[Holding], *, text: str) -> dict[str, Any]:
    """The figure; KV heads that are kept on several accelerators are hatched and say so.

    Args:
        held: from `holdings`, at most `MOST` of them.
        text: colour of text beside the blocks.
    """
    rows = [
        ("layers", _PLAIN, [words(h.layers) for h in held], False),
        ("query heads", _WEIGHTS, [words(h.query_heads) for h in held], False),
        ("KV heads", _KV, [_kv(h) for h in held], held[0].kv_copies > 1),
    ]
    if all(h.value_heads is not None for h in held):
        shares = [words(h.value_heads) for h in held if h.value_heads is not None]
        rows.append(("DeltaNet value heads", _STATE, shares, False))
    if all(h.experts is not None for h in held):
        shares = [words(h.experts) for h in held if h.experts is not None]
        rows.append(("whole experts", _OTHER, shares, False))
    names = [_name(h) for h in held]
    return {
        "data": [_row(names, *row) for row in rows],
        "layout": {
            "barmode": "stack",
            "bargap": 0.12,
            "height": 120 + 44 * len(rows),
            "margin": {"l": 8, "r": 8, "t": 8, "b": 84},
            "font": {"color": text},
            "xaxis": {"fixedrange": True, "tickfont": {"color": text}, "type": "category"},
            "yaxis": {"visible": False, "fixedrange": True},
            "uniformtext": {"minsize": 9, "mode": "hide"},
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
                "traceorder": "normal",
                "font": {"color": text},
                "itemclick": False,
                "itemdoubleclick": False,
            },
        },
    }


def _name(held: Holding) -> str:
    return held.name


def _kv(held: Holding) -> str:
    copies = f" (1 of {held.kv_copies} copies)" if held.kv_copies > 1 else ""
    return f"{words(held.kv_heads)}{copies}"


def _row(
    names: list[str], title: str, part: Part, texts: list[str], hatched: bool
) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": f"{title}, kept several times" if hatched else title,
        "x": names,
        "y": [1] * len(names),
        "text": [f"{title} {words_}" for words_ in texts] if len(names) <= 4 else texts,
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": part.ink, "size": 12},
        "marker": {
            "color": part.fill,
            "line": {"width": 2, "color": "rgba(0,0,0,0)"},
            "pattern": {
                "shape": "/" if hatched else "",
                "solidity": 0.15,
                "bgcolor": part.fill,
                "fgcolor": NEUTRAL,
            },
        },
        "hovertemplate": f"%{{x}}: {title} %{{text}}<extra></extra>",
    }


def describe_layout(held: Sequence[Holding]) -> str:
    """The figure in words."""
    first = held[0]
    copies = f", each kept on {first.kv_copies} of them" if first.kv_copies > 1 else ""
    return f"{len(held)} accelerators. " + "; ".join(
        f"{h.name}: layers {words(h.layers)}, query heads {words(h.query_heads)}, KV heads"
        f" {words(h.kv_heads)}{copies if index == 0 else ''}"
        for index, h in enumerate(held)
    )
