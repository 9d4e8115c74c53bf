"""What somebody wrote for a checkpoint, taken apart: repository, file, label or tag."""

from __future__ import annotations

import re

from hardware_db.records import frozen
from hardware_db.regex import pattern
from planner.model.catalog import LONGEST

_BEFORE = pattern(r"(?:(?:-hf|-hfr|--hf-repo|--model|-m)[ =]|(?:ollama (?:run|pull) ))\s*", re.I)
_HOSTS = pattern(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|registry\.ollama\.ai|ollama\.com)/|hf://",
    re.I,
)
_LIBRARY = pattern(r"library/", re.I)
_PAGE = pattern(r"(?P<repo>[^/]+/[^/]+)/(?:blob|resolve|raw|tree)/[^/]+(?:/(?P<file>.+))?")
_WORD = pattern(r"[\w.+-]+(?::[\w.+-]*)?", re.ASCII)
_REPO = pattern(r"(?P<repo>[\w.+-]+/[\w.+-]+)(?:@[\w.]+)?(?::(?P<label>[\w.+ -]+))?", re.ASCII)


_SPACED = pattern(r"([\w.+-]+/[\w.+-]*gguf)\s+([\w.-]+)", re.ASCII | re.I)
"""A GGUF repository and the file of it that is meant, with a space between them."""


@frozen
class Written:
    """A name taken apart.

    Attributes:
        word: what was written, without programs and hosts around it.
        repo: ``organisation/name``, if there is one.
        file: a GGUF file's name, if there is one.
        label: which file of the repository (``Q4_K_M``), if it is said.
        tag: it is written as Ollama's library names models: ``qwen3.6:35b``.
    """

    word: str
    repo: str | None = None
    file: str | None = None
    label: str | None = None
    tag: bool = False


def read_written(name: str) -> Written | None:
    """Return `name` taken apart; None if it cannot be a checkpoint's name."""
    text = name.strip()
    if " " in text or "=" in text:
        text = _BEFORE.sub("", text, count=1)
    text = text.strip().strip("\"'").strip("/")
    host = _HOSTS.match(text) if "/" in text else None
    if host is not None:
        text = _LIBRARY.sub("", text[host.end() :].partition("?")[0], count=1)
    if not text or len(text) > LONGEST or not text.isascii() or not text.isprintable():
        return None
    page = _PAGE.fullmatch(text) if "/" in text else None
    if page is not None:
        return _file_or_repository(text, page["repo"], page["file"])
    if text.lower().endswith(".gguf"):
        parts = text.replace("\\", "/").split("/")
        within = len(parts) > 2 and _REPO.fullmatch("/".join(parts[:2])) is not None
        return Written(word=text, repo="/".join(parts[:2]) if within else None, file=parts[-1])
    if "/" in text:
        spaced = _SPACED.fullmatch(text)
        repository = _REPO.fullmatch(text if spaced is None else f"{spaced[1]}:{spaced[2]}")
        if repository is not None:
            return Written(word=text, repo=repository["repo"], label=repository["label"])
    if _WORD.fullmatch(text):
        return Written(word=text, tag=":" in text)
    return None


def _file_or_repository(text: str, repo: str, file: str | None) -> Written:
    if file is not None and file.lower().endswith(".gguf"):
        return Written(word=text, repo=repo, file=file.rpartition("/")[2])
    return Written(word=text, repo=repo)
