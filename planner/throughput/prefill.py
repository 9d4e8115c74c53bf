"""The time that a prompt takes alone.

Per chunk: max(FLOPs / (peak f), weights / (BW e)) + attention + DeltaNet + c L + all-reduce bytes,
and weights of the host that cross the link once per chunk, or are multiplied by the CPU.
It is not the time to first token under load: waiting for other users is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from hardware_db import Accelerator, System
from planner.layout import Layout
from planner.model.spec import ModelSpec
from planner.throughput.constants import family, link_bandwidth, table, unknown_link
from planner.throughput.decode import Serving
from planner.throughput.host import host_flops
from planner.throughput.part import (
    COMPUTE,
    MEMORY,
    WIDE,
    Part,
    UnknownFigureError,
    bandwidth,
    dtype,
    peak,
)
from planner.throughput.traffic import (
    PLAIN,
    distinct_experts,
    linear_flops,
    prefill_attention_flops,
)
from planner.throughput.where import link_rate
from planner.units import ceil_div

ATTENTION_FLOPS_PER_BYTE = 30
"""FLOPs per byte of nominal bandwidth at which attention and DeltaNet shares are 1. Attention under
llama.cpp follows the bandwidth rather than the peak (RTX 4090 33, 3090 30, Strix Halo 27, R9700 16)."""

_DELTA_FLOPS = 6
"""FLOPs per element of the state and token: decay and update, read by key, read by query."""

_PROMPT = "prompt"

PROMPT_OVERHEAD = "per-layer overhead"
"""What launches of a prompt's chunks take."""

BY_CPU = "prompt computed by the CPU"
"""What the CPU's products take, wherever weights lie in RAM."""


def prefill_parts(
    serving: Serving,
    *,
    tokens: int,
    chunk: int,
    prompts: int = 1,
    cached: int = 0,
    plain: bool = False,
) -> tuple[Part, ...]:
    """Return the parts of prefilling `prompts` prompts of `tokens` tokens each on one replica.

    Args:
        serving: the deployment; pipeline stages work one after the other for one prompt.
        tokens: tokens of one prompt.
        chunk: tokens that the engine computes at a time.
        prompts: prompts computed together.
        cached: tokens before the prompt whose cache is there already.
        plain: multiply all weights in 16 bits, whatever they are stored in.

    Raises:
        UnknownFigureError: bandwidth, a rate or the link is not in the database.
    """
    if not tokens:
        return ()
    every = prompts * tokens
    chunks = ceil_div(every, chunk)
    if serving.where.cpu_alone and not serving.where.prompts_stream:
        return (_by_cpu(serving, every, share=1.0),)
    found = [*_products(serving, every, chunks, plain=plain)]
    found += _attention(serving, prompts=prompts, tokens=tokens, cached=cached)
    found += _rest(serving, every, chunks)
    found += _host(serving, every, chunks)
    overlap = _overlap(serving, tokens, chunk)
    return tuple(part.scaled(overlap) for part in found if part.amount)


def _overlap(serving: Serving, tokens: int, chunk: int) -> float:
    """Share of the time of one chunk after the other that a prompt takes in a pipeline.

    The first of n chunks of a batch passes all stages of one machine; each further one adds the time
    of the longest stage: 1 + (n - 1) x longest instead of n.
    """
    known, system = table("rules")["batch"], serving.system
    stages = serving.layout.pipeline_parallel
    alone = system.accelerator.vendor not in known["vendors"] or serving.where.on_host
    if alone or stages > system.accelerators_per_node:
        return 1.0
    together = ceil_div(min(tokens, known.get(family(serving.engine), 0)), chunk)
    if stages == 1 or together < 2:
        return 1.0
    return (1 + (together - 1) * serving.longest_stage) / together


