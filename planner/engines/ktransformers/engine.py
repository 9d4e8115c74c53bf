"""Plan KTransformers: SGLang on the GPUs, experts in host memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from functools import cached_property
from typing import Any

from hardware_db import left_by_system
from hardware_db.records import frozen_with_cache
from planner.engines.economies import Economy
from planner.engines.engine import Deployment, Engine, Launch, Refusal
from planner.engines.kinds import kind_refusals
from planner.engines.ktransformers.experts import ROUTED, Experts, experts_of
from planner.engines.ktransformers.options import READ_VERSION, KTransformersOptions, source
from planner.engines.ktransformers.refusals import as_sglang, refusals
from planner.engines.options import declared
from planner.engines.sglang import SGLANG
from planner.engines.sglang.advice import economies as sglang_economies
from planner.engines.sglang.answer import (
    SglangAnswer,
    capacity_of,
    length_notes,
    placement_of,
    pool_with,
    serves_one,
    start_error,
)
from planner.engines.sglang.engine import launch_of, workload_held
from planner.engines.sglang.overheads import Budget, budget_of, rank_terms
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.server import Server, server_of
from planner.layout import Degrees
from planner.memory.breakdown import HOST_RANK, Kind, Rank, Term, device_name
from planner.provenance import Band, Confidence
from planner.units import GIB, format_gib

EXPERTS_KEY = f"text.{ROUTED}"
CONVERTED_BAND = 0.15
"""Scales of converted experts were not looked at: up to this share more."""


@frozen_with_cache
class KTransformersAnswer(SglangAnswer):
    """What SGLang allocates beside experts in host memory.

    Attributes:
        experts: the routed experts as stored.
        method: how the CPU computes them.
        host: the host's memory; None where it is not known.
    """

    experts: Experts
    method: str
    host: Rank | None = field(repr=False)

    @property
    def options(self) -> KTransformersOptions:
        """The options as they were asked."""
        options: KTransformersOptions = self.deployment.options
        return options

    @cached_property
    def shortfall(self) -> int:
        """Bytes missing on the GPUs; zero where the host does not hold the experts."""
        if self.host is not None and self.host.headroom < 0:
            return 0
        return super().shortfall

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know, one sentence each."""
        notes = _warnings(self.deployment, self.experts, self.host)
        return (*notes, *length_notes(self.server, self.pool))

    def settings(self) -> dict[str, Any]:
        """Return SGLang's settings and those of kt-kernel."""
        return super().settings() | {
            "kt_method": self.method,
            "kt_num_gpu_experts": self.options.kt_num_gpu_experts,
            "kt_gpu_prefill_token_threshold": self.options.kt_gpu_prefill_token_threshold,
        }

    def figures(self) -> dict[str, Any]:
        """Return SGLang's figures and the bytes of the experts."""
        (stage,) = self.budget.stages
        return super().figures() | {
            "routed_expert_bytes": self.experts.stored,
            "offloaded_weight_bytes": self.experts.on_host(self.method),
            "gpu_weight_bytes": stage.text_bytes + stage.vision_bytes,
        }


