"""What a repository of the Hub is: its commit, its files, its config; or why that cannot be told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from hardware_db.records import frozen
from planner.errors import (
    InputError,
    OfflineError,
    PlannerError,
    SourceError,
    UnknownModelError,
    clip,
)
from planner.hub.address import Address, is_repository, is_text, parse_address
from planner.hub.cache import cached_file, cached_snapshot
from planner.hub.session import (
    RETRIED,
    Answer,
    HubSession,
    RefusedError,
    StatusError,
    is_offline,
    open_session,
)
from planner.model.headers import MAX_INDEX_BYTES, MAX_JSON_BYTES, parse_json
from planner.model.local_files import list_folder, read_json
from planner.model.weight_files import refuse_other_kinds

CONFIG_FILE = "config.json"
"""The architecture, and often the quantization."""

QUANTIZATION_FILE = "hf_quant_config.json"
"""Where NVIDIA's ModelOpt says how it quantized."""

_MAX_CONFIG = 2**22
_COMMIT = re.compile(r"[0-9a-f]{40}")


@frozen
class HubRepository:
    """One commit of a repository.

    Attributes:
        repo: its id as the Hub writes it.
        commit: full hash.
        revision: what was asked for; None for the default branch.
        config: ``config.json``; None if there is none (GGUF repositories).
        quantization: ``hf_quant_config.json``; None if there is none.
        files: (path, bytes or None where the Hub does not say), in the Hub's order.
        source: "hub", or "cache" when the Hub was not asked or not reached.
        notes: what a user should know: that the cache was used and why, a new name.
        file: the file that the address named, if it named one.
        pattern: the GGUF that the address named, if it named one.
        folder: the cache's copy, where the source is the cache.
        session: how it was asked for, and how its headers are.
    """

    repo: str
    commit: str
    revision: str | None
    config: Mapping[str, Any] | None
    quantization: Mapping[str, Any] | None
    files: tuple[tuple[str, int | None], ...]
    source: Literal["hub", "cache"]
    notes: tuple[str, ...] = ()
    file: str | None = None
    pattern: str | None = None
    folder: Path | None = None
    session: HubSession = field(repr=False, compare=False)

    @property
    def listing(self) -> dict[str, int | None]:
        """Path -> bytes."""
        return dict(self.files)


def fetch_repository(
    repo_or_url: str,
    revision: str | None = None,
    *,
    token: str | None = None,
    anonymous: bool = False,
    known: Iterable[str] = (),
    session: HubSession | None = None,
) -> HubRepository:
    """Ask the Hub what a repository is; if it cannot be reached, huggingface_hub's cache.

    Args:
        repo_or_url: see `parse_address`.
        revision: branch, tag or commit; goes before one that the address names.
        token: instead of the configured one.
        anonymous: ask as anybody: no token, and no use of this machine's cache.
        known: ids to find the nearest names in when there is no such repository.
        session: how to ask; made from the settings if not given.

    Raises:
        InputError: no address, no such revision.
        UnknownModelError: no such repository; carries the nearest names.
        UnsupportedModelError: an adapter, a pipeline, a dataset, a Space.
        OfflineError: no network (or HF_HUB_OFFLINE), and it is not in the cache.
        SourceError: gated, private or disabled, or the Hub does not answer properly.
    """
    session = session or open_session(token, anonymous=anonymous)
    address = parse_address(repo_or_url, session.hosts)
    wanted = revision or address.revision
    if wanted is not None and not is_text(wanted):
        raise InputError(f"{clip(repr(wanted))} is not a revision")
    if is_offline():
        return _from_cache(address, wanted, session, OfflineError("HF_HUB_OFFLINE is set"))
    try:
        return _from_hub(address, wanted, session, tuple(known))
    except RefusedError:
        raise
    except SourceError as error:
        return _from_cache(address, wanted, session, error)


def fetch_config(repo_or_url: str, revision: str | None = None, **options: Any) -> dict[str, Any]:
    """The ``config.json`` of a repository; arguments and errors as for `fetch_repository`.

    Raises:
        InputError: it has none.
    """
    repository = fetch_repository(repo_or_url, revision, **options)
    if repository.config is None:
        raise InputError(f"{repository.repo} has no {CONFIG_FILE} (a GGUF repository?)")
    return dict(repository.config)


def file_url(session: HubSession, repo: str, commit: str, name: str) -> str:
    """Where one file of a commit is fetched from."""
    return f"{session.endpoint}/{quote(repo)}/resolve/{quote(commit, safe='')}/{quote(name)}"


def fetch_document(repository: HubRepository, name: str, most: int) -> dict[str, Any]:
    """One JSON file of a repository, from the cache if it holds that very commit's.

    Raises:
        InputError: it is damaged or too long.
        SourceError: gated or otherwise refused, or the Hub is not to be reached.
    """
    return _document(repository.session, repository.repo, repository.commit, name, most)


