"""The time between a user's tokens: one step, with its drafts where there are any.

    t = max(bytes / (BW e), FLOPs / (peak f)) + c L + o L B + n a + ring bytes / (link r)
      + host bytes / (RAM h) + l host layers + streamed bytes / (link to the host p)

with bytes in streams of their own share e, L layers, B sequences and n = 2 L + 1 all-reduces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

from hardware_db import System
from hardware_db.records import frozen
from planner.formats import CacheFormat
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.memory.placement import Drafter
from planner.model.spec import ModelSpec
from planner.throughput.constants import Link, link, link_bandwidth, unknown_link
from planner.throughput.host import host_flops
from planner.throughput.kernels import narrow_slices, plain_experts
from planner.throughput.part import (
    COMPUTE,
    MEMORY,
    Part,
    UnknownFigureError,
    bandwidth,
    peak,
)
from planner.throughput.traffic import RankWeights, Traffic, decode_traffic, draft_traffic
from planner.throughput.where import Where, link_rate

SSM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes per element of the SSM state, by dtype."""

WIDE_RAM = 80e9
"""Bytes per second of RAM beyond which cores limit the CPU rather than the memory: desktops reach the
same share of 40 to 80 GB/s, servers with 205 and 614 GB/s a half and a quarter of it."""

_BEYOND = 0.4
"""What is gained beyond that, as a power of the bandwidth."""

_ACTIVATION_BYTES = 2
_STEP, _CPU = "step", "step of the CPU"

WEIGHTS = "weights"
ROUTING = "routing to experts"
BY_CPU = "weights computed by the CPU"


@frozen
class Serving:
    """A deployment and its load with everything resolved.

    Attributes:
        engine: what serves it.
        model: the architecture.
        system: where it runs.
        layout: how it is spread.
        weights: what one rank reads.
        sequences: sequences in one step of one replica.
        depth: mean tokens of context per sequence.
        shared_prefix: tokens of it that are read once for all sequences.
        drafted: tokens drafted per step (zero without speculation).
        drafter: the separate model that drafts; None: the model's own MTP module.
        cache_format: number format of the KV cache.
        ssm_bytes: bytes per element of the SSM state.
        where: which share of the weights and caches lies where.
        ram: nominal bytes per second of the host's memory.
        cores: bytes per second of the memory that such a CPU usually has; stands for its cores.
        longest_stage: share of a prompt's time that the slowest pipeline stage takes.
    """

    engine: str
    model: ModelSpec
    system: System
    layout: Layout
    weights: RankWeights
    sequences: int
    depth: float
    shared_prefix: float
    drafted: int
    cache_format: CacheFormat
    ssm_bytes: int
    where: Where
    ram: float
    cores: float
    longest_stage: float
    drafter: Drafter | None = None

    @property
    def traffic(self) -> Traffic:
        """What one step (of verification) moves on one rank, wherever it lies."""
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

    @property
    def narrow_slices(self) -> bool:
        """Whether a rank's slices of experts are too narrow for a fast kernel."""
        on = self.system.accelerator
        return narrow_slices(self.engine, self.model, self.layout, self.weights, on)

    @property
    def plain_experts(self) -> bool:
        """Whether the card lacks the engine's usual kernel for such experts."""
        return plain_experts(self.engine, self.weights, self.system.accelerator)


def host_rate(ram: float) -> float:
    """Bytes per second that `host` is a share of: RAM x (wide / RAM) ^ 0.6 where RAM is wide.

    A CPU that waits for a card in every layer. One that computes alone reads what its memory gives
    and spends time per layer instead (`_by_cpu_alone`).
    """
    return min(ram, float(WIDE_RAM * (ram / WIDE_RAM) ** _BEYOND))


def cycle_parts(serving: Serving, *, accepted: float) -> tuple[Part, ...]:
    """The parts of one step, per token that it yields.

        (verification of T = B (1 + n) tokens + n drafts) x v / accepted tokens

    v is what sampling, bookkeeping of the states and a second schedule add in practice.
    """
    parts = tuple(_step(serving))
    if not serving.drafted:
        return parts
    cycle = (*parts, *_drafts(serving))
    return tuple(part.scaled(1 / accepted, "verification") for part in cycle)


def _step(serving: Serving) -> Iterator[Part]:
    where, model, traffic = serving.where, serving.model, serving.traffic
    layers = model.num_hidden_layers
    tokens = serving.sequences * (1 + serving.drafted)
    if not where.cpu_alone:
        yield from _memory(serving, traffic, plain=serving.plain_experts)
        yield _compute(serving, traffic)
        yield from _overhead(serving, layers, moe=model.moe is not None)
        yield from _communication(serving, tokens=tokens, layers=layers)
    if where.on_host:
        yield from _on_host(serving, traffic)
    if where.over_link:
        yield _over_link(serving, traffic)


