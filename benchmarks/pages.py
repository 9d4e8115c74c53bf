"""How long each page of the app takes, for the questions that people bring and for every engine.

    python -m benchmarks.pages [--json]

A visitor without a browser (`benchmarks.visitor`) opens each page by its link, in a session of its
own, and waits until all of it is there. Three figures per page: seconds on the clock, those of
the processor (server and workers together), which count a busy machine less, and seconds of the next
visitor who follows the same link. Each question is the first of its kind that the server sees. Asked:
2 s on 2 cores, and 0.3 s for the next visitor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmarks.load_figures import usage
from benchmarks.visitor import Visitor
from benchmarks.web_server import served

MOST = 2.0
"""Seconds that a whole page may take."""

MOST_AGAIN = 0.3
"""Seconds that it may take for the next visitor with the same question."""

PAGES = ("", "fits", "explore", "compare", "trust", "models", "hardware")

QUESTIONS: dict[str, dict[str, str | int]] = {
    "an RTX 3090": {"on": "rtx-3090"},
    "a Mac of 64 GB": {"on": "apple-m4-max-64", "model": "Qwen3.5-35B-A3B"},
    "a DGX Spark": {"on": "dgx-spark", "model": "Qwen3.5-122B-A10B"},
    "Strix Halo": {"on": "strix-halo-128", "model": "Qwen3.5-122B-A10B", "context": "64k"},
    "8x H100 for 200": {
        "on": "h100-sxm",
        "count": 8,
        "model": "Qwen3.5-397B-A17B",
        "users": 200,
    },
    "does not fit": {"on": "rtx-4060", "model": "Qwen3.5-397B-A17B", "weights": "bf16"},
    "vLLM": {"on": "h200-sxm", "model": "Qwen3.5-27B", "weights": "fp8", "with": "vllm"},
    "SGLang": {"on": "h200-sxm", "model": "Qwen3.5-27B", "weights": "fp8", "with": "sglang"},
    "llama.cpp": {"on": "rtx-5090", "model": "Qwen3.5-27B", "with": "llamacpp"},
    "MLX": {"on": "apple-m4-max-64", "model": "Qwen3.5-27B", "with": "mlx"},
    "TensorRT-LLM": {
        "on": "h200-sxm",
        "model": "Qwen3.5-27B",
        "weights": "fp8",
        "with": "tensorrt-llm",
    },
    "transformers": {"on": "h200-sxm", "model": "Qwen3.5-9B", "with": "transformers"},
}
"""Links by what their visitors have; those that name an engine stand for all that it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One page that was opened.

    Attributes:
        page: name in the address; empty for the first.
        question: whose link it was.
        seconds: until the whole page was there.
        processor: seconds of the server and its workers meanwhile.
        again: seconds of the next visitor who follows the link.
        faults: exceptions that the page showed.
    """

    page: str
    question: str
    seconds: float
    processor: float
    again: float
    faults: tuple[str, ...]


def _processor() -> float:
    used = usage()
    return used.server_seconds + used.worker_seconds


def visits() -> Iterator[Visit]:
    """Open every page for every question once."""
    with served() as address:
        Visitor(address=address).open()  # the server's own first imports are nobody's page
        for page in PAGES:
            for question, link in QUESTIONS.items():
                first, following = (Visitor(address=address, page=page) for _ in range(2))
                before = _processor()
                seconds = first.open(v=2, **link)
                used = _processor() - before
                again = following.open(v=2, **link)
                for visitor in (first, following):
                    visitor.close()
                yield Visit(
                    page=page,
                    question=question,
                    seconds=seconds,
                    processor=used,
                    again=again,
                    faults=(*first.faults, *following.faults),
                )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 3 if a page takes longer than was asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args(argv)
    found = []
    for visit in visits():
        found.append(visit)
        if not asked.json:
            name, faults = visit.page or "run", "; ".join(visit.faults)
            print(
                f"{name:10} {visit.question:18} {visit.seconds:6.2f} s"
                f" {visit.processor:6.2f} s CPU {visit.again:6.2f} s again  {faults}",
                flush=True,
            )
    if asked.json:
        print(json.dumps({"visits": [asdict(visit) for visit in found]}))
    late = [visit for visit in found if visit.seconds > MOST or visit.again > MOST_AGAIN]
    return 3 if late else 0


if __name__ == "__main__":
    sys.exit(main())