class KTransformers(Engine[KTransformersOptions, KTransformersAnswer]):
    """The policy of kt-kernel with its SGLang."""

    name = "ktransformers"
    title = "KTransformers"
    options_type = KTransformersOptions
    degrees = Degrees(tensor=True, nodes=False)
    cache_dtypes = SGLANG.cache_dtypes
    verified = False

    def version(self, options: KTransformersOptions) -> str:
        """Return the state of the documentation that was read."""
        return READ_VERSION

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why KTransformers cannot run it; see `refusals`."""
        unknown = kind_refusals(self, deployment)
        return unknown or tuple(refusals(deployment))

    def allocate(self, deployment: Deployment) -> KTransformersAnswer:
        """Return SGLang's pools beside the weights that stay on the GPUs, and the experts on the host.

            GPU  = (weights - routed experts) / TP + kt_num_gpu_experts x layers x expert / TP
            host = all routed experts

        Source: kvcache-ai/ktransformers doc/en/Qwen3.5.md; pools as in SGLang 0.5.23.
        """
        experts = experts_of(deployment.checkpoint)
        assert experts is not None  # a dense model was refused
        server = server_of(as_sglang(deployment))
        budget = self._budget(deployment, server, experts)
        pool = pool_with(server, budget)
        context = deployment.context
        host = self._host(deployment, experts)
        holds_experts = host is None or host.headroom >= 0
        starts = serves_one(pool, context) and holds_experts
        gpu = self._gpu(deployment, server, budget, pool)
        ranks = [gpu] if host is None else sorted((gpu, host), key=lambda rank: rank.headroom)
        native = deployment.checkpoint.model.max_position_embeddings
        capacity = capacity_of(server, pool, context=context, most=max(native, context))
        refusal = start_error(server, pool, context=context)
        if host is not None and not holds_experts:
            refusal = (
                f"the experts need {format_gib(host.used)} of host memory,"
                f" {format_gib(host.total)} are there"
            )
        method = experts.method(deployment.options.kt_method) or "BF16"
        held = experts.on_host(method)
        return KTransformersAnswer(
            ranks=tuple(ranks),
            capacity=capacity if holds_experts else replace(capacity, sequences=0),
            starts=starts,
            refusal=refusal,
            kv_cache_dtype=server.cache_format.name,
            placement=replace(
                placement_of(server, budget),
                host_computed=held,
                host_computed_experts=held,
                prompts_stream=deployment.options.kt_gpu_prefill_token_threshold is not None,
            ),
            host_bytes=held,
            deployment=deployment,
            server=server,
            budget=budget,
            pool=pool,
            experts=experts,
            method=method,
            host=host,
            at_worst=""
            if host is not None
            else f"the host must have {format_gib(held)} for the experts, and its memory is not"
            " known",
        )

    def _budget(self, deployment: Deployment, server: Server, experts: Experts) -> Budget:
        """Return SGLang's budget with the experts that stay on the GPUs only."""
        options: KTransformersOptions = deployment.options
        budget = budget_of(server, deployment.system.accelerator, deployment.lesson)
        stages = []
        for stage in budget.stages:
            target = dict(stage.target)
            kept = target.get(EXPERTS_KEY, 0) * options.kt_num_gpu_experts // experts.per_layer
            stages.append(replace(stage, target=target | {EXPERTS_KEY: kept}))
        return replace(budget, stages=tuple(stages))

    def _gpu(self, deployment: Deployment, server: Server, budget: Budget, pool: Pool) -> Rank:
        layout, asked = deployment.layout, deployment.concurrency
        (terms,) = rank_terms(server, budget, pool, sequences=asked, context=deployment.context)
        return Rank(
            name=device_name(alike=layout.tensor_parallel),
            count=layout.tensor_parallel,
            total=budget.total,
            usable=budget.usable,
            terms=terms,
        )

    def _host(self, deployment: Deployment, experts: Experts) -> Rank | None:
        """Return the host's memory; None where it is not known."""
        options: KTransformersOptions = deployment.options
        known = deployment.system.host_memory_gib
        size = options.host_memory_gib or (known.value if known is not None else None)
        if size is None:
            return None
        method = experts.method(options.kt_method) or "BF16"
        held = experts.on_host(method)
        converted = method.startswith("AMX")
        total = int(size * GIB)
        return Rank(
            name=HOST_RANK,
            count=1,
            total=total,
            usable=left_by_system(total),
            terms=(
                Term(
                    name=f"routed experts ({method})",
                    kind=Kind.WEIGHTS,
                    nbytes=held,
                    confidence=Confidence.ASSUMED,
                    formula="bytes of all routed experts",
                    values={"bytes of all routed experts": held},
                    source=source("doc/en/Qwen3.5.md, doc/en/kt-kernel/"),
                    band=Band(below=0, above=int(held * CONVERTED_BAND) if converted else 0),
                ),
            ),
        )

    def as_started(self, deployment: Deployment) -> Deployment:
        """Return the workload that SGLang's pools hold."""
        if self.refusals(deployment):
            return deployment
        return workload_held(deployment, self.allocate(deployment))

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Return the changes that free GPU memory: experts in RAM, and SGLang's own that it takes, too."""
        return () if self.refusals(deployment) else tuple(_economies(deployment))

    def launch(self, deployment: Deployment, answer: KTransformersAnswer) -> Launch:
        """Return `sglang.launch_server` with the `--kt-*` flags that the plan assumed."""
        return _launch(deployment, answer)


KTRANSFORMERS = KTransformers()


def _economies(deployment: Deployment) -> Iterator[Economy]:
    known = declared(KTransformersOptions)
    if deployment.options.kt_num_gpu_experts:
        yield Economy(
            title="all experts in RAM (--kt-num-gpu-experts 0)",
            loses="slower decoding",
            cost=2,
            options={"kt_num_gpu_experts": 0},
        )
    inside = as_sglang(deployment)
    for economy in sglang_economies(inside, server_of(inside)):
        if economy.options and economy.options.keys() <= known.keys():
            yield economy


def _warnings(deployment: Deployment, experts: Experts, host: Rank | None) -> tuple[str, ...]:
    options: KTransformersOptions = deployment.options
    method = experts.method(options.kt_method) or "BF16"
    notes = [
        "KTransformers was read, not run: memory follows SGLang's rules with the experts in host"
        " memory; its own documentation asks to test each model, method and CPU before use",
        "every token's experts are read from host memory: its bandwidth and the CPU (AVX512, AMX for"
        " AMX methods) set the speed, not the GPU",
    ]
    if host is None:
        notes.append(
            f"the host's memory is not known; the experts alone need"
            f" {format_gib(experts.on_host(method))} of it (--host-memory-gib)"
        )
    if options.kt_gpu_prefill_token_threshold is not None:
        each = experts.layer_bytes // deployment.layout.tensor_parallel
        notes.append(
            f"long prompts bring a layer's experts to the GPU, about {format_gib(each)} each, which"
            " the plan does not reserve: leave room with --mem-fraction-static"
        )
    if method.startswith("AMX"):
        notes.append(f"{method} needs experts converted by kt-kernel's convert_weights.py")
    return tuple(notes)


def _launch(deployment: Deployment, answer: KTransformersAnswer) -> Launch:
    options = answer.options
    served = launch_of(as_sglang(deployment), answer.server)
    weights = options.kt_weight_path or deployment.checkpoint.id
    argv = [
        *served.argv,
        "--kt-weight-path",
        weights,
        "--kt-method",
        answer.method,
        "--kt-cpuinfer",
        str(options.kt_cpuinfer),
        "--kt-threadpool-count",
        str(options.kt_threadpool_count),
        "--kt-num-gpu-experts",
        str(options.kt_num_gpu_experts),
    ]
    if options.kt_gpu_prefill_token_threshold is not None:
        threshold = str(options.kt_gpu_prefill_token_threshold)
        argv += ["--kt-gpu-prefill-token-threshold", threshold]
    argv.append("--disable-shared-experts-fusion")
    notes = [
        "needs the packages kt-kernel and sglang-kt",
        "set --kt-cpuinfer to the physical cores and --kt-threadpool-count to the NUMA nodes",
    ]
    if options.kt_weight_path is None:
        notes.append("--kt-weight-path is a folder: download the checkpoint and name it there")
    return replace(served, argv=tuple(argv), notes=(*served.notes, *notes))
