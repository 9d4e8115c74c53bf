"""The door: how fast does this checkpoint run there?

A first-order roofline with measured efficiencies. It answers with a band, names what binds, and
says where it is rough; it is no simulation of a scheduler.
"""

from __future__ import annotations

from types import MappingProxyType

from hardware_db import System
from planner.errors import InputError
from planner.formats import CACHE_FORMATS, FORMATS, CacheFormat, get_cache_format
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.throughput.answer import Banded, NoEstimate, PrefillEstimate, SpeedEstimate
from planner.throughput.bands import band, prefill_band, rough_reasons, unknown_engine
from planner.throughput.constants import (
    ACCEPTANCE_SOURCE,
    Calibration,
    Constants,
    Preset,
    acceptance,
    calibration,
)
from planner.throughput.decode import SSM_BYTES, Question, cycle_terms, streamed_bytes
from planner.throughput.prefill import CHUNK, prefill_terms
from planner.throughput.step import CEILING, StepTerm, UnknownFigureError, bandwidth, total
from planner.throughput.traffic import rank_weights
from planner.throughput.workload import HostExperts, Speculation, Workload


def estimate_speed(
    checkpoint: Checkpoint,
    system: System,
    layout: Layout,
    *,
    engine: str,
    workload: Workload,
    kv_cache_dtype: str = "auto",
    ssm_dtype: str = "auto",
    speculation: Speculation | None = None,
    preset: Preset = "serving",
    chunk: int = CHUNK,
    host: HostExperts | None = None,
) -> SpeedEstimate | NoEstimate:
    """How fast `checkpoint` decodes and prefills on `system`.

    Args:
        checkpoint: what is served.
        system: where; only the accelerators that `layout` uses count.
        layout: how it is spread.
        engine: what serves it; picks the constants.
        workload: prompts, answers and how many at once.
        kv_cache_dtype: "auto" (16 bits) or the name of a cache format.
        ssm_dtype: "auto" (what the config asks for, else 16 bits), "float32" or "bfloat16".
        speculation: drafting by the MTP module.
        preset: "serving", or "kernel" for sums of kernel times without scheduler and CPU.
        chunk: tokens of a prompt computed at a time.
        host: routed experts kept on the host.

    Returns:
        The estimate, or why there is none (a figure of the device is unknown).

    Raises:
        InputError: an unknown dtype, or drafting without an MTP module.
    """
    if reason := unknown_engine(engine):
        return NoEstimate(reason=reason)
    found = calibration(system, engine, preset=preset, precision=checkpoint.scheme.name)
    question = resolve_question(
        checkpoint,
        system,
        layout,
        workload=workload,
        constants=found.constants,
        kv_cache_dtype=kv_cache_dtype,
        ssm_dtype=ssm_dtype,
        speculation=speculation,
        host=host,
    )
    try:
        return _estimate(question, checkpoint, found, engine, workload, speculation, chunk)
    except UnknownFigureError as unknown:
        return NoEstimate(reason=str(unknown))


