"""Say how this engine is talked to: command, log, container."""

from __future__ import annotations

from planner.engines.face import CommandReader, Face
from planner.engines.ktransformers import command

FACE = Face(
    command=CommandReader(
        program="sglang serve --kt-method ...", starts=command.starts, read=command.read_command
    ),
)
