"""Suite `gguf`: tensor and file bytes of GGUF files, by model, type, MTP and importance matrix.

The types of every tensor (gguf_quant_mix.json beside the sizes) are compared as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import llamacpp_tower
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import model_named
from planner.model.gguf_file import mmproj_file, model_file
from planner.model.gguf_mix import GgufScheme, get_mix
from planner.model.spec import ModelSpec

FILES = ("gguf_sizes.json",)
TYPES_FILE = "gguf_quant_mix.json"
WITH_MATRIX = "+imatrix"


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per file of gguf_sizes.json, vision towers included."""
    document = json.loads((folder / FILES[0]).read_text("utf-8"))
    for name, variants in document["models"].items():
        for variant, case in variants.items():
            for mix, sizes in case["ftypes"].items():
                for matrix in ("noimatrix", "imatrix"):
                    if matrix in sizes:
                        yield _file(name, variant, mix, matrix, case, sizes[matrix], folder)
    for label, sizes in document.get("mmproj", {}).items():
        yield _mmproj(label, sizes, folder)
    for row in document.get("mmproj_memory_emulated_cuda", []):
        yield _mmproj_memory(row, folder)
    for name, mixes in _types(document, folder).items():
        for mix, expected in mixes.items():
            yield _tensor_types(name, mix, expected, folder)


def _types(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Model -> type -> counts by tensor: in the file itself, or in the one beside it."""
    path = folder / TYPES_FILE
    if "tensor_types" in document or not path.is_file():
        return dict(document.get("tensor_types", {}))
    return dict(json.loads(path.read_text("utf-8")))


def _tensor_types(
    name: str, label: str, expected: dict[str, dict[str, int]], folder: Path
) -> CaseResult:
    title = f"{name} {label} tensor types"
    mix, matrix = label.removesuffix(WITH_MATRIX), label.endswith(WITH_MATRIX)
    try:
        model = model_named(f"Qwen3.5-{name}", folder)
        rows = GgufScheme(mix=mix, imatrix=matrix, mtp=model.mtp is not None).tensors(model)
    except (LookupError, ValueError) as error:
        return CaseResult(name=title, unasked=str(error), group="tensor types")
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        types = counts.setdefault(row.held.key, {})
        types[row.ggml_type] = types.get(row.ggml_type, 0) + len(row.held.names)
    return CaseResult(
        name=title,
        expected={tensor: sorted(types.items()) for tensor, types in expected.items()},
        answered={tensor: sorted(types.items()) for tensor, types in counts.items()},
        group="tensor types",
    )


def _file(
    name: str,
    variant: str,
    mix: str,
    matrix: str,
    case: dict[str, Any],
    expected: dict[str, Any],
    folder: Path,
) -> CaseResult:
    title = f"{name} {variant} {mix} {matrix}"
    fields = ("tensor_bytes", "data_bytes", "file_bytes", "needs_imatrix")
    wanted = {field: expected[field] for field in fields if field in expected}
    wanted |= {"types": sorted(expected["types"].items()), "n_tensors": case["n_tensors"]}
    if "arch" not in case:
        return CaseResult(name=title, unasked="the case names no architecture")
    try:
        model = model_named(name, folder)
        scheme = GgufScheme(mix=mix, imatrix=matrix == "imatrix", mtp=variant == "mtp")
        answered = _answer(model, scheme)
    except (LookupError, ValueError) as error:
        return CaseResult(name=title, unasked=str(error))
    return CaseResult(name=title, expected=wanted, answered=answered)


def _answer(model: ModelSpec, scheme: GgufScheme) -> dict[str, Any]:
    size = model_file(model, scheme)
    types: dict[str, int] = {}
    rows = scheme.tensors(model)
    for row in rows:
        types[row.ggml_type] = types.get(row.ggml_type, 0) + row.stored.nbytes
    return {
        "tensor_bytes": size.tensor_bytes,
        "data_bytes": size.data_bytes,
        "file_bytes": size.file_bytes,
        "needs_imatrix": get_mix(scheme.mix).needs_imatrix and not scheme.imatrix,
        "types": sorted(types.items()),
        "n_tensors": sum(len(row.held.names) for row in rows),
    }


def _mmproj(label: str, expected: dict[str, Any], folder: Path) -> CaseResult:
    name, _, kind = label.rpartition("-")
    try:
        model = model_named(f"Qwen3.5-{name}", folder)
        scheme = GgufScheme(mix="Q8_0", mmproj=kind)
        size = mmproj_file(model, scheme)
        tensors = sum(len(row.held.names) for row in scheme.vision_tensors(model))
    except (LookupError, ValueError) as error:
        return CaseResult(name=f"mmproj {label}", unasked=str(error))
    return CaseResult(
        name=f"mmproj {label}",
        expected={key: expected[key] for key in ("tensor_bytes", "file_bytes", "n_tensors")},
        answered={
            "tensor_bytes": size.tensor_bytes,
            "file_bytes": size.file_bytes,
            "n_tensors": tensors,
        },
    )


def _mmproj_memory(row: dict[str, Any], folder: Path) -> CaseResult:
    label = Path(row["mmproj"]).stem.removeprefix("mmproj-")
    name, _, kind = label.rpartition("-")
    try:
        model = model_named(f"Qwen3.5-{name}", folder)
        answered = llamacpp_tower(model, GgufScheme(mix="Q8_0", mmproj=kind))
    except (LookupError, ValueError) as error:
        return CaseResult(name=f"mmproj memory {label}", unasked=str(error))
    if answered is None:
        return CaseResult(name=f"mmproj memory {label}", failure="the model has no vision tower")
    return CaseResult(
        name=f"mmproj memory {label}",
        expected={"CUDA0": row["CUDA0"], "CPU": row["CPU"]},
        answered=answered,
    )
