"""Say what KTransformers refuses, and what was not verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.engines.engine import Deployment, Refusal
from planner.engines.ktransformers.experts import Experts, experts_of
from planner.engines.ktransformers.options import KTransformersOptions, source
from planner.engines.sglang import SGLANG


def as_sglang(deployment: Deployment) -> Deployment:
    """Return the same question to SGLang, which serves it."""
    return replace(deployment, options=deployment.options.server())


def refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Yield every reason why KTransformers cannot run `deployment`."""
    system, experts = deployment.system, experts_of(deployment.checkpoint)
    if experts is None:
        yield Refusal(
            reason="KTransformers keeps experts in host memory, and this model is dense",
            source=source("doc/en/Qwen3.5.md"),
            remedy="SGLang or llama.cpp serve it",
        )
        return
    if system.accelerator.vendor not in ("nvidia", "custom"):
        yield Refusal(
            reason=f"KTransformers is documented for NVIDIA GPUs, not for {system.accelerator.name}",
            source=source("doc/en/support/supported-models-and-precision.md"),
        )
    elif system.accelerator.is_unified:
        yield Refusal(
            reason=f"CPU and GPU of {system.accelerator.name} share one memory: experts kept on the"
            " host free nothing for the GPU",
            source=source("doc/en/Qwen3.5.md"),
            remedy="vLLM, SGLang or llama.cpp use the whole memory",
        )
    if deployment.layout.accelerators > system.accelerators_per_node or (
        deployment.layout.pipeline_parallel * deployment.layout.data_parallel > 1
    ):
        yield Refusal(
            reason=f"{deployment.layout}: only tensor parallelism in one machine is documented",
            source=source("doc/en/Qwen3.5.md"),
            remedy="use tensor parallelism over the GPUs of one machine",
        )
    yield from _method(deployment, experts)
    yield from SGLANG.refusals(as_sglang(deployment))


def _method(deployment: Deployment, experts: Experts) -> Iterator[Refusal]:
    options: KTransformersOptions = deployment.options
    method = experts.method(options.kt_method)
    if method is None:
        yield Refusal(
            reason=f"no --kt-method is documented for experts stored as"
            f" {deployment.checkpoint.recipe.name}",
            source=source("doc/en/support/supported-models-and-precision.md"),
            remedy="use BF16, FP8 or GPTQ-Int4, or convert them (AMXINT8, AMXINT4)",
        )
    elif method in ("BF16", "FP8", "GPTQ_INT4") and experts.method("auto") != method:
        yield Refusal(
            reason=f"--kt-method {method} does not compute experts stored as"
            f" {deployment.checkpoint.recipe.name}",
            source=source("doc/en/kt-kernel/Native-Precision-Tutorial.md"),
            remedy="leave --kt-method out",
        )
    if options.kt_num_gpu_experts > experts.per_layer:
        yield Refusal(
            reason=f"--kt-num-gpu-experts {options.kt_num_gpu_experts} is more than the"
            f" {experts.per_layer} experts of a layer",
            source=source("doc/en/kt-kernel/Native-Precision-Tutorial.md"),
        )
