"""Where a model's facts come from: the bundled catalog, this machine's files, or the Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner import registry
from planner.errors import InputError, OfflineError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.hf_config import read_config
from planner.model.quantization import Scheme, get_scheme
from planner.model.spec import ModelSpec
from planner.units import check_text

if TYPE_CHECKING:
    from planner.hub import HubRepository
    from planner.model.headers import Progress, StoredCheckpoint

WEIGHT_FILES = (".safetensors", ".gguf")
_REMOTE = ("http://", "https://", "hf://", "hf.co/", "huggingface.co/")


def load(
    name: str,
    *,
    precision: str | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
    anonymous: bool = False,
    local: bool = True,
) -> Checkpoint:
    """The checkpoint that `name` means.

    Looked for in this order: a path on this machine; then, unless a revision is asked for, a bundled
    model, headers that were read before, the registry; the Hub; what the name alone says. Of files
    and repositories that are read the headers count, never a rule of thumb; what was read from the
    Hub is remembered, so that the next plan is exact and needs no network.

    Args:
        name: path, bundled id, repository id or URL, ``repository:quant``, a GGUF file's name, an
            Ollama tag.
        precision: a scheme, or which GGUF of a repository or folder that holds several.
        revision: branch, tag or commit on the Hub.
        progress: told after each file whose header was read.
        anonymous: ask the Hub as anybody (no token, no cache of this machine).
        local: paths on this machine may be read.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    name = check_text(name, what="model")
    if not name:
        raise InputError("model: name a bundled model, a repository, a folder or a file")
    if local and _looks_local(name) and not _is_known_file(name):
        if revision is not None:
            raise InputError(f"revision: {name} is a path on this machine and has none")
        path = _existing(Path(name))
        return replace(_from_path(path, precision, progress), path=str(path.absolute()))
    name = _of_ollama(name)
    if catalog.find(name) is None:
        catalog.refuse_hosted(name)
    if revision is None:
        found = _without_network(name, precision, anonymous=anonymous)
        if found is not None:
            return found
    try:
        return _from_hub(name, precision, revision, progress, anonymous=anonymous)
    except OfflineError:
        entry = registry.find(name, precision=precision) if revision is None else None
        if entry is None:
            registry.check_file(name, precision)
            raise
        return registry.checkpoint_of(entry)


def _without_network(name: str, precision: str | None, *, anonymous: bool) -> Checkpoint | None:
    """What the catalog, the registry or headers that were read before say; None: ask the Hub.

    Raises:
        InputError: no model of that name is known, or it is stored in another precision.
    """
    tag = ":" in name and "/" not in name and precision is None
    known = catalog.find(name)
    if known is not None and not tag:
        told = isinstance(precision, str)
        file = registry.file_of(known[0].id, str(precision)) if told else None
        if file is not None:
            return registry.checkpoint_of(file)
        if told:
            registry.check_precision(known[0].id, str(precision))
        return registry.bundled_checkpoint(name, precision=precision)
    kept = None if anonymous else registry.recall(_asked(name, precision))
    if kept is not None:
        return kept
    entry = registry.find(name, precision=precision)
    if entry is None or (entry.named and "/" in name):
        if "/" in name:
            return None
        base = registry.base_of(name)
        if base is None and precision is None and (said := registry.in_words(name)):
            return _without_network(*said, anonymous=anonymous)
        if base is None:
            raise catalog.unknown(name)
        return registry.bundled_checkpoint(base, precision=precision)
    if precision is not None:
        _check_precision(name, entry, precision)
    exact = None if anonymous else registry.recall(entry.name)
    return exact or registry.checkpoint_of(entry)


def _of_ollama(name: str) -> str:
    """Return a tag of Ollama without the program or address around it."""
    said = registry.read_written(name)
    return name if said is None or said.repo or said.file else said.word


def _asked(name: str, precision: str | None) -> str:
    return name if precision is None else f"{name}:{precision}"


def _check_precision(name: str, entry: registry.Entry, precision: str) -> None:
    """Refuse a precision that an entry is not stored in.

    Raises:
        InputError: it is stored otherwise.
    """
    if entry.label.lower() == precision.lower() or (entry.gguf and not entry.ollama):
        return  # a label named the file
    wanted = get_scheme(precision).name
    if wanted != entry.recipe:
        raise InputError(
            f"{name} is stored as {entry.recipe}; for {wanted} name its 16-bit model {entry.base}"
        )


