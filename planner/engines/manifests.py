"""Read Compose and Kubernetes files: the containers that they start, as words of `docker run`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any

from planner.engines.shell_words import shell_words

_IMAGE = re.compile(r"""^[ \t]*(?:-[ \t]+)?["']?image["']?[ \t]*:""", re.MULTILINE)
_BEGINS = ("entrypoint", "command", "args")
"""Keys that hold words, in the order in which a container gets them: Compose has the first two,
Kubernetes the last two."""

MOST_DEPTH = 40
"""Levels of a file that are looked at."""

MOST_ALIASES = 24
"""Places of a file that repeat another (``*name``): of places within places, each more multiplies."""
_ALIAS = re.compile(r"\*[\w-]")


def containers_in(text: str) -> Iterator[list[str]]:
    """Yield the words that start each container of a file; nothing where it is no such file."""
    if _IMAGE.search(text) is None or len(_ALIAS.findall(text)) > MOST_ALIASES:
        return
    import yaml

    try:
        documents = list(yaml.safe_load_all(dedent(text)))
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    for container in _with_image(documents, MOST_DEPTH):
        words = [word for key in _BEGINS for word in _words(container.get(key))]
        environment = _environment(container.get("environment") or container.get("env"))
        yield ["docker", "run", *environment, container["image"], *words]


def _with_image(node: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings that name an image, wherever they stand."""
    if depth == 0:
        return
    if isinstance(node, dict) and isinstance(node.get("image"), str):
        yield node
        return
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in inner:
        yield from _with_image(child, depth - 1)


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(word) for word in value if word is not None]
    return shell_words(value) if isinstance(value, str) and value.strip() else []


def _environment(value: Any) -> list[str]:
    """Return variables as ``NAME=value``, however they are listed."""
    if isinstance(value, dict):
        return [f"{name}={set_to}" for name, set_to in value.items() if set_to is not None]
    found = []
    for row in value if isinstance(value, list) else ():
        if isinstance(row, str) and "=" in row:
            found.append(row)
        elif isinstance(row, dict) and "name" in row and "value" in row:
            found.append(f"{row['name']}={row['value']}")
    return found