def _memory(
    serving: Serving, traffic: Traffic, *, roof: bool = True, plain: bool = False
) -> Iterator[Part]:
    """Bytes that stream; `plain`: unpacking an expert's weight takes as long whatever its bits."""
    where, rate = serving.where, bandwidth(serving.system.accelerator)
    caches, routed = 1.0 - where.caches, traffic.experts
    if plain:
        held = serving.weights.experts
        routed *= sum(held.elements.values()) / held.nbytes
    streams = (
        (WEIGHTS, (traffic.dense + traffic.lm_head) * where.dense.here, "bandwidth"),
        ("routed experts", routed * where.experts.here, "plain_experts" if plain else "experts"),
        ("KV cache", traffic.kv * caches, "kv"),
        ("recurrent state", traffic.state * caches, "state"),
    )
    for name, nbytes, share in streams:
        if nbytes:
            yield Part(
                name=name,
                amount=nbytes / rate,
                over=(share,),
                formula=f"bytes / (BW x {share})",
                values=MappingProxyType({"bytes": nbytes, "BW": rate}),
                roof=(_STEP, MEMORY) if roof else None,
                bound=True,
            )


def _compute(serving: Serving, traffic: Traffic) -> Part:
    accelerator = serving.system.accelerator
    seconds = sum(count / peak(accelerator, name) for name, count in traffic.flops.items())
    return Part(
        name="compute",
        amount=seconds,
        over=("compute",),
        formula="sum of FLOPs / (peak x compute)",
        values=MappingProxyType({"FLOPs": sum(traffic.flops.values())}),
        roof=(_STEP, COMPUTE),
    )


def _overhead(serving: Serving, layers: int, *, moe: bool) -> Iterator[Part]:
    """Time that no byte and no FLOP accounts for: launches and small kernels per layer.

    A layer of experts has more of them: the router, sorting tokens by expert and back. Where a rank's
    slice of an expert is too narrow for the vendor's kernel, others take its place (`kernels.py`).
    """
    sequences = serving.sequences
    yield Part(
        name="per-layer overhead",
        amount=layers * 1e-6,
        times=("layer_us",),
        formula="layer_us x layers",
        values=MappingProxyType({"layers": layers}),
    )
    if moe:
        yield Part(
            name=ROUTING,
            amount=layers * 1e-6,
            times=("routing_us",),
            formula="routing_us x layers",
            values=MappingProxyType({"layers": layers}),
        )
    if moe and serving.narrow_slices:
        yield Part(
            name="narrow slices of experts",
            amount=layers * 1e-6,
            times=("slice_us",),
            formula="slice_us x layers",
            values=MappingProxyType({"layers": layers}),
        )
    yield Part(
        name="per-sequence overhead",
        amount=layers * sequences * 1e-6,
        times=("sequence_us",),
        formula="sequence_us x layers x B",
        values=MappingProxyType({"layers": layers, "B": sequences}),
    )


def _communication(serving: Serving, *, tokens: float, layers: int) -> Iterator[Part]:
    """All-reduces of tensor parallelism and hand-overs between pipeline stages.

        n a + n x 2 (tp-1)/tp x T x hidden x 2 bytes / (link x r),  n = 2 layers + 1

    Raises:
        UnknownFigureError: the bandwidth of the link is not known.
    """
    tp, pp = serving.layout.tensor_parallel, serving.layout.pipeline_parallel
    message = tokens * serving.model.hidden_size * _ACTIVATION_BYTES
    if tp > 1:
        over, rate = _link(serving.system, ranks=tp)
        count = 2 * layers + 1
        ring = count * 2 * (tp - 1) / tp * message
        yield Part(
            name="all-reduce",
            amount=count * over.latency(tp),
            times=("collective",),
            formula="n x a x collective",
            values=MappingProxyType({"n": count, "a": over.latency(tp)}),
        )
        yield Part(
            name="all-reduce",
            amount=ring / (rate * over.efficiency),
            formula="ring bytes / (link x r)",
            values=MappingProxyType({"ring bytes": ring, "link": rate, "r": over.efficiency}),
        )
    if pp > 1:
        over, rate = _link(serving.system, ranks=tp * pp)
        yield Part(
            name="hand-over between stages",
            amount=(pp - 1) * (over.latency(2) + message / (rate * over.efficiency)),
            formula="(pp - 1) x (a + message / (link x r))",
            values=MappingProxyType({"pp": pp, "a": over.latency(2), "message": message}),
        )


