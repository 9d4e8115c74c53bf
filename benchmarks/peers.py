"""Set other planners' answers beside ours and beside the truth; writes docs/peers.md.

    python -m benchmarks.peers [--write]

Answers of the others are kept in peers.json, with version and date: each was printed or returned by
the tool itself, asked the same questions. Ours are worked out anew each time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import planner
from planner.formats.cache import get_cache_format
from planner.memory.kv_cache import kv_bytes_per_token
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.model.spec import LINEAR

GIB, MIB = 2**30, 2**20
KEPT = Path(__file__).parent / "peers.json"
PAGE = Path(__file__).parent.parent / "docs" / "peers.md"
ONE, MANY = (1, 262_144), (32, 32_768)
"""Sequences and their tokens: the two workloads."""


def document() -> dict[str, Any]:
    """Return the kept answers."""
    found: dict[str, Any] = json.loads(KEPT.read_text("utf-8"))
    return found


def ours(name: str) -> dict[str, float]:
    """Return our answers for a model in 16 bits: GiB, and MiB of state per sequence."""
    checkpoint = planner.load_checkpoint(name)
    model = checkpoint.model
    per_token = kv_bytes_per_token(model, cache_format=get_cache_format("bfloat16"))
    linear = model.linear
    assert linear is not None
    layers = sum(kind == LINEAR for kind in model.layer_types)
    state = layers * (
        conv_state_bytes(linear, dtype_bytes=2) + ssm_state_bytes(linear, dtype_bytes=4)
    )
    return {
        "weights": checkpoint.nbytes("text", "vision", "mtp") / GIB,
        "kv_one": ONE[0] * ONE[1] * per_token / GIB,
        "kv_many": MANY[0] * MANY[1] * per_token / GIB,
        "state": state / MIB,
    }


def our_capacity(question: Mapping[str, Any]) -> str:
    """Return how many sequences we say vLLM holds at once."""
    plan = planner.plan(
        question["model"],
        on=question["on"],
        context=question["context"],
        engine="vllm",
        precision="bf16",
        options={"max_num_seqs": 64},
    )
    return "none" if plan.capacity is None else str(plan.capacity.sequences)


def page(kept: Mapping[str, Any]) -> str:
    """Return docs/peers.md."""
    truth, mine = kept["truth"], [ours(name) for name in kept["models"]]
    shown = {key: " / ".join(_number(row[key]) for row in mine) for key in ROWS}
    lines = [
        "# Other planners, on the same questions",
        "",
        "Written by `python -m benchmarks.peers --write`. The others' answers were printed or returned"
        f" by the tools themselves on {kept['date']} ({kept['machine']}); ours are of this version."
        " Tools move: a later version may answer better.",
        "",
        f"## Weights, KV cache, state: {' / '.join(kept['models'])} in BF16",
        "",
        f'Truth: {truth["source"]}. "Exact" is the truth to the digits shown. Time is that of a whole'
        " answer in starts of a bare Python; ours is in [performance.md](performance.md).",
        "",
        "| tool | weights, GiB | KV cache, 1 × 262,144 tokens, GiB | 32 × 32,768, GiB | state per"
        " sequence, MiB | time | |",
        "|---|---|---|---|---|---|---|",
        f"| **truth** | {' | '.join(_numbers(truth[key]) for key in ROWS)} | | |",
        f"| **qwenplan** | {' | '.join(shown[key] for key in ROWS)} | | |",
    ]
    for tool in kept["tools"]:
        cells = [f"{tool['name']} {tool['version']}", *(tool[key] for key in ROWS)]
        lines.append(f"| {' | '.join([*cells, tool['time'], tool['note']])} |")
    asked = kept["capacity"]
    heads = [f"{q['model']}, {q['context']:,} tokens, {q['on']}" for q in asked["questions"]]
    lines += [
        "",
        "## How many sequences at once, BF16 under vLLM",
        "",
        f"Reference: {asked['source']}; no start of exactly these was seen. Ours are plans with"
        " `--max-num-seqs 64`, whole sequences; on DGX Spark they count more overhead than the"
        " reference, as its start-up logs do.",
        "",
        f"| tool | {' | '.join(heads)} |",
        "|---" * (len(heads) + 1) + "|",
        f"| **reference** | {' | '.join(asked['reference'])} |",
        f"| **qwenplan** | {' | '.join(our_capacity(q) for q in asked['questions'])} |",
        *(f"| {name} | {' | '.join(answers)} |" for name, answers in asked["tools"].items()),
    ]
    return "\n".join([*lines, ""])


ROWS = ("weights", "kv_one", "kv_many", "state")


def _number(value: float) -> str:
    return f"{value:.2f}".removesuffix(".00")


def _numbers(values: Sequence[float]) -> str:
    return " / ".join(_number(value) for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/peers.md")
    asked = parser.parse_args(argv)
    text = page(document())
    if asked.write:
        PAGE.write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
