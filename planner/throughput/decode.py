"""The time between a user's tokens: one step, with its drafts where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

from hardware_db import System
from planner.formats import CacheFormat
from planner.layout import Layout
from planner.model.spec import ModelSpec
from planner.throughput.constants import Constants
from planner.throughput.step import (
    StepTerm,
    bandwidth,
    communication_terms,
    compute_seconds,
    memory_terms,
    overhead_terms,
    total,
)
from planner.throughput.traffic import RankWeights, Traffic, decode_traffic, draft_traffic
from planner.throughput.workload import HostExperts

SSM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes per element of the SSM state, by dtype."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A deployment and its load with everything resolved.

    Attributes:
        model: the architecture.
        system: where it runs.
        layout: how it is spread.
        weights: what one rank reads.
        constants: of the preset, the device class and the engine.
        sequences: sequences in one step of one replica.
        depth: mean tokens of context per sequence.
        shared_prefix: tokens of it that are read once for all sequences.
        drafted: tokens drafted per step (zero without speculation).
        cache_format: number format of the KV cache.
        ssm_bytes: bytes per element of the SSM state.
        host: routed experts on the host, if any.
    """

    model: ModelSpec
    system: System
    layout: Layout
    weights: RankWeights
    constants: Constants
    sequences: int
    depth: float
    shared_prefix: float
    drafted: int
    cache_format: CacheFormat
    ssm_bytes: int
    host: HostExperts | None = None

    @property
    def traffic(self) -> Traffic:
        """What one step (of verification) moves on one rank."""
        return decode_traffic(
            self.model,
            self.layout,
            weights=self.weights,
            sequences=self.sequences,
            depth=self.depth,
            shared_prefix=self.shared_prefix,
            cache_format=self.cache_format,
            ssm_bytes=self.ssm_bytes,
            tokens_per_sequence=1 + self.drafted,
        )


def streamed_bytes(question: Question) -> float:
    """Bytes that one step takes from the accelerator's memory on one rank; drafts not counted."""
    traffic = question.traffic
    return traffic.nbytes - traffic.experts * _host_share(question)


def cycle_terms(question: Question, *, accepted: float) -> tuple[StepTerm, ...]:
    """The terms of one step, per token that it yields.

        (verification of T = B (1 + n) tokens + n drafts) x v / accepted tokens

    v is what sampling, bookkeeping of the states and a second schedule add in practice.
    """
    terms = [*_step(question)]
    if question.drafted:
        terms.append(_drafts(question))
        whole, multiple = total(terms), question.constants.verification
        terms.append(
            StepTerm(
                name="bookkeeping of drafts",
                seconds=(multiple - 1) * whole,
                formula="(v - 1) x cycle",
                values=MappingProxyType({"v": multiple, "cycle": whole}),
            )
        )
    return tuple(replace(term, seconds=term.seconds / accepted) for term in terms)


def _step(question: Question) -> Iterator[StepTerm]:
    constants, model, traffic = question.constants, question.model, question.traffic
    accelerator = question.system.accelerator
    rate, host = bandwidth(accelerator), _host_share(question)
    here = replace(traffic, experts=traffic.experts * (1 - host))
    memory = memory_terms(here, rate=rate, constants=constants)
    compute = StepTerm(
        name="compute",
        seconds=compute_seconds(accelerator, traffic.flops, efficiency=constants.compute),
        formula="sum of FLOPs / (peak x f)",
        values=MappingProxyType({"FLOPs": sum(traffic.flops.values()), "f": constants.compute}),
    )
    bound = compute.seconds > total(memory)
    yield from (replace(term, hidden=bound) for term in memory)
    yield replace(compute, hidden=not bound)
    if host and question.host is not None:
        yield _on_host(question, traffic.experts * host)
    layers = model.num_hidden_layers
    yield from overhead_terms(layers, sequences=question.sequences, constants=constants)
    yield from communication_terms(
        model,
        question.system,
        question.layout,
        tokens=question.sequences * (1 + question.drafted),
        layers=layers,
        constants=constants,
    )


def _drafts(question: Question) -> StepTerm:
    """N times the MTP module and the head, one token per sequence."""
    constants, model = question.constants, question.model
    traffic = draft_traffic(
        model, question.layout, weights=question.weights, sequences=question.sequences
    )
    rate = bandwidth(question.system.accelerator)
    layers = model.mtp.num_layers if model.mtp else 0
    one = total(memory_terms(traffic, rate=rate, constants=constants))
    one += total(overhead_terms(layers, sequences=question.sequences, constants=constants))
    one += total(
        communication_terms(
            model,
            question.system,
            question.layout,
            tokens=question.sequences,
            layers=layers,
            constants=constants,
        )
    )
    return StepTerm(
        name="drafts",
        seconds=question.drafted * one,
        formula="n x (MTP module and head / (BW x e) + c + all-reduces)",
        values=MappingProxyType({"n": question.drafted, "one draft": one}),
    )


def _on_host(question: Question, nbytes: float) -> StepTerm:
    """The experts of every rank stream from the one host memory."""
    host = question.host
    whole = nbytes * question.layout.tensor_parallel
    rate = (host.bandwidth_gb_s if host else 0.0) * 1e9
    share = question.constants.bandwidth
    return StepTerm(
        name="routed experts on the host",
        seconds=whole / (rate * share),
        formula="bytes / (host BW x e)",
        values=MappingProxyType({"bytes": whole, "host BW": rate, "e": share}),
    )


def _host_share(question: Question) -> float:
    if question.host is None:
        return 0.0
    return min(1.0, question.host.layers / question.model.num_hidden_layers)