def _drafts(serving: Serving) -> Iterator[Part]:
    """N passes of what drafts and of the head; they lie on the accelerator.

    The model's own module and EAGLE draft one token of each sequence per pass, DFlash all of them.
    """
    model, drafter, passes = serving.model, serving.drafter, serving.drafted
    traffic = draft_traffic(
        model, serving.layout, weights=serving.weights, sequences=serving.sequences
    )
    layers = model.mtp.num_layers if model.mtp else 0
    if drafter is not None:
        head = 0.0 if drafter.own_head else traffic.lm_head
        traffic = replace(traffic, dense=float(drafter.nbytes), experts=0.0, lm_head=head)
        layers, passes = drafter.layers, 1 if drafter.at_once else passes
    one = (
        *_memory(serving, traffic, roof=False),
        *_overhead(serving, layers, moe=drafter is None and model.moe is not None),
        *_communication(serving, tokens=serving.sequences, layers=layers),
    )
    for part in one:
        drafted = part.scaled(passes)
        yield Part(
            name="drafts",
            amount=drafted.amount,
            over=drafted.over,
            times=drafted.times,
            formula=f"n x {part.formula}",
            values=MappingProxyType({"n": passes, **part.values}),
            bound=drafted.bound,
        )


def _on_host(serving: Serving, traffic: Traffic) -> Iterator[Part]:
    """What the CPU computes: the weights of every rank stream from the one host memory."""
    where, layout = serving.where, serving.layout
    weights = (traffic.dense + traffic.lm_head) * where.dense.computed
    weights += traffic.experts * where.experts.computed
    caches = (traffic.kv + traffic.state) * where.caches
    nbytes = (weights + caches) * layout.tensor_parallel
    # Where prompts go to a card, there is one, even if no weight lies on it.
    if where.cpu_alone and not where.prompts_stream:
        yield from _by_cpu_alone(serving, traffic, nbytes)
        return
    rate = host_rate(serving.ram)
    yield Part(
        name=BY_CPU,
        amount=nbytes / rate,
        over=("host",),
        formula="bytes / (RAM x host)",
        values=MappingProxyType({"bytes": nbytes, "RAM": rate}),
    )
    yield Part(
        name="hand-overs to the CPU",
        amount=0.0 if where.cpu_alone else 1e-3,
        times=("host_step_ms",),
        formula="host_step_ms",
    )


def _by_cpu_alone(serving: Serving, traffic: Traffic, nbytes: float) -> Iterator[Part]:
    """A step of a CPU alone: its bytes or its products, whichever take longer, and every layer.

        max(bytes / (RAM x cpu), FLOPs / (FLOP/s of the cores x host_compute)) + cpu_layer_us x L

    Threads meet after every matrix, so that a layer of experts, which has many small ones, costs
    more: 96 cores with twelve channels read the experts of 3 B parameters no faster than 64 with
    eight. A dense model's layers are large, and their bytes count.
    """
    layers = serving.model.num_hidden_layers
    flops = sum(traffic.flops.values()) * serving.layout.tensor_parallel
    yield Part(
        name=BY_CPU,
        amount=nbytes / serving.ram,
        over=("cpu",),
        formula="bytes / (RAM x cpu)",
        values=MappingProxyType({"bytes": nbytes, "RAM": serving.ram}),
        roof=(_CPU, MEMORY),
    )
    yield Part(
        name="products of the CPU",
        amount=flops / host_flops(serving.cores),
        over=("host_compute",),
        formula="FLOPs / (FLOP/s of such a host x host_compute)",
        values=MappingProxyType({"FLOPs": flops, "FLOP/s": host_flops(serving.cores)}),
        roof=(_CPU, COMPUTE),
    )
    moe = serving.model.moe is not None
    for name, constant in (("layers of the CPU", "cpu_layer_us"), (ROUTING, "cpu_routing_us")):
        yield Part(
            name=name,
            amount=layers * 1e-6 if moe or name != ROUTING else 0.0,
            times=(constant,),
            formula=f"{constant} x layers",
            values=MappingProxyType({"layers": layers}),
        )


def _over_link(serving: Serving, traffic: Traffic) -> Part:
    """What crosses the link in every step; whole layers bring all their experts."""
    where, layout = serving.where, serving.layout
    experts = traffic.experts if where.read_in_place else serving.weights.experts.nbytes
    nbytes = (traffic.dense + traffic.lm_head) * where.dense.streamed
    nbytes = (nbytes + experts * where.experts.streamed) * layout.tensor_parallel
    rate = min(link_rate(serving.system, layout), serving.ram)
    return Part(
        name="weights over the link",
        amount=nbytes / rate,
        over=("link",),
        formula="bytes / (link x share)",
        values=MappingProxyType({"bytes": nbytes, "link": rate}),
        bound=True,
    )


def _among(system: System, *, ranks: int) -> Key:
    return (system,), ranks


@remembered(_among)
def _link(system: System, *, ranks: int) -> tuple[Link, float]:
    over, rate = link(system, ranks=ranks), link_bandwidth(system, ranks=ranks)
    if over is None or rate is None:
        raise UnknownFigureError(unknown_link(system, ranks=ranks))
    return over, rate
