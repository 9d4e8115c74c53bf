"""Read launch commands: which engine's program is meant, and what it was told."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from planner.engines import ENGINES, FACES
from planner.engines.command import Command
from planner.engines.containers import shown_gpus
from planner.engines.face import CommandReader
from planner.engines.manifests import containers_in
from planner.engines.options import build, declared
from planner.engines.other_programs import not_planned
from planner.engines.shell_words import SEPARATOR, expanded, is_assignment, shell_words
from planner.engines.words import FlagTable, is_flag, sort_words
from planner.errors import InputError

SHELLS = ("bash", "sh", "zsh", "dash")
_RUNS = re.compile(r"-[a-z]*c")
"""The flag of a shell that runs what follows: ``-c``, ``-lc``."""

LEAST_WORDS = 2
"""Words of a command: a program and what it is told."""

RUNNERS = ("docker", "podman", "nerdctl")
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+(?:\.post\d+)?)")


def readers() -> Mapping[str, CommandReader]:
    """Return the readers of all engines whose commands can be read, the most particular first.

    KTransformers starts SGLang's program with flags of its own, so it is asked before SGLang.
    """
    faces = ((name, FACES[name].command) for name in reversed(tuple(FACES)))
    return {name: reader for name, reader in faces if reader is not None}


def read_words(engine: str, words: Sequence[str]) -> Command:
    """Return what the flags that somebody types behind a model tell `engine`.

    Raises:
        InputError: a flag or value cannot be read.
    """
    reader = FACES[engine].command
    if reader is None:
        return _options_alone(engine, words)
    return reader.read(words, {})


def _options_alone(engine: str, words: Sequence[str]) -> Command:
    """Return the options of an engine without a command line, spelled as flags.

    Raises:
        InputError: a word that is none of them.
    """
    found = sort_words(words, FlagTable(options=ENGINES[engine].options_type))
    strange = (*found.kept, *found.positional)
    if strange:
        raise InputError(
            f"{strange[0]}: {engine} has no such option; known:"
            f" {', '.join(sorted(declared(ENGINES[engine].options_type)))}"
        )
    return Command(options=found.options)


def strange_flags(engine: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return the flags among `words` that `engine` does not know."""
    reader = FACES[engine].command
    if reader is None:
        return ()
    flags = (word.partition("=")[0].partition(".")[0] for word in words if is_flag(word))
    return tuple(flag for flag in flags if reader.flags.spelling(flag) is None)


