"""Say how this engine is talked to: command, log, container."""

from __future__ import annotations

from types import MappingProxyType

from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.sglang import command
from planner.engines.sglang.log import LOG_READER

FACE = Face(
    command=CommandReader(program="sglang serve", starts=command.starts, read=command.read_command),
    log=LOG_READER,
    container=Container(
        images=MappingProxyType(
            {"nvidia": "lmsysorg/sglang:v{version}", "amd": "lmsysorg/sglang:v{version}-rocm"}
        ),
        port=30000,
        listen=("--host", "0.0.0.0"),
        node_flags=MappingProxyType({"--nnodes": 1, "--node-rank": 1, "--dist-init-addr": 1}),
        rank_flag="--node-rank",
    ),
)
