"""What people write to name a model on the Hub, taken apart."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from hardware_db.records import frozen
from planner.errors import InputError, UnsupportedModelError, clip

PUBLIC_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
"""Hosts whose pages name repositories of the Hub, whichever endpoint then serves them."""

_MAX_ADDRESS = 1000
# The Hub's own rule for names (huggingface_hub 2.4.0 utils/_validators.py, validate_repo_id).
_REPO = re.compile(
    r"(?=.{1,96}$)[A-Za-z0-9](?:[\w.-]*\w)?(?:/[A-Za-z0-9](?:[\w.-]*\w)?)?", re.ASCII
)
_FULL_REF = re.compile(r"refs/(?:pr/\d+|convert/[\w-]+|heads/[^/]+|tags/[^/]+)")
_OTHER_REPOSITORIES = {"datasets": "a dataset", "spaces": "a Space", "collections": "a collection"}
_PAGES = ("tree", "blob", "resolve", "raw", "discussions", "commits")


@frozen
class Address:
    """One repository of the Hub, and what of it.

    Attributes:
        repo: "Qwen/Qwen3.5-27B".
        revision: branch, tag or commit; None for the default branch.
        file: one file of it, if the address names one.
        pattern: which GGUF, where it is written as llama.cpp takes it ("org/name-GGUF:Q4_K_M").
    """

    repo: str
    revision: str | None = None
    file: str | None = None
    pattern: str | None = None


def parse_address(text: str, hosts: Collection[str] = ()) -> Address:
    """Read a repository id, a page's or file's URL, or an hf:// address.

    Args:
        text: "Qwen/Qwen3.5-27B", "org/name@revision", "org/name-GGUF:Q4_K_M",
            "https://huggingface.co/org/name/tree/REV", ".../blob/REV/file.gguf", "hf://org/name".
        hosts: hosts beside the public ones that are the Hub (of a configured endpoint).

    Raises:
        InputError: it is none of these.
        UnsupportedModelError: a dataset or Space.
    """
    written = text.strip()
    shown = clip(repr(written), 120)
    if not written or len(written) > _MAX_ADDRESS or not is_text(written):
        raise InputError(f"name a repository such as Qwen/Qwen3.5-27B, not {shown}")
    scheme, separator, rest = written.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        path = _path_of_page(written, {*PUBLIC_HOSTS, *hosts}, shown)
    elif separator and scheme.lower() == "hf":
        path = rest.removeprefix("models/")
    elif written.split("/", 1)[0].lower() in PUBLIC_HOSTS and "/" in written:
        path = unquote(written.split("/", 1)[1])  # a page's address without its https://
    elif separator:
        raise InputError(f"{shown}: an address of the Hub begins with https:// or hf://")
    else:
        path = written
    return _from_path(path.strip("/"), shown)


def _path_of_page(url: str, hosts: Collection[str], shown: str) -> str:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise InputError(f"{shown} is not a readable URL") from None
    if host not in hosts:
        raise InputError(
            f"{shown}: repositories are read from {PUBLIC_HOSTS[0]}, not from "
            f"{clip(host) or 'there'}"
        )
    # The page of a pull request writes its revision as refs%2Fpr%2F1, one segment of the path.
    return unquote(parts.path)


def _from_path(path: str, shown: str) -> Address:
    parts = path.split("/")
    if parts[0] in _OTHER_REPOSITORIES and len(parts) > 1:
        raise UnsupportedModelError(f"{shown} is {_OTHER_REPOSITORIES[parts[0]]}, not a model")
    if parts[0] == "models" and len(parts) > 2:
        parts = parts[1:]
    repo, pattern, revision, file = "/".join(parts[:2]), None, None, None
    repo, _, after = repo.partition("@")
    if after:
        revision, _, pattern = "/".join([after, *parts[2:]]).partition(":")
        if not _FULL_REF.fullmatch(revision) and len(parts) > 2:
            revision, file = after, "/".join(parts[2:])
    elif len(parts) > 3 and parts[2] in ("tree", "blob", "resolve", "raw"):
        revision, file = _revision_and_file("/".join(parts[3:]))
        file = file if parts[2] != "tree" else None
    elif len(parts) == 2 or len(parts) == 1:
        repo, _, pattern = repo.partition(":")
    elif parts[2] not in _PAGES:
        file = "/".join(parts[2:])
        if not file.lower().endswith((".gguf", ".safetensors", ".json")):
            repo = ""  # neither a page of the Hub nor a file that could be read
    if not is_repository(repo):
        raise InputError(f"{shown} is not a repository id; write it as org/name")
    return Address(repo=repo, revision=revision or None, file=file or None, pattern=pattern or None)


def is_repository(repo: str) -> bool:
    """Return whether the Hub allows `repo` as a repository's id."""
    return bool(_REPO.fullmatch(repo)) and not (
        "--" in repo or ".." in repo or repo.endswith(".git")
    )


def is_text(text: str) -> bool:
    """Return whether `text` can be sent: half a surrogate pair, as JSON may hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _revision_and_file(path: str) -> tuple[str, str | None]:
    match = _FULL_REF.match(path)
    revision = match[0] if match else path.split("/", 1)[0]
    return revision, path[len(revision) + 1 :] or None