def known_words(engine: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return of `words` the flags that `engine` knows, each with the values behind it."""
    reader, found, known = FACES[engine].command, list[str](), False
    for word in words:
        if is_flag(word):
            flag = word.partition("=")[0].partition(".")[0]
            known = reader is not None and reader.flags.spelling(flag) is not None
        found += [word] if known else []
    return tuple(found)


def engines_with(flag: str) -> tuple[str, ...]:
    """Return the engines for which `flag` matters: it sets an option or a part of the question."""
    found = []
    for name, reader in readers().items():
        spelling = reader.flags.spelling(flag)
        if spelling is not None and "kept" not in reader.flags.known[spelling][0]:
            found.append(name)
    return tuple(name for name in ENGINES if name in found)


def known_to_any(flag: str) -> bool:
    """Say whether some engine knows `flag`, whatever it does there."""
    return any(reader.flags.spelling(flag) is not None for reader in readers().values())


def read_command(text: str | Sequence[str]) -> tuple[str, Command]:
    """The engine that a launch command starts, and what it tells it.

    Variables set in front, ``docker run`` around it and other commands before and after it are
    understood, and Compose and Kubernetes files; of several server commands the first counts.

    Args:
        text: what is typed, over one or several lines; or the words themselves.

    Raises:
        InputError: no server is started, or a flag or value cannot be read.
    """
    if isinstance(text, str):
        for container in containers_in(text):
            with contextlib.suppress(NoServerError):
                return read_command(container)
    words = expanded(_of_shells(shell_words(text) if isinstance(text, str) else list(text)))
    environment: dict[str, str] = {}
    known = readers()
    for place, word in enumerate(words):
        for name, reader in known.items():
            length = reader.starts(words[place:])
            if length is not None:
                behind = _until_end(words[place + length :])
                command = reader.read(behind, environment)
                own = word.rpartition("/")[2] in reader.program.split()
                if command.model is None and not own and (instead := not_planned(words[place:])):
                    raise InputError(instead)
                return name, _whole(name, reader, command)
        if word in RUNNERS and words[place + 1 : place + 2] == ["run"]:
            found = _in_container(known, _until_end(words[place + 2 :]), environment)
            if found is not None:
                return found
        if is_assignment(word):
            key, _, value = word.partition("=")
            environment[key] = value
    for word in words:
        for inner in _given_to_run(word):
            with contextlib.suppress(NoServerError):
                return read_command(inner)
    if (instead := not_planned(words)) is not None:
        raise InputError(instead)
    raise NoServerError(_unknown(known))


def is_command(text: str) -> bool:
    """Say whether a text starts a program, planned or not, and is no model's name."""
    if len(text.split()) < LEAST_WORDS:
        return False
    try:
        shell_words(text)
    except InputError:  # an apostrophe
        return False
    try:
        read_command(text)
    except NoServerError:
        return False
    except InputError:
        pass
    return True


def refuse_command(name: object) -> None:
    """Refuse a launch command where a model is expected, with who reads it.

    Raises:
        InputError: it is one.
    """
    if isinstance(name, str) and " " in name and is_command(name):
        raise InputError(
            "a launch command stands where a model is expected: `qwenplan plan --command` reads it,"
            " in Python planner.plan_command"
        )


def _given_to_run(word: str) -> Iterator[list[str]]:
    """Yield the words that another program is given to run in one (``ssh box 'vllm serve ...'``)."""
    with contextlib.suppress(InputError):
        words = shell_words(word)
        if len(words) > 1:
            yield words


class NoServerError(InputError):
    """A command starts no server that is known."""


def _unknown(known: Mapping[str, CommandReader]) -> str:
    programs = ", ".join(reader.program for reader in known.values())
    return (
        f"command: it starts no server that is known ({programs}); `qwenplan plan MODEL --on HARDWARE`"
        " needs no command"
    )


def _of_shells(words: Sequence[str]) -> list[str]:
    """Return the words with those that a shell is given to run (``bash -c "..."``) in its place."""
    for place, word in enumerate(words):
        flags = words[place + 1 : place + 2]
        if word.rpartition("/")[2] in SHELLS and flags and _RUNS.fullmatch(flags[0]):
            inner = [part for text in words[place + 2 : place + 3] for part in shell_words(text)]
            return [*words[:place], *_of_shells(inner), *words[place + 3 :]]
    return list(words)


def _until_end(words: Sequence[str]) -> list[str]:
    return list(words[: words.index(SEPARATOR)] if SEPARATOR in words else words)


def _whole(engine: str, reader: CommandReader, command: Command) -> Command:
    """Return `command`, which must name its model and make sense as a whole.

    Raises:
        InputError: it does not.
    """
    build(engine, ENGINES[engine].options_type, command.options)
    if command.model is None:
        raise InputError(
            f"command: {reader.program} names no model; what a file of settings says is not read: write"
            " the model and the flags behind the program"
        )
    if "$" in command.model:
        raise InputError(
            f"command: {command.model} is set nowhere in it: write the model in its place"
        )
    return command


def _in_container(
    known: Mapping[str, CommandReader], words: Sequence[str], before: Mapping[str, str]
) -> tuple[str, Command] | None:
    """The server that a container's image starts; None if the words behind it say which."""
    environment = dict(before)
    for place, word in enumerate(words):
        name, release = _engine_of_image(known, word)
        if name is None:
            if is_assignment(word):
                key, _, value = word.partition("=")
                environment[key] = value
            continue
        environment = {**shown_gpus(words[:place]), **environment}
        reader, rest = known[name], list(words[place + 1 :])
        for start in range(min(len(rest), 4)):
            length = reader.starts(rest[start:])
            if length is not None:
                rest = rest[start + length :]
                break
        return name, _of_release(
            name, _whole(name, reader, reader.read(rest, environment)), release
        )
    return None


def _engine_of_image(
    known: Mapping[str, CommandReader], word: str
) -> tuple[str | None, str | None]:
    image, _, tag = word.partition(":")
    for name in known:
        container = FACES[name].container
        repositories = {
            published.partition(":")[0]
            for published in (container.images.values() if container is not None else ())
        }
        if any(image == repo or image.endswith(f"/{repo}") for repo in repositories):
            match = _RELEASE.match(tag)
            return name, match[1] if match else None
    return None, None


def _of_release(engine: str, command: Command, release: str | None) -> Command:
    """Return the command under the rules of the image's release, where its tag names one."""
    known = {field.name for field in dataclasses.fields(ENGINES[engine].options_type)}
    if release is None or "version" not in known:
        return command
    options = {"version": release, **command.options}
    return dataclasses.replace(command, options=options)
