"""Command lines as publications print them, as words that an engine's own reader takes.

Nothing is read here: templates are filled with the publication's fields, prose that stands for a
flag is written as that flag, and the words go to the planner's reader (`words.command_of`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

LONGEST_TEXT = 500
"""Characters to which the collection cut the flags of a recipe."""

CUT = "the source's command ends within a flag"
UNFILLED = "flags whose value the source leaves to a template are left out"

_PROGRAMS = re.compile(
    r"^\s*(?:vllm serve|sglang serve|python3? -m sglang\.launch_server|llama-server)\b\s*"
)
_WORD = re.compile(r"""'[^']*'|"[^"]*"|[^\s\\]+""")
_TEMPLATE = re.compile(r"\{(\w+)\}")
_SIZE = re.compile(r"^(\d+)GiB$")
# (what a source says, words of a command), where it says it without a flag.
_SPOKEN: tuple[tuple[str, str, str], ...] = (
    (r"\bpage (\d+)", "sglang", "--page-size {0}"),
    (r"\bchunked prefill (\d+)|\bprefill chunk (\d+)", "sglang", "--chunked-prefill-size {0}"),
    (
        r"\bEAGLE (\d+)(?: steps topk |/)(\d+)[ /](\d+)",
        "sglang",
        "--speculative-algorithm EAGLE --speculative-num-steps {0} --speculative-eagle-topk {1}"
        " --speculative-num-draft-tokens {2}",
    ),
    (r"\blimit_mm image:(\d+)", "vllm", "--limit-mm-per-prompt.image {0}"),
    (r"\btext-only\b", "vllm", "--language-model-only"),
    (r"\btext-only\b", "sglang", "--language-model-only"),
    (r"\bexperts on CPU\b", "llamacpp", "--cpu-moe"),
)


def words_of(
    text: str | None, engine: str, fields: Mapping[str, Any] | None = None
) -> tuple[list[str], tuple[str, ...]]:
    """Return the words of a published command, and what had to be left out of it.

    Args:
        text: the command, its flags alone, or prose with flags in it.
        engine: the planner's name of the engine.
        fields: what ``{name}`` in it stands for.
    """
    text, notes = text or "", []
    if len(text) >= LONGEST_TEXT:
        text = text[: max(0, text.rfind(" -"))]
        notes.append(CUT)
    words = _spoken(text, engine)
    raw = [word.strip("'\"") for word in _WORD.findall(_PROGRAMS.sub("", text))]
    place = 0
    while place < len(raw):
        flag, place = raw[place].rstrip(",;"), place + 1
        if not re.match(r"-{1,2}[A-Za-z]", flag):
            continue  # the model, or prose
        value = None
        if place < len(raw) and not re.match(r"-{1,2}[A-Za-z]", raw[place]):
            value, place = raw[place].rstrip(",;"), place + 1
        name = _TEMPLATE.fullmatch(value or "")
        if name is not None:
            if (fields or {}).get(name[1]) is None:
                notes.append(UNFILLED)
                continue
            value = str((fields or {})[name[1]])
        if value is not None and (size := _SIZE.match(value)):
            value = str(int(size[1]) * 2**30)
        words += [flag] if value is None else [flag, value]
    return words, tuple(dict.fromkeys(notes))


def _spoken(text: str, engine: str) -> list[str]:
    words: list[str] = []
    for pattern, who, flags in _SPOKEN:
        found = re.search(pattern, text) if who == engine else None
        if found is not None:
            words += flags.format(*(part for part in found.groups() if part)).split()
    return words


def names(words: list[str], *flags: str) -> bool:
    """Return whether one of `flags` is among `words`."""
    return any(word.partition("=")[0].partition(".")[0] in flags for word in words)


def drafting(engine: str, method: str, tokens: int) -> list[str]:
    """Return the words that make an engine draft so many tokens."""
    if engine == "vllm":
        config = {"method": method, "num_speculative_tokens": tokens}
        return ["--speculative-config", json.dumps(config)]
    if engine == "llamacpp":
        return ["--spec-type", "draft-mtp", "--spec-draft-n-max", str(tokens)]
    return []
