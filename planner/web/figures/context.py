"""What context costs, and how far several systems reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from planner.units import GIB, format_gib
from planner.web.choices import tokens_label
from planner.web.curves import Curve
from planner.web.palette import ALL_MEMORY, NEUTRAL, OVER, PARTS

_TICKS = (*(2**power for power in range(12, 20)), 10**6)
_LINES = ("#668fff", "#cc850a", "#067352", "#973eb2", "#8a9199", "#c62f3b")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

NAMED_UP_TO = 12_288
"""Tokens up to which the names of the lines stand on the axis, about; more on a phone."""

LOW = 0.08
"""Share of the plot's height below which a line has no room for a name under it."""


def memory_over_context(
    curve: Curve, *, asked: int, text: str, whole: str = ALL_MEMORY
) -> dict[str, Any]:
    """Stacked areas over the context (log scale), the usable line, and the ghost of a plain model.

    What lies beyond the native length is shaded: it takes YaRN.

    Args:
        curve: from `curves.memory_curve`.
        asked: the context that the visitor asked for, marked.
        text: colour of text.
        whole: what the memory in all is called.
    """
    points = curve.points
    x = [point.context for point in points]
    data: list[dict[str, Any]] = []
    for part in _floor_first():
        sizes = [sum(point.sizes[kind] for kind in part.kinds) for point in points]
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
    ghost = [(p.context, p.every_layer) for p in points if p.every_layer is not None]
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
    usable, total = curve.usable, curve.total
    near = [point.used for point in points if point.context <= max(curve.native, asked)]
    top = max(total, max(near, default=0)) / GIB
    shapes = [
        _level(usable / GIB, "solid"),
        *([_level(total / GIB, "dot")] if total > usable else []),
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
    names = _named_levels(usable, total, top, text, whole, reached=_at_the_left(curve))
    if len(names) == 1 and points[0].used > total + LOW * top * GIB:  # the name lies on the fill
        data.append(_on_fill(points[0].context, total / GIB, names.pop()["text"]))
    notes = [
        *names,
        _above(asked, f"{tokens_label(asked)} asked", text, anchor="center"),
    ]
    if points[-1].context > curve.native:
        shapes.append(_beyond(curve.native, points[-1].context))
        far = math.sqrt(curve.native * points[-1].context)
        if not curve.native * 0.5 < asked < points[-1].context:
            notes.append(_above(far, "with YaRN", text, anchor="center"))
    layout = _layout(text, 460)
    layout["margin"] = layout["margin"] | {"t": 26}
    layout["xaxis"] = layout["xaxis"] | {"range": [math.log10(x[0]), math.log10(x[-1])]}
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


def _named_levels(
    usable: int, total: int, top: float, text: str, whole: str, *, reached: int
) -> list[dict[str, Any]]:
    """Names of the lines at usable and at all memory; together where there is no room below.

    Args:
        usable: bytes that the engine may use.
        total: bytes in all.
        top: GiB at the top of the plot.
        text: colour of the names.
        whole: what the memory in all is called.
        reached: bytes that what is drawn takes where the names stand.
    """
    words, whole = f"usable {format_gib(usable)}", f"{whole} {format_gib(total)}"
    if total == usable:
        return [_note(0, usable / GIB, words, text, xref="paper", below=True)]
    if usable / GIB < LOW * top or 0 <= usable - reached < LOW * top * GIB:
        return [_note(0, total / GIB, f"{words}, {whole}", text, xref="paper")]
    return [
        _note(0, usable / GIB, words, text, xref="paper", below=True),
        _note(0, total / GIB, whole, text, xref="paper"),
    ]


def _at_the_left(curve: Curve) -> int:
    """Return the bytes below the usable line that areas and the dashed line reach at its name."""
    left = [point for point in curve.points if point.context <= NAMED_UP_TO]
    ends = [size for p in left for size in (p.used, p.every_layer or 0) if size <= curve.usable]
    return max(ends, default=0)


def _on_fill(x: float, y: float, words: str) -> dict[str, Any]:
    """Words in the ink of the lowest part, whatever the theme."""
    return {
        "type": "scatter",
        "mode": "text",
        "name": words,
        "x": [x],
        "y": [y],
        "text": [words],
        "textposition": "top right",
        "textfont": {"color": PARTS[0].ink, "size": 12},
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _above(x: float, words: str, text: str, *, anchor: str) -> dict[str, Any]:
    """Words above the plot at a place of its log axis."""
    return {
        "x": math.log10(x),
        "xref": "x",
        "y": 1,
        "yref": "paper",
        "xanchor": anchor,
        "yanchor": "bottom",
        "showarrow": False,
        "text": words,
        "font": {"color": text},
    }


def _beyond(native: int, last: int) -> dict[str, Any]:
    return {
        "type": "rect",
        "xref": "x",
        "x0": native,
        "x1": last,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "above",
        "line": {"width": 0},
        "fillcolor": NEUTRAL,
        "opacity": 0.28,
    }


def _floor_first() -> list[Any]:
    """Parts from the floor up: what does not grow lies below what does."""
    grows = ("KV cache",)
    return [p for p in PARTS if p.label not in grows] + [p for p in PARTS if p.label in grows]


def reach(
    lines: Mapping[str, Sequence[tuple[int, int]]],
    *,
    asked: tuple[int, int],
    native: int,
    text: str,
) -> dict[str, Any]:
    """Requests held at once against context, both on log scales; below a line it fits.

    Args:
        lines: name of a system -> (context, sequences).
        asked: the visitor's context and sequences, marked.
        native: tokens that the model was made for; what lies beyond takes YaRN and is shaded.
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
            "hovertemplate": f"{name}: %{{y:,}} at once<extra></extra>",
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
            "hovertemplate": f"asked: {asked[1]:,} of {tokens_label(asked[0])}<extra></extra>",
        }
    )
    layout = _layout(text, 430)
    layout["yaxis"] = {
        "type": "log",
        "title": {"text": "requests at once", "font": {"color": text}},
        "dtick": "D2",
        "tickformat": ",",
        "fixedrange": True,
        "tickfont": {"color": text},
    }
    last = max((context for points in lines.values() for context, _ in points), default=0)
    if last > native:
        layout["shapes"] = [_beyond(native, last) | {"layer": "below"}]
        far = math.sqrt(native * last)
        layout["annotations"] = [_above(far, "with YaRN", text, anchor="center")]
        layout["margin"] = layout["margin"] | {"t": 26}
    return {"data": data, "layout": layout}


def _layout(text: str, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 112},
        "font": {"color": text},
        "xaxis": {
            "type": "log",
            "title": {"text": "context of each request (tokens)", "font": {"color": text}},
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
