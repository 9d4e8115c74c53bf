"""The engines' own figures, by name: the one place of the suites that reaches into an engine.

A suite asks for a plan through the planner's public functions and reads what it compares here.
Some references are of parts of an engine (the pools of a server whose free memory is told, the
buffers of one context); those parts are called here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.log_figures import log_figures
from planner.engines.llamacpp.placement import Placement, experts_on_host
from planner.engines.llamacpp.vision import vision_memory
from planner.engines.sglang.legality import layout_violations, messages
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.ranks import Gpu, parallel_of
from planner.engines.sglang.server import Server
from planner.engines.sglang.weights import draft_weights
from planner.engines.transformers.cache import cache_bytes, cache_layer_classes, state_shapes
from planner.engines.vllm.answer import VllmAnswer
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme
from planner.model.gguf_tensors import block_count
from planner.model.spec import ModelSpec
from planner.planning import Outcome, Plan
from planner.units import GIB, MIB

LOGGED_DIGITS = 2
PLENTY = 2.0**40
"""Bytes: so much that only the asked flags limit SGLang's pools."""


def figures(plan: Plan) -> Mapping[str, Any]:
    """Return the engine's figures of `plan`; empty where it cannot run."""
    return plan.figures


def resolved(plan: Plan) -> Mapping[str, Any]:
    """Return every option of `plan` as the engine resolves it; empty where it cannot run."""
    return plan.settings


def error_of(plan: Plan) -> str | None:
    """Return what the planner says the engine raises; None if it starts."""
    if plan.outcome is Outcome.CANNOT_RUN:
        return plan.refusals[0].engine_message or plan.refusals[0].reason
    return plan.allocation.refusal if plan.allocation else None


def starts(plan: Plan) -> bool:
    """Return whether the engine starts and serves one sequence of the asked context."""
    return plan.allocation is not None and plan.allocation.starts


def vllm(plan: Plan, available: Sequence[int] = ()) -> Mapping[str, Any]:
    """Return vLLM's figures; where stages have unequal memory, of the pool that they make."""
    answer = plan.allocation
    if len(available) < 2 or not isinstance(answer, VllmAnswer):
        return figures(plan)
    return replace(answer, pool=replace(answer.pool, available=tuple(available))).figures()


def sglang(plan: Plan) -> dict[str, int]:
    """Return SGLang's pools as bytes and tokens, named as its log sums them."""
    found = figures(plan)
    taken = found["allocated_bytes"]
    return {
        "max_total_num_tokens": found["max_total_num_tokens"],
        "mamba_state_gib": taken["conv_state"] + taken["ssm_state"],
        "mamba_intermediate_gib": taken["intermediate_ssm"] + taken["intermediate_conv"],
        "kv_gib": taken["k_cache"] + taken["v_cache"],
        "draft_kv_gib": taken["draft_kv"],
    }


def llamacpp_device(plan: Plan, part: str) -> int:
    """Return one buffer ("model", "compute") on the first device that is not the host."""
    buffers = figures(plan)["buffers"]
    return int(next(sizes[part] for name, sizes in buffers.items() if name != "host"))


