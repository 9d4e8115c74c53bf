"""Say how this engine is talked to: command, log, container."""

from __future__ import annotations

from types import MappingProxyType

from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.tensorrt_llm import command

FACE = Face(
    command=CommandReader(program="trtllm-serve", starts=command.starts, read=command.read_command),
    container=Container(
        images=MappingProxyType({"nvidia": "nvcr.io/nvidia/tensorrt-llm/release:{version}"}),
        port=8000,
        listen=("--host", "0.0.0.0"),
    ),
)
