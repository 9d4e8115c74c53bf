"""What huggingface_hub's cache on this machine holds; nothing here touches the network."""

from __future__ import annotations

import os
from pathlib import Path


def cached_file(repo: str, name: str, revision: str | None) -> Path | None:
    """One file of a repository, if it was downloaded before.

    Args:
        repo: repository id.
        name: path within it.
        revision: branch, tag or commit; None for the default branch.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repo, name, cache_dir=_folder(), revision=revision)
    except (OSError, ValueError, RuntimeError):
        return None  # a cache that cannot be read holds nothing
    return Path(found) if isinstance(found, str) else None


def cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The folder with what was downloaded of a repository; its name is the commit."""
    from huggingface_hub import snapshot_download

    file = cached_file(repo, "config.json", revision)
    if file is not None:
        return file.parent
    try:
        found = snapshot_download(
            repo, revision=revision, cache_dir=_folder(), local_files_only=True
        )
    except (OSError, ValueError, RuntimeError):
        return None  # nothing cached; huggingface_hub says so with a FileNotFoundError
    return Path(found) if Path(found).is_dir() else None


def _folder() -> str | None:
    """The environment's word now; huggingface_hub's own was read when it was imported."""
    return os.environ.get("HF_HUB_CACHE") or None
