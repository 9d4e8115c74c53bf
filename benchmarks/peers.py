"""Set other planners' answers beside ours and beside the truth; writes docs/peers.md.

    python -m benchmarks.peers --install .peers-asked --uv uv     # an environment for each
    python -m benchmarks.peers --run .peers-asked                 # ask them anew; writes peers.json
    python -m benchmarks.peers --write                            # the page alone

Answers of the others are kept in peers.json, with version and date: each was printed or returned by
the tool itself (``peer_asker.py``, in its own environment, against a stand-in for the Hub on the
loopback address), asked the same questions. Ours are worked out anew each time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from math import floor, log2
from pathlib import Path
from typing import Any

import planner
from benchmarks.peer_runs import ROUNDS, install, run
from planner.answer import Plan
from planner.formats.cache import get_cache_format
from planner.memory.kv_cache import kv_bytes_per_token
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.model.spec import LINEAR

GIB, MIB = 2**30, 2**20
KEPT = Path(__file__).parent / "peers.json"
PAGE = Path(__file__).parent.parent / "docs" / "peers.md"
SHIPPED = Path(__file__).parent.parent / "planner" / "web" / "peers.json"
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


def our_plan(question: Mapping[str, Any], users: int = 1) -> Plan:
    """Return our plan of a question about capacity."""
    return planner.plan(
        question["model"],
        on=question["on"],
        context=question["context"],
        concurrency=users,
        engine="vllm",
        precision="bf16",
        options={"max_num_seqs": 64},
    )


def our_capacity(question: Mapping[str, Any]) -> str:
    """Return how many sequences we say vLLM holds at once."""
    plan = our_plan(question)
    return "none" if plan.capacity is None else str(plan.capacity.sequences)


def asked_users(reference: str) -> tuple[int, int]:
    """Return the numbers of users whose verdict a reference settles: one that fits, one that does not.

    They are the powers of two next below its lower end and next above its upper end.

    Args:
        reference: how many fit: ``7.7–8.3``.
    """
    low, _, high = reference.partition("–")
    return 2 ** floor(log2(float(low))), 2 ** (floor(log2(float(high or low))) + 1)


def verdicts(kept: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return whether so many users fit, in truth and by every tool that counts them; ✘ is wrong.

    A tool says that users fit if it counts at least so many; ours is the verdict of a plan for them.
    """
    asked = kept["capacity"]
    cases = [
        (place, users, fits)
        for place, reference in enumerate(asked["reference"])
        for users, fits in zip(asked_users(reference), (True, False), strict=True)
    ]
    heads = [
        f"{users} users of {_question(asked['questions'][place])}" for place, users, _ in cases
    ]
    answers: list[tuple[str, list[bool | None]]] = [
        ("truth", [fits for *_, fits in cases]),
        ("qwenplan", [our_plan(asked["questions"][p], users).fits for p, users, _ in cases]),
    ]
    for tool in kept["tools"]:
        counts = tool.get("answer", {}).get("capacity")
        if counts is not None:
            found = [None if counts[p] is None else counts[p] >= n for p, n, _ in cases]
            answers.append((_named(tool), found))
    rows = []
    for name, said in answers:
        right = [each == fits for each, (*_, fits) in zip(said, cases, strict=True)]
        cells = [
            "not in its data" if each is None else f"{'yes' if each else 'no'}{'' if ok else ' ✘'}"
            for each, ok in zip(said, right, strict=True)
        ]
        asked_of = len(cases) - said.count(None)
        score = "" if name == "truth" else f"{sum(right)} of {asked_of}"
        rows.append({"Tool": name, "Right": score, **dict(zip(heads, cells, strict=True))})
    return rows


def _question(question: Mapping[str, Any]) -> str:
    return f"{question['model']}, {question['context']:,} tokens, {question['on']}"


