"""Where the memory goes: one horizontal bar per accelerator against its usable line and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.memory.breakdown import HOST_RANK, Rank
from planner.units import GIB, format_gib
from planner.web.palette import ALL_MEMORY, NEUTRAL, OVER, PARTS

ROW, TOP, BOTTOM = 64, 44, 92
"""Pixels per accelerator, for the names of the lines, and for axis and legend (three rows of it
on a phone)."""

LETTER = 7
"""Pixels per letter of a row's name. Plotly could find the margin by itself, at the price of
drawing everything twice."""

LEFT = 0.4
"""Share of the axis up to which lines are named to their right: there is no room to their left."""

SMALLEST = 11
"""Pixels below which a label is no longer read: on a phone it is left out, and the legend tells."""

ROOM, ROOM_OVER = 0.011, 0.018
"""Share of the axis that one letter of a label takes; labels that do not fit, hatching apart, are left
out. Beside hatching more is kept free: Plotly leaves out only what does not fit into the whole part."""


def memory_bar(ranks: Sequence[Rank], *, text: str, whole: str = ALL_MEMORY) -> dict[str, Any]:
    """The figure. What exceeds the usable memory stays visible, hatched, beyond the line.

    Args:
        ranks: as in a plan; drawn in the order of their names, RAM last.
        text: colour of text beside the bars.
        whole: what the memory in all is called.
    """
    drawn = sorted(ranks, key=lambda rank: (rank.name == HOST_RANK, len(rank.name), rank.name))
    return _bars([(_label(rank), rank) for rank in drawn], text=text, whole=whole)


def compared_bars(
    named: Sequence[tuple[str, Rank]], *, text: str, whole: str = ALL_MEMORY
) -> dict[str, Any]:
    """The same for accelerators of several deployments, named by the caller."""
    return _bars(named, text=text, whole=whole)


def _bars(named: Sequence[tuple[str, Rank]], *, text: str, whole: str) -> dict[str, Any]:
    rows, ranks = [name for name, _ in named], [rank for _, rank in named]
    most = max(max(rank.total, rank.used) for rank in ranks) / GIB
    over = any(rank.headroom < 0 for rank in ranks)
    data: list[dict[str, Any]] = []
    starts = [0] * len(ranks)
    for part in PARTS:
        sizes = [rank.of_kind(*part.kinds) for rank in ranks]
        if not any(sizes):
            continue
        clear = [
            min(size, max(0, rank.usable - start))
            for rank, size, start in zip(ranks, sizes, starts, strict=True)
        ]
        labels = [f"{part.label} {format_gib(size)}" for size in sizes]
        data.append(
            _bar(
                rows,
                [size / GIB for size in sizes],
                name=part.label,
                marker={"color": part.fill, "line": {"width": 1, "color": "rgba(0,0,0,0)"}},
                text=[
                    _fitting(name, size, most, ROOM_OVER if over else ROOM)
                    for name, size in zip(labels, clear, strict=True)
                ],
                textfont={"color": part.ink, "size": 13},
                insidetextanchor="start" if over else "middle",
                customdata=[f"{size / 1e9:,.2f} GB" for size in sizes],
                hovertemplate=f"<b>{part.label}</b><br>%{{x:,.2f}} GiB (%{{customdata}})<extra></extra>",
            )
        )
        starts = [start + size for start, size in zip(starts, sizes, strict=True)]
    data.append(_free(ranks, rows, text, most))
    if over:
        data.append(_over(ranks, rows))
    shapes, notes = _lines(ranks, text, most, whole)
    axis = {
        "type": "category",
        "range": [len(ranks) - 0.5, -0.5],
        "fixedrange": True,
        "tickfont": {"color": text},
    }
    beyond = {"overlaying": "y", "visible": False} if over else None
    return {
        "data": data,
        "layout": {
            "barmode": "stack",
            "uniformtext": {"mode": "hide", "minsize": SMALLEST},
            "bargap": 0.35,
            "height": TOP + BOTTOM + ROW * len(ranks),
            "margin": {"l": 12 + LETTER * max(map(len, rows)), "r": 8, "t": TOP, "b": BOTTOM},
            "font": {"color": text},
            "xaxis": {
                "range": [0, most * 1.04],
                "ticksuffix": " GiB",
                "nticks": 6,
                "tickangle": 0,
                "showticksuffix": "last",
                "zeroline": False,
                "fixedrange": True,
                "tickfont": {"color": text},
            },
            "yaxis": axis,
            **({"yaxis2": axis | beyond} if beyond else {}),
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "xref": "container",
                "x": 0,
                "xanchor": "left",
                "maxheight": 1,
                "traceorder": "normal",
                "itemclick": False,
                "itemdoubleclick": False,
                "font": {"color": text},
            },
            "shapes": shapes,
            "annotations": notes,
        },
    }


def _fitting(label: str, size: int, most: float, room: float = ROOM) -> str:
    """`label`, or nothing where the segment of `size` bytes is too narrow for it."""
    return label if size / GIB >= most * room * len(label) else ""


def _label(rank: Rank) -> str:
    return f"{rank.name} (×{rank.count})" if rank.count > 1 else rank.label


def _bar(rows: list[str], x: list[float], **more: Any) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "x": x,
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        **more,
    }


def _free(ranks: Sequence[Rank], rows: list[str], text: str, most: float) -> dict[str, Any]:
    sizes = [max(rank.headroom, 0) for rank in ranks]
    return _bar(
        rows,
        [size / GIB for size in sizes],
        name="free",
        showlegend=any(sizes),
        marker={"color": "rgba(127,136,148,0.10)", "line": {"width": 1, "color": NEUTRAL}},
        text=[_fitting(f"free {format_gib(size)}", size, most) for size in sizes],
        textfont={"color": text, "size": 13},
        hovertemplate="<b>free</b><br>%{x:,.2f} GiB<extra></extra>",
    )


def _over(ranks: Sequence[Rank], rows: list[str]) -> dict[str, Any]:
    """A hatched layer over what lies beyond the usable line."""
    sizes = [max(-rank.headroom, 0) for rank in ranks]
    return {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "x": [size / GIB for size in sizes],
        "base": [rank.usable / GIB for rank in ranks],
        "yaxis": "y2",
        "name": "over",
        "marker": {
            "color": "rgba(0,0,0,0)",
            "pattern": {
                "shape": "/",
                "fgcolor": OVER,
                "size": 8,
                "solidity": 0.35,
                "fillmode": "overlay",
            },
            "line": {"width": 2, "color": OVER},
        },
        "hovertemplate": "<b>over the usable memory</b><br>%{x:,.2f} GiB<extra></extra>",
    }


def _lines(
    ranks: Sequence[Rank], text: str, most: float, whole: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Usable line and physical end of every accelerator; named once where all are alike."""
    alike = len({(rank.usable, rank.total) for rank in ranks}) == 1
    shapes, below = [], 0.45 if alike else 0.34  # else the next row's name stands there
    for row, rank in enumerate(ranks):
        for size, dash in ((rank.usable, "solid"), (rank.total, "dot")):
            shapes.append(
                {
                    "type": "line",
                    "x0": size / GIB,
                    "x1": size / GIB,
                    "y0": row - 0.45,
                    "y1": row + below,
                    "yref": "y",
                    "line": {"color": NEUTRAL, "width": 2, "dash": dash},
                }
            )
    if alike:
        first = ranks[0]
        side = {"xanchor": "right" if first.total / GIB > LEFT * most else "left"}
        notes = [_name(first.usable, f"usable {format_gib(first.usable)}", text) | side]
        if first.total != first.usable:
            end = _name(first.total, f"{whole} {format_gib(first.total)}", text)
            notes.append(end | {"yshift": 18} | side)
    else:
        notes = [
            _name(rank.usable, f"usable {format_gib(rank.usable)}", text)
            | {"y": row - 0.4, "yref": "y", "font": {"color": text, "size": 11}}
            for row, rank in enumerate(ranks)
        ]
    return shapes, notes


def _name(size: int, words: str, text: str) -> dict[str, Any]:
    return {
        "x": size / GIB,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "xanchor": "right",
        "showarrow": False,
        "font": {"color": text},
        "text": words,
    }