def _is_known_file(name: str) -> bool:
    """A GGUF file's name, bare or behind its repository, that is not here but in the registry."""
    if name.startswith((".", "/", "~")) or not name.lower().endswith(".gguf"):
        return False
    try:
        return not Path(name).exists() and registry.find(name) is not None
    except (OSError, ValueError):
        return False


def refresh(
    models: Iterable[str] = (),
    *,
    repositories: Iterable[str] = (),
    derivatives: bool = False,
    told: Callable[[int, int, str], None] | None = None,
) -> registry.Renewal:
    """Ask the Hub for the files of the registry's repositories; keep new rows in the user's cache.

    Args:
        models: bundled ids whose repositories are asked; none and no repositories: all of them.
        repositories: further repositories, known to the registry or not.
        derivatives: fine-tunes, too.
        told: progress: done, all, repository.

    Raises:
        UnknownModelError: a model that is not bundled.
        OfflineError: the Hub could not be reached for any of them.
    """
    from planner.hub import fetch_repository

    bases = [_bundled_id(model) for model in models]
    further = tuple(repositories)
    wanted = further
    if bases or not further:
        wanted = (*registry.repositories_of(bases, derivatives=derivatives), *further)

    def listed(repo: str) -> Mapping[str, int | None]:
        found = fetch_repository(repo)
        if found.source != "hub":
            raise OfflineError(found.notes[0] if found.notes else f"{repo}: the Hub was not asked")
        return found.listing

    today = datetime.now(tz=UTC).date().isoformat()
    renewal = registry.renew(wanted, listed, date=today, source="the Hub's listing", told=told)
    if wanted and not renewal.renewed:
        repo, why = next(iter(renewal.failed.items()))
        raise OfflineError(f"nothing was renewed; {repo}: {why}")
    return renewal


def _bundled_id(model: str) -> str:
    """The bundled id that somebody means.

    Raises:
        UnknownModelError: none.
    """
    known = catalog.find(model)
    base = known[0].id if known is not None else registry.base_of(model)
    if base is None:
        raise catalog.unknown(model)
    return base


def _looks_local(name: str) -> bool:
    if name.startswith(_REMOTE):
        return False
    if name.startswith((".", "/", "~")) or name.endswith((".json", *WEIGHT_FILES)):
        return True
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _existing(path: Path) -> Path:
    """`path` with its "~" resolved.

    Raises:
        InputError: there is nothing, or it cannot be looked at.
    """
    try:
        path = path.expanduser()
        exists = path.exists()
    except PermissionError:
        raise InputError(f"{path}: permission denied") from None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: the home of nobody
        exists = False
    if not exists:
        raise InputError(f"{path}: there is no such file or folder")
    return path


def _from_path(path: Path, precision: str | None, progress: Progress | None) -> Checkpoint:
    from planner.model.local_files import list_folder, read_checkpoint, read_json

    is_folder = path.is_dir()
    folder = path if is_folder else path.parent
    names = list(list_folder(path)) if is_folder else [path.name]
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else None
    if path.suffix == ".json" and not path.name.endswith(".index.json"):
        config = read_json(path)
    if path.name.endswith(".index.json") or any(name.endswith(WEIGHT_FILES) for name in names):
        only_gguf = _only_gguf(names)
        stored = read_checkpoint(
            path, pattern=precision if only_gguf and is_folder else None, progress=progress
        )
        sidecar = folder / "hf_quant_config.json"
        word = read_json(sidecar) if sidecar.is_file() else None
        wanted = get_scheme(precision) if precision is not None and not only_gguf else None
        return _checkpoint(str(path), config, word, (stored,), wanted, source=f"headers in {path}")
    if config is None:
        raise InputError(f"{path}: there is neither a config.json nor a weight file")
    # what a server is told is the folder that the configuration lies in
    name = str(path.parent) if path.name == "config.json" else str(path)
    return _from_config(name, config, None, precision, source=f"config of {path}")


def _only_gguf(names: Iterable[str]) -> bool:
    """GGUF files and no safetensors: a precision then names one of them."""
    endings = {name.rpartition(".")[2].lower() for name in names}
    return "gguf" in endings and "safetensors" not in endings