def _document(session: HubSession, repo: str, commit: str, name: str, most: int) -> dict[str, Any]:
    kept = None if session.anonymous else cached_file(repo, name, commit)
    if kept is not None:
        return read_json(kept, most)
    try:
        answer = session.get(file_url(session, repo, commit, name), most=most)
    except StatusError as error:
        explain(error, repo, commit, session)
    refuse_pages(answer, f"{repo}/{name}")
    return parse_json(answer.body, f"{repo}/{name}", most)


def refuse_pages(answer: Answer, what: str) -> None:
    """Refuse a web page or nothing at all in place of a document.

    Raises:
        SourceError: so that a login page between here and the Hub is not called a damaged file.
    """
    start = answer.body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = "a web page" if start.startswith(b"<") else "" if start else "an empty answer"
    if kind:
        host = clip(urlsplit(answer.url).netloc)
        raise SourceError(
            f"{what}: {kind} came from {host} instead of JSON; a login page of the network or a "
            "proxy may stand in between"
        )


def _from_hub(
    address: Address, revision: str | None, session: HubSession, known: tuple[str, ...]
) -> HubRepository:
    url = f"{session.endpoint}/api/models/{quote(address.repo)}"
    if revision is not None:
        url += f"/revision/{quote(revision, safe='')}"
    try:
        answer = session.get(f"{url}?blobs=true", most=MAX_INDEX_BYTES)
    except StatusError as error:
        if error.code == "RepoNotFound" or (error.status in (401, 404) and not error.code):
            _no_such_repository(error, address.repo, session, known)
        explain(error, address.repo, revision, session)
    # Cards and tags are anybody's: only the size is bounded, what is needed is checked below.
    where = f"{session.endpoint} on {address.repo}"
    refuse_pages(answer, where)
    try:
        info = parse_json(answer.body, where, MAX_INDEX_BYTES)
    except InputError as error:
        raise SourceError(str(error)) from None
    repo, commit = info.get("id", address.repo), info.get("sha")
    if not isinstance(repo, str) or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise SourceError(f"{session.endpoint} answers for {address.repo} without a commit")
    if not is_repository(repo):
        raise SourceError(f"{where} answers for {clip(repr(repo))}, which is no repository's id")
    files = _files(info.get("siblings"))
    if odd := next((name for name, _ in files if not is_text(name)), None):
        raise SourceError(f"{where} lists {clip(repr(odd))}, which cannot be a file's name")
    names = {name for name, _ in files}
    refuse_other_kinds(names, repo, _base_models(info))
    config, quantization = (
        _document(session, repo, commit, name, _MAX_CONFIG) if name in names else None
        for name in (CONFIG_FILE, QUANTIZATION_FILE)
    )
    renamed = repo.lower() != address.repo.lower()
    return HubRepository(
        repo=repo,
        commit=commit,
        revision=revision,
        config=config,
        quantization=quantization,
        files=files,
        source="hub",
        notes=(f"{address.repo} is now called {repo}",) if renamed else (),
        file=address.file,
        pattern=address.pattern,
        session=session,
    )


def _files(siblings: Any) -> tuple[tuple[str, int | None], ...]:
    files: list[tuple[str, int | None]] = []
    for entry in siblings if isinstance(siblings, list) else ():
        name = entry.get("rfilename") if isinstance(entry, dict) else None
        if isinstance(name, str):
            size = entry.get("size")
            files.append((name, size if type(size) is int and size >= 0 else None))
    return tuple(files)


def _base_models(info: Mapping[str, Any]) -> tuple[str, ...]:
    card = info.get("cardData")
    bases = card.get("base_model") if isinstance(card, dict) else None
    if isinstance(bases, str):
        bases = [bases]
    return tuple(b for b in bases if isinstance(b, str)) if isinstance(bases, list) else ()


def _from_cache(
    address: Address, revision: str | None, session: HubSession, reason: SourceError
) -> HubRepository:
    folder = None if session.anonymous else cached_snapshot(address.repo, revision)
    if folder is None:
        named = f"{address.repo}@{revision}" if revision else address.repo
        kept = "" if session.anonymous else f", and {named} is not in the cache of huggingface_hub"
        kind = OfflineError if isinstance(reason, OfflineError) else SourceError
        raise kind(f"{reason}{kept}") from None
    listing = list_folder(folder)
    refuse_other_kinds(listing, address.repo)
    return HubRepository(
        repo=address.repo,
        commit=folder.name,
        revision=revision,
        config=read_json(folder / CONFIG_FILE) if CONFIG_FILE in listing else None,
        quantization=(
            read_json(folder / QUANTIZATION_FILE) if QUANTIZATION_FILE in listing else None
        ),
        files=tuple(listing.items()),
        source="cache",
        notes=(
            f"{address.repo} from the cache of huggingface_hub, commit {folder.name}: {reason}",
        ),
        file=address.file,
        pattern=address.pattern,
        folder=folder,
        session=session,
    )


