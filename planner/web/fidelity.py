"""The fidelity run that shipped with this version: cases with a known truth, and how close we came.

`fidelity.json` is written by `python -m benchmarks.ship_fidelity`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import hardware_db
from hardware_db.records import frozen
from planner.engines.yarn import short_tokens
from planner.shipped import read_bytes

_LENGTH = re.compile(r"(\d+,\d{3})(?: tokens)?")

IN_GIB = ("overheads",)
"""Suites whose error is in GiB; the others' is relative."""

LEAST = 1e-4
"""Relative errors below this are told as such: none is 0 that is not."""

ABOUT = {
    "params": "parameters of every component, counted on the model's own code",
    "vllm": "what vLLM's own code computes: blocks, pages, tokens, weights per rank",
    "vllm_extra": "what vLLM's own code computes for rarer options",
    "vllm_versions": "what vLLM's own code computes in releases 0.17 to 0.32",
    "overheads": "KV memory left in start-ups that print it",
    "flash_next_params": "parameters of every component of Qwen3.8-Flash-Next",
    "flash_next_vllm": "what vLLM's own code computes for Qwen3.8-Flash-Next",
    "vllm_more": "random configurations of vLLM",
    "vllm_quant": "weights per rank of quantized checkpoints, as vLLM's own modules hold them",
    "sglang_more": "random configurations of SGLang",
    "sglang_logs": "what SGLang printed on real machines",
    "llamacpp_more": "every buffer of random configurations of llama.cpp",
    "llamacpp_gpu": "buffers and memory in use of llama-server on a GPU, measured",
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


@frozen
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


@frozen
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


def agreement(suite: Suite) -> str:
    """Return how much of a suite agrees: in every field, or how often the truth lay in the band."""
    if suite.band:
        share, *fast = suite.band.split(", ", 1)
        return ", ".join([f"{share} of {suite.cases} in the band", *fast])
    return f"{suite.exact} of {suite.cases} exact"


def errors(suite: Suite) -> str:
    """Return a suite's errors in words."""
    if suite.largest == "0":
        return "none"
    if suite.largest.startswith("under"):
        return f"all {suite.largest}"
    most = "exact" if suite.most == "0" else f"below {suite.most.removeprefix('under ')}"
    return f"median {suite.median}, 9 in 10 {most}, largest {suite.largest}"


def answers_of_peers(peers: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what every tool says of the models, a line per tool; units stand in the heads."""
    folded = ("Tool", "Time", "Note")
    return [
        {"Tool": row["Tool"]}
        | {_lengths_in(head): said for head, said in row.items() if head not in folded}
        for row in peers["answers"]
    ]


def counts_of_peers(peers: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return how many sequences every tool counts, and how many of its verdicts are right."""
    right = {row["Tool"]: row["Right"] for row in peers["verdicts"]}
    rows = []
    for row in peers["capacity"]:
        counts = {_asked_of_peers(name): said for name, said in row.items() if name != "Tool"}
        score = {"Verdicts right": right.get(row["Tool"], "")}
        rows.append({"Tool": row["Tool"], **counts, **score})
    return rows


def notes_of_peers(peers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return every tool with the time it took and what is to know about its answer."""
    found = []
    for row in peers["answers"]:
        starts = f"{row['Time']} starts" if row["Time"] else ""
        words = "; ".join(filter(None, (starts, row["Note"])))
        if words:
            found.append((row["Tool"], words))
    return found


def _asked_of_peers(head: str) -> str:
    """``Qwen3.5-27B, 32,768 tokens, h100`` as people read it."""
    model, tokens, on = head.split(", ")
    return f"{model}, {_lengths_in(tokens)}, {hardware_db.resolve(on).short_name}"


def _lengths_in(words: str) -> str:
    """Return words with lengths as the pages have them: ``32k`` for ``32,768 tokens``."""
    return _LENGTH.sub(lambda found: short_tokens(int(found[1].replace(",", ""))), words)


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
    if suite in IN_GIB:
        return f"{error:.2f} GiB"
    return f"{error:.2%}" if error >= LEAST else f"under {LEAST:.2%}"
