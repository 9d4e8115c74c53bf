"""Launch commands by engine: which program is meant, and what it was told."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.containers import CONTAINERS
from planner.engines.ktransformers import command as ktransformers_command
from planner.engines.llamacpp import command as llamacpp_command
from planner.engines.mlx import command as mlx_command
from planner.engines.sglang import command as sglang_command
from planner.engines.shell_words import SEPARATOR, is_assignment, shell_words
from planner.engines.tensorrt_llm import command as tensorrt_llm_command
from planner.engines.vllm import command as vllm_command
from planner.errors import InputError

Read = Callable[[Sequence[str], Mapping[str, str]], Command]
Starts = Callable[[Sequence[str]], int | None]

RUNNERS = ("docker", "podman", "nerdctl")
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+(?:\.post\d+)?)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CommandReader:
    """How an engine's command is recognised and read.

    Attributes:
        program: what it looks like, for people.
        starts: how many leading words name the program; None if they name another one.
        read: the words behind them, and the variables set in front, as a `Command`.
    """

    program: str
    starts: Starts
    read: Read


COMMAND_READERS: Mapping[str, CommandReader] = MappingProxyType(
    {
        "vllm": CommandReader(
            program="vllm serve", starts=vllm_command.starts, read=vllm_command.read_command
        ),
        # before SGLang, whose program it starts with flags of its own
        "ktransformers": CommandReader(
            program="sglang serve --kt-method ...",
            starts=ktransformers_command.starts,
            read=ktransformers_command.read_command,
        ),
        "sglang": CommandReader(
            program="sglang serve",
            starts=sglang_command.starts,
            read=sglang_command.read_command,
        ),
        "llamacpp": CommandReader(
            program="llama-server",
            starts=llamacpp_command.starts,
            read=llamacpp_command.read_command,
        ),
        "mlx": CommandReader(
            program="mlx_lm.server", starts=mlx_command.starts, read=mlx_command.read_command
        ),
        "tensorrt-llm": CommandReader(
            program="trtllm-serve",
            starts=tensorrt_llm_command.starts,
            read=tensorrt_llm_command.read_command,
        ),
    }
)
"""Engines whose commands can be read, by name."""


def read_words(engine: str, words: Sequence[str]) -> Command:
    """The words behind the program's name, read as `engine` reads them.

    Raises:
        InputError: commands of this engine are not read, or a word cannot be.
    """
    reader = COMMAND_READERS.get(engine)
    if reader is None:
        raise InputError(f"commands of {engine} are not read; of {', '.join(COMMAND_READERS)} are")
    return reader.read(words, {})


def read_command(text: str | Sequence[str]) -> tuple[str, Command]:
    """The engine that a launch command starts, and what it tells it.

    Variables set in front, ``docker run`` around it and other commands before and after it are
    understood; of several server commands the first counts.

    Args:
        text: what is typed, over one or several lines; or the words themselves.

    Raises:
        InputError: no server is started, or a flag or value cannot be read.
    """
    words = shell_words(text) if isinstance(text, str) else list(text)
    environment: dict[str, str] = {}
    for place, word in enumerate(words):
        for name, reader in COMMAND_READERS.items():
            length = reader.starts(words[place:])
            if length is not None:
                return name, reader.read(_until_end(words[place + length :]), environment)
        if word in RUNNERS and words[place + 1 : place + 2] == ["run"]:
            found = _in_container(_until_end(words[place + 2 :]), environment)
            if found is not None:
                return found
        if is_assignment(word):
            key, _, value = word.partition("=")
            environment[key] = value
    programs = ", ".join(reader.program for reader in COMMAND_READERS.values())
    raise InputError(f"command: it starts no server that is known ({programs})")


def _until_end(words: Sequence[str]) -> list[str]:
    return list(words[: words.index(SEPARATOR)] if SEPARATOR in words else words)


def _in_container(words: Sequence[str], before: Mapping[str, str]) -> tuple[str, Command] | None:
    """The server that a container's image starts; None if the words behind it say which."""
    environment = dict(before)
    for place, word in enumerate(words):
        name, release = _engine_of_image(word)
        if name is None:
            if is_assignment(word):
                key, _, value = word.partition("=")
                environment[key] = value
            continue
        reader, rest = COMMAND_READERS[name], list(words[place + 1 :])
        for start in range(min(len(rest), 4)):
            length = reader.starts(rest[start:])
            if length is not None:
                rest = rest[start + length :]
                break
        return name, _of_release(reader.read(rest, environment), release)
    return None


def _engine_of_image(word: str) -> tuple[str | None, str | None]:
    image, _, tag = word.partition(":")
    for name, container in CONTAINERS.items():
        known = {known.partition(":")[0] for known in container.images.values()}
        if name in COMMAND_READERS and any(
            image == repository or image.endswith(f"/{repository}") for repository in known
        ):
            match = _RELEASE.match(tag)
            return name, match[1] if match else None
    return None, None


def _of_release(command: Command, release: str | None) -> Command:
    """The command under the rules of the image's release, where its tag names one."""
    known = {field.name for field in dataclasses.fields(command.options)}
    if release is None or "version" not in known:
        return command
    options = dataclasses.replace(command.options, version=release)
    return dataclasses.replace(command, options=options)
