"""`llama-server ...` read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.flags import Sorted, sort_words, whole
from planner.engines.llamacpp.command_flags import COUNTS, TABLE
from planner.errors import InputError

AUTO_SLOTS = 4
"""Slots without -np; they share one cache (tools/server/server.cpp)."""

ALL = 10_000
"""More blocks than any file has."""

_PROGRAMS = ("llama-server", "llama-server.exe")
_CHOICES = {"split-mode": "split_mode", "load-mode": "load_mode"}
_SWITCHED = ("kv-unified", "kv-offload", "op-offload", "repack", "mmproj-offload")
_FLASH = {"": "on", "1": "on", "0": "off", "true": "on", "false": "off", "-1": "auto"}
_EVERYTHING = ("all", "auto", "-1", "-2")


def starts(words: Sequence[str]) -> int | None:
    """How many of `words` name the program; None if another program is meant."""
    return 1 if words[0].replace("\\", "/").rpartition("/")[2] in _PROGRAMS else None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """The words behind `llama-server` as a `Command`.

    ``-c`` counts the cells of all slots, so the context of one sequence is its share.

    Raises:
        InputError: a flag or value that cannot be read, or a set-up that is not planned.
    """
    found = sort_words(words, TABLE)
    unplanned = list(found.unplanned)
    model, precision = _model(found, unplanned)
    options = _options(found)
    slots = whole("-np", found.last("parallel"))
    if slots is None or slots < 0:
        slots = AUTO_SLOTS
        options["kv_unified"] = found.switched.get("kv-unified", True)
        unplanned.append(
            f"-np: without it llama-server makes {AUTO_SLOTS} slots that share one cache; planned"
            " as equal shares"
        )
    cells = whole("-c", found.last("ctx-size"))
    if cells is not None and cells < 0:
        raise InputError(f"-c: {cells} is out of range")
    return Command(
        model=model,
        precision=precision,
        context=max(1, cells // max(slots, 1)) if cells else None,
        slots=slots,
        kv_cache_dtype=found.last("cache-type-k"),
        options={**options, "parallel": slots},
        yarn=found.last("rope-scaling") == "yarn",
        kept=(*found.ignored, *found.positional),
        unplanned=tuple(unplanned),
        environment=environment,
    )


def _model(found: Sorted, unplanned: list[str]) -> tuple[str | None, str | None]:
    """The model and, where the words tell, which of its files."""
    repository = found.last("hf-repo")
    if repository is not None:
        if "mmproj" not in found.given and found.switched.get("mmproj-auto", True):
            unplanned.append(
                "-hf: llama-server also loads the repository's vision file, if there is one, unless"
                " told --no-mmproj; the plan counts it only with --mmproj"
            )
        name, colon, precision = repository.partition(":")
        return name, found.last("hf-file") or (precision if colon else None)
    return found.last("model") or found.last("model-url"), None


def _options(found: Sorted) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, option in COUNTS.items():
        text = found.last(name)
        if text is None or (name == "n-gpu-layers" and text in _EVERYTHING):
            continue
        options[option] = whole(f"--{name}", text)
    for name, option in _CHOICES.items():
        if found.last(name) is not None:
            options[option] = found.last(name)
    for name in _SWITCHED:
        if name in found.switched:
            options[name.replace("-", "_")] = found.switched[name]
    if found.switched.get("cpu-moe"):
        options["n_cpu_moe"] = ALL
    rules = [rule for given in found.given.get("override-tensor", ()) for rule in given.split(",")]
    if rules:
        options["override_tensor"] = tuple(rules)
    shares = found.last("tensor-split")
    if shares is not None:
        options["tensor_split"] = _shares(shares)
    flash = found.last("flash-attn")
    if flash is not None:
        options["flash_attn"] = _FLASH.get(flash, flash)
    key_type, value_type = found.last("cache-type-k"), found.last("cache-type-v")
    if value_type or key_type:
        options["cache_type_v"] = value_type or "f16"
    if found.last("fit") is not None:
        options["fit"] = found.last("fit") != "off"
    options |= _speculation(found)
    if "mmproj" in found.given:
        options["mmproj"] = True
    if "load_mode" not in options:
        if found.switched.get("mlock"):
            options["load_mode"] = "mlock" if found.switched.get("mmap") is False else "mmap+mlock"
        elif found.switched.get("mmap") is False:
            options["load_mode"] = "none"
    return options


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(share) for share in re.split(r"[,/]", text) if share.strip())
    except ValueError:
        raise InputError(f"-ts: numbers are wanted, such as 3,1, not {text[:40]!r}") from None


def _speculation(found: Sorted) -> dict[str, Any]:
    kind = found.last("spec-type")
    if "model-draft" in found.given and kind != "draft-mtp":
        raise InputError("--model-draft: a separate drafter is not planned for llama.cpp")
    if kind is None:
        return {}
    if kind not in ("none", "draft-mtp"):
        raise InputError(f"--spec-type: {kind} is not planned; draft-mtp is")
    return {"spec_type": kind}
