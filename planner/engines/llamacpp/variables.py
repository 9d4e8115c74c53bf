"""Read the variables that llama-server takes in place of flags: ``LLAMA_ARG_CTX_SIZE=32768``.

A flag on the command line comes before its variable.

Source: llama.cpp common/arg.cpp (set_env), tools/server/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from planner.engines.words import FlagTable, is_flag

PREFIX = "LLAMA_ARG_"

VALUES: Mapping[str, str] = MappingProxyType(
    {
        "MODEL": "--model",
        "MODEL_URL": "--model-url",
        "HF_REPO": "--hf-repo",
        "HF_FILE": "--hf-file",
        "CTX_SIZE": "--ctx-size",
        "N_PARALLEL": "--parallel",
        "N_GPU_LAYERS": "--n-gpu-layers",
        "BATCH": "--batch-size",
        "UBATCH": "--ubatch-size",
        "FLASH_ATTN": "--flash-attn",
        "CACHE_TYPE_K": "--cache-type-k",
        "CACHE_TYPE_V": "--cache-type-v",
        "N_CPU_MOE": "--n-cpu-moe",
        "SPLIT_MODE": "--split-mode",
        "TENSOR_SPLIT": "--tensor-split",
        "FIT": "--fit",
        "FIT_CTX": "--fit-ctx",
        "FIT_TARGET": "--fit-target",
        "CACHE_RAM": "--cache-ram",
        "MMPROJ": "--mmproj",
        "SPEC_TYPE": "--spec-type",
        "SPEC_DRAFT_N_MAX": "--spec-draft-n-max",
        "SPEC_DRAFT_CACHE_TYPE_K": "--spec-draft-type-k",
        "SPEC_DRAFT_CACHE_TYPE_V": "--spec-draft-type-v",
    }
)
"""What follows the prefix -> the flag that says the same with a value."""

SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "CPU_MOE": "--cpu-moe",
        "KV_UNIFIED": "--kv-unified",
        "KV_OFFLOAD": "--kv-offload",
        "MMAP": "--mmap",
        "MLOCK": "--mlock",
        "MMPROJ_AUTO": "--mmproj-auto",
    }
)
"""Likewise -> a switch; it is off by its name with ``no-``."""

_ON, _OFF = ("on", "true", "1", "enabled"), ("off", "false", "0", "disabled")


def words_of(
    environment: Mapping[str, str], words: Sequence[str], flags: FlagTable
) -> tuple[list[str], dict[str, str]]:
    """Return the words with those that variables say in front, and the other variables.

    Args:
        environment: variables set in front of the command.
        words: what the command line says.
        flags: the flags that are known.
    """
    typed = {flags.spelling(word.partition("=")[0]) for word in words if is_flag(word)}
    said: list[str] = []
    left = dict(environment)
    for name, value in environment.items():
        told = list(_told(name.removeprefix(PREFIX), value)) if name.startswith(PREFIX) else []
        if not told or (spelling := flags.spelling(told[0])) is None:
            continue
        del left[name]
        if spelling not in typed:
            said += told
    return [*said, *words], left


def _told(name: str, value: str) -> Iterator[str]:
    """Yield the words that a variable stands for; nothing where it is not known."""
    if name in VALUES:
        yield from (VALUES[name], value)
        return
    plain = name.removeprefix("NO_")
    flag = SWITCHES.get(plain)
    if flag is None or value.lower() not in (*_ON, *_OFF):
        return
    on = value.lower() in _ON
    if plain == name or on:  # what is not off is nothing said
        yield flag if on and plain == name else flag.replace("--", "--no-", 1)
