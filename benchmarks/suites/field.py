"""Suite `field`: what engines printed on real machines, and whether it ran.

A case gives as many results as it has kinds of figures; each kind is a group:

- tokens, concurrency: of the pool, given the KV memory that was printed
- weights loaded: per accelerator
- KV memory: from the utilization, and the weights loaded where the log tells them
- KV needed: for one request
- verdicts: ran, or did not
- SGLang's pools, llama.cpp's buffers

What a print rounds away is allowed, and said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.suites.field_cases import (
    ANY_MACHINE,
    GIB,
    ask,
    readings,
    several_at_once,
    stored_in,
    unnamed,
)
from benchmarks.suites.figures import figures, llamacpp_device, sglang, sum_of, term_bytes
from benchmarks.suites.result import Allowed, CaseResult
from benchmarks.suites.words import release_of
from planner.errors import PlannerError
from planner.memory.breakdown import Kind
from planner.planning import Plan

FILES = ("cases.json",)
MIB = 2**20
PRINTED = 0.005
"""Half of the last printed digit: GiB, MiB and concurrency are printed with two decimals."""
ROUNDED_APART = Allowed(
    absolute=0.01, reason="a sum of two sizes in GiB that the log rounds to two decimals each"
)
TWO_DECIMALS = Allowed(absolute=PRINTED * (1 + 1e-6), reason="printed with two decimals")
AS_LOGGED = (
    "how the weights are stored is told roughly: the verdict takes what the log says it loaded"
)
ONE_SLOT = 4096
"""Tokens of a slot where a case tells none: the state does not depend on them."""

_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(\s*[kK]\b)?")
_WORDS = (
    ("does_not_fit", False),
    ("does_not_start", False),
    ("boot OOM", False),
    ("fits", True),
    ("validated", True),
    ("boots", True),
)
_SETTING = re.compile(r"\b(\w+)=(\d+)\b")
Check = Callable[[dict[str, Any], Path], CaseResult]


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every kind of figure of every case that has figures of memory or a verdict."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        for group, check in _checks(case):
            try:
                yield check(case, folder)
            except LookupError as error:
                yield CaseResult(name=case["id"], unasked=str(error), group=group)
            except PlannerError as error:
                yield CaseResult(name=case["id"], failure=str(error), group=group)
        yield from _verdicts(case, folder)


def _checks(case: dict[str, Any]) -> Iterator[tuple[str, Check]]:
    measured, engine = case["measured"] or {}, case["engine"]
    if engine == "vLLM":
        if measured.get("kv_tokens"):
            yield "tokens from KV memory" + _untold(case), _tokens
        if measured.get("max_concurrency"):
            yield "concurrency from KV memory" + _untold(case), _concurrency
        if measured.get("available_kv_gib") and case["gpu_memory_utilization"]:
            yield "KV memory from utilization", _kv_memory
        if measured.get("kv_needed_gib"):
            yield "KV needed", _needed
        if measured.get("model_loading_gib"):
            yield "weights loaded", _weights
    if engine == "SGLang":
        if measured.get("weights_gib"):
            yield "weights loaded", _sglang_weights
        if measured.get("max_total_num_tokens"):
            yield "SGLang pools", _sglang_pools
    if engine == "llama.cpp" and (measured.get("rs_buffer_mib") or measured.get("kv_buffer_mib")):
        yield "llama.cpp KV and state", _llamacpp_cache
        if measured.get("model_buffer_mib"):
            yield "llama.cpp weights", _llamacpp_weights
            yield "llama.cpp compute", _llamacpp_compute


class _NotAnsweredError(PlannerError):
    """The planner says that what ran cannot run, or does not fit."""


def _answered(plan: Plan) -> Plan:
    if not plan.ranks:
        raise _NotAnsweredError(plan.verdict)
    return plan


def _pools(case: dict[str, Any], folder: Path, field: str) -> tuple[float, Allowed]:
    """A figure of the pool for the KV memory that was printed, and what the print's rounding makes."""
    printed = case["measured"].get("available_kv_gib")
    if printed is None:
        raise LookupError("the KV memory is not told")
    found = []
    for size in (printed, printed - PRINTED, printed + PRINTED):
        plan = ask(
            case,
            folder,
            any_weights=True,
            any_machine=True,
            kv_cache_memory_bytes=int(size * GIB),
        )
        found.append(figures(_answered(plan))[field])
    spread = max(abs(found[0] - found[1]), abs(found[2] - found[0]))
    reason = "the KV memory is printed with two decimals of a GiB, which leaves whole blocks open"
    return found[0], Allowed(absolute=spread, reason=reason)


