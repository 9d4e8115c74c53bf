"""The fidelity run that shipped with this version: cases with a known truth, and how close we came.

`fidelity.json` is written by `python -m benchmarks.ship_fidelity`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from planner.shipped import read_bytes

IN_GIB = ("overheads",)
"""Suites whose error is in GiB; the others' is relative."""

ABOUT = {
    "params": "parameters of every component, counted on the model's own code",
    "vllm": "what vLLM's own code computes: blocks, pages, tokens, weights per rank",
    "vllm_extra": "the same for rarer options",
    "vllm_versions": "the same for releases 0.17 to 0.32",
    "overheads": "KV memory left in start-ups that print it",
    "flash_next_params": "the same of Qwen3.8-Flash-Next",
    "flash_next_vllm": "what vLLM's own code computes for Qwen3.8-Flash-Next",
    "vllm_more": "random configurations of vLLM",
    "vllm_quant": "weights per rank of quantized checkpoints, as vLLM's own modules hold them",
    "sglang_more": "random configurations of SGLang",
    "sglang_logs": "what SGLang printed on real machines",
    "llamacpp_more": "every buffer of random configurations of llama.cpp",
    "transformers_gpu": "weights, cache and peak measured on a GPU",
    "throughput_more": "further measured speeds: prefill, weights in RAM, CPUs, depth",
    "sglang": "what SGLang's own code computes: pools, slots, defaults",
    "llamacpp": "every buffer that llama.cpp allocates",
    "transformers": "cache bytes measured in PyTorch",
    "gguf": "tensor and file bytes of GGUF types",
    "checkpoints": "published sizes of checkpoints, within their rounding",
    "recipes": "published deployments: the verdict",
    "field": "what engines printed on other people's machines",
    "throughput": "measured time per output token",
    "speed": "computed step times of kernels on datacentre systems, and measured serving",
    "tp_validity": "which tensor-parallel sizes SGLang accepts",
}
"""What each suite holds the planner against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite's result.

    Attributes:
        name: of the suite.
        cases: how many there are.
        about: what it holds the planner against.
        exact: how many agree in every field, in words; a dash where an estimate is judged.
        median: median error in words.
        most: error that nine in ten stay below, in words.
        largest: largest error in words.
        band: share of cases that the stated band held, in words; empty where no band is stated. Of
            speeds also the share whose truth took longer than the band allows.
    """

    name: str
    about: str
    cases: int
    exact: str
    median: str
    most: str
    largest: str
    band: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The whole run."""

    version: str
    date: str
    suites: tuple[Suite, ...]


@cache
def shipped() -> Shipped | None:
    """The run, or None where none shipped."""
    document = _document("fidelity.json")
    if document is None:
        return None
    return Shipped(
        version=document["version"],
        date=document["date"],
        suites=tuple(
            Suite(
                name=name,
                cases=row["cases"],
                about=ABOUT.get(name, ""),
                exact="—" if "within_band" in row else f"{row['exact']:,}",
                median=_error(name, row["median_error"]),
                most=_error(name, row["p90_error"]),
                largest=_error(name, row["max_error"]),
                band=in_band(row),
            )
            for name, row in document["suites"].items()
        ),
    )


@cache
def peers() -> dict[str, Any] | None:
    """Other planners' answers as the tables that docs/peers.md has; None where none shipped.

    `peers.json` is written by `python -m benchmarks.peers`.
    """
    return _document("peers.json")


def _document(name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(read_bytes("web", name))
    except FileNotFoundError:
        return None
    return found


def in_band(row: Mapping[str, Any]) -> str:
    """Return the share of cases in the stated band, in words; of speeds, also of those too fast."""
    if "within_band" not in row:
        return ""
    fast = f", {row['too_fast']:.0%} too fast" if "too_fast" in row else ""
    return f"{row['within_band']:.0%}{fast}"


def _error(suite: str, error: float) -> str:
    if error == 0:
        return "0"
    return f"{error:.2f} GiB" if suite in IN_GIB else f"{error:.2%}"
