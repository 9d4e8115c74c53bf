"""Keep keys, tokens and passwords out of what is shown: in a text, in words, in values.

Commands and logs of strangers carry them. A launch command is freed of them as it is read
(`engines/command.py`), an error as it is raised, a line of a log as it is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

HIDDEN = "***"
"""Stands where a secret stood."""

_KEY = r"(?:api|access|private|auth|signing|encryption)[-_]?key"
_NAME = rf"(?:{_KEY}|passw(?:or)?d|passphrase|secret|credentials?|authorization|bearer)"
_ORDINARY = r"(?<!eos_)(?<!bos_)(?<!pad_)(?<!unk_)(?<!image_)(?<!video_)(?<!audio_)(?<!stop_)"
"""In front of ``token``: it is one of text then."""
_NAMES = rf"(?i){_NAME}(?!\w*[-_]?(?:file|path)s?$)|{_ORDINARY}token$|^-hft$|^key$|[-_.]pwd$"
_WORD = r"""(?:(?:bearer|basic)\s{1,3})?[^\s"',})\]]{4,}"""
_VALUE = (
    r"""\s{0,3}(?:"(?P<double>(?:[^"\\\n]|\\.){1,300})"|'(?P<single>(?:[^'\\\n]|\\.){1,300})'"""
    rf"""|\[(?P<list>[^\]\n]{{1,300}})\]|[\\"'\[({{]{{0,4}}(?P<bare>{_WORD}))"""
)
_NUMBER = r"(?!\s{0,3}-?\d[\d.,]*(?:\s|[,})\]]|$))"
_NAMED = (
    rf"""(?i){_NAME}(?:[-_](?!file|path)\w{{1,30}}){{0,3}}\\?["']?\s{{0,3}}[=:]{_VALUE}""",
    rf"""(?i){_NAME}["']? {_VALUE}""",
    rf"""(?i)(?:--[\w-]{{0,30}}token|(?<!\S)-hft)["']? {_VALUE}""",
    rf"""(?i){_ORDINARY}token\\?["']?\s{{0,3}}[=:]{_NUMBER}{_VALUE}""",
)
"""A name of a secret, and the value behind it, quoted or not."""
_BY_LOOKS = (
    (
        r"\b(?:hf_(?=\w*[A-Z0-9])|sk-|ghp_|github_pat_|glpat-|AKIA|xox[a-z]-)[\w-]{4,}",
        HIDDEN,
    ),
    (r"""(?<=://)[^\s/"'<>]{1,400}(?=@)""", HIDDEN),
    (
        r"""(?i)((?:https?|rediss?)://[^\s/:@\[\]"']{1,200}:)(?!\d{1,5}(?:\D|$)|port\b|[${<*])[^\s/"',]{2,200}""",
        rf"\1{HIDDEN}",
    ),
)
"""What is a secret by its own looks: tokens of known services, and what stands in an address before
its host; also where the address is cut off."""


def without_secrets(text: str) -> str:
    """Return `text` with ``***`` for what looks like a key, a token or a password."""
    for pattern in _NAMED:
        text = re.sub(pattern, _hidden, text)
    for pattern, instead in _BY_LOOKS:
        text = re.sub(pattern, instead, text)
    return text


def _hidden(match: re.Match[str]) -> str:
    """Return a name with its value hidden; quotation marks stay, so that it can still be read."""
    group = match.lastgroup or "bare"
    start, end = match.span(group)
    inner = f"'{HIDDEN}'" if group == "list" else HIDDEN
    whole = match.string
    return whole[match.start() : start] + inner + whole[end : match.end()]


def is_secret(name: str) -> bool:
    """Say whether a flag, a variable or a key of that name holds a secret."""
    return re.search(_NAMES, name) is not None


def as_variables(
    argv: Iterable[str], variable: Callable[[str], str], plain: Callable[[str], str]
) -> Iterator[str]:
    """Yield the words of a command to copy, with a variable in place of each secret of a flag.

    Args:
        argv: the words, ``***`` for secrets.
        variable: writes a variable, whose name is that of the flag: ``API_KEY``.
        plain: writes any other word.
    """
    flag = ""
    for word in argv:
        name, _, value = word.partition("=")
        if value == HIDDEN and name.startswith("-"):
            yield f"{name}={variable(variable_of(name))}"
        elif word == HIDDEN and flag:
            yield variable(variable_of(flag))
        else:
            yield plain(word)
        flag = word if word.startswith("-") else flag


def secret_variables(argv: Iterable[str]) -> list[str]:
    """Return the names of the variables that stand for the secrets of a command."""
    found = list[str]()

    def kept(name: str) -> str:
        found.append(name)
        return name

    for _ in as_variables(argv, kept, str):
        pass
    return found


def variable_of(flag: str) -> str:
    """Return the name of the variable that stands for a flag's secret: ``API_KEY``."""
    name = re.sub(r"\W+", "_", flag.strip("-")).upper()
    return "HF_TOKEN" if name == "HFT" else name


def words_without_secrets(words: Iterable[str]) -> tuple[str, ...]:
    """Return the words of a command with ``***`` for secrets.

    They may stand behind a flag, in one word with it, in JSON or in an address.
    """
    found: list[str] = []
    hiding = False
    for word in words:
        name, told, value = word.partition("=")
        if word.startswith("-") and len(word) > 1:
            hiding = is_secret(name) and not told
        elif hiding:
            found.append(HIDDEN)
            continue
        named = (
            told and value and name.lstrip("-").replace("-", "_").replace(".", "_").isidentifier()
        )
        found.append(f"{name}={_value_of(name, value)}" if named else _text(word))
    return tuple(found)


def values_without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return named values, nested ones too, with ``***`` for secrets."""
    return {name: _value_of(str(name), value) for name, value in values.items()}


def _value_of(name: str, value: Any) -> Any:
    """Return a value without secrets, of which its name may say that it is one itself."""
    if isinstance(value, Mapping):
        return values_without_secrets(value)
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return type(value)(_value_of(name, part) for part in value) if value else value
    if isinstance(value, str):
        return HIDDEN if value and is_secret(name) else _text(value)
    if isinstance(value, list):
        return [_value_of(name, part) for part in value]
    return value


def _text(word: str) -> str:
    """Return one word without secrets; JSON by its names."""
    if word[:1] in ("{", "["):
        import json

        try:
            told = json.loads(word)
        except (ValueError, RecursionError):
            return without_secrets(word)
        plain = _value_of("", told)
        return word if plain == told else json.dumps(plain)
    return without_secrets(word)
