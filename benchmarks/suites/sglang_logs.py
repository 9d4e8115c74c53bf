"""Suite `sglang_logs`: anchors from real SGLang start-up logs.

A row is asked with what its words say; what the log printed is only compared. Figures that depend
on something that the words do not say (the machine, how it drafts) are left out, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import SGLangServer
from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import Allowed, CaseResult
from benchmarks.suites.words import checkpoint_named, command_of, options_of, release_of
from planner.errors import PlannerError
from planner.layout import Layout

FILES = ("sglang_logs.json",)
IN_GIB = Allowed(
    absolute=0.011, reason="the log prints GiB with two decimals, K and V rounded apart"
)
PER_TOKEN = Allowed(
    relative=0.005, reason="a size per token worked out from sizes that the log had rounded"
)
NEEDS = {
    "kv_tokens": "tokens",
    "K_GB": "tokens",
    "V_GB": "tokens",
    "target_KV_GiB": "tokens",
    "draft_KV_GiB": "tokens",
    "ssm_state_GB": "slots",
    "target_GDN_state_GiB": "drafting",
    "max_running_requests": "slots",
    "mtp_intermediate_GiB": "drafting",
    "draft_worker_load_GiB": "drafting",
}
"""Figure of a log -> what decides it beside the model and the layout."""
UNTOLD = {
    "tokens": "the words name neither the machine nor the tokens of the pool",
    "slots": "the words do not say how many state slots there are",
    "drafting": "the words do not say how it drafts",
}
_LAUNCHED = {
    "1": "--max-total-tokens 24576",
    "4": "--max-total-tokens 20480",
}
_DRAFTING = (
    "--speculative-algorithm NEXTN --speculative-num-steps 3 --speculative-eagle-topk 1"
    " --speculative-num-draft-tokens 4"
)
"""What the launch script of the rows "state slots = running requests" adds to their words, by requests.

Source: Ciender/CMP-170HX-SGLang-Qwen3.6-Benchmarks b86cd3c scripts/serve-qwen36-27b.sh (mtp, mtp-c4).
"""
_MODEL = re.compile(r"(Qwen3\.\d-[\w.]+?B)\b|\b(\d+B)(?:-class)?\b")
_SLOTS_AS_REQUESTS = re.compile(r"state slots = running requests.*\bc=(\d+)")


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every row with what its words say."""
    before = ""
    for row in json.loads((folder / FILES[0]).read_text("utf-8")):
        what = row["what"]
        if what.startswith("same, "):  # the row above, with what comes after
            what = f"{before}, {what.removeprefix('same, ')}"
        before = re.sub(r"\s*\(c=\d+\)$", "", what)
        yield _compare(row["what"], what, row["logged"], folder)


def _compare(name: str, what: str, logged: dict[str, Any], folder: Path) -> CaseResult:
    try:
        server, told = _server(what, folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error))
    except PlannerError as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    untold = {field: need for field, need in NEEDS.items() if need not in told}
    expected = {field: value for field, value in logged.items() if field not in untold}
    left = [f"{field}: {UNTOLD[untold[field]]}" for field in logged if field in untold]
    if not expected:
        return CaseResult(name=name, unasked="; ".join(left))
    return CaseResult(
        name=name,
        expected=expected,
        answered=server.logged(),
        allowed={
            field: IN_GIB if field.endswith(("_GiB", "_GB")) else PER_TOKEN
            for field in expected
            if field != "bytes"
        },
        left_out=tuple(left),
    )


def _server(what: str, folder: Path) -> tuple[SGLangServer, set[str]]:
    """The server that a row's words describe, and what of its pools they decide."""
    found = _MODEL.search(what)
    if found is None:
        raise LookupError(f"no model is named in {what!r}")
    model = found[1] or f"Qwen3.5-{found[2]}"
    words = re.findall(r"--[\w-]+ \S+", what)
    if slots := _SLOTS_AS_REQUESTS.search(what):
        # one slot per running request: SGLang's rule where the radix cache is off
        words += ["--disable-radix-cache", f"--max-running-requests {slots[1]}"]
        words += [_LAUNCHED[slots[1]], _DRAFTING] if slots[1] in _LAUNCHED else []
    if tensor := re.search(r"\bTP(\d+)", what):
        words.append(f"--tp {tensor[1]}")
    if page := re.search(r"\bpage (\d+)", what):
        words.append(f"--page-size {page[1]}")
    if "fp8 KV" in what:
        words.append("--kv-cache-dtype fp8_e4m3")
    told = {"slots"} if slots or "--max-mamba-cache-size" in what else set[str]()
    told |= {"tokens", "drafting"} if slots and slots[1] in _LAUNCHED else set()
    command = command_of("sglang", model, [part for word in words for part in word.split()])
    version = release_of(what.partition("Qwen")[0] or None)
    precision = re.search(r"\b(INT8|int4|BF16|FP8)\b(?! KV)", what)
    return SGLangServer.of(
        checkpoint_named(
            model, folder, scheme=recipe_of(precision[1] if precision else "bf16").scheme
        ),
        command.layout or Layout(),
        options_of("sglang", command, version=version),
        memory_mib=1e6,
        capability=(9, 0),
        kv_cache_dtype=command.kv_cache_dtype or "auto",
    ), told
