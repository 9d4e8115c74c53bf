"""Describe how an engine runs in a container: image, port, health check, words of one node.

Images are those that the projects publish; tags follow the planned release. Whether a tag exists
for a given GPU is not checked (no registry is asked).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType

from hardware_db.records import frozen
from hardware_db.regex import pattern

HEAD_ADDRESS = "HEAD_ADDRESS"
"""Stands in commands for the address of the first node."""


@frozen
class Container:
    """How an engine is run in a container.

    Attributes:
        images: accelerator vendor -> image, ``{version}`` standing for the planned release.
        port: port that the server listens on.
        health: path that answers 200 once the model is loaded.
        listen: words that make it listen beyond its own container.
        node_flags: words that belong to one node of several -> how many values follow.
        rank_flag: the flag whose value is the node's rank.
        ray_words: words that make it use Ray instead of its own launcher; empty: it cannot.
    """

    images: Mapping[str, str]
    port: int
    health: str = "/health"
    listen: tuple[str, ...] = ()
    node_flags: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    rank_flag: str | None = None
    ray_words: tuple[str, ...] = ()


_SOME = pattern(r"--gpus[ =][\"']*(?:device=)([A-Za-z0-9,-]+)")
_COUNT = pattern(r"--gpus[ =]([0-9]{1,3})(?: |$)")
_BY_CDI = pattern(r"--device[ =]nvidia\.com/gpu=([0-9]{1,3})(?: |$)")


def shown_gpus(words: Sequence[str]) -> dict[str, str]:
    """Return the variable that shows a program the GPUs which ``docker run`` gives its container.

    ``--gpus 2``, ``--gpus '"device=0,1"'`` and podman's ``--device nvidia.com/gpu=0``; empty where all
    are given, or nothing is said.
    """
    text = " ".join(words)
    if some := _SOME.search(text):
        return {"CUDA_VISIBLE_DEVICES": some[1]}
    if count := _COUNT.search(text):
        return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(int(count[1]))))}
    named = _BY_CDI.findall(text)
    return {"CUDA_VISIBLE_DEVICES": ",".join(named)} if named else {}
