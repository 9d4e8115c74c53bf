"""What context costs, and how far several systems reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.units import GIB, format_gib, format_tokens
from planner.web.choices import tokens_label
from planner.web.curves import Point
from planner.web.palette import NEUTRAL, OVER, PARTS

_TICKS = (*(2**power for power in range(12, 20)), 10**6)
_LINES = ("#668fff", "#cc850a", "#067352", "#973eb2", "#8a9199", "#c62f3b")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def memory_over_context(points: Sequence[Point], *, asked: int, text: str) -> dict[str, Any]:
    """Stacked areas over the context (log scale), the usable line, and the ghost of a plain model.

    Args:
        points: from `curves.memory_curve`.
        asked: the context that the visitor asked for, marked.
        text: colour of text.
    """
    x = [point.context for point in points]
    data: list[dict[str, Any]] = []
    for part in _floor_first():
        sizes = [point.rank.of_kind(*part.kinds) for point in points]
        if not any(sizes):
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": part.label,
                "x": x,
                "y": [size / GIB for size in sizes],
                "stackgroup": "memory",
                "line": {"width": 0.5, "color": part.fill},
                "fillcolor": part.fill,
                "hovertemplate": f"{part.label}: %{{y:,.2f}} GiB<extra></extra>",
            }
        )
    ghost = [(p.context, p.every_layer.used) for p in points if p.every_layer is not None]
    if ghost:
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "if every layer kept KV",
                "x": [context for context, _ in ghost],
                "y": [used / GIB for _, used in ghost],
                "line": {"width": 2.5, "dash": "dash", "color": text},
                "hovertemplate": "if every layer kept KV: %{y:,.1f} GiB<extra></extra>",
            }
        )
    usable, total = points[0].rank.usable, points[0].rank.total
    top = max(total, max(point.rank.used for point in points)) / GIB
    shapes = [
        _level(usable / GIB, "solid"),
        _level(total / GIB, "dot"),
        {
            "type": "line",
            "xref": "x",
            "x0": asked,
            "x1": asked,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": text, "width": 1.5, "dash": "dot"},
        },
    ]
    notes = [
        _note(0, usable / GIB, f"usable {format_gib(usable)}", text, xref="paper", below=True),
        _note(0, total / GIB, f"all memory {format_gib(total)}", text, xref="paper"),
    ]
    layout = _layout(text, 460)
    layout |= {
        "hovermode": "x unified",
        "shapes": shapes,
        "annotations": notes,
        "yaxis": {
            "ticksuffix": " GiB",
            "rangemode": "tozero",
            "range": [0, top * 1.08],
            "fixedrange": True,
            "tickfont": {"color": text},
        },
    }
    return {"data": data, "layout": layout}


def _floor_first() -> list[Any]:
    """Parts from the floor up: what does not grow lies below what does."""
    grows = ("KV cache",)
    return [p for p in PARTS if p.label not in grows] + [p for p in PARTS if p.label in grows]


def reach(
    lines: Mapping[str, Sequence[tuple[int, int]]], *, asked: tuple[int, int], text: str
) -> dict[str, Any]:
    """Sequences held at once against context, both on log scales; below a line it fits.

    Args:
        lines: name of a system -> (context, sequences).
        asked: the visitor's context and sequences, marked.
        text: colour of text.
    """
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [context for context, _ in points],
            "y": [sequences for _, sequences in points],
            "line": {
                "width": 2.5,
                "color": _LINES[number % len(_LINES)],
                "dash": _DASHES[number % len(_DASHES)],
            },
            "marker": {"size": 5, "color": _LINES[number % len(_LINES)]},
            "hovertemplate": f"{name}: %{{y:,}} sequences<extra></extra>",
        }
        for number, (name, points) in enumerate(lines.items())
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "what you ask for",
            "x": [asked[0]],
            "y": [asked[1]],
            "marker": {"size": 13, "symbol": "x", "color": text, "line": {"color": NEUTRAL}},
            "hovertemplate": f"asked: {asked[1]:,} of {format_tokens(asked[0])}<extra></extra>",
        }
    )
    layout = _layout(text, 430)
    layout["yaxis"] = {
        "type": "log",
        "title": {"text": "sequences at once", "font": {"color": text}},
        "dtick": 1,
        "fixedrange": True,
        "tickfont": {"color": text},
    }
    return {"data": data, "layout": layout}


def _layout(text: str, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 112},
        "font": {"color": text},
        "xaxis": {
            "type": "log",
            "title": {"text": "context per sequence (tokens)", "font": {"color": text}},
            "tickvals": list(_TICKS),
            "ticktext": [tokens_label(tick) if tick < 10**6 else "1M" for tick in _TICKS],
            "fixedrange": True,
            "tickfont": {"color": text},
        },
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
            "font": {"color": text},
        },
    }


def _level(y: float, dash: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
        "line": {"color": OVER if dash == "solid" else NEUTRAL, "width": 2, "dash": dash},
    }


def _note(
    x: float, y: float, words: str, text: str, *, xref: str, below: bool = False
) -> dict[str, Any]:
    return {
        "x": x,
        "xref": xref,
        "y": y,
        "xanchor": "left",
        "yanchor": "top" if below else "bottom",
        "showarrow": False,
        "text": words,
        "font": {"color": text},
    }
