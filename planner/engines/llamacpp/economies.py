"""Say what of a llama.cpp deployment can be changed to take less memory."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Deployment
from planner.engines.llamacpp.contexts import SMALL_UBATCH
from planner.engines.llamacpp.fit import Fitted, balanced_over
from planner.engines.llamacpp.machine import Room
from planner.engines.llamacpp.meant import server_of
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.llamacpp.server import Server

SMALL_MARGIN_MIB = 512


def economies(deployment: Deployment, room: Room) -> Iterator[Economy]:
    """Yield the changes that save memory, those that are already made left out.

    Args:
        deployment: what is planned.
        room: what of its machine may be used.
    """
    options: LlamacppOptions = deployment.options
    server = server_of(deployment)
    yield from _shared_anew(server, room)
    if options.mmproj:
        yield Economy(
            title="leave the vision tower out (no --mmproj)",
            loses="no images",
            cost=1,
            options={"mmproj": False},
            without_pictures=True,
        )
    asked = deployment.concurrency
    if options.parallel is not None and options.parallel > asked:
        yield Economy(
            title=f"no more slots than asked for (-np {asked})",
            loses="further requests wait",
            cost=1,
            options={"parallel": asked},
        )
    if options.draft_tokens:
        yield Economy(
            title="do not draft with the MTP blocks",
            loses="slower decoding",
            cost=2,
            options={"spec_type": "none"},
        )
    if options.ubatch_size > SMALL_UBATCH:
        yield Economy(
            title=f"smaller micro-batches (-ub {SMALL_UBATCH})",
            loses="prompts are computed more slowly",
            cost=2,
            options={"ubatch_size": SMALL_UBATCH},
        )
    fits_itself = options.fit and server.devices and not options.places_by_hand
    if fits_itself and options.fit_target_mib > SMALL_MARGIN_MIB:
        yield Economy(
            title=f"leave only {SMALL_MARGIN_MIB} MiB of each GPU free (-fitt {SMALL_MARGIN_MIB})",
            loses="less room for other programs and for kernel pools",
            cost=2,
            options={"fit_target_mib": SMALL_MARGIN_MIB},
        )
    if server.flash_attn and server.type_k in ("f32", "f16", "bf16"):
        for type_, loses, cost in (
            ("q8_0", "a little accuracy on long contexts", 3),
            ("q4_0", "accuracy on long contexts", 4),
        ):
            yield Economy(
                title=f"KV cache in {type_} (-ctk {type_} -ctv {type_})",
                loses=loses,
                cost=cost,
                options={"cache_type_v": None},  # as K, whatever was said of it
                kv_cache_dtype=type_,
                group="KV cache",
            )
    unified = deployment.system.accelerator.is_unified
    alone = not options.override_tensor and not options.tensor_split
    told = {"-ngl": options.n_gpu_layers, "--n-cpu-moe": options.n_cpu_moe}
    by_hand = " and ".join(flag for flag, value in told.items() if value)
    if by_hand and alone and server.devices and not unified:
        yield Economy(
            title=f"let llama.cpp choose {by_hand}: it puts on the GPU what fits",
            loses="slower: the CPU computes the rest",
            cost=3,
            options={"n_gpu_layers": None, "n_cpu_moe": None, "fit": True},
            group="placement",
        )
    if options.kv_offload and server.devices and not unified:
        yield Economy(
            title="caches in RAM (--no-kv-offload)",
            loses="much slower decoding",
            cost=3,
            options={"kv_offload": False},
        )


def _shared_anew(server: Server, room: Room) -> Iterator[Economy]:
    """Yield the split over the GPUs by which the fullest is emptiest, where another one was told."""
    options = server.options
    if not options.tensor_split or options.override_tensor or server.devices < 2:
        return
    layers = server.blocks + 1 if options.n_gpu_layers is None else options.n_gpu_layers
    spread = balanced_over(
        server,
        room,
        n_cpu_moe=options.n_cpu_moe or 0,
        n_gpu_layers=min(layers, server.blocks + 1),
    ).tensor_split
    if spread is not None and spread != options.tensor_split:
        flag = ",".join(f"{share:g}" for share in spread)
        yield Economy(
            title=f"share the layers out over the GPUs by what each has room for (-ts {flag})",
            loses="",
            cost=1,
            options={"tensor_split": spread},
        )


def knobs(deployment: Deployment, fitted: Fitted) -> Iterator[Knob]:
    """Yield what can be solved for: experts, or whole layers, in RAM.

    No less is tried than --fit's own placement has there: less may hold, in what it keeps free.
    """
    if deployment.system.accelerator.is_unified:
        return
    server = server_of(deployment)
    if not server.devices or not fitted.placement.devices:
        return
    known = fitted.fits and not server.options.places_by_hand
    if server.expert_blocks:
        yield Knob(
            question="fewest layers with experts in RAM",
            option="n_cpu_moe",
            values=tuple(range(fitted.n_cpu_moe if known else 0, server.expert_blocks + 1)),
            unit="layers",
        )
    else:
        layers = fitted.placement.n_gpu_layers if known else server.blocks + 1
        yield Knob(
            question="most layers on the GPUs",
            option="n_gpu_layers",
            values=tuple(range(layers, -1, -1)),
            unit="layers",
        )