def _tokens(case: dict[str, Any], folder: Path) -> CaseResult:
    found, allowed = _pools(case, folder, "kv_cache_size_tokens")
    return CaseResult(
        name=case["id"],
        expected={"kv_tokens": case["measured"]["kv_tokens"]},
        answered={"kv_tokens": found},
        allowed={"kv_tokens": allowed},
        assumed=_assumed(case),
        group="tokens from KV memory" + _untold(case),
    )


def _concurrency(case: dict[str, Any], folder: Path) -> CaseResult:
    found, allowed = _pools(case, folder, "max_concurrency")
    limit = Allowed(
        absolute=allowed.absolute + 2 * TWO_DECIMALS.absolute,
        reason=f"{allowed.reason}; both concurrencies have two decimals",
    )
    return CaseResult(
        name=case["id"],
        expected={"max_concurrency": case["measured"]["max_concurrency"]},
        answered={"max_concurrency": round(found, 2)},
        allowed={"max_concurrency": limit},
        assumed=_assumed(case),
        group="concurrency from KV memory" + _untold(case),
    )


def _assumed(case: dict[str, Any]) -> tuple[str, ...]:
    return (ANY_MACHINE,) if unnamed(case) else ()


def _untold(case: dict[str, Any]) -> str:
    """What a figure of the pool depends on and the case does not tell."""
    return "" if release_of(case["engine_version"]) else ", release not told"


def _kv_memory(case: dict[str, Any], folder: Path) -> CaseResult:
    """What is left of the utilization for the cache, given the weights where the log tells them."""
    loaded = case["measured"].get("model_loading_gib")
    told = {} if loaded is None else {"model_memory_gib": loaded}
    plan = _answered(ask(case, folder, any_weights=loaded is not None, **told))
    available, band = min(figures(plan)["available_bytes"]), plan.ranks[0].band
    truth = case["measured"]["available_kv_gib"] * GIB
    return CaseResult(
        name=case["id"],
        expected={"available_kv_gib": case["measured"]["available_kv_gib"]},
        answered={"available_kv_gib": round(available / GIB, 2)},
        allowed={"available_kv_gib": TWO_DECIMALS},
        within_band=available - band.above <= truth <= available + band.below,
        group="KV memory from utilization",
    )


def _needed(case: dict[str, Any], folder: Path) -> CaseResult:
    plan = _answered(ask(case, folder, any_weights=True))
    needed = max(figures(plan)["needed_bytes_for_one_request"])
    return CaseResult(
        name=case["id"],
        expected={"kv_needed_gib": case["measured"]["kv_needed_gib"]},
        answered={"kv_needed_gib": round(needed / GIB, 2)},
        allowed={"kv_needed_gib": TWO_DECIMALS},
        group="KV needed",
    )


def _weights(case: dict[str, Any], folder: Path) -> CaseResult:
    return _loaded(case, ask(case, folder), "model_loading_gib")


def _sglang_weights(case: dict[str, Any], folder: Path) -> CaseResult:
    return _loaded(case, ask(case, folder), "weights_gib")


def _loaded(case: dict[str, Any], plan: Plan, field: str) -> CaseResult:
    """Weights on the fullest accelerator; a drafter that the case counts apart is left out."""
    apart = ("MTP draft worker",) if case["measured"].get("draft_load_gib") else ()
    found = sum_of(_answered(plan), Kind.WEIGHTS, without=apart)
    low, high = (found.nbytes - found.below) / GIB, (found.nbytes + found.above) / GIB
    truth = case["measured"][field]
    return CaseResult(
        name=f"{case['id']} ({plan.deployment.checkpoint.scheme.name})",
        expected={field: truth},
        answered={field: round(found.nbytes / GIB, 2)},
        allowed={field: TWO_DECIMALS},
        within_band=low - PRINTED <= truth <= high + PRINTED,
        group="weights loaded",
    )


def _sglang_pools(case: dict[str, Any], folder: Path) -> CaseResult:
    found, measured = sglang(_answered(ask(case, folder))), case["measured"]
    expected: dict[str, Any] = {"max_total_num_tokens": measured["max_total_num_tokens"]}
    answered: dict[str, Any] = {"max_total_num_tokens": found["max_total_num_tokens"]}
    for field, size in found.items():
        if field.endswith("_gib") and measured.get(field):
            expected[field], answered[field] = measured[field], size / GIB
    return CaseResult(
        name=case["id"],
        expected=expected,
        answered=answered,
        allowed={field: ROUNDED_APART for field in expected if field.endswith("_gib")},
        group="SGLang pools",
    )


