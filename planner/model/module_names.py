"""Module names as quantizers write them, and patterns over them.

Quantizers name a model's modules (``model.language_model.layers.0.mlp.gate``) exactly, by regular
expression or glob, and spell the way to the language model in several ways. Foreign patterns are
untrusted: `planner.patterns` matches them, and one list has a bounded number of steps for a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from hardware_db.records import frozen
from planner.errors import UnsupportedModelError
from planner.model.tensors import Tensor
from planner.patterns import Pattern, PatternError, read_glob, read_pattern

How = Literal["exact", "dotted", "regex", "glob", "part"]
"""How a pattern is meant: the whole name; whole dotted parts of it; `re.match` (anchored at the
start only); a shell glob; any part of the text."""

_TEXT = ("model.language_model.", "model.", "language_model.model.", "language_model.", "")
_VISION = ("model.visual.", "visual.", "vision_tower.", "model.vision_tower.")
_STACKED = "switch_mlp."
"""How MLX names stacked experts; nobody who lists parts of names does (AWQ's "mlp.gate" is the
router, and no part of "switch_mlp.gate_proj")."""

MOST_STEPS = 2_000_000
"""Steps of one list over a whole model; the lists of published checkpoints take some ten thousand."""

MOST_CHARACTERS = 100_000
"""Characters of one list's regular expressions and globs together."""


@frozen
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
            UnsupportedModelError: a pattern is no regular expression, or of a form that is not
                understood.
        """
        self._where, self._left = where, MOST_STEPS
        self._exact: dict[str, int] = {}
        self._dotted: dict[str, int] = {}
        self._parts: list[tuple[int, str]] = []
        self._read: list[tuple[int, str, Pattern]] = []
        characters = 0
        for index, pattern in enumerate(patterns):
            match pattern.how:
                case "exact":
                    self._exact.setdefault(pattern.text, index)
                case "glob" if not set("*?[") & set(pattern.text):
                    self._exact.setdefault(pattern.text, index)
                case "dotted":
                    self._dotted.setdefault(pattern.text, index)
                case "part":
                    self._parts.append((index, pattern.text))
                case "regex" | "glob":
                    characters += len(pattern.text)
                    if characters > MOST_CHARACTERS:
                        raise self._refusal(pattern.text, "with those before it is too long")
                    self._read.append((index, pattern.text, self._pattern(pattern)))

    def first(self, spellings: tuple[str, ...]) -> int | None:
        """Return the index of the first pattern that matches one of a module's spellings, or None.

        Raises:
            UnsupportedModelError: the list is too complicated to apply.
        """
        hits = [self._exact[name] for name in spellings if name in self._exact]
        if self._dotted:
            runs = (run for name in spellings for run in _dotted_runs(name))
            hits += [self._dotted[run] for run in runs if run in self._dotted]
        best = min(hits, default=None)
        own = tuple(name for name in spellings if _STACKED not in name)
        for index, text in self._parts:
            if best is not None and index > best:
                break
            self._spend(len(own), text)
            if any(text in name for name in own):
                best = index
        for index, text, pattern in self._read:
            if best is not None and index > best:
                break
            if any(self._matches(pattern, name, text) for name in spellings):
                best = index
        return best

    def _matches(self, pattern: Pattern, name: str, text: str) -> bool:
        try:
            found, steps = pattern.match(name)
        except PatternError as error:
            raise self._refusal(text, error) from None
        self._spend(steps, text)
        return found

    def _spend(self, steps: int, text: str) -> None:
        self._left -= steps
        if self._left < 0:
            raise self._refusal(text, "with the others it is too complicated to apply")

    def _pattern(self, pattern: NamePattern) -> Pattern:
        read = read_glob if pattern.how == "glob" else read_pattern
        try:
            return read(pattern.text)
        except PatternError as error:
            raise self._refusal(pattern.text, error) from None

    def _refusal(self, text: str, why: object) -> UnsupportedModelError:
        return UnsupportedModelError(f"{self._where}: pattern {text[:60]!r}: {why}")


@lru_cache(maxsize=65536)
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


@lru_cache(maxsize=65536)
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