def tables(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the two tables: what every tool says of the models, and how many sequences."""
    truth, mine = kept["truth"], [ours(name) for name in kept["models"]]
    shown = {key: " / ".join(_number(row[key]) for row in mine) for key in ROWS}
    answers = [
        {"Tool": "truth", **{HEADS[key]: _numbers(truth[key]) for key in ROWS}},
        {
            "Tool": f"qwenplan {kept['own']['version']}",
            **{HEADS[key]: shown[key] for key in ROWS},
            "Time": _starts(kept["own"]),
            "Note": "time of two whole plans on an H200, with overheads and speed; the others' is of the sizes",
        },
    ]
    for tool in kept["tools"]:
        row = {HEADS[key]: _beside(tool, key, truth[key]) for key in ROWS}
        answers.append({"Tool": _named(tool), **row, "Time": _starts(tool), "Note": tool["note"]})
    asked = kept["capacity"]
    heads = [_question(each) for each in asked["questions"]]
    own = [our_capacity(question) for question in asked["questions"]]
    rows = [("reference", asked["reference"]), ("qwenplan", own)]
    for tool in kept["tools"]:
        counts = tool.get("answer", {}).get("capacity")
        if counts is not None:
            cells = ["not in its data" if count is None else str(count) for count in counts]
            rows.append((_named(tool), cells))
    capacity = [{"Tool": name, **dict(zip(heads, cells, strict=True))} for name, cells in rows]
    return {
        "date": kept["date"],
        "models": kept["models"],
        "answers": [{**dict.fromkeys(("Time", "Note"), ""), **row} for row in answers],
        "capacity": capacity,
        "verdicts": verdicts(kept),
    }


HEADS = {
    "weights": "Weights, GiB",
    "kv_one": "KV cache, 1 × 262,144 tokens, GiB",
    "kv_many": "32 × 32,768, GiB",
    "state": "State per sequence, MiB",
}


def _table(rows: Sequence[Mapping[str, str]], heads: Sequence[str]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return lines + [f"| {' | '.join(row[head] for head in heads)} |" for row in rows]


def page(kept: Mapping[str, Any]) -> str:
    """Return docs/peers.md."""
    found = tables(kept)
    lines = [
        "# Other planners, on the same questions",
        "",
        "Written by `python -m benchmarks.peers`. The others' answers were printed or returned by the"
        f" tools themselves on {kept['date']} ({kept['machine']}), each in an environment of its own"
        " (`--run`); ours are of this version. Tools move: a later version may answer better.",
        "",
        f"## Weights, KV cache, state: {' / '.join(kept['models'])} in BF16",
        "",
        f'Truth: {kept["truth"]["source"]}. "exact" is the truth to the digits shown. Time is the CPU'
        " time of a whole answer for the first model, in starts of a bare Python (the least of"
        f" {ROUNDS}), measured in the same run for all; more of ours is in"
        " [performance.md](performance.md).",
        "",
        *_table(found["answers"], ("Tool", *HEADS.values(), "Time", "Note")),
        "",
        "## How many sequences at once, BF16 under vLLM",
        "",
        f"Reference: {kept['capacity']['source']}; no start of exactly these was seen. Ours are plans"
        " with `--max-num-seqs 64`, whole sequences. On DGX Spark ours are lower than the reference"
        " because the plan sets `--gpu-memory-utilization 0.85` there: of the machine's one memory the"
        " system leaves less free than the default of 0.92 asks for. A tool without the card in its"
        " list was told its marketed size.",
        "",
        *_table(found["capacity"], tuple(found["capacity"][0])),
        "",
        "## Do so many users fit?",
        "",
        "The same questions with a number of users, as powers of two: the next below the reference,"
        " which fits, and the next above it, which does not. A tool says yes if it counts at least so"
        " many; ours is the verdict of a plan for just so many. ✘ is another verdict than the truth's.",
        "",
        *_table(found["verdicts"], tuple(found["verdicts"][0])),
    ]
    return "\n".join([*lines, ""])


def _named(tool: Mapping[str, Any]) -> str:
    return f"{tool['name']} {tool.get('version', '')}".rstrip()


def _starts(tool: Mapping[str, Any]) -> str:
    return f"{tool['starts']:,}" if "starts" in tool else ""


def _beside(tool: Mapping[str, Any], key: str, truth: Sequence[float]) -> str:
    """Return a tool's answers, or how they lie to the truth where all lie alike."""
    answer = tool.get("answer")
    if answer is None:
        return "not run"
    if "error" in answer:
        return f"error: {answer['error']}" if key == ROWS[0] else "error"
    found = [row[key] for row in answer["models"]]
    if any(value is None for value in found):
        return "none"
    if all(abs(value / true - 1) <= EXACT for value, true in zip(found, truth, strict=True)):
        return "exact"
    factors = {round(value / true, 2) for value, true in zip(found, truth, strict=True)}
    if len(factors) == 1:
        return f"{_numbers(found)} ({factors.pop():g} times)"
    return _numbers(found)


EXACT = 1e-4
"""Share by which an answer may be off and still be called exact: the truth has four digits, and files
are longer than their tensors by their headers."""

ROWS = ("weights", "kv_one", "kv_many", "state")


def _number(value: float) -> str:
    return f"{value:.2f}".removesuffix(".00")


def _numbers(values: Sequence[float]) -> str:
    return " / ".join(_number(value) for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="write docs/peers.md, and what the app shows"
    )
    parser.add_argument("--install", type=Path, metavar="FOLDER", help="make the environments")
    parser.add_argument("--uv", default="uv", help="the uv that installs")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="ask what is installed there")
    asked = parser.parse_args(argv)
    if asked.install:
        install(document(), asked.install, asked.uv)
        return 0
    if asked.run:
        kept = json.dumps(run(document(), asked.run), indent=1, ensure_ascii=False)
        KEPT.write_text(kept + "\n", "utf-8")
    text = page(document())
    if asked.write:
        PAGE.write_text(text, "utf-8")
        shown = json.dumps(tables(document()), indent=1, ensure_ascii=False)
        SHIPPED.write_text(shown + "\n", "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
