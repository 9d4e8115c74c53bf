"""What a path tells of the model behind it, where the file itself cannot be asked.

Commands and logs of other machines name files that are not here.
"""

from __future__ import annotations

import re

from planner.errors import InputError
from planner.model.catalog import find
from planner.model.quantization import get_scheme

_HUB_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def named_by_path(path: str) -> tuple[str, str | None] | None:
    """The model and the precision that a path's names tell; None if they tell no model.

    A Hub cache tells the repository; a folder or file called like a bundled model is that model;
    ``Qwen3.5-27B-Q4_K_M.gguf`` is Qwen3.5-27B in Q4_K_M.
    """
    cached = _HUB_CACHE.search(path)
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if name.endswith(".gguf"):
        return _gguf(_SHARD.sub("", file_of(path).removesuffix(".gguf")))
    if cached is not None:
        return f"{cached[1]}/{cached[2]}", None
    return (name, None) if find(name) is not None else None


def file_of(path: str) -> str:
    """Return the file's own name: llama.cpp's cache puts the repository before it.

    ``unsloth_Qwen3.5-9B-GGUF_Qwen3.5-9B-Q8_0.gguf`` is Qwen3.5-9B-Q8_0.gguf.
    """
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return name.rpartition("-GGUF_")[2]


def _gguf(stem: str) -> tuple[str, str] | None:
    words = stem.split("-")
    for cut in range(len(words) - 1, 0, -1):
        name, precision = "-".join(words[:cut]).removesuffix("-GGUF"), "-".join(words[cut:])
        if find(name) is None:
            continue
        try:
            return name, get_scheme(precision).name
        except InputError:
            continue
    return None
