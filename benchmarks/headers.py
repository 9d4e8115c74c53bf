"""How long reading and sorting the headers of 64,000 tensors takes, beside hf-mem on the same server.

    python -m benchmarks.headers [--rounds N] [--json]

A loopback Hub in a process of its own serves Qwen3.5-35B-A3B-FP8 as 40 shards (headers are real,
data is made up and never asked for). Each round times, in turn: this planner (repository, headers,
roles), hf-mem (its sum of weights), and parsing the same headers with `json.loads` alone, which
is what no reader can do without. hf-mem's address of the Hub is fixed in its code and is replaced
for the run. Requests and bytes are the server's count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

from planner.model import catalog
from planner.model.quantization import Stored
from tests.hub.loopback import LoopbackHub
from tests.model.builders import Stub, Tensors, sharded

REPOSITORY = "Qwen/Qwen3.5-35B-A3B-FP8"
SHARDS = 40
_DTYPES = {"bfloat16": "BF16", "float32": "F32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One reader over all rounds: seconds (median, best), requests and body bytes of one round."""

    name: str
    median: float
    best: float
    requests: int = 0
    nbytes: int = 0


def shards(repository: str = REPOSITORY, count: int = SHARDS) -> dict[str, Stub]:
    """The files of a repository: trunk layers spread over the shards, experts one by one."""
    groups: list[Tensors] = [{} for _ in range(count)]
    for row in catalog.bundled_checkpoint(repository).stored:
        for layer in row.tensor.layers or (0,):
            groups[layer % count].update(_tensors(row, layer))
    return sharded(groups)


def _tensors(row: Stored, layer: int) -> Tensors:
    shape = row.tensor.shape
    found: Tensors = {}
    for expert in range(row.tensor.experts):
        name = row.tensor.name.replace("{layer}", str(layer)).replace("{expert}", str(expert))
        if row.format.block is None:
            found[name] = (_DTYPES[row.format.name], shape)
        else:
            blocks = tuple(-(-n // b) for n, b in zip(shape, row.format.block, strict=True))
            found[name] = ("F8_E4M3", shape)
            found[f"{name}_scale_inv"] = ("BF16", blocks)
    return found


def serve() -> None:
    """Serve until standard input ends; prints the address first."""
    with LoopbackHub() as hub:
        found = catalog.find(REPOSITORY)
        assert found is not None
        hub.add(REPOSITORY, {"config.json": dict(found[0].config), **shards()})
        hub.add("counts/none", {})
        print(hub.url, flush=True)
        for _ in sys.stdin:
            requests = [len(hub.requests), sum(request.sent for request in hub.requests)]
            hub.requests.clear()
            print(json.dumps(requests), flush=True)


@contextmanager
def server() -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """The loopback Hub in a process of its own: its address, and what it sent since last asked."""
    command = [sys.executable, "-m", "benchmarks.headers", "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, out = process.stdin, process.stdout

        def count() -> list[int]:
            print("count", file=to, flush=True)
            counts: list[int] = json.loads(out.readline())
            return counts

        yield out.readline().strip(), count
        to.close()


def ours() -> int:
    """Read and sort the headers with the planner; gives the bytes of tensors."""
    from huggingface_hub import close_session

    from planner import hub
    from planner.model.stored_headers import classify

    close_session()  # as in a fresh process: no connection is open yet
    stored = hub.fetch_headers(hub.fetch_repository(REPOSITORY, anonymous=True))
    table = classify(catalog.bundled_checkpoint(REPOSITORY).model, stored)
    if table.other or table.missing or table.absent:
        raise SystemExit(f"not sorted: {len(table.other)} other, missing {table.missing}")
    return table.nbytes


def hf_mem(endpoint: str) -> int | None:
    """Let hf-mem sum up the weights of the same repository; None where it is not installed."""
    try:
        import hf_mem as peer
        import httpx2
    except ImportError:
        return None

    class Client(httpx2.AsyncClient):
        async def get(self, url: Any, **options: Any) -> httpx2.Response:
            return await super().get(url.replace("https://huggingface.co", endpoint), **options)

    with patch.object(httpx2, "AsyncClient", Client):
        memory = asyncio.run(peer.arun(model_id=REPOSITORY)).memory
    return memory if isinstance(memory, int) else None


def floor(headers: list[bytes]) -> int:
    """Parse the headers and do nothing else."""
    return sum(len(json.loads(header)) for header in headers)


def measure(rounds: int) -> list[Result]:
    """Time the three readers in turn, `rounds` times."""
    headers = [stub.head[8:] for name, stub in shards().items() if name.endswith(".safetensors")]
    with server() as (endpoint, count):
        os.environ["HF_ENDPOINT"] = endpoint
        urllib.request.urlopen(f"{endpoint}/api/models").close()
        readers: dict[str, Callable[[], int | None]] = {
            "qwenplan": ours,
            "hf-mem": lambda: hf_mem(endpoint),
            "json.loads alone": lambda: floor(headers),
        }
        times: dict[str, list[float]] = {name: [] for name in readers}
        traffic: dict[str, list[int]] = {}
        answers: dict[str, int | None] = {}
        for number in range(rounds + 1):
            for name, reader in readers.items():
                count()
                start = time.perf_counter()
                answers[name] = reader()
                if number:  # the first round imports
                    times[name].append(time.perf_counter() - start)
                traffic[name] = count()
    if answers["hf-mem"] is None:
        del times["hf-mem"]
    elif answers["hf-mem"] != answers["qwenplan"]:
        raise SystemExit(f"the readers disagree: {answers}")
    return [
        Result(
            name=name,
            median=median(taken),
            best=min(taken),
            requests=traffic[name][0],
            nbytes=traffic[name][1],
        )
        for name, taken in times.items()
    ]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    results = measure(max(options.rounds, 1))
    base = results[0].median
    if options.json:
        print(
            json.dumps(
                {
                    r.name: {
                        "median_s": r.median,
                        "best_s": r.best,
                        "requests": r.requests,
                        "bytes": r.nbytes,
                        "ratio": base / r.median,
                    }
                    for r in results
                }
            )
        )
        return
    for r in results:
        print(
            f"{r.name:18} median {r.median:.3f} s, best {r.best:.3f} s, {r.requests} requests, "
            f"{r.nbytes:,} bytes; qwenplan takes {base / r.median:.2f} times as long"
        )


if __name__ == "__main__":
    main()
