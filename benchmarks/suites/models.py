"""Models that cases name: bundled ones, or `models.json` beside the cases."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.model.hf_config import read_config
from planner.model.quantization import Scheme, get_scheme
from planner.model.spec import ModelSpec


@cache
def _documents(folder: Path) -> dict[str, dict[str, Any]]:
    for place in (folder, folder.parent / "facts", folder / "facts"):
        path = place / "models.json"
        if path.is_file():
            rows = json.loads(path.read_text("utf-8"))["models"]
            return {row["id"].lower(): row for row in rows}
    return {}


def model_named(name: str, folder: Path) -> ModelSpec:
    """The architecture that a case calls `name`.

    Raises:
        LookupError: neither bundled nor in models.json.
    """
    found = find(name)
    if found is not None:
        return found[0].model
    row = _documents(folder).get(name.rpartition("/")[2].lower())
    if row is None:
        raise LookupError(f"model {name} is neither bundled nor in models.json")
    stored_as_float32 = str(row.get("fp32_tensors") or "").startswith("A_log")
    return read_config(
        row["hf_config"],
        name=row.get("repo", row["id"]),
        mtp_shipped=row.get("mtp_in_checkpoint"),
        float32_components=("gdn.A_log", "gdn.norm") if stored_as_float32 else (),
    )


def checkpoint_named(name: str, folder: Path, *, scheme: str | Scheme = "bf16") -> Checkpoint:
    """A checkpoint of the model that a case calls `name`, stored in `scheme`."""
    resolved = get_scheme(scheme) if isinstance(scheme, str) else scheme
    model = model_named(name, folder)
    return Checkpoint(id=model.name, model=model, scheme=resolved, source="reference case")
