"""Hand questions to an engine's own code, which runs in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.conformance.drawing import blocks_of_fp8
from benchmarks.suites.vllm_cases import DEFAULT_GPU, NOT_ARGUMENTS, question_of
from benchmarks.suites.words import system_named
from planner.errors import InputError
from planner.model.catalog import CatalogEntry, find

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".conformance"
DRIVER = "driver"
"""Folder of an environment with a stand-in for the GPU's driver library."""

CLOSED = "the engine's process ended"


def answers(
    engine: str, environment: Path, questions: Iterable[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the answer of `engine`'s own code to each question.

    Engines keep what they once read of the GPU: another one gets a process anew.

    Args:
        engine: which worker.
        environment: where the engine is installed.
        questions: what is asked, in the worker's form.

    Raises:
        InputError: the environment is not there.
    """
    python = environment / "bin" / "python"
    if not python.is_file():
        raise InputError(f"{environment}: no environment is there; `make conformance` makes it")
    process, gpu = None, None
    for question in questions:
        if process is not None and question["gpu"] != gpu:
            process.communicate()
            process = None
        if process is None:
            gpu = question["gpu"]
            process = _started(python, HERE / f"{engine}_worker.py", environment / DRIVER)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            with contextlib.suppress(BrokenPipeError):
                process.communicate()
            code, process = process.returncode, None
            yield {"error": f"{CLOSED} with status {code}"}
            continue
        yield json.loads(line)
    if process is not None:
        process.communicate()


def _started(python: Path, worker: Path, driver: Path) -> subprocess.Popen[str]:
    with tempfile.TemporaryFile("w+") as complaints:
        return subprocess.Popen(
            [python, worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, "LD_LIBRARY_PATH": str(driver)},
        )


def vllm_question(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a case of the suite ``vllm`` as its worker takes it.

    Args:
        case: the case.
        folder: where configurations of models are written to.
    """
    question = question_of(dict(case))
    arguments = {name: value for name, value in question.items() if name not in NOT_ARGUMENTS}
    arguments.setdefault("language_model_only", True)
    if tokens := question.get("num_speculative_tokens"):
        arguments["speculative_config"] = {"method": "mtp", "num_speculative_tokens": tokens}
    return {
        "model": str(model_folder(case, folder)),
        "arguments": arguments,
        "available": question["available"],
        "gpu": identity(question.get("gpu", DEFAULT_GPU)),
    }


def sglang_question(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a case of the suite ``sglang`` as its worker takes it."""
    asked = case["input"]
    entry = _entry(asked["model"])
    stored = blocks_of_fp8(entry) if asked["weights_precision"] == "fp8" else None
    name = f"{entry.id.rpartition('/')[2]}@{asked['weights_precision']}"
    return {
        "model": str(_written(entry, folder / name, stored)),
        "flags": asked["flags"],
        "gpu": {
            "name": asked["gpu"],
            "capability": asked["compute_capability"],
            "mib": asked["gpu_mem_mib"],
        },
        "before": asked["pre_model_load_gib"],
        "after": asked["available_after_load_gib"],
    }


def model_folder(case: Mapping[str, Any], folder: Path) -> Path:
    """Write the config.json that a case of vLLM loads, and return its folder."""
    name = str(case["case"]["model"])
    entry = _entry(str(case.get("base_model") or name.partition("@")[0]))
    return _written(entry, folder / name, case.get("quantization_config"))


def _entry(name: str) -> CatalogEntry:
    found = find(name)
    if found is None:
        raise InputError(f"{name}: not a bundled model")
    return found[0]


def _written(entry: CatalogEntry, place: Path, stored: dict[str, Any] | None) -> Path:
    document = dict(entry.config)
    if stored is not None:
        document["quantization_config"] = stored
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(json.dumps(document), "utf-8")
    return place


def identity(gpu: str) -> dict[str, Any]:
    """Return what a driver tells of a GPU: name, compute capability, bytes."""
    accelerator = system_named(gpu).accelerator
    names = (*accelerator.nvml_names, accelerator.name)
    return {
        "name": names[0],
        "capability": [int(part) for part in (accelerator.compute_capability or "0.0").split(".")],
        "total": accelerator.total_bytes,
    }
