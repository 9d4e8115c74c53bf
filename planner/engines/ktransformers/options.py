"""Options of SGLang with kt-kernel that change memory, named as the flags."""

from __future__ import annotations

from dataclasses import dataclass

from planner.engines.sglang.options import SGLangOptions
from planner.errors import InputError
from planner.provenance import Source
from planner.units import check_count

READ_VERSION = "docs 2026-05"
READ = "2026-11-21"
METHODS = ("auto", "BF16", "FP8", "GPTQ_INT4", "AMXINT8", "AMXINT4")


def source(where: str) -> Source:
    """A rule's source: the project's documentation, read, never run."""
    return Source(
        where=f"kvcache-ai/ktransformers {READ_VERSION} {where}, read, not run", when=READ
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KTransformersOptions:
    """Options of `sglang.launch_server` with kt-kernel; None means the engine's default.

    Attributes:
        kt_method: how the CPU computes experts; auto follows the checkpoint. AMXINT8 and AMXINT4
            need converted weights beside the checkpoint.
        kt_num_gpu_experts: experts of each layer that stay on the GPU.
        kt_cpuinfer: CPU threads; the physical cores, or somewhat fewer.
        kt_threadpool_count: thread pools; one per NUMA node.
        kt_gpu_prefill_token_threshold: prompts from this length on bring one layer's experts at a
            time to the GPU; None computes every prompt's experts on the CPU.
        kt_weight_path: folder of the experts' weights; None for the checkpoint itself.
        attention_backend: kernels of full attention.
        mem_fraction_static: share of the memory free before loading for weights and pools.
        chunked_prefill_size: tokens of one prefill step.
        max_running_requests: requests running at once.
        max_total_tokens: upper bound of the KV pool.
        host_memory_gib: memory of the host, where the hardware database does not know it (no flag).

    Raises:
        InputError: a value out of range.
    """

    kt_method: str = "auto"
    kt_num_gpu_experts: int = 1
    kt_cpuinfer: int = 60
    kt_threadpool_count: int = 2
    kt_gpu_prefill_token_threshold: int | None = None
    kt_weight_path: str | None = None
    attention_backend: str = "triton"
    mem_fraction_static: float | None = None
    chunked_prefill_size: int | None = None
    max_running_requests: int | None = None
    max_total_tokens: int | None = None
    host_memory_gib: float | None = None

    def __post_init__(self) -> None:
        """Check every range; the error names the flag."""
        if self.kt_method not in METHODS:
            raise InputError(f"kt_method: {self.kt_method!r}; known: {', '.join(METHODS)}")
        check_count(self.kt_num_gpu_experts, what="kt_num_gpu_experts", least=0)
        check_count(self.kt_cpuinfer, what="kt_cpuinfer", most=4096)
        check_count(self.kt_threadpool_count, what="kt_threadpool_count", most=64)
        if self.kt_gpu_prefill_token_threshold is not None:
            check_count(self.kt_gpu_prefill_token_threshold, what="kt_gpu_prefill_token_threshold")
        size: object = self.host_memory_gib
        if size is not None and (
            isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size <= 2**20
        ):
            raise InputError(f"host_memory_gib: {size!r} is not a number of GiB up to 1,048,576")
        if self.kt_weight_path is not None and not self.kt_weight_path.strip():
            raise InputError("kt_weight_path: name a folder")
        self.server()

    def server(self) -> SGLangOptions:
        """What SGLang itself is told."""
        return SGLangOptions(
            attention_backend=self.attention_backend,
            mem_fraction_static=self.mem_fraction_static,
            chunked_prefill_size=self.chunked_prefill_size,
            max_running_requests=self.max_running_requests,
            max_total_tokens=self.max_total_tokens,
        )
