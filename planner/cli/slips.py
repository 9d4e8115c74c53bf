"""Slips of the hand in flags, and flags that people expect and that are called otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from planner.errors import InputError

WISHES = ("--best", "--for", "--use", "--images", "--official", "--least-speed")
"""Flags of `qwenplan recommend` alone."""

_DRAFTING = ("--mtp", "--use-mtp", "--draft", "--drafts", "--speculative", "--speculative-decoding")
DRAFTING = (
    "--spec-type draft-mtp (llama.cpp)",
    "--speculative-algorithm NEXTN (SGLang)",
    """--speculative-config '{"method": "mtp", "num_speculative_tokens": 2}' (vLLM)""",
)
"""How engines are told to draft with the model's own MTP module."""

_HOW_MANY = ("n", "num", "number", "count", "max")


def refuse_slips(words: Sequence[str], own: Sequence[str], *, on: str | None) -> None:
    """Refuse a slip of the hand in a flag of the question's own.

    Args:
        words: what was typed behind the flags that are known.
        own: the flags of the question.
        on: the hardware that was said.

    Raises:
        InputError: such a flag, with the one that was meant.
    """
    from planner.engines import commands

    for word in words:
        flag = word.partition("=")[0]
        if flag in WISHES:  # before engines' flags: --use would be read as the start of one
            raise InputError(f"{flag}: `qwenplan recommend` takes it")
        counted = _without_count(flag)
        if counted in ("--gpu", "--gpus"):  # TensorRT-LLM would read the start of another flag
            number = f"--on '2x {on or 'rtx-3090'}'"
            raise InputError(f"unknown flag {flag}; --on says how many GPUs: {number}")
        if flag in _DRAFTING:
            raise InputError(f"unknown flag {flag}; MTP is {' or '.join(DRAFTING)}")
        if not flag.startswith("--") or commands.known_to_any(flag):
            continue
        near = get_close_matches(flag, own, n=1, cutoff=0.8)
        near = near or get_close_matches(counted, own, n=1, cutoff=0.8)
        if near := near or [known for known in own if _is_part_of(flag, known)]:
            raise InputError(f"unknown flag {flag}; did you mean {near[0]}?")


def _without_count(flag: str) -> str:
    """Return a flag without the words that say "how many": of ``--num-users`` ``--users``."""
    words = flag.strip("-").split("-")
    return f"--{'-'.join(word for word in words if word not in _HOW_MANY)}"


def _is_part_of(flag: str, known: str) -> bool:
    """Say whether each word of a flag is, but for a slip, one of a known flag's: ``--kv``, ``--kv-type``."""
    words = known.strip("-").split("-")
    ours = flag.strip("-").split("-")
    return all(word and get_close_matches(word, words, cutoff=0.8) for word in ours)
