"""Read the headers of a repository's weights over the network: many shards at once, no tensor data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed

from planner.errors import InputError, OfflineError, SourceError
from planner.hub.cache import cached_file
from planner.hub.repository import HubRepository, explain, fetch_document, file_url
from planner.hub.session import StatusError
from planner.model.headers import (
    MAX_HEADER_BYTES,
    MAX_INDEX_BYTES,
    FileHeader,
    Progress,
    StoredCheckpoint,
)
from planner.model.local_files import open_ranges, read_checkpoint
from planner.model.readers import READERS, put_together
from planner.model.weight_files import (
    INDEX_FILE,
    Part,
    WeightSet,
    choose,
    names_gguf,
    set_of,
    weight_map,
)

WORKERS = 16
"""Files read at a time; the client keeps twenty connections open."""


def fetch_headers(
    repository: HubRepository,
    *,
    pattern: str | None = None,
    part: Part = "model",
    beside: str | None = None,
    progress: Progress | None = None,
) -> StoredCheckpoint:
    """Read the headers of a repository's weights.

    Files that the cache of huggingface_hub holds of that very commit are read there.

    Args:
        repository: from `fetch_repository`.
        pattern: which GGUF, where there are several (see `weight_files.choose`); for the model it
            goes before one that the address named.
        part: the model itself, or its mmproj, MTP or draft file.
        beside: a file of the model that a companion is wanted for (see `weight_files.choose`).
        progress: told after each file, in this thread.

    Raises:
        InputError: no weights, several to choose from (they are listed), shards missing, or a
            header that is damaged or absurd.
        UnsupportedModelError: weights in a container that has no header to read.
        OfflineError: the Hub is not to be reached, and the cache holds no weights.
        SourceError: gated or otherwise refused, or the Hub does not answer properly.
    """
    listing = repository.listing
    if part == "model":
        pattern = pattern or repository.pattern
    file = repository.file if pattern is None and part == "model" else None
    if repository.folder is not None:
        _refuse_config_alone(repository)
        chosen = repository.folder if file is None else repository.folder / file
        return read_checkpoint(chosen, pattern=pattern, part=part, beside=beside, progress=progress)
    index = None
    if file is not None and file.lower().endswith((".gguf", ".safetensors")):
        found = set_of(listing, file, repository.repo)
    else:
        if INDEX_FILE in listing and part == "model" and not names_gguf(listing, pattern):
            document = fetch_document(repository, INDEX_FILE, MAX_INDEX_BYTES)
            index = weight_map(document, f"{repository.repo}/{INDEX_FILE}")
        found = choose(
            listing, repository.repo, pattern=pattern, part=part, beside=beside, index=index
        )
    headers = _read_all(repository, found, progress)
    return put_together(found, headers, index)


def _refuse_config_alone(repository: HubRepository) -> None:
    if not any(name.endswith((".safetensors", ".gguf")) for name, _ in repository.files):
        raise OfflineError(
            f"{repository.repo}: the cache of huggingface_hub holds its config but no weights, and "
            "the Hub is not to be reached for their headers"
        )


def _read_all(
    repository: HubRepository, found: WeightSet, progress: Progress | None
) -> list[FileHeader]:
    headers: dict[str, FileHeader] = {}
    read = 0
    pool = ThreadPoolExecutor(min(WORKERS, len(found.files)), thread_name_prefix="hub-headers")
    try:
        tasks = [pool.submit(_read_one, repository, found, *entry) for entry in found.files]
        for task in as_completed(tasks):
            header = task.result()
            headers[header.file] = header
            read += header.header_nbytes
            if read > MAX_HEADER_BYTES:
                raise InputError(f"{repository.repo}: more than {MAX_HEADER_BYTES:,} header bytes")
            if progress is not None:
                progress(len(headers), len(found.files), header.file)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [headers[name] for name, _ in found.files]


def _read_one(
    repository: HubRepository, found: WeightSet, name: str, size: int | None
) -> FileHeader:
    reader = READERS[found.kind]
    session = repository.session
    kept = None if session.anonymous else cached_file(repository.repo, name, repository.commit)
    if kept is not None:
        with open_ranges(kept) as (read, stored):
            return reader(read, stored, name)
    remote = _RemoteFile(repository, name)
    return reader(remote.read, remote.size if size is None else size, name)


class _RemoteFile:
    """One file of a commit. Remembers where the Hub sent it, to ask there at once next time."""

    def __init__(self, repository: HubRepository, name: str) -> None:
        self._repository = repository
        self._name = name
        self._url = file_url(repository.session, repository.repo, repository.commit, name)
        self._target = self._url

    @property
    def size(self) -> int:
        """Bytes of the whole file, where the listing does not say (it costs one byte)."""
        whole = self._ask(0, 1)[1]
        if whole is None:
            raise SourceError(f"{self._repository.repo}/{self._name}: the server tells no size")
        return whole

    def read(self, offset: int, length: int) -> bytes:
        """A range of the file; see `HubSession.read_range` for what it raises."""
        body, whole = self._ask(offset, length)
        listed = self._repository.listing.get(self._name)
        if listed is not None and whole is not None and whole != listed:
            raise SourceError(
                f"{self._repository.repo}/{self._name}: listed with {listed:,} bytes, served with "
                f"{whole:,}"
            )
        return body

    def _ask(self, offset: int, length: int) -> tuple[bytes, int | None]:
        session = self._repository.session
        if self._target != self._url:
            try:
                return session.read_range(self._target, offset, length)[:2]
            except StatusError:
                self._target = self._url  # a signed address that has run out: ask the Hub again
        try:
            body, whole, self._target = session.read_range(self._url, offset, length)
        except StatusError as error:
            explain(error, self._repository.repo, self._repository.commit, session)
        return body, whole
