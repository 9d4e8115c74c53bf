"""Suite `transformers_gpu`: what PyTorch's allocator held on a GPU (planner/measuring/pytorch.py).

Weights and cache must agree but for what the allocator's blocks are larger than their tensors; the peak (cache and activations together) within the
band that the plan states.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.suites.result import Allowed, CaseResult
from planner.errors import PlannerError
from planner.measuring.torch_runs import planned

FILES = ("transformers_gpu.json",)
ROUNDING = Allowed(
    relative=0.02,
    reason="PyTorch's allocator counts whole blocks: of one that is up to 1 MiB larger than its tensor"
    " the rest is not split off (96 MiB for the MLPs of the 4B, of 45 MiB each)",
)
EXACT = Allowed(relative=1e-4, reason="PyTorch's allocator rounds every tensor up to 512 bytes")


def run(folder: Path) -> Iterator[CaseResult]:
    """Per run its weights, and per case its cache and peak."""
    for measured in json.loads((folder / FILES[0]).read_text("utf-8")):
        for case in measured["cases"]:
            name = f"{measured['model']} {measured['device']} batch {case['batch']}"
            name += f", {case['tokens']} tokens"
            try:
                yield from _compare(name, measured, case)
            except LookupError as error:
                yield CaseResult(name=name, unasked=str(error))
            except PlannerError as error:
                yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _compare(name: str, run: Mapping[str, Any], case: Mapping[str, Any]) -> Iterator[CaseResult]:
    answer = planned(run, case)
    yield CaseResult(
        name=f"{name}: weights and cache",
        expected={
            "weights": run["weight_bytes"],
            "kv": case["kv_bytes"],
            "state": case["state_bytes"],
        },
        answered={"weights": answer.weights, "kv": answer.kv, "state": answer.state},
        allowed={"weights": ROUNDING, "kv": EXACT, "state": EXACT},
        group="weights and cache",
    )
    if case["peak_bytes"] is not None:
        truth = case["peak_bytes"]
        yield CaseResult(
            name=f"{name}: peak",
            expected={"peak": truth},
            answered={"peak": answer.peak},
            within_band=answer.peak - answer.below <= truth <= answer.peak + answer.above,
            group="peak",
        )