def _products(serving: Serving, tokens: int, chunks: int, *, plain: bool) -> Iterator[Part]:
    """Products with the weights, or reading them once per chunk where that takes longer."""
    model, layout, weights = serving.model, serving.layout, serving.weights
    accelerator = serving.system.accelerator
    share = "prefill_dense" if model.moe is None else "prefill_moe"
    flops = linear_flops(weights, model, layout, tokens=tokens)
    if plain:
        flops = {PLAIN: sum(flops.values())}
    wide, narrow = _by_width(accelerator, flops)
    for seconds, over in ((wide, (share,)), (narrow, (share, "prefill_narrow"))):
        yield Part(
            name="matrix products",
            amount=seconds,
            over=over,
            formula=f"FLOPs / (peak x {' x '.join(over)})",
            roof=(_PROMPT, COMPUTE),
        )
    here = serving.where
    nbytes = (weights.dense.nbytes + weights.lm_head.nbytes) * here.dense.here
    nbytes += _hit(model, tokens // chunks) * weights.experts.nbytes * here.experts.here
    yield Part(
        name="weights",
        amount=chunks * nbytes / bandwidth(accelerator),
        over=("bandwidth",),
        formula="weights x chunks / (BW x bandwidth)",
        values=MappingProxyType({"weights": nbytes, "chunks": chunks}),
        roof=(_PROMPT, MEMORY),
    )


def _attention(serving: Serving, *, prompts: int, tokens: int, cached: int) -> Iterator[Part]:
    accelerator = serving.system.accelerator
    rate = bandwidth(accelerator) * ATTENTION_FLOPS_PER_BYTE
    flops = prompts * prefill_attention_flops(
        serving.model, serving.layout, start=cached, end=cached + tokens
    )
    if family(serving.engine) in table("rules")["flash"]["engines"]:
        share, reference, words = "prefill_flash", peak(accelerator, PLAIN), "peak"
    else:
        share, reference, words = "prefill_attention", rate, "30 BW"
    yield Part(
        name="attention",
        amount=flops / reference,
        over=(share,),
        formula=f"4 x heads x head_dim x pairs of tokens x layers / ({words} x {share})",
        values=MappingProxyType({"FLOPs": flops}),
    )
    delta = prompts * tokens * _delta_flops(serving.model, serving.layout)
    yield Part(
        name="DeltaNet",
        amount=delta / rate,
        over=("prefill_delta",),
        formula="6 x state elements x tokens x layers / (30 BW x prefill_delta)",
        values=MappingProxyType({"FLOPs": delta}),
    )


def _rest(serving: Serving, tokens: int, chunks: int) -> Iterator[Part]:
    """Overhead per layer and chunk, the bytes of all-reduces, and those that stages hand over."""
    model, layers = serving.model, serving.model.num_hidden_layers
    yield Part(
        name=PROMPT_OVERHEAD,
        amount=chunks * layers * 1e-6,
        times=("prefill_layer_us",),
        formula="prefill_layer_us x layers x chunks",
        values=MappingProxyType({"layers": layers, "chunks": chunks}),
    )
    tp, pp = serving.layout.tensor_parallel, serving.layout.pipeline_parallel
    message = tokens * model.hidden_size * 2
    if tp > 1:
        rate = _rate(serving.system, ranks=tp)
        ring = 2 * (tp - 1) / tp * message * 2 * layers
        yield Part(
            name="all-reduce",
            amount=ring / rate,
            over=("prefill_link",),
            formula="ring bytes / (link x prefill_link)",
            values=MappingProxyType({"ring bytes": ring, "link": rate}),
        )
    if pp > 1:
        rate = _rate(serving.system, ranks=tp * pp)
        yield Part(
            name="hand-over between stages",
            amount=(pp - 1) * message / rate,
            over=("prefill_link",),
            formula="(pp - 1) x message / (link x prefill_link)",
            values=MappingProxyType({"pp": pp, "message": message, "link": rate}),
        )


def _rate(system: System, *, ranks: int) -> float:
    rate = link_bandwidth(system, ranks=ranks)
    if rate is None:
        raise UnknownFigureError(unknown_link(system, ranks=ranks))
    return rate


def _host(serving: Serving, tokens: int, chunks: int) -> Iterator[Part]:
    """Weights of the host: copied once per chunk, or multiplied by the CPU."""
    where, weights = serving.where, serving.weights
    copied = (where.dense.streamed, where.experts.streamed)
    if where.on_host and where.prompts_stream:
        copied = (copied[0] + where.dense.computed, copied[1] + where.experts.computed)
    elif where.on_host:
        yield _by_cpu(serving, tokens, share=_host_share_of_flops(serving))
    hit = _hit(serving.model, tokens // chunks)
    nbytes = (weights.dense.nbytes + weights.lm_head.nbytes) * copied[0]
    nbytes = (nbytes + hit * weights.experts.nbytes * copied[1]) * serving.layout.tensor_parallel
    if nbytes and not serving.system.accelerator.is_unified:
        rate = _copied(serving, min(link_rate(serving.system, serving.layout), serving.ram))
        yield Part(
            name="weights over the link",
            amount=chunks * nbytes / rate,
            over=("link",),
            formula="weights on the host x chunks / (copies x share)",
            values=MappingProxyType(
                {"weights on the host": nbytes, "chunks": chunks, "copies": rate}
            ),
            bound=True,
        )


def _copied(serving: Serving, rate: float) -> float:
    """Bytes per second of copies over a link of `rate`; some engines first fill a buffer in RAM.

    1 / (1 / link + 1 / buffer)
    """
    buffer = table("rules")["buffer"].get(family(serving.engine))
    return rate if buffer is None else 1 / (1 / rate + 1e-9 / buffer)


def _by_cpu(serving: Serving, tokens: int, *, share: float) -> Part:
    """Products that the CPU computes; the memory that such a CPU usually has stands for its cores."""
    found = linear_flops(serving.weights, serving.model, serving.layout, tokens=tokens)
    flops = sum(found.values()) * share * serving.layout.tensor_parallel
    return Part(
        name=BY_CPU,
        amount=flops / host_flops(serving.cores),
        over=("host_compute",),
        formula="FLOPs / (FLOP/s of such a host x host_compute)",
        values=MappingProxyType({"FLOPs": flops, "FLOP/s": host_flops(serving.cores)}),
    )


def _host_share_of_flops(serving: Serving) -> float:
    """Share of a token's products whose weights lie on the host."""
    found, where = serving.weights, serving.where
    moe = serving.model.moe
    chosen = moe.num_experts_per_tok / moe.num_experts if moe is not None else 0.0
    dense, experts = sum(found.dense.elements.values()), sum(found.experts.elements.values())
    experts *= chosen
    return (dense * where.dense.computed + experts * where.experts.computed) / (dense + experts)


def _by_width(accelerator: Accelerator, flops: Mapping[str, float]) -> tuple[float, float]:
    """Seconds at full peak of products in 16 bits, and of those in fewer."""
    seconds = [0.0, 0.0]
    for kernel, count in flops.items():
        seconds[dtype(accelerator, kernel) not in WIDE] += count / peak(accelerator, kernel)
    return seconds[0], seconds[1]


def _hit(model: ModelSpec, tokens: float) -> float:
    """Share of the experts that a chunk of `tokens` tokens is expected to choose."""
    if model.moe is None:
        return 1.0
    experts = model.moe.num_experts
    return distinct_experts(experts, model.moe.num_experts_per_tok, tokens) / experts


def _delta_flops(model: ModelSpec, layout: Layout) -> float:
    if model.linear is None:
        return 0.0
    layers = len(model.linear_attention_layers)
    return _DELTA_FLOPS * model.linear.ssm_elements * layers / layout.tensor_parallel
