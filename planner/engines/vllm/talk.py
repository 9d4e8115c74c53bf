"""Say how this engine is talked to: command, log, container."""

from __future__ import annotations

from types import MappingProxyType

from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.vllm import command
from planner.engines.vllm.log import LOG_READER

FACE = Face(
    command=CommandReader(program="vllm serve", starts=command.starts, read=command.read_command),
    log=LOG_READER,
    container=Container(
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
)