def explain(error: StatusError, repo: str, revision: str | None, session: HubSession) -> NoReturn:
    """Say an error status in the words that help.

    Raises:
        RefusedError: the Hub says no; what to do about it.
        InputError: there is no such revision.
        StatusError: as it was, where another time may be better.
    """
    if error.status in RETRIED or error.status >= 500:
        raise error
    page = f"{session.name}/{repo}"
    refusal: PlannerError
    if session.anonymous and error.code != "RevisionNotFound":
        refusal = RefusedError(f"{_refused(error, repo)}; {_WITH_A_TOKEN}")
    elif error.code == "GatedRepo":
        refusal = RefusedError(
            f"{repo} is gated: accept the terms at {page}, then set HF_TOKEN"
            + (" (the token that was sent has no access)" if session.token else "")
        )
    elif error.code == "RevisionNotFound":
        refusal = InputError(
            f"{repo} has no revision {clip(repr(revision))}; leave it out for the newest"
            + ("" if session.name != session.endpoint else f", or see {page}/commits/main")
        )
    elif error.code == "EntryNotFound":
        refusal = RefusedError(f"{repo} lists a file that it does not have: {error}")
    elif error.status == 401 and session.token:
        refusal = RefusedError(
            f"{session.endpoint} does not accept the token that was sent (HF_TOKEN, or that of "
            f"`hf auth login`): {error.reason or 'no reason given'}; renew or unset it"
        )
    elif error.status in (401, 403):
        refusal = RefusedError(
            f"{session.endpoint} refuses access to {repo} ({error.status}"
            + (f": {error.reason}" if error.reason else "")
            + "); set HF_TOKEN to a token that may read it"
        )
    else:
        refusal = RefusedError(str(error))
    raise refusal from None


_WITH_A_TOKEN = "it is asked for as anybody here: run qwenplan on your own machine with a token that may read it"
"""What somebody can do who asks as anybody."""


def _refused(error: StatusError, repo: str) -> str:
    """Say why anybody does not get it, without the words of a server that only its owner knows."""
    match error.code:
        case "GatedRepo":
            return f"{repo} is gated"
        case "EntryNotFound":
            return f"{repo} lists a file that it does not have"
    return f"{repo} is not open to everybody (status {error.status})"


def _no_such_repository(
    error: StatusError, repo: str, session: HubSession, known: tuple[str, ...]
) -> NoReturn:
    # With a token that it does not know, the Hub refuses public repositories, too.
    if error.status == 401 and "credentials" in error.reason.lower() and session.token:
        explain(error, repo, None, session)
    candidates = _near(repo, session, known)
    hint = f"; the nearest: {', '.join(candidates)}" if candidates else ""
    hidden = (
        "or the token that was sent may not see it"
        if session.token
        else f"or it is private ({_WITH_A_TOKEN})"
        if session.anonymous
        else "or it is private (then set HF_TOKEN)"
    )
    raise UnknownModelError(
        f"{session.name} has no repository {repo}, {hidden}{hint}", candidates
    ) from None


def _near(repo: str, session: HubSession, known: tuple[str, ...]) -> tuple[str, ...]:
    """The nearest names among those known and those that the Hub's own search gives."""
    names = list(known)
    name = repo.rpartition("/")[2]
    # The search knows no slips of the pen: a name's beginning finds what its end would hide.
    for query in dict.fromkeys((name, re.split(r"[-_.](?!\d*[-_.])", name)[0])):
        found = _search(query, session)
        names += found
        if found:
            break
    by_lower = {name.lower(): name for name in reversed(names)}
    close = get_close_matches(repo.lower(), by_lower, n=3, cutoff=0.6)
    tail = {name.rpartition("/")[2]: name for name in by_lower}
    close += get_close_matches(repo.lower().rpartition("/")[2], tail, n=3, cutoff=0.75)
    found_names = [by_lower.get(name) or by_lower[tail[name]] for name in close]
    return tuple(dict.fromkeys(clip(name, 120) for name in found_names))[:4]


def _search(query: str, session: HubSession) -> list[str]:
    """Ids that the Hub's own search gives; none where it does not answer."""
    address = f"{session.endpoint}/api/models?{urlencode({'search': query, 'limit': 20})}"
    try:
        answer = session.get(address, most=MAX_JSON_BYTES)
        # It answers with a bare list; the strict reader wants an object around it.
        found = parse_json(b'{"found":' + answer.body + b"}", "search")["found"]
        return [entry["id"] for entry in found if isinstance(entry["id"], str)]
    except (PlannerError, TypeError, KeyError):
        return []  # a search that fails must not hide that the name is unknown
