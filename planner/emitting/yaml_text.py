"""Plain data as YAML, in the order given."""

from __future__ import annotations

from typing import Any


def yaml_text(*documents: dict[str, Any]) -> str:
    """The documents as YAML, separated by ``---``."""
    import yaml

    texts = (
        yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)
        for document in documents
    )
    return "---\n".join(texts)
