"""Ask one other planner, inside its own environment, and print its answers as JSON.

    HF_ENDPOINT=... python benchmarks/peer_asker.py kvfit QUESTIONS

Started by ``benchmarks.peers --run``; imports nothing of this project but what `qwenplan` itself is, which
is asked like the others, for its time. QUESTIONS is a JSON file:
``models`` (id, config, parameters), ``capacity`` (model, context, GiB of the card, the tool's name of
it). Addresses of the Hub that are fixed in a tool's code are replaced by HF_ENDPOINT.

Printed are GiB (weights, KV cache of 1 x 262,144 and 32 x 32,768 tokens), MiB (state of a sequence)
and whole sequences; what a tool has no answer to is null.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

GIB, MIB = 2**30, 2**20
LONG, SHORT, MANY = 262_144, 32_768, 32
THERE = "https://huggingface.co"


def redirect() -> None:
    """Send what goes to the Hub to HF_ENDPOINT instead."""
    here = os.environ["HF_ENDPOINT"]
    plain = urllib.request.Request.__init__

    def request(self: Any, url: Any, *rest: Any, **more: Any) -> None:
        plain(self, url.replace(THERE, here) if isinstance(url, str) else url, *rest, **more)

    urllib.request.Request.__init__ = request  # type: ignore[method-assign]
    for name in ("httpx", "httpx2"):
        with contextlib.suppress(ImportError):
            kind: Any = importlib.import_module(name).URL
            made = kind.__init__

            def address(self: Any, url: Any = "", _made: Any = made, **more: Any) -> None:
                _made(self, url.replace(THERE, here) if isinstance(url, str) else url, **more)

            kind.__init__ = address


def said(main: Any, words: list[str]) -> Any:
    """Return the JSON that a command line prints."""
    out, argv = io.StringIO(), sys.argv
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main()
    finally:
        sys.argv = argv
    return json.loads(out.getvalue())


def kvfit(asked: dict[str, Any]) -> dict[str, Any]:
    """Its command line."""
    modules: Any = [importlib.import_module(f"kvfit.{name}") for name in ("cli", "dpa", "hf")]
    cli, dpa, hf = modules
    hf.HF_BASE = dpa.HF_BASE = os.environ["HF_ENDPOINT"]

    def ask(model: str, context: int, card: str) -> Any:
        words = ["kvfit", model, "--hardware", card, "--gpus", "1", "--context", str(context)]
        return said(cli.main, [*words, "--kv-dtype", "bf16", "--json"])

    rows = []
    for model in asked["models"]:
        long, short = (ask(model["id"], tokens, "h100-80") for tokens in (LONG, SHORT))

        def part(found: Any, state: bool) -> float:
            parts = found["cache"]["components"]
            return float(sum(p["bytes"] for p in parts if p["name"].startswith("gdn") is state))

        rows.append(
            {
                "weights": long["weights"]["gib"],
                "kv_one": part(long, False) / GIB,
                "kv_many": MANY * part(short, False) / GIB,
                "state": part(long, True) / MIB,
            }
        )
    cards = {"dgx-spark": "dgx-spark", "h100": "h100-80"}
    counts = [
        ask(one["model"], one["context"], cards[one["on"]])["concurrency"]["best_any_fabric"][
            "concurrent_users"
        ]
        for one in asked["capacity"]
    ]
    return {"models": rows, "capacity": counts}


def hf_mem(asked: dict[str, Any]) -> dict[str, Any]:
    """Its command line; it knows no hardware."""
    cli = importlib.import_module("hf_mem.cli")

    def ask(model: str, context: int, batch: int) -> Any:
        words = ["hf-mem", "--model-id", model, "--experimental", "--json-output"]
        return said(cli.main, [*words, "--max-model-len", str(context), "--batch-size", str(batch)])

    rows = []
    for model in asked["models"]:
        one, many = ask(model["id"], LONG, 1), ask(model["id"], SHORT, MANY)
        rows.append(
            {
                "weights": one["memory"] / GIB,
                "kv_one": one["kv_cache"] / GIB,
                "kv_many": many["kv_cache"] / GIB,
                "state": None,
            }
        )
    return {"models": rows, "capacity": None}


def chimeraforge(asked: dict[str, Any]) -> dict[str, Any]:
    """Its functions behind `chimeraforge plan`, with the coefficients that it ships."""
    memory = importlib.import_module("chimeraforge.planner.models").load_bundled_models().vram
    spec_from_hf = importlib.import_module("chimeraforge.planner.resolver").spec_from_hf
    specs = {
        model["id"]: spec_from_hf(model["id"], model["config"], model["parameters"] / 1e9)
        for model in asked["models"]
    }
    rows = []
    for spec in specs.values():
        arch = spec.arch()
        state = memory.recurrent_state_gb(arch)
        empty = memory.predict(spec.name, "FP16", 0, params_b=spec.params_b, arch=arch)
        one = memory.kv_cache_gb(arch, LONG, 1)
        many = memory.kv_cache_gb(arch, SHORT, MANY)
        rows.append(
            {
                "weights": empty - state,
                "kv_one": one - state,
                "kv_many": many - MANY * state,
                "state": state * 1024,
            }
        )
    counts = []
    for one in asked["capacity"]:
        spec = specs[one["model"]]
        counts.append(
            memory.max_concurrent_seqs(
                spec.params_b, "FP16", spec.arch(), one["context"], one["marketed_gib"]
            )
        )
    return {"models": rows, "capacity": counts}


def aiconfigurator(asked: dict[str, Any]) -> dict[str, Any]:
    """Its SDK; models come bundled, and so do data of H100, but none of DGX Spark."""
    sdk = "aiconfigurator_core.sdk"
    build_model_config = importlib.import_module(f"{sdk}.config_builders").build_model_config
    estimate_kv_cache = importlib.import_module(f"{sdk}.memory").estimate_kv_cache
    get_model = importlib.import_module(f"{sdk}.models").get_model

    rows = []
    for model in asked["models"]:
        built = get_model(model["id"], build_model_config(1, 1, 1, 1, 1), "vllm")
        empty = built.get_kvcache_bytes_per_sequence(0)
        rows.append(
            {
                "weights": sum(op.get_weights() for op in built.context_ops) / GIB,
                "kv_one": (built.get_kvcache_bytes_per_sequence(LONG) - empty) / GIB,
                "kv_many": MANY * (built.get_kvcache_bytes_per_sequence(SHORT) - empty) / GIB,
                "state": empty / MIB,
            }
        )
    counts: list[int | None] = []
    for one in asked["capacity"]:
        if one["on"] != "h100":
            counts.append(None)
            continue
        found = estimate_kv_cache(
            one["model"], "h100_sxm", "vllm", "0.27.0", max_num_tokens=8192, max_batch_size=64,
            memory_fraction_kind="of_total", memory_fraction_value=0.92,
            moe_tp_size=1, moe_ep_size=1,
        )  # fmt: skip
        counts.append(int(found["total_kv_size_tokens"] // one["context"]))
    return {"models": rows, "capacity": counts}


def llm_d_planner(asked: dict[str, Any]) -> dict[str, Any]:
    """The functions behind its command line and page."""
    core = importlib.import_module("planner.capacity_planner")  # theirs
    configs = {model["id"]: core.get_model_config_from_hf(model["id"]) for model in asked["models"]}
    rows = [
        {
            "weights": core.model_memory_req(name, config),
            "kv_one": core.kv_cache_req(name, config, LONG),
            "kv_many": core.kv_cache_req(name, config, SHORT, MANY),
            "state": None,
        }
        for name, config in configs.items()
    ]
    counts = [
        core.max_concurrent_requests(
            one["model"], configs[one["model"]], one["context"], one["marketed_gib"]
        )
        for one in asked["capacity"]
    ]
    return {"models": rows, "capacity": counts}


def llmfit(asked: dict[str, Any]) -> dict[str, Any]:
    """Its command line; models come with it."""
    import subprocess

    program = str(Path(sys.executable).parent / "llmfit")

    def ask(*words: str) -> Any:
        done = subprocess.run(
            [program, *words, "--json"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
        return json.loads(done.stdout)

    def cached(model: str, context: int, card: int) -> Any:
        words = ("--memory", f"{card}G", "concurrency", model, "--quant", "F16")
        return ask(*words, "--context", str(context))["estimate"]

    rows = []
    for model in asked["models"]:
        plan = ask("plan", model["id"], "--context", str(LONG), "--quant", "BF16")
        one, many = (cached(model["id"], tokens, 1024) for tokens in (LONG, SHORT))
        rows.append(
            {
                "weights": plan["disk_size_gb"] * 1e9 / GIB,
                "kv_one": one["ladder"][0]["per_session_kv_gb"],
                "kv_many": MANY * many["ladder"][0]["per_session_kv_gb"],
                "state": one["per_session_recurrent_gb"] * 1024,
            }
        )
    counts = [
        cached(one["model"], one["context"], one["marketed_gib"])["ladder"][0]["max_sessions"]
        for one in asked["capacity"]
    ]
    return {"models": rows, "capacity": counts}


def qwenplan(asked: dict[str, Any]) -> dict[str, Any]:
    """This project's command line, two whole plans a model, which hold; its figures are taken elsewhere."""
    run = importlib.import_module("planner.cli.main").run
    verdicts = []
    for model in asked["models"]:
        for tokens, users in ((LONG, 1), (SHORT, MANY)):
            words = ["plan", model["id"], "--on", "h200", "--engine", "vllm", "--precision", "bf16"]
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                run([*words, "--context", str(tokens), "--users", str(users), "--json"])
            verdicts.append(json.loads(out.getvalue())["verdict"])
    return {"verdicts": verdicts}


TOOLS = {
    "qwenplan": qwenplan,
    "kvfit": kvfit,
    "hf-mem": hf_mem,
    "chimeraforge": chimeraforge,
    "aiconfigurator": aiconfigurator,
    "llm-d-planner": llm_d_planner,
    "llmfit": llmfit,
}


def main() -> int:
    """Ask the tool that is named; an error is told in one line."""
    name, questions = sys.argv[1:3]
    asked = json.loads(Path(questions).read_text("utf-8"))
    redirect()
    try:
        found = TOOLS[name](asked)
    except Exception as error:  # whatever a tool raises is its answer
        line = " ".join(str(error).split())[:200]
        found = {"error": f"{type(error).__name__}: {line}"}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