def _llamacpp_plan(case: dict[str, Any], folder: Path, *, anywhere: bool = False) -> Plan:
    """llama.cpp divides its context over the slots; the planner is asked for that of one slot."""
    slots, length = case["max_num_seqs"] or 1, case["max_model_len"]
    return _answered(
        ask(
            case,
            folder,
            any_weights=anywhere,
            any_machine=anywhere,
            context=length // slots if length else ONE_SLOT,
            concurrency=slots,
        )
    )


def _llamacpp_cache(case: dict[str, Any], folder: Path) -> CaseResult:
    plan = _llamacpp_plan(case, folder, anywhere=True)
    names = {"kv_buffer_mib": "KV cache", "rs_buffer_mib": "recurrent state"}
    known = {field: value for field in names if (value := case["measured"].get(field))}
    return CaseResult(
        name=case["id"],
        expected=known,
        answered={field: round(term_bytes(plan, names[field]) / MIB, 2) for field in known},
        allowed=dict.fromkeys(known, TWO_DECIMALS),
        assumed=_assumed(case),
        group="llama.cpp KV and state",
    )


def _llamacpp_weights(case: dict[str, Any], folder: Path) -> CaseResult:
    return _buffer(case, folder, "model", "model_buffer_mib", "llama.cpp weights")


def _llamacpp_compute(case: dict[str, Any], folder: Path) -> CaseResult:
    return _buffer(case, folder, "compute", "compute_mib", "llama.cpp compute")


def _buffer(case: dict[str, Any], folder: Path, ours: str, theirs: str, group: str) -> CaseResult:
    """A buffer on the device (the first that is not the host's)."""
    sizes: Mapping[str, float] = case["measured"][theirs]
    truth = next(size for name, size in sizes.items() if not name.endswith("Host"))
    return CaseResult(
        name=case["id"],
        expected={theirs: truth},
        answered={theirs: round(llamacpp_device(_llamacpp_plan(case, folder), ours) / MIB, 2)},
        allowed={theirs: TWO_DECIMALS},
        group=group,
    )


def _verdicts(case: dict[str, Any], folder: Path) -> Iterator[CaseResult]:
    """One result per clause of the verdict that says whether something ran."""
    for clause in re.split(r";|, ", case["verdict"] or ""):
        truth = next((fits for word, fits in _WORDS if word in clause), None)
        if truth is None:
            continue
        name = f"{case['id']}: {clause.strip()}"
        changes: dict[str, Any] = {option: int(text) for option, text in _SETTING.findall(clause)}
        if (context := _context(clause)) is not None:
            changes["context"] = context
        try:
            plans = [_judged(reading, folder, changes) for reading in readings(case)]
        except LookupError as error:
            yield CaseResult(name=name, unasked=str(error), group="verdicts")
            continue
        except PlannerError as error:
            yield CaseResult(name=name, failure=str(error), group="verdicts")
            continue
        wrong = next((plan for plan, _ in plans if plan.fits is not truth), None)
        right = any(plan.fits is truth for plan, _ in plans)
        if wrong is not None and right and not several_at_once(case):
            problem = f"which of {len(plans)} it was is not told, and one differs: {wrong.verdict}"
            yield CaseResult(name=name, unasked=problem, group="verdicts")
            continue
        several = (f"{len(plans)} readings: the verdict must hold in each",) if plans[1:] else ()
        yield CaseResult(
            name=name if wrong is None else f"{name} [{wrong.verdict}]",
            expected={"fits": truth},
            answered={"fits": truth if wrong is None else wrong.fits},
            assumed=(*several, *dict.fromkeys(note for _, notes in plans for note in notes)),
            group="verdicts",
        )


def _judged(
    case: dict[str, Any], folder: Path, changes: dict[str, Any]
) -> tuple[Plan, tuple[str, ...]]:
    """The plan for a verdict and what is assumed: weights as logged where only their kind is told."""
    loaded = (case["measured"] or {}).get("model_loading_gib")
    if loaded is None or case["engine"] != "vLLM" or stored_in(case).nearest is None:
        return ask(case, folder, **changes), ()
    return ask(case, folder, model_memory_gib=loaded, **changes), (AS_LOGGED,)


def _context(clause: str) -> int | None:
    """Tokens that a clause names: "262,144", "160K", "36,608 ctx"; sizes and settings are none."""
    for number, thousands in _NUMBER.findall(clause):
        if thousands:
            return int(number.replace(",", "")) * 1000
        if "," in number:
            return int(number.replace(",", ""))
    return None
