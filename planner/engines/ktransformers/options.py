"""Declare the options of SGLang with kt-kernel that change memory."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hardware_db.records import frozen
from planner.engines.option_kinds import Choice, Count, Number, Text
from planner.engines.options import Option, Options, declared, option
from planner.engines.sglang.options import SGLangOptions
from planner.errors import InputError
from planner.provenance import Source

READ_VERSION = "docs 2026-05"
READ = "2026-11-21"


def source(where: str) -> Source:
    """Return a rule's source: the project's documentation, read, never run."""
    return Source(
        where=f"kvcache-ai/ktransformers {READ_VERSION} {where}, read, not run", when=READ
    )


def _of_sglang(name: str, **changes: Any) -> Any:
    """Return a field that declares SGLang's option of that name, with `changes`."""
    known = declared(SGLangOptions)[name]
    told = {part.name: getattr(known, part.name) for part in fields(Option)} | changes
    del told["name"]
    return option(told.pop("default"), told.pop("kind"), *told.pop("flags"), **told)


def _folder(text: str, what: str) -> str:
    if not text.strip():
        raise InputError(f"{what}: name a folder")
    return text


@frozen
class KTransformersOptions(Options):
    """Options of `sglang.launch_server` with kt-kernel; None means the server's own default.

    What SGLang itself is told is declared with its options.
    """

    kt_method: str = option(
        "auto",
        Choice(choices=("auto", "BF16", "FP8", "GPTQ_INT4", "AMXINT8", "AMXINT4")),
        "--kt-method",
        meaning="how the CPU computes experts; auto follows the checkpoint",
        memory="AMXINT8 and AMXINT4 take 8 and 4 bits per weight; they need converted weights",
        written=False,
    )
    kt_num_gpu_experts: int = option(
        1,
        Count(least=0),
        "--kt-num-gpu-experts",
        meaning="experts of each layer that stay on the GPU",
        memory="each takes GPU memory in every layer",
        written=False,
    )
    kt_cpuinfer: int = option(
        60,
        Count(most=4096),
        "--kt-cpuinfer",
        meaning="CPU threads: the physical cores, or somewhat fewer",
        written=False,
    )
    kt_threadpool_count: int = option(
        2,
        Count(most=64),
        "--kt-threadpool-count",
        meaning="thread pools: one per NUMA node",
        written=False,
    )
    kt_gpu_prefill_token_threshold: int | None = option(
        None,
        Count(),
        "--kt-gpu-prefill-token-threshold",
        meaning="prompts from this length on bring one layer's experts at a time to the GPU",
        memory="room for one layer's experts on the GPU, which the plan does not reserve",
        default_words="the CPU computes every prompt's experts",
        written=False,
    )
    kt_weight_path: str | None = option(
        None,
        Text(checked=_folder),
        "--kt-weight-path",
        meaning="folder of the experts' weights",
        default_words="the checkpoint itself",
        written=False,
    )
    attention_backend: str = _of_sglang("attention_backend", default="triton", default_words="")
    mem_fraction_static: float | None = _of_sglang("mem_fraction_static")
    chunked_prefill_size: int | None = _of_sglang("chunked_prefill_size")
    max_running_requests: int | None = _of_sglang("max_running_requests")
    max_total_tokens: int | None = _of_sglang("max_total_tokens")
    context_length: int | None = _of_sglang("context_length")
    host_memory_gib: float | None = option(
        None,
        Number(most=2**20, above=True),
        meaning="memory of the host in GiB, where the hardware does not tell it",
        memory="must hold all routed experts",
        default_words="what the hardware database knows",
        written=False,
    )

    def server(self) -> SGLangOptions:
        """Return what SGLang itself is told."""
        shared = declared(SGLangOptions).keys() & declared(type(self)).keys()
        return SGLangOptions(**{name: getattr(self, name) for name in shared})
