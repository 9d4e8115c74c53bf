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
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import planner
from benchmarks.headers import shards
from planner.formats.cache import get_cache_format
from planner.memory.kv_cache import kv_bytes_per_token
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.model.catalog import find
from planner.model.spec import LINEAR
from tests.hub.loopback import LoopbackHub

GIB, MIB = 2**30, 2**20
KEPT = Path(__file__).parent / "peers.json"
PAGE = Path(__file__).parent.parent / "docs" / "peers.md"
SHIPPED = Path(__file__).parent.parent / "planner" / "web" / "peers.json"
ASKER = Path(__file__).parent / "peer_asker.py"
ONE, MANY = (1, 262_144), (32, 32_768)
"""Sequences and their tokens: the two workloads."""
SHARDS = 16
ROUNDS = 3
PATIENCE = 600
"""Seconds that one tool may take for all questions."""


def install(folder: Path, uv: str) -> None:
    """Make an environment for each tool that has a package, with the newest release of it."""
    for tool in document()["tools"]:
        package = tool.get("package")
        if package is None:
            continue
        place = folder / tool["name"]
        if not (place / "bin" / "python").exists():
            subprocess.run([uv, "venv", "--quiet", "--no-project", place], check=True)
        python = str(place / "bin" / "python")
        subprocess.run([uv, "pip", "install", "--quiet", "--upgrade", "--python", python, package])


def run(folder: Path) -> dict[str, Any]:
    """Ask every tool that is installed below a folder, and return the document anew."""
    found = document()
    names = [planner.load_checkpoint(name).id for name in found["models"]]
    models: list[dict[str, Any]] = [
        {"id": name, "config": _config(name), "parameters": _parameters(name)} for name in names
    ]
    ids = dict(zip(found["models"], names, strict=True))
    asked = [
        {**question, "model": ids[question["model"]], "marketed_gib": MARKETED[question["on"]]}
        for question in found["capacity"]["questions"]
    ]
    with LoopbackHub() as hub, tempfile.TemporaryDirectory() as place:
        for model in models:
            files = shards(model["id"], SHARDS)
            hub.add(model["id"], {"config.json": model["config"], **files})
        everything, one = Path(place, "all.json"), Path(place, "one.json")
        everything.write_text(json.dumps({"models": models, "capacity": asked}), "utf-8")
        one.write_text(json.dumps({"models": models[:1], "capacity": []}), "utf-8")
        bare = min(_seconds([sys.executable, "-c", "pass"], hub.url)[0] for _ in range(ROUNDS))
        for tool in found["tools"]:
            python = folder / tool["name"] / "bin" / "python"
            if not python.is_file():
                continue
            words = [str(python), "-W", "ignore", str(ASKER), tool["name"]]
            answer = json.loads(_seconds([*words, str(everything)], hub.url)[1])
            tool["version"] = _version(python, tool["name"])
            tool["answer"] = answer
            if "error" not in answer:
                times = [_seconds([*words, str(one)], hub.url)[0] for _ in range(ROUNDS)]
                tool["starts"] = round(min(times) / bare)
    found["date"] = datetime.now(UTC).date().isoformat()
    found["machine"] = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, a stand-in for the Hub on the"
        " loopback address, no GPU"
    )
    return found


MARKETED = {"dgx-spark": 128, "h100": 80}
"""GiB that a person types for a card, where a tool does not know it by name."""


def _config(name: str) -> dict[str, Any]:
    """Return a bundled config.json with its layers one by one, as the published file lists them."""
    entry = find(name)
    assert entry is not None
    config: dict[str, Any] = json.loads(json.dumps(dict(entry[0].config)))
    config["text_config"]["layer_types"] = list(entry[0].model.layer_types)
    return config


def _parameters(name: str) -> int:
    stored = planner.load_checkpoint(name).stored
    return sum(row.tensor.parameters for row in stored)


def _seconds(words: Sequence[str], hub: str) -> tuple[float, str]:
    """Return the CPU seconds that a program took, and the last line that it printed.

    It finds no cache of the Hub, its own of the round before included.
    """
    with tempfile.TemporaryDirectory() as home:
        return _timed(words, {"HF_ENDPOINT": hub, "HF_HOME": home, "XDG_CACHE_HOME": home})


def _timed(words: Sequence[str], variables: Mapping[str, str]) -> tuple[float, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": "", "HF_HUB_DISABLE_TELEMETRY": "1", **variables},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = done.stdout.strip().splitlines()
    if not lines and done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        lines = [json.dumps({"error": f"status {done.returncode}: {said[:200]}"})]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, lines[-1] if lines else ""


def _version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


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


def tables(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the two tables: what every tool says of the models, and how many sequences."""
    truth, mine = kept["truth"], [ours(name) for name in kept["models"]]
    shown = {key: " / ".join(_number(row[key]) for row in mine) for key in ROWS}
    answers = [
        {"Tool": "truth", **{HEADS[key]: _numbers(truth[key]) for key in ROWS}},
        {"Tool": "qwenplan", **{HEADS[key]: shown[key] for key in ROWS}},
    ]
    for tool in kept["tools"]:
        row = {HEADS[key]: _beside(tool, key, truth[key]) for key in ROWS}
        answers.append({"Tool": _named(tool), **row, "Time": _starts(tool), "Note": tool["note"]})
    asked = kept["capacity"]
    heads = [f"{q['model']}, {q['context']:,} tokens, {q['on']}" for q in asked["questions"]]
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
        f" {ROUNDS}); ours is in [performance.md](performance.md).",
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
        install(asked.install, asked.uv)
        return 0
    if asked.run:
        kept = json.dumps(run(asked.run), indent=1, ensure_ascii=False)
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
