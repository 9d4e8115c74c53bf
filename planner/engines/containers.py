"""How each engine runs in a container, as data: image, port, health check, words of one node.

Images are those that the projects publish; tags follow the planned release. Whether a tag exists
for a given GPU is not checked (no registry is asked).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

HEAD_ADDRESS = "HEAD_ADDRESS"
"""Stands in commands for the address of the first node."""


@dataclass(frozen=True, slots=True, kw_only=True)
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


CONTAINERS: Mapping[str, Container] = MappingProxyType(
    {
        "vllm": Container(
            images=MappingProxyType(
                {"nvidia": "vllm/vllm-openai:v{version}", "amd": "vllm/vllm-openai-rocm:latest"}
            ),
            port=8000,
            node_flags=MappingProxyType(
                {"--nnodes": 1, "--master-addr": 1, "--node-rank": 1, "--headless": 0}
            ),
            rank_flag="--node-rank",
            ray_words=("--distributed-executor-backend", "ray"),
        ),
        "sglang": Container(
            images=MappingProxyType(
                {"nvidia": "lmsysorg/sglang:v{version}", "amd": "lmsysorg/sglang:v{version}-rocm"}
            ),
            port=30000,
            listen=("--host", "0.0.0.0"),
            node_flags=MappingProxyType({"--nnodes": 1, "--node-rank": 1, "--dist-init-addr": 1}),
            rank_flag="--node-rank",
        ),
        "llamacpp": Container(
            images=MappingProxyType(
                {
                    "nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda",
                    "amd": "ghcr.io/ggml-org/llama.cpp:server-rocm",
                    "intel": "ghcr.io/ggml-org/llama.cpp:server-intel",
                }
            ),
            port=8080,
            listen=("--host", "0.0.0.0"),
        ),
        "tensorrt-llm": Container(
            images=MappingProxyType({"nvidia": "nvcr.io/nvidia/tensorrt-llm/release:{version}"}),
            port=8000,
            listen=("--host", "0.0.0.0"),
        ),
    }
)
"""Engines that are commonly run in containers, by name."""
