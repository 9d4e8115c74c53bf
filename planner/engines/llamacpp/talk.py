"""Say how this engine is talked to: command, log, container."""

from __future__ import annotations

from types import MappingProxyType

from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.llamacpp import command
from planner.engines.llamacpp.log import LOG_READER
from planner.engines.llamacpp.ollama import modelfile

FACE = Face(
    command=CommandReader(program="llama-server", starts=command.starts, read=command.read_command),
    log=LOG_READER,
    container=Container(
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
    modelfile=modelfile,
)