def resolve_question(
    checkpoint: Checkpoint,
    system: System,
    layout: Layout,
    *,
    workload: Workload,
    constants: Constants,
    kv_cache_dtype: str = "auto",
    ssm_dtype: str = "auto",
    speculation: Speculation | None = None,
    host: HostExperts | None = None,
) -> Question:
    """The question with every "auto" resolved, for given constants; arguments as `estimate_speed`.

    Raises:
        InputError: an unknown dtype, drafting without an MTP module, experts that are not there.
    """
    model = checkpoint.model
    if speculation is not None and not any(checkpoint.rows("mtp")):
        raise InputError(
            f"{checkpoint.id} as {checkpoint.scheme.title} has no MTP module to draft with"
        )
    if host is not None and (model.moe is None or host.layers > model.num_hidden_layers):
        raise InputError(f"{checkpoint.id} has no routed experts in {host.layers} layers")
    cache = model.dtype if kv_cache_dtype == "auto" else kv_cache_dtype
    replica = -(-workload.concurrency // layout.data_parallel)
    return Question(
        model=model,
        system=system,
        layout=layout,
        weights=rank_weights(checkpoint, layout),
        constants=constants,
        # Pipeline stages work on one share of the sequences each.
        sequences=-(-replica // layout.pipeline_parallel),
        depth=workload.mean_depth,
        shared_prefix=workload.shared_prefix,
        drafted=speculation.tokens if speculation else 0,
        cache_format=_cache_format(cache),
        ssm_bytes=_ssm_bytes(checkpoint, ssm_dtype),
        host=host,
    )


def output_token_terms(
    question: Question, workload: Workload, *, prompt: float, accepted: float = 1.0
) -> tuple[StepTerm, ...]:
    """What the time between a user's tokens is made of; `prompt`: seconds of one prompt alone."""
    waiting = _interference(workload, question, prompt)
    return (*cycle_terms(question, accepted=accepted), *waiting)


def request_seconds(workload: Workload, time: float, prompt: float) -> float:
    """Seconds per output token of one user over whole requests, the own prompt included.

    time per output token + prompt / output tokens
    """
    return time + (prompt / workload.output_tokens if workload.output_tokens else 0.0)


def _estimate(
    question: Question,
    checkpoint: Checkpoint,
    found: Calibration,
    engine: str,
    workload: Workload,
    speculation: Speculation | None,
    chunk: int,
) -> SpeedEstimate:
    accepted, assumptions = _accepted(speculation)
    prompt = prompt_terms(question, workload, chunk)
    alone = total(prompt) / workload.prompts_together
    terms = output_token_terms(question, workload, prompt=alone, accepted=accepted)
    if workload.output_tokens is None and workload.concurrency > 1:
        assumptions.append("no prompts arrive while the sequences decode")
    rough = rough_reasons(question, found, engine=engine, precision=checkpoint.scheme.name)
    low, high = band(found, rough=bool(rough), drafted=question.drafted)
    time = total(terms)
    ceiling = bandwidth(question.system.accelerator) * CEILING
    most = accepted * ceiling / streamed_bytes(question)
    rate = Banded(value=1 / time, low=low / time, high=max(1 / time, min(high / time, most)))
    shown = [term for term in terms if not term.hidden]
    return SpeedEstimate(
        workload=workload,
        speculation=speculation,
        accepted=accepted,
        per_user=rate,
        total=rate.scaled(_total_rate(workload, time, alone) * time),
        time_per_output_token=rate.inverse(),
        terms=terms,
        binding=max(shown, key=lambda term: term.seconds).name,
        prefill=_prefill(workload, prompt, *prefill_band(found)),
        calibration=found,
        rough=rough,
        assumptions=tuple(assumptions),
    )


def _accepted(speculation: Speculation | None) -> tuple[float, list[str]]:
    """Tokens per step, and what was assumed about them."""
    if speculation is None:
        return 1.0, []
    if speculation.accepted is not None:
        return speculation.accepted, []
    reference = acceptance(speculation.tokens)
    return reference, [f"{reference:g} tokens accepted per step, as in {ACCEPTANCE_SOURCE}"]


def prompt_terms(
    question: Question, workload: Workload, chunk: int = CHUNK
) -> tuple[StepTerm, ...]:
    """What the prefill of the workload's prompt is made of; nothing without a prompt."""
    if not workload.prompt_tokens:
        return ()
    return prefill_terms(
        question.model,
        question.system,
        question.layout,
        weights=question.weights,
        tokens=workload.prompt_tokens,
        constants=question.constants,
        chunk=chunk,
        prompts=workload.prompts_together,
    )


def _interference(workload: Workload, question: Question, prompt: float) -> tuple[StepTerm, ...]:
    """Per output token, the prefill of the users that come while one answer is decoded."""
    others = -(-workload.concurrency // question.layout.data_parallel) - 1
    share = question.constants.interference
    if workload.output_tokens is None or not others or not prompt or not share:
        return ()
    return (
        StepTerm(
            name="other users' prefill",
            seconds=share * others * prompt / workload.output_tokens,
            formula="s x (B - 1) x prefill / output tokens",
            values=MappingProxyType(
                {
                    "s": share,
                    "B": others + 1,
                    "prefill": prompt,
                    "output tokens": workload.output_tokens,
                }
            ),
        ),
    )


def _total_rate(workload: Workload, time: float, prompt: float) -> float:
    """Output tokens per second of all users, each of whom prefills, decodes and comes again.

    concurrency / (time per output token + prefill / output tokens)
    """
    return workload.concurrency / request_seconds(workload, time, prompt)


def _prefill(
    workload: Workload, terms: tuple[StepTerm, ...], low: float, high: float
) -> PrefillEstimate | None:
    if not terms:
        return None
    seconds = total(terms)
    tokens = workload.prompt_tokens * workload.prompts_together
    rate = tokens / seconds
    banded = Banded(value=rate, low=rate * low, high=rate * high)
    return PrefillEstimate(
        tokens=tokens,
        seconds=banded.inverse().scaled(tokens),
        tokens_per_second=banded,
        terms=terms,
    )


def _cache_format(name: str) -> CacheFormat:
    """A cache format, or a block format of weights in which an engine keeps its cache as well."""
    if name.lower() in CACHE_FORMATS:
        return CACHE_FORMATS[name.lower()]
    for known in (name, name.lower(), name.upper()):
        if known in FORMATS:
            return CacheFormat(name=known, bits=FORMATS[known].bits_per_weight)
    return get_cache_format(name)


def _ssm_bytes(checkpoint: Checkpoint, dtype: str) -> int:
    linear = checkpoint.model.linear
    if dtype == "auto":
        dtype = (linear.mamba_ssm_dtype if linear else None) or checkpoint.model.dtype
    try:
        return SSM_BYTES[dtype]
    except KeyError:
        known = ", ".join(sorted(SSM_BYTES))
        raise InputError(f"unknown SSM state dtype {dtype!r}; known: auto, {known}") from None
