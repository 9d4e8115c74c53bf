"""Tell which version of qwenplan runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The installed version of qwenplan; "unknown" in a tree that was never installed."""
    try:
        return version("qwenplan")
    except PackageNotFoundError:
        return "unknown"
