"""Contexts as people write them, and beyond the native length: YaRN's RoPE parameters."""

from __future__ import annotations

from typing import Any

from planner.model.spec import ModelSpec
from planner.units import ceil_div, parse_tokens, without_unit

LONGEST = 1_010_000
"""Tokens up to which the model cards of the family describe YaRN."""


def yarn_parameters(model: ModelSpec, context: int) -> dict[str, Any]:
    """`rope_parameters` that stretch the native context to `context` (static YaRN, whole factor).

    Source: the model cards of the Qwen3.5 family, section on ultra-long texts.
    """
    attention, native = model.attention, model.max_position_embeddings
    rope: dict[str, Any] = {
        "rope_type": "yarn",
        "factor": float(ceil_div(context, native)),
        "original_max_position_embeddings": native,
    }
    if attention.rope_theta:
        rope["rope_theta"] = attention.rope_theta
    if attention.rotary_dim != attention.head_dim:
        rope["partial_rotary_factor"] = attention.rotary_dim / attention.head_dim
    if attention.mrope_section:
        rope["mrope_section"] = list(attention.mrope_section)
        rope["mrope_interleaved"] = attention.mrope_interleaved
    return rope


def yarn_override(model: ModelSpec, context: int) -> str:
    """Return, as JSON, what an engine lays over a checkpoint's config.json to serve `context`."""
    override: dict[str, Any] = {"rope_parameters": yarn_parameters(model, context)}
    import json

    return json.dumps({"text_config": override} if model.vision is not None else override)


def asked_tokens(tokens: int) -> str:
    """Return a length that was asked for, never another: ``32k``, ``1.5k``, else ``100,000``."""
    if tokens == LONGEST:
        return "1M"
    if tokens < 1024 or tokens * 10 % 1024:
        return f"{tokens:,}"
    whole, tenths = divmod(tokens * 10 // 1024, 10)
    return f"{whole:,}.{tenths}k" if tenths else f"{whole:,}k"


def short_tokens(tokens: int) -> str:
    """Return a length that was found, as people say it, rounded down: ``117k`` for 120,330."""
    if tokens == LONGEST:
        return "1M"
    return f"{tokens // 1024:,}k" if tokens >= 1024 else f"{tokens:,}"


def tokens_of(context: int | str, *, what: str = "context") -> int:
    """Return the tokens of a context as people write it.

    The family calls its longest context 1M, which is 1,010,000 tokens: a length that exceeds it
    only because k stands for 1,024 is that one.

    Raises:
        InputError: unreadable, or out of range.
    """
    tokens = parse_tokens(context, what=what)
    if isinstance(context, str) and tokens > LONGEST:
        written = without_unit(context).lower()
        unit = {"k": 1000, "m": 1000**2}.get(written[-1:])
        if unit is not None and float(written[:-1].replace(",", "")) * unit <= LONGEST:
            return LONGEST
    return tokens