def term_bytes(plan: Plan, name: str) -> int:
    """Return the bytes of the term called `name`, over all ranks."""
    return sum(term.nbytes for rank in plan.ranks for term in rank.terms if term.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Banded:
    """Bytes with the band that the plan states for them."""

    nbytes: int
    below: int
    above: int


def sum_of(plan: Plan, *kinds: Kind, without: Sequence[str] = ()) -> Banded:
    """Return the terms of `kinds` on the tightest rank, with their bands."""
    terms = [t for t in plan.ranks[0].terms if t.kind in kinds and t.name not in without]
    return Banded(
        nbytes=sum(term.nbytes for term in terms),
        below=sum(term.band.below for term in terms if term.band),
        above=sum(term.band.above for term in terms if term.band),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SGLangServer:
    """A server of SGLang whose free memory is told: its refusals, defaults and pools."""

    server: Server

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        layout: Layout,
        options: Any,
        *,
        memory_mib: float,
        capability: tuple[int, int],
        kv_cache_dtype: str = "auto",
    ) -> SGLangServer:
        """Return the server that these describe."""
        return cls(
            server=Server(
                checkpoint=checkpoint,
                parallel=parallel_of(layout, options),
                gpu=Gpu(memory_mib=memory_mib, capability=capability),
                options=options,
                kv_cache_dtype=kv_cache_dtype,
            )
        )

    def load_errors(self) -> dict[str, str]:
        """Return rule -> what the engine raises while loading."""
        return messages(iter(self.server.load_violations()))

    def shared_out_errors(self) -> dict[str, str]:
        """Return what sharing the experts out over all ranks would raise."""
        parallel = self.server.parallel
        shared = replace(parallel, ep_size=parallel.tp_size)
        found = messages(layout_violations(self.server.checkpoint.model, shared))
        return {rule: text for rule, text in found.items() if rule == "ep_num_experts"}

    def option_error(self) -> str | None:
        """Return what the first refused option raises; None if all are taken."""
        found = self.server.option_violations()
        return found[0].engine_message if found else None

    def resolved(self) -> dict[str, Any]:
        """Return the defaults that memory depends on, as resolved."""
        server, found = self.server, self.server.resolved
        speculation = found.speculation
        names = (
            "mem_fraction_static",
            "chunked_prefill_size",
            "decode_cuda_graph_max_bs",
            "decode_graph_backend",
            "prefill_graph_backend",
            "prefill_graph_buckets",
            "page_size",
            "attention_backend",
            "mamba_radix_cache_strategy",
            "max_running_requests",
            "disable_overlap_schedule",
        )
        return {name: getattr(found, name) for name in names} | {
            "speculative_num_draft_tokens": speculation.num_draft_tokens if speculation else None,
            "speculative_num_steps": speculation.num_steps if speculation else None,
            "ep_size": server.parallel.ep_size,
            "attn_dp_size": server.parallel.attn_dp_size,
        }

    def pool(self, before: float = PLENTY, after: float = PLENTY) -> dict[str, Any]:
        """Return the pools made of so many free bytes before and after loading.

        Raises:
            LayoutError: state channels or heads do not divide.
        """
        pool, server = self._pool(before, after), self.server
        geometry, speculation = pool.geometry, server.resolved.speculation
        slot = geometry.slot
        return {
            "cell_bytes_per_token": geometry.cells[0],
            "max_total_num_tokens": pool.max_total_num_tokens,
            "max_running_requests": pool.max_running_requests,
            "mamba_cache_per_req": slot.nbytes,
            "conv_shape": [list(slot.conv_shape)],
            "temporal_shape": list(slot.temporal_shape),
            "ssm_dtype": f"torch.{slot.ssm_dtype}",
            "conv_dtype": f"torch.{slot.conv_dtype}",
            "n_linear_layers": slot.layers,
            "max_mamba_cache_size": pool.max_mamba_cache_size,
            "mamba_ratio": geometry.mamba_ratio,
            "draft_layers": (speculation.draft_layers or None) if speculation else None,
            "attn_tp": server.parallel.attn_tp_size,
            "pp_stage_cell_bytes": list(geometry.cells),
            "pp_stage_tokens_before_min": list(pool.stage_tokens),
            "error": (pool.failure.engine_message or pool.failure.kind) if pool.failure else None,
        }

    def logged(self) -> dict[str, Any]:
        """Return what a start-up log prints of pools that only the flags limit; GiB where named so."""
        taken, slot = (
            self.server.allocated(self._pool(PLENTY, PLENTY)),
            self.server.geometry.slot,
        )
        pool = self._pool(PLENTY, PLENTY)
        return {
            "bytes": slot.nbytes // slot.layers,
            "kv_bytes_per_token": self.server.geometry.cells[0],
            "kv_tokens": pool.max_total_num_tokens,
            "max_running_requests": pool.max_running_requests,
            "K_GB": taken.k_cache / GIB,
            "V_GB": taken.v_cache / GIB,
            "ssm_state_GB": taken.ssm_state / GIB,
            "target_GDN_state_GiB": taken.state / GIB,
            "mtp_intermediate_GiB": taken.intermediate / GIB,
            "target_KV_GiB": (taken.k_cache + taken.v_cache) / GIB,
            "draft_KV_GiB": taken.draft_kv / GIB,
            "draft_worker_load_GiB": sum(draft_weights(self.server).values()) / GIB,
        }

    def _pool(self, before: float, after: float) -> Pool:
        return self.server.pool(free_before_load=before, free_after_load=after)


def llamacpp_buffers(
    model: ModelSpec, scheme: GgufScheme, flags: Mapping[str, str], gpus: int
) -> dict[str, Any]:
    """Return every buffer, cache and graph of one llama.cpp context, as its tool prints them.

    Args:
        model: what is loaded.
        scheme: how its file stores it.
        flags: the tool's flags: c, np, kvu, ub, b, fa, ctk, ctv, ngl, ncmoe, opo, kvo, sm, nout,
            load_mtp, rs_seq, ctx_type, repack, ts.
        gpus: emulated devices of equal free memory.
    """
    blocks = block_count(model, mtp=scheme.mtp)
    devices = 1 if flags.get("sm") == "none" and gpus else gpus
    shares = tuple(float(part) for part in flags["ts"].split(",")) if "ts" in flags else ()
    placement = Placement(
        devices=devices,
        blocks=blocks,
        n_gpu_layers=int(flags.get("ngl", blocks + 1)),
        shares=shares[:devices] or (1.0,) * devices,
        overrides=experts_on_host(int(flags.get("ncmoe", 0)), host=devices),
        kv_offload=flags.get("kvo", "1") == "1",
    )
    sequences = int(flags.get("np", "1"))
    context = Context(
        kind="mtp" if flags.get("ctx_type") == "mtp" else "trunk",
        n_ctx=int(flags["c"]),
        n_seq_max=sequences,
        kv_unified=flags.get("kvu", "0") == "1",
        n_batch=int(flags.get("b", "2048")),
        n_ubatch=int(flags.get("ub", "512")),
        n_outputs_max=int(flags.get("nout", sequences)),
        n_rs_seq=int(flags.get("rs_seq", "0")),
        flash_attn=flags.get("fa", "on") != "off",
        type_k=flags.get("ctk", "f16"),
        type_v=flags.get("ctv", "f16"),
    )
    found = log_figures(
        model,
        scheme,
        placement,
        context,
        mtp=flags.get("load_mtp", "0") == "1",
        op_offload=flags.get("opo", "1") == "1",
        repack=flags.get("repack", "1") == "1",
        dry_run=True,
    )
    answer: dict[str, Any] = {
        f"{name}.{part}": getattr(buffer, part)
        for name, buffer in found.buffers.items()
        for part in ("model", "context", "compute")
    }
    sizes = {
        "kv_mib": found.k_bytes + found.v_bytes,
        "k_mib": found.k_bytes,
        "v_mib": found.v_bytes,
        "rs_mib": found.r_bytes + found.s_bytes,
        "r_mib": found.r_bytes,
        "s_mib": found.s_bytes,
        "output_mib": found.output_bytes,
    }
    return (
        answer
        | {name: round(size / MIB, LOGGED_DIGITS) for name, size in sizes.items()}
        | {
            "kv_cells": context.n_ctx_seq,
            "kv_layers": found.kv_layers,
            "kv_streams": context.n_streams,
            "rs_cells": context.n_seq_max,
            "n_ctx": context.cells,
            "pipeline": found.pipeline,
            "graph_nodes": found.graph_nodes,
            "graph_splits": found.graph_splits,
        }
    )


def llamacpp_tower(model: ModelSpec, scheme: GgufScheme) -> dict[str, int] | None:
    """Return the vision tower's bytes on the first device and on the host; None without a tower."""
    memory = vision_memory(model, scheme, flash_attn=True)
    return None if memory is None else {"CUDA0": memory.device, "CPU": memory.host}


def transformers_cache(model: ModelSpec, batch: int, tokens: int) -> dict[str, Any]:
    """Return the cache of the model class: bytes, shapes, classes of its layers."""
    cache = cache_bytes(model, batch=batch, tokens=tokens)
    conv, recurrent = state_shapes(model, batch)
    return {
        "total_bytes": cache.total,
        "kv_formula": cache.kv,
        "state_bytes": cache.state,
        "conv_shape": list(conv),
        "rec_shape": list(recurrent),
        "layer_types": list(cache_layer_classes(model)),
    }
