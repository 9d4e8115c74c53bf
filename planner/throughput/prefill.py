"""The time that a prompt takes alone.

Per chunk: max(FLOPs / (peak f), weights / (BW e)) + attention + DeltaNet + c L + all-reduce bytes.
It is not the time to first token under load: waiting for other users is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hardware_db import Accelerator, System
from planner.layout import Layout
from planner.model.spec import ModelSpec
from planner.throughput.constants import Constants, link_bandwidth
from planner.throughput.step import (
    SIXTEEN_BITS,
    StepTerm,
    UnknownFigureError,
    bandwidth,
    dtype,
    peak,
)
from planner.throughput.traffic import (
    PLAIN,
    RankWeights,
    distinct_experts,
    linear_flops,
    prefill_attention_flops,
)

CHUNK = 8192
"""Tokens of a chunk unless told otherwise: vLLM's and SGLang's default on large GPUs."""

_DELTA_FLOPS = 6
"""FLOPs per element of the state and token: decay and update, read by key, read by query."""


def prefill_terms(
    model: ModelSpec,
    system: System,
    layout: Layout,
    *,
    weights: RankWeights,
    tokens: int,
    constants: Constants,
    chunk: int = CHUNK,
    prompts: int = 1,
) -> tuple[StepTerm, ...]:
    """The terms of prefilling `prompts` prompts of `tokens` tokens each on one replica.

    Args:
        model: the architecture.
        system: where it runs.
        layout: how it is spread; pipeline stages work one after the other for one prompt.
        weights: of `rank_weights`.
        tokens: tokens of one prompt.
        constants: of the preset.
        chunk: tokens that the engine computes at a time.
        prompts: prompts computed together.

    Raises:
        UnknownFigureError: bandwidth, a rate or the link is not in the database.
    """
    accelerator = system.accelerator
    share = constants.prefill_dense if model.moe is None else constants.prefill_moe
    every = prompts * tokens
    wide, narrow = _by_width(accelerator, linear_flops(weights, model, layout, tokens=every))
    linear = (wide + narrow / constants.prefill_narrow) / share
    chunks = -(-every // chunk)
    streamed = chunks * _streamed(weights, model, tokens=min(every, chunk))
    stream = streamed / (bandwidth(accelerator) * constants.bandwidth)
    sixteen = peak(accelerator, PLAIN)
    attention = prompts * prefill_attention_flops(model, layout, start=0, end=tokens)
    delta = every * _delta_flops(model, layout)
    terms = [
        StepTerm(
            name="matrix products" if linear >= stream else "weights",
            seconds=max(linear, stream),
            formula="max(FLOPs / (peak x f), weights x chunks / (BW x e))",
            values=MappingProxyType({"f": share, "weights x chunks": streamed}),
        ),
        StepTerm(
            name="attention",
            seconds=attention / (sixteen * constants.prefill_attention),
            formula="4 x heads x head_dim x pairs of tokens x layers / (peak x f)",
            values=MappingProxyType({"FLOPs": attention, "f": constants.prefill_attention}),
        ),
        StepTerm(
            name="DeltaNet",
            seconds=delta / (sixteen * constants.prefill_delta),
            formula="6 x state elements x tokens x layers / (peak x f)",
            values=MappingProxyType({"FLOPs": delta, "f": constants.prefill_delta}),
        ),
        StepTerm(
            name="per-layer overhead",
            seconds=chunks * model.num_hidden_layers * constants.prefill_layer_us * 1e-6,
            formula="c x layers x chunks",
            values=MappingProxyType({"c": constants.prefill_layer_us * 1e-6, "chunks": chunks}),
        ),
    ]
    tp = layout.tensor_parallel
    if tp > 1:
        rate = link_bandwidth(system, ranks=tp)
        if rate is None:
            raise UnknownFigureError(f"the link inside {system.name} is not known")
        ring = 2 * (tp - 1) / tp * every * model.hidden_size * 2 * 2 * model.num_hidden_layers
        terms.append(
            StepTerm(
                name="all-reduce",
                seconds=ring / (rate * constants.prefill_link),
                formula="ring bytes / (link x r)",
                values=MappingProxyType(
                    {"ring bytes": ring, "link": rate, "r": constants.prefill_link}
                ),
            )
        )
    return tuple(term for term in terms if term.seconds)


def _by_width(accelerator: Accelerator, flops: Mapping[str, float]) -> tuple[float, float]:
    """Seconds at full peak of products in 16 bits, and of those in fewer."""
    seconds = [0.0, 0.0]
    for kernel, count in flops.items():
        seconds[dtype(accelerator, kernel) not in SIXTEEN_BITS] += count / peak(accelerator, kernel)
    return seconds[0], seconds[1]


def _streamed(weights: RankWeights, model: ModelSpec, *, tokens: int) -> float:
    """Bytes of weights that one chunk reads on one rank."""
    hit = 1.0
    if model.moe is not None:
        experts = model.moe.num_experts
        hit = distinct_experts(experts, model.moe.num_experts_per_tok, tokens) / experts
    return weights.dense.nbytes + weights.lm_head.nbytes + hit * weights.experts.nbytes


def _delta_flops(model: ModelSpec, layout: Layout) -> float:
    if model.linear is None:
        return 0.0
    layers = len(model.linear_attention_layers)
    return _DELTA_FLOPS * model.linear.ssm_elements * layers / layout.tensor_parallel
