"""Say what each GPU and the RAM hold, term by term."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.columns import choose, is_zero, larger
from planner.engines.llamacpp.checkpoints import PROGRAM, checkpoint_terms, within_room
from planner.engines.llamacpp.contexts import (
    cached_blocks,
    index_bytes_per_block,
    kv_bytes_per_block,
    state_bytes_per_block,
    window_bytes_per_block,
)
from planner.engines.llamacpp.machine import (
    HOST_PROGRAM_BYTES,
    RUNTIME_BAND,
    Machine,
)
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.releases import source
from planner.engines.llamacpp.server import Server, Usage
from planner.memory.breakdown import HOST_RANK, Kind, Rank, Term, device_name
from planner.provenance import Band, Confidence, Source
from planner.units import MIB

UNCHECKED_COMPUTE = 400 * MIB
"""How much more compute buffers may take beside CUDA, at 512 tokens per micro-batch. Under Vulkan six
start-up logs of b9010 on a Strix Halo with the 35B show 498 to 769 MiB where that build's rule says
493 to 638; of a build that is not known, the rule of b9010 says 340 to 425 MiB more than the newest."""


def ranks(
    server: Server,
    machine: Machine,
    usage: Usage,
    gpus: Sequence[tuple[Term, ...]],
    host: tuple[Term, ...],
) -> tuple[Rank, ...]:
    """Return GPUs, then RAM where it is known; one rank where they share their memory.

    What the GPU is not lent of a shared memory is RAM of its own where tables lie there.

    The server and its usage may be columns. `gpus` and `host` are what lies there (`gpu_terms`,
    `host_terms`).
    """
    last = server.devices - 1
    found = [
        Rank(
            name=_name(machine, gpu),
            count=1,
            total=machine.whole[gpu],
            usable=machine.usable(server.options, gpu),
            terms=(*terms, *(host if machine.unified and gpu == last else ())),
        )
        for gpu, terms in enumerate(gpus)
    ]
    if machine.host_total is not None and not machine.unified:
        usable = machine.host_usable
        assert usable is not None
        total, terms = machine.host_total, within_room(server, host, usable)
        found.append(Rank(name=HOST_RANK, count=1, total=total, usable=usable, terms=terms))
    if usage.unlent:
        own, room = tuple(_table(server, " on the host", usage.unlent)), server.unlent
        found.append(Rank(name=HOST_RANK, count=1, total=room, usable=room, terms=own))
    return tuple(found)


def _name(machine: Machine, gpu: int) -> str:
    """Return what a GPU is called: by its number, or by its machine where there are several."""
    if not machine.remote:
        return device_name(machine.first + gpu, unified=machine.unified)
    own = len(machine.gpu_totals) - machine.remote
    place = 1 if gpu >= machine.remote else 2 + gpu // own
    which = gpu - machine.remote if gpu >= machine.remote else gpu % own
    return f"machine {place}" if own == 1 else f"GPU {which} of machine {place}"


def _term(
    name: str,
    kind: Kind,
    nbytes: int,
    formula: str,
    file: str,
    values: dict[str, int | float | str],
    *,
    confidence: Confidence = Confidence.ENGINE_RULE,
    band: Band | None = None,
) -> Iterator[Term]:
    if band or not is_zero(nbytes):
        yield Term(
            name=name,
            kind=kind,
            nbytes=nbytes,
            confidence=confidence,
            formula=formula,
            source=source(file),
            values=values,
            band=band,
        )


def gpu_terms(
    server: Server, homes: Placement, usage: Usage, *, checked: bool, runtime: int
) -> tuple[tuple[Term, ...], ...]:
    """Return what the server takes of each GPU; `checked` and `runtime` as of its `Machine`."""
    return tuple(
        tuple(_gpu_terms(server, homes, usage, gpu, checked=checked, runtime=runtime))
        for gpu in range(server.devices)
    )


def _gpu_terms(
    server: Server, homes: Placement, usage: Usage, gpu: int, *, checked: bool, runtime: int
) -> Iterator[Term]:
    yield from _shared_terms(server, homes, usage, gpu, checked=checked)
    vision = server.vision
    if vision is not None and usage.vision_weights[gpu]:
        yield from _term(
            "vision: one image",
            Kind.ACTIVATIONS,
            usage.vision_compute[gpu],
            "memory reserved for a warm-up image of 1472 x 1472 pixels",
            "tools/mtmd/clip.cpp",
            {},
            confidence=Confidence.CALIBRATED,
            band=Band(below=0, above=vision.compute_growth),
        )
    if runtime:
        yield Term(
            name="GPU context and kernel pools",
            kind=Kind.RUNTIME,
            nbytes=runtime,
            confidence=Confidence.CALIBRATED,
            formula="context + pools of cuBLAS and matrix kernels",
            source=Source(where="llama.cpp issue 27953; memory tables of start-ups"),
            band=Band(below=RUNTIME_BAND, above=RUNTIME_BAND),
        )


def _shared_terms(
    server: Server, homes: Placement, usage: Usage, backend: int, *, checked: bool
) -> Iterator[Term]:
    """Yield the terms that GPUs and RAM have alike."""
    trunk, model = server.trunk, server.model
    where = " on the host" if backend == homes.host else ""
    here = [counts[backend] for counts in cached_blocks(model, homes, trunk.kind)]
    attention_here, linear_here, ngrams_here = here
    drafting_here = cached_blocks(model, homes, "mtp")[0][backend]
    compute = Confidence.ENGINE_RULE if checked else Confidence.CALIBRATED
    k, v = (size // trunk.cells for size in kv_bytes_per_block(model, trunk))
    draft = server.draft or trunk
    draft_k, draft_v = (size // draft.cells for size in kv_bytes_per_block(model, draft))
    r, s = state_bytes_per_block(model, trunk)
    copies = server.slots * (1 + trunk.rollback(model))
    index = index_bytes_per_block(model, trunk) * attention_here
    window = window_bytes_per_block(model, trunk) * ngrams_here
    table = server.table_bytes if backend == homes.host and not usage.tables else 0
    yield from _term(
        "weights (text)" + where,
        Kind.WEIGHTS,
        usage.weights[backend] - table,
        "tensors placed here, each padded to the buffer's alignment",
        "src/llama-model.cpp",
        {},
        confidence=server.checkpoint.confidence(Confidence.ENGINE_RULE),
        band=server.checkpoint.band_on(usage.weights[backend] - table),
    )
    yield from _table(server, where, table - usage.unlent if table else 0)
    yield from _term(
        "weights (MTP)" + where,
        Kind.WEIGHTS,
        usage.mtp_weights[backend],
        "the MTP blocks' tensors, loaded with --spec-type draft-mtp",
        "src/models/qwen35.cpp",
        {},
        confidence=server.checkpoint.confidence(Confidence.ENGINE_RULE),
        band=server.checkpoint.band_on(usage.mtp_weights[backend]),
    )
    yield from _term(
        "vision tower" + where,
        Kind.WEIGHTS,
        usage.vision_weights[backend],
        "tensors of the mmproj file",
        "tools/mtmd/clip.cpp",
        {},
    )
    yield from _term(
        "KV cache" + where,
        Kind.KV_CACHE,
        usage.kv[backend] - index,
        "attention blocks here x cells x (K row + V row)",
        "src/llama-kv-cache.cpp",
        {
            "attention blocks here": attention_here,
            "cells": trunk.cells,
            "K row": k,
            "V row": v,
        },
    )
    yield from _term(
        "indexer's keys" + where,
        Kind.KV_CACHE,
        index,
        "attention blocks here x cells x row of the key heads",
        "src/llama-memory-hybrid-idx.cpp",
        {"attention blocks here": attention_here, "cells": trunk.cells},
    )
    yield from _term(
        "KV cache (MTP)" + where,
        Kind.KV_CACHE,
        usage.draft_kv[backend],
        "MTP blocks here x cells x (K row + V row)",
        "src/llama-kv-cache.cpp",
        {
            "MTP blocks here": drafting_here,
            "cells": trunk.cells,
            "K row": draft_k,
            "V row": draft_v,
        },
    )
    yield from _term(
        "recurrent state" + where,
        Kind.RECURRENT_STATE,
        usage.states[backend] - window,
        "linear blocks here x (conv state + SSM state) x slots x (1 + draft tokens)",
        "src/llama-memory-recurrent.cpp",
        {
            "linear blocks here": linear_here,
            "conv state": r // copies,
            "SSM state": s // copies,
            "slots": server.slots,
            "draft tokens": trunk.rollback(model),
        },
    )
    yield from _term(
        "window of n-grams" + where,
        Kind.RECURRENT_STATE,
        window,
        "4 x (kernel - 1) x ngram size x width of the streams x slots x (1 + draft tokens)",
        "src/llama-memory-recurrent.cpp",
        {"slots": server.slots, "draft tokens": trunk.rollback(model)},
    )
    band = None
    if not checked:
        room = UNCHECKED_COMPUTE * server.options.ubatch_size // 512
        # Metal, 262,144 cells of q8_0: 833 of 1,336 MiB (a log of an M4 Pro)
        spare = usage.compute[backend] // 2
        band = Band(below=spare, above=larger(usage.compute[backend] // 10, room))
    yield from _term(
        "compute buffer" + where,
        Kind.ACTIVATIONS,
        usage.compute[backend],
        "peak of ggml's allocator over the graph of T tokens and C cells",
        "ggml/src/ggml-alloc.c, ggml-backend.cpp",
        {"T": trunk.batch(model).n_tokens, "C": trunk.n_ctx_seq},
        confidence=compute,
        band=None if is_zero(usage.compute[backend]) else band,
    )
    yield from _term(
        "compute buffer (MTP)" + where,
        Kind.ACTIVATIONS,
        usage.draft_compute[backend],
        "peak of ggml's allocator over the MTP block's graph",
        "ggml/src/ggml-alloc.c, ggml-backend.cpp",
        {},
        confidence=compute,
    )


def _table(server: Server, where: str, nbytes: int) -> Iterator[Term]:
    yield from _term(
        "n-gram table" + where,
        Kind.WEIGHTS,
        nbytes,
        "rows x row; --lazy-mode on leaves it in the file",
        "src/llama-model-loader.cpp (lazy_read)",
        {},
        confidence=server.checkpoint.confidence(Confidence.ENGINE_RULE),
    )


def host_terms(server: Server, homes: Placement, usage: Usage) -> tuple[Term, ...]:
    """Return what the server takes of the RAM."""
    return tuple(_host_terms(server, homes, usage))


def _host_terms(server: Server, homes: Placement, usage: Usage) -> Iterator[Term]:
    host = len(usage.weights) - 1
    yield from _shared_terms(server, homes, usage, host, checked=True)
    if usage.vision_compute[host]:
        yield from _term(
            "vision input on the host",
            Kind.ACTIVATIONS,
            usage.vision_compute[host],
            "4 x patches x (3 x patch^2 + 4)",
            "tools/mtmd/clip.cpp",
            {},
        )
    yield from _term(
        "output buffers",
        Kind.ACTIVATIONS,
        usage.outputs,
        "4 x vocabulary x outputs per batch",
        "src/llama-context.cpp (output_reserve)",
        {
            "vocabulary": server.model.vocab_size,
            "outputs per batch": choose(
                server.trunk.n_outputs_max == 0, server.slots, server.trunk.n_outputs_max
            ),
        },
    )
    yield from checkpoint_terms(server)
    yield Term(
        name=PROGRAM,
        kind=Kind.RUNTIME,
        nbytes=HOST_PROGRAM_BYTES,
        confidence=Confidence.ASSUMED,
        formula="program, libraries, vocabulary",
        source=Source(where="assumed; no measurement was found"),
        band=Band(below=HOST_PROGRAM_BYTES // 2, above=HOST_PROGRAM_BYTES // 2),
    )