def _from_hub(
    name: str,
    precision: str | None,
    revision: str | None,
    progress: Progress | None,
    *,
    anonymous: bool,
) -> Checkpoint:
    from planner.hub import fetch_headers, fetch_repository

    try:
        repository = fetch_repository(
            name, revision, known=catalog.known_ids(), anonymous=anonymous
        )
        only_gguf = _only_gguf(repository.listing)
        stored = fetch_headers(
            repository, pattern=precision if only_gguf else None, progress=progress
        )
    except OfflineError as error:
        near = catalog.near_names(name)
        hint = f"; bundled and alike: {', '.join(near)}" if near else ""
        raise OfflineError(f"{error}{hint}") from None
    where = f"{'Hub' if repository.source == 'hub' else 'cache'}, commit {repository.commit[:12]}"
    scheme = None
    if precision is not None and not only_gguf:
        scheme = get_scheme(precision)
    found = _checkpoint(
        repository.repo,
        repository.config,
        repository.quantization,
        (stored, *_vision_file(repository, stored)),
        scheme,
        source=where,
        revision=repository.commit,
        notes=repository.notes,
    )
    if not anonymous and repository.source == "hub" and revision in _NEWEST:
        label = f":{stored.label}" if stored.kind == "gguf" else ""
        registry.remember(found, _asked(name, precision), f"{repository.repo}{label}")
    return found


_NEWEST = (None, "main")
"""Revisions that stand for the newest commit."""


def _vision_file(
    repository: HubRepository, stored: StoredCheckpoint
) -> tuple[StoredCheckpoint, ...]:
    """The mmproj file that llama.cpp would take beside a GGUF, if there is one."""
    from planner.hub import fetch_headers

    if stored.kind != "gguf" or not any("mmproj" in name.lower() for name, _ in repository.files):
        return ()
    try:
        return (fetch_headers(repository, part="mmproj", beside=stored.files[0].file),)
    except InputError:
        return ()


def _checkpoint(
    name: str,
    config: Mapping[str, Any] | None,
    sidecar: Mapping[str, Any] | None,
    sets: tuple[StoredCheckpoint, ...],
    scheme: Scheme | None,
    *,
    source: str,
    revision: str | None = None,
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    from planner.model.gguf_config import read_gguf, with_vision
    from planner.model.quantization_config import read_quantization
    from planner.model.stored_headers import checkpoint_from_headers

    said: Scheme | None = None
    if sets[0].kind == "gguf":
        model: ModelSpec = read_gguf(sets[0], name=name)
        if len(sets) > 1:
            model = with_vision(model)
    elif config is None:
        raise InputError(f"{name}: there is no config.json beside the weights")
    else:
        model = read_config(config, name=name)
        said = read_quantization(config, name=name, hf_quant_config=sidecar)
    found = checkpoint_from_headers(
        model, *sets, id=name, source=source, scheme=said, revision=revision, notes=notes
    )
    if scheme is None or scheme.name == found.scheme.name:
        return found
    if said is not None or sets[0].kind == "gguf":
        raise InputError(
            f"{name} is stored as {found.scheme.name}; for {scheme.name} name its 16-bit model"
        )
    wide = {row.tensor.component for row in found.stored if row.format.name == "float32"}
    model = replace(found.model, float32_components=tuple(sorted(wide)))
    return _hypothesis(name, model, scheme, source, revision)


def _from_config(
    name: str,
    config: Mapping[str, Any],
    sidecar: Mapping[str, Any] | None,
    precision: str | None,
    *,
    source: str,
) -> Checkpoint:
    """A checkpoint of which only the config is known: sizes follow what it says of itself."""
    from planner.model.quantization_config import read_quantization

    model = read_config(config, name=name)
    said = read_quantization(config, name=name, hf_quant_config=sidecar)
    if precision is None:
        scheme: Scheme = said if said is not None else get_scheme("bf16")
        notes = (f"{name}: no weight files were read; sizes follow what the config describes",)
        return Checkpoint(id=name, model=model, scheme=scheme, source=source, notes=notes)
    if said is not None and said.name != precision:
        raise InputError(f"{name} is stored as {said.name}; for {precision} name its 16-bit model")
    return _hypothesis(name, model, get_scheme(precision), source, None)


def _hypothesis(
    name: str, model: ModelSpec, scheme: Scheme, source: str, revision: str | None
) -> Checkpoint:
    plain = scheme.name == "bf16"
    return Checkpoint(
        id=name,
        model=model,
        scheme=scheme,
        source=source,
        revision=revision if plain else None,
        hypothetical=not plain,
        notes=()
        if plain
        else (f"{name} is not stored as {scheme.name}: sizes follow the scheme ({scheme.title})",),
    )
