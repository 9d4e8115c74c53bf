"""Flags of published command lines as options of the planner's engines.

Only flags that are options of the engine are taken; the rest (ports, parsers, templates) does not
change memory.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from types import UnionType
from typing import Any

from planner.engines.engine import AnyEngine
from planner.errors import InputError

_FLAG = re.compile(r"(?<!\S)(-{1,2}[A-Za-z][\w.-]*)(?:[ =]+('[^']*'|[^\s\\-][^\s\\]*))?")
_TEMPLATE = re.compile(r"\{(\w+)\}")
_NOTE = re.compile(r"\b(\w+)=(\d+)")

# What recipes' templates and fields are called there -> here.
_FIELDS = {
    "tensor_parallel": "tp",
    "pipeline_parallel": "pp",
    "max_model_len": "ctx",
    "context_length": "ctx",
    "ctx_size": "ctx",
    "mem_fraction_static": "gpu_memory_utilization",
    "max_running_requests": "max_num_seqs",
}
# What a field means, and what the engines call it.
_MEANINGS = {
    "gpu_memory_utilization": ("gpu_memory_utilization", "mem_fraction_static"),
    "max_num_seqs": ("max_num_seqs", "max_running_requests"),
}
_VERSION = re.compile(r"(?:SGLang|vLLM) v?(\d+\.\d+\.\d+)")
_DRAFTERS = ("dflash", "dspark")


def given_options(row: dict[str, Any]) -> dict[str, str]:
    """Flag name -> text, of a recipe's flags, its note and its fields; a flag wins over a field."""
    fields = {name: row[there] for name, there in _FIELDS.items() if row.get(there) is not None}
    fields |= {name: value for name, value in row.items() if value is not None}
    fields |= dict(_NOTE.findall(row.get("note") or ""))
    given: dict[str, str] = {}
    for field, flags in _MEANINGS.items():
        if row.get(field) is not None:
            given |= dict.fromkeys(flags, str(row[field]))
    if version := _VERSION.search(row.get("evidence") or ""):
        given["version"] = version[1]
    given |= {name: str(value) for name, value in _NOTE.findall(row.get("note") or "")}
    given |= parsed_flags(row.get("flags") or "", fields)
    if row.get("mtp_tokens") and "speculative_algorithm" not in given:
        given |= {"num_speculative_tokens": str(row["mtp_tokens"])}
        text = f"{row.get('flags')} {row.get('source')} {row.get('evidence')}".lower()
        if any(word in text for word in _DRAFTERS):
            given["speculative_method"] = "dflash"
    return given


def parsed_flags(text: str, fields: dict[str, Any]) -> dict[str, str]:
    """Flags of a command line; ``{name}`` stands for a field, and unknown fields drop their flag."""
    found: dict[str, str] = {}
    for flag, raw in _FLAG.findall(text):
        value = raw.strip("'").rstrip(",")
        names = _TEMPLATE.fullmatch(value)
        if names is None and value.startswith("{") and not value.endswith("}"):
            continue  # the source's text ends within a template
        if names is not None:
            if fields.get(names[1]) is None:
                continue
            value = str(fields[names[1]])
        name = flag.lstrip("-").replace("-", "_")
        if name.startswith("limit_mm_per_prompt"):
            found |= _images(name, value)
        elif name == "speculative_config":
            found |= _speculation(value)
        else:
            found[name] = value
    return found


def _images(name: str, value: str) -> dict[str, str]:
    """``--limit-mm-per-prompt '{"image": 2}'`` and ``--limit-mm-per-prompt.image 2``."""
    if name.endswith(".image"):
        return {"limit_images": value}
    try:
        limit = json.loads(value).get("image")
    except (json.JSONDecodeError, AttributeError):
        return {}
    return {} if limit is None else {"limit_images": str(limit)}


def _speculation(value: str) -> dict[str, str]:
    try:
        config = json.loads(value)
    except json.JSONDecodeError:
        return {}
    found = {"num_speculative_tokens": str(config.get("num_speculative_tokens", 0))}
    method = str(config.get("method", "mtp"))
    return found | ({"speculative_method": method} if method in _DRAFTERS else {})


def options_from(engine: AnyEngine, given: dict[str, str]) -> Any:
    """The engine's options object from flags; what is no option of the engine is left out.

    Raises:
        InputError: a value that the engine's options refuse.
    """
    kind = engine.options_type
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        text = given.get(field.name)
        negated = f"no_{field.name}" in given
        if text is not None or negated:
            values[field.name] = False if negated else _value(hints[field.name], text or "")
    return kind(**values)


def _value(hint: Any, text: str) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if bool in kinds:
        return text.lower() not in ("false", "0", "off")
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    if str in kinds:
        return text
    raise InputError(f"cannot read {text!r}")
