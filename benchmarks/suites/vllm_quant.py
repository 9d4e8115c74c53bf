"""Suite `vllm_quant`: weights per rank of quantized configs, as vLLM 0.33.0's own modules hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.suites.result import Allowed, CaseResult
from benchmarks.suites.vllm_cases import compare_all

FILES = ("vllm_quant.json",)
SMALL_SCALES = Allowed(
    relative=0.001,
    reason="weights within 0.1 %: small tensors beside the packed ones (scales per tensor, shapes)"
    " are not what the case tests",
)


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every case; all but the bytes of weights must be equal."""
    yield from compare_all(folder / FILES[0], weights=SMALL_SCALES)
