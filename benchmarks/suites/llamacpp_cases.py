"""Translates cases of llama.cpp's own allocation, for the suites `llamacpp` and `llamacpp_more`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import llamacpp_buffers
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import model_named
from planner.errors import PlannerError
from planner.model.gguf_mix import GgufScheme
from planner.model.spec import ModelSpec

FULL_NAMES = {
    "next80": "Qwen3-Next-80B-A3B-Instruct",
    "coder-next": "Qwen3-Coder-Next",
    "q38-2.4T": "Qwen3.8-2.4T-A95B",
}
SERIES = {"q36-": "Qwen3.6-", "q38-": "Qwen3.8-"}
"""How the cases abbreviate models; without a prefix they mean Qwen3.5."""
WITHOUT_MTP = "-nomtp"
DESCRIBING = ("case", "n_gpu", "buffers", "tag", "model")
"""Keys of a case that say what was run."""
WORDS = ("fa_log", "gdn_log")
WORDS_LEFT = "fa_log, gdn_log: sentences about the kernels in use, no figures"


def compare_all(path: Path) -> Iterator[CaseResult]:
    """Compare every buffer, cache and graph of every case of a file."""
    for case in json.loads(path.read_text("utf-8"))["cases"]:
        flags = " ".join(f"{key}={value}" for key, value in case["case"].items() if key != "m")
        name, group = f"{case['model']} on {case['n_gpu']}: {flags}", case.get("tag")
        try:
            model, scheme = _model(case["model"], path.parent)
        except (LookupError, ValueError) as error:
            yield CaseResult(name=name, unasked=str(error), group=group)
            continue
        try:
            answered = llamacpp_buffers(model, scheme, case["case"], case["n_gpu"])
        except PlannerError as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}", group=group)
            continue
        yield CaseResult(
            name=name,
            expected=_expected(case),
            answered=answered,
            left_out=(WORDS_LEFT,) if case.keys() & set(WORDS) else (),
            group=group,
        )


def _expected(case: dict[str, Any]) -> dict[str, Any]:
    buffers = {
        f"{name}.{part}": size
        for name, parts in case["buffers"].items()
        for part, size in parts.items()
    }
    return buffers | {
        name: value for name, value in case.items() if name not in (*DESCRIBING, *WORDS)
    }


def _model(label: str, folder: Path) -> tuple[ModelSpec, GgufScheme]:
    name, _, mix = label.rpartition("-")
    mtp = not name.endswith(WITHOUT_MTP)
    name = name.removesuffix(WITHOUT_MTP)
    if name in FULL_NAMES:
        full = FULL_NAMES[name]
    else:
        prefix = next((short for short in SERIES if name.startswith(short)), "")
        full = SERIES.get(prefix, "Qwen3.5-") + name.removeprefix(prefix)
    return model_named(full, folder), GgufScheme(mix=mix.upper(), mtp=mtp)
