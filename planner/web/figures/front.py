"""Alternatives at a glance: how much quality is lost against how fast it is, one dot each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.recommending import Choice
from planner.recommending.words import TUNED, short_word
from planner.registry import Word
from planner.throughput.answer import two_digits
from planner.units import GIB, format_gib
from planner.web.palette import ACCENT, NEUTRAL
from planner.web.stored import short_name

TOP, ROW, BOTTOM = 26, 58, 58
"""Pixels above the rows, for each class of quality, and for the axis."""

LETTER = 0.029
"""Share of the axis that a letter of a name takes on a phone."""

BESIDE = 0.12
"""Share of the axis on a phone that the margin right of it takes: names may reach into it."""

NEAR = 0.07
"""Share of the axis that half of the largest dot takes on a phone, about."""

LEAST, MOST = 12, 36
"""Diameters of dots in pixels: nothing to spare, and the most of them all."""


def front_figure(choices: Sequence[Choice], present: int, *, text: str) -> dict[str, Any]:
    """Return the figure; every choice has a speed.

    Args:
        choices: the dots.
        present: which of them is shown on the page now.
        text: colour of text beside the dots.
    """
    speeds = [choice.per_user or 0.0 for choice in choices]
    spare = [max(choice.plan.headroom or 0, 0) / GIB for choice in choices]
    largest = max([*spare, 1e-9])
    widest = max([*speeds, 1.0]) * 1.22
    words = sorted({choice.said for choice in choices})
    sizes = [LEAST + (MOST - LEAST) * (size / largest) ** 0.5 for size in spare]
    labels = _labels(choices, present, widest)
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": speeds,
                "y": [words.index(choice.said) for choice in choices],
                "text": labels,
                "cliponaxis": False,
                "customdata": [
                    [
                        choice.entry.name,
                        choice.plan.engine_title,
                        format_gib(choice.plan.headroom or 0),
                    ]
                    for choice in choices
                ],
                "hovertemplate": (
                    "<b>%{customdata[0]}</b><br>%{customdata[1]}, about %{x:.2g} tok/s,"
                    " %{customdata[2]} to spare<extra></extra>"
                ),
                "marker": {
                    "size": sizes,
                    "color": [
                        ACCENT if place == present else NEUTRAL for place in range(len(choices))
                    ],
                    "opacity": 0.75,
                    "line": {
                        "color": text,
                        "width": [2.5 if p == present else 0 for p in range(len(choices))],
                    },
                },
            }
        ],
        "layout": {
            "height": TOP + ROW * (len(words) + 1) + BOTTOM,
            "margin": {"l": 96, "r": 28, "t": TOP, "b": BOTTOM},
            "font": {"color": text},
            "showlegend": False,
            "annotations": [
                _named(choices, place, words, sizes, label, widest)
                | {
                    "font": {"color": text, "size": 12},
                    "text": label,
                    "xanchor": "center",
                    "yanchor": "bottom",
                    "showarrow": False,
                }
                for place, label in enumerate(labels)
                if label
            ],
            "xaxis": {
                "title": {"text": "tokens per second for each user"},
                "rangemode": "tozero",
                "range": [0, widest],
                "fixedrange": True,
                "tickfont": {"color": text},
            },
            "yaxis": {
                "range": [len(words) - 0.5, -0.7],
                "tickvals": list(range(len(words))),
                "ticktext": [short_word(Word(word)) for word in words],
                "fixedrange": True,
                "zeroline": False,
                "tickfont": {"color": text},
            },
        },
    }


def _named(
    choices: Sequence[Choice],
    place: int,
    words: Sequence[Word],
    sizes: Sequence[float],
    label: str,
    widest: float,
) -> dict[str, Any]:
    """Where a dot's name stands: above it, and above the larger dots that it would lie on on a phone."""
    choice, x = choices[place], _middle(choices[place], label, widest)
    near = NEAR * widest + LETTER * widest * len(label) / 2
    under = [
        size
        for other, size in zip(choices, sizes, strict=True)
        if other.said == choice.said and abs((other.per_user or 0.0) - x) <= near
    ]
    return {
        "x": x,
        "y": words.index(choice.said),
        "yshift": max(sizes[place], *under) / 2 + 1,
    }


def _middle(choice: Choice, name: str, widest: float) -> float:
    """Where the middle of a dot's name stands on the axis: above it, or left of that near the end."""
    return min(choice.per_user or 0.0, widest * (1 + BESIDE - LETTER * len(name) / 2))


def _labels(choices: Sequence[Choice], present: int, widest: float) -> list[str]:
    """Names of the dots; of those that would run into each other, the first one's alone."""
    placed: list[tuple[int, float, float]] = []
    found = [""] * len(choices)
    for place in sorted(range(len(choices)), key=lambda place: place != present):
        choice, name = choices[place], dot_name(choices[place], choices)
        half = LETTER * widest * len(name) / 2
        x, row = _middle(choice, name, widest), int(choice.said)
        if any(row == r and abs(x - other) < half + width for r, other, width in placed):
            continue
        placed.append((row, x, half))
        found[place] = name
    return found


def _set_words(choice: Choice) -> list[str]:
    """Return what was set for a checkpoint besides its own: the KV cache's format, options.

    SGLang's name of FP8 is the one of the format in full: others call it ``fp8``.
    """
    cache = choice.plan.deployment.kv_cache_dtype
    formats = [] if cache == "auto" else [f"{cache.removesuffix('_e4m3')} KV"]
    return [*formats, *([TUNED] if choice.savings else [])]


def dot_name(choice: Choice, among: Sequence[Choice], *, server: str = "") -> str:
    """Return a checkpoint as a dot is named: ``27B UD-Q4_K_XL``.

    Args:
        choice: the checkpoint.
        among: what it is drawn with; the model's version is told where there are several.
        server: what would serve it, where that is to be said.
    """
    base = _base(choice)
    versions = {_base(other).partition("-")[0] for other in among}
    model = base if len(versions) > 1 else base.partition("-")[2] or base
    name = f"{model} {short_name(choice.entry)}" + (f" in {server}" if server else "")
    return ", ".join((name, *_set_words(choice)))


def _base(choice: Choice) -> str:
    return choice.entry.base.rpartition("/")[2]


def describe_front(choices: Sequence[Choice], present: int) -> str:
    """Return the figure in words."""
    parts = [
        f"{dot_name(choice, choices)}{' (shown)' if place == present else ''}: {short_word(choice.said)},"
        f" about {two_digits(choice.per_user or 0.0)} tok/s,"
        f" {format_gib(choice.plan.headroom or 0)} to spare"
        for place, choice in enumerate(choices)
    ]
    return "Quality loss against speed. " + "; ".join(parts)
