"""Ask other planners, each in an environment of its own, against a stand-in for the Hub."""

from __future__ import annotations

import copy
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import planner
from benchmarks.headers import shards
from planner.model.catalog import find
from planner.version import package_version
from tests.hub.loopback import LoopbackHub

ASKER = Path(__file__).parent / "peer_asker.py"
SHARDS = 16
ROUNDS = 3
PATIENCE = 600
"""Seconds that one tool may take for all questions."""


def install(kept: Mapping[str, Any], folder: Path, uv: str) -> None:
    """Make an environment for each tool that has a package, with the newest release of it."""
    for tool in kept["tools"]:
        package = tool.get("package")
        if package is None:
            continue
        place = folder / tool["name"]
        if not (place / "bin" / "python").exists():
            subprocess.run([uv, "venv", "--quiet", "--no-project", place], check=True)
        python = str(place / "bin" / "python")
        subprocess.run([uv, "pip", "install", "--quiet", "--upgrade", "--python", python, package])


def run(kept: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Ask every tool that is installed below a folder, and return the document anew."""
    found: dict[str, Any] = copy.deepcopy(dict(kept))
    names = [planner.load_checkpoint(name).id for name in found["models"]]
    models: list[dict[str, Any]] = [
        {"id": name, "config": _config(name), "parameters": _parameters(name)} for name in names
    ]
    ids = dict(zip(found["models"], names, strict=True))
    asked = [
        {**question, "model": ids[question["model"]], "marketed_gib": MARKETED[question["on"]]}
        for question in found["capacity"]["questions"]
    ]
    with LoopbackHub() as hub, tempfile.TemporaryDirectory() as place:
        for model in models:
            files = shards(model["id"], SHARDS)
            hub.add(model["id"], {"config.json": model["config"], **files})
        everything, one = Path(place, "all.json"), Path(place, "one.json")
        everything.write_text(json.dumps({"models": models, "capacity": asked}), "utf-8")
        one.write_text(json.dumps({"models": models[:1], "capacity": []}), "utf-8")
        bare = min(_seconds([sys.executable, "-c", "pass"], hub.url)[0] for _ in range(ROUNDS))
        own = [sys.executable, "-W", "ignore", str(ASKER), "qwenplan", str(one)]
        times = [_seconds(own, hub.url, path=ASKER.parent.parent)[0] for _ in range(ROUNDS)]
        found["own"] = {"version": package_version(), "starts": round(min(times) / bare)}
        for tool in found["tools"]:
            python = folder / tool["name"] / "bin" / "python"
            if not python.is_file():
                continue
            words = [str(python), "-W", "ignore", str(ASKER), tool["name"]]
            answer = json.loads(_seconds([*words, str(everything)], hub.url)[1])
            tool["version"] = _version(python, tool["name"])
            tool["answer"] = answer
            if "error" not in answer:
                times = [_seconds([*words, str(one)], hub.url)[0] for _ in range(ROUNDS)]
                tool["starts"] = round(min(times) / bare)
    found["date"] = datetime.now(UTC).date().isoformat()
    found["machine"] = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, a stand-in for the Hub on the"
        " loopback address, no GPU"
    )
    return found


MARKETED = {"dgx-spark": 128, "h100": 80}
"""GiB that a person types for a card, where a tool does not know it by name."""


def _config(name: str) -> dict[str, Any]:
    """Return a bundled config.json with its layers one by one, as the published file lists them."""
    entry = find(name)
    assert entry is not None
    config: dict[str, Any] = json.loads(json.dumps(dict(entry[0].config)))
    config["text_config"]["layer_types"] = list(entry[0].model.layer_types)
    return config


def _parameters(name: str) -> int:
    stored = planner.load_checkpoint(name).stored
    return sum(row.tensor.parameters for row in stored)


def _seconds(words: Sequence[str], hub: str, *, path: Path | None = None) -> tuple[float, str]:
    """Return the CPU seconds that a program took, and the last line that it printed.

    It finds no cache of the Hub, its own of the round before included.
    """
    with tempfile.TemporaryDirectory() as home:
        at = {"HF_ENDPOINT": hub, "HF_HOME": home, "XDG_CACHE_HOME": home}
        return _timed(words, {**at, "PYTHONPATH": str(path or "")})


def _timed(words: Sequence[str], variables: Mapping[str, str]) -> tuple[float, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**_environment(), "HF_HUB_DISABLE_TELEMETRY": "1", **variables},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = done.stdout.strip().splitlines()
    if not lines and done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        lines = [json.dumps({"error": f"status {done.returncode}: {said[:200]}"})]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, lines[-1] if lines else ""


def _environment() -> dict[str, str]:
    """Return this process's, without what would have a program compile itself anew every time."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def _version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
