"""Module names as quantizers write them, and patterns over them.

Quantizers name a model's modules (``model.language_model.layers.0.mlp.gate``) exactly, by regular
expression or glob, and spell the way to the language model in several ways. Foreign patterns are
untrusted: they are bounded before they are compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import Literal

from planner.errors import UnsupportedModelError
from planner.model.tensors import Tensor

How = Literal["exact", "dotted", "regex", "glob", "part"]
"""How a pattern is meant: the whole name; whole dotted parts of it; `re.match` (anchored at the
start only); a shell glob; any part of the text."""

_TEXT = ("model.language_model.", "model.", "language_model.model.", "language_model.", "")
_VISION = ("model.visual.", "visual.", "vision_tower.", "model.vision_tower.")
_STACKED = "switch_mlp."
"""How MLX names stacked experts; nobody who lists parts of names does (AWQ's "mlp.gate" is the
router, and no part of "switch_mlp.gate_proj")."""

_LONGEST_PATTERN = 400
_MOST_REPEATS = 8
_NESTED_REPEAT = re.compile(r"\([^()]*[*+}][^()]*\)[*+{]")
_REPEAT = re.compile(r"(?<!\\)[*+{]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePattern:
    """One entry of a quantizer's list.

    Attributes:
        how: how `text` is meant.
        text: as written, without the mark (``re:``, ``-:``) before it.
    """

    how: How
    text: str


class PatternList:
    """Patterns in order, asked for the first that matches a module."""

    def __init__(self, patterns: tuple[NamePattern, ...], where: str) -> None:
        """Sort the patterns by the way they are looked up.

        Raises:
            UnsupportedModelError: a pattern is no regular expression, or one that could take
                forever.
        """
        self._exact: dict[str, int] = {}
        self._dotted: dict[str, int] = {}
        self._parts: list[tuple[int, str]] = []
        self._compiled: list[tuple[int, re.Pattern[str]]] = []
        for index, pattern in enumerate(patterns):
            match pattern.how:
                case "exact":
                    self._exact.setdefault(pattern.text, index)
                case "dotted":
                    self._dotted.setdefault(pattern.text, index)
                case "part":
                    self._parts.append((index, pattern.text))
                case "regex" | "glob":
                    self._compiled.append((index, _compile(pattern, where)))

    def first(self, spellings: tuple[str, ...]) -> int | None:
        """Index of the first pattern that matches one of a module's spellings, or None."""
        hits = [self._exact[name] for name in spellings if name in self._exact]
        if self._dotted:
            runs = (run for name in spellings for run in _dotted_runs(name))
            hits += [self._dotted[run] for run in runs if run in self._dotted]
        best = min(hits, default=None)
        for index, text in self._parts:
            own = (name for name in spellings if _STACKED not in name)
            if (best is None or index < best) and any(text in name for name in own):
                best = index
        for index, compiled in self._compiled:
            if best is not None and index > best:
                continue
            if any(compiled.match(name) for name in spellings):
                best = index
        return best


def _compile(pattern: NamePattern, where: str) -> re.Pattern[str]:
    text = pattern.text
    too_much = len(text) > _LONGEST_PATTERN or len(_REPEAT.findall(text)) > _MOST_REPEATS
    if too_much or (pattern.how == "regex" and _NESTED_REPEAT.search(text)):
        raise UnsupportedModelError(f"{where}: pattern {text[:60]!r} is too complicated to apply")
    try:
        return re.compile(translate(text) if pattern.how == "glob" else text)
    except (re.error, OverflowError):
        raise UnsupportedModelError(
            f"{where}: pattern {text[:60]!r} is no regular expression"
        ) from None


@cache
def _dotted_runs(name: str) -> tuple[str, ...]:
    words = name.split(".")
    return tuple(
        ".".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    )


def module_of(name: str) -> str:
    """The module that a tensor's name belongs to: without ``.weight``."""
    return name.removesuffix(".weight")


def places(tensor: Tensor) -> Iterator[int | None]:
    """The layers a row of the table of tensors occurs in; None once if outside the layers."""
    yield from tensor.layers or (None,)


@cache
def spellings(tensor_name: str, layer: int | None, expert: int) -> tuple[str, ...]:
    """All names under which quantizers may know the module of a row of the table of tensors.

    Args:
        tensor_name: the row's name with its placeholders.
        layer: index that stands for ``{layer}``.
        expert: index that stands for ``{expert}``.
    """
    name = module_of(tensor_name).replace("{layer}", str(layer))
    names = [name.replace("{expert}", str(expert))]
    if "experts.{expert}." in name:
        stacked = name.replace("experts.{expert}.", _STACKED)
        stem, _, projection = name.partition(".{expert}.")
        fused = "down_proj" if projection == "down_proj" else "gate_up_proj"
        names += [stacked, f"{stem}.{fused}"]
    return tuple(dict.fromkeys(spelling for one in names for spelling in _prefixed(one)))


def _prefixed(name: str) -> Iterator[str]:
    if name.startswith("mtp."):
        yield from (name, f"model.{name}", f"language_model.{name}")
    elif name == "lm_head":
        yield from (name, "language_model.lm_head", "model.lm_head")
    elif "visual." in name:
        core = name.partition("visual.")[2]
        yield from (prefix + core for prefix in _VISION)
    else:
        core = name.removeprefix("model.").removeprefix("language_model.")
        yield from (prefix + core for prefix in _TEXT)
