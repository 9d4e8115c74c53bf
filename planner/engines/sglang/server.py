"""Ask SGLang's rules about one server: its defaults, pools and refusals, without any planning."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

from hardware_db.records import frozen_with_cache
from planner.engines.engine import Deployment
from planner.engines.sglang.defaults import Resolved, resolve
from planner.engines.sglang.legality import (
    Violation,
    block_violations,
    layout_violations,
    option_violations,
    vision_violations,
)
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.pool import Allocated, Pool, allocated_of, size_pool
from planner.engines.sglang.ranks import Gpu, Parallel, gpu_of, parallel_of
from planner.engines.sglang.releases import Rules, rules_for
from planner.engines.sglang.state import Geometry, geometry_of
from planner.errors import InputError
from planner.formats.cache import CacheFormat, get_cache_format
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.model.checkpoint import Checkpoint

CACHE_DTYPES = {
    "auto": "auto",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "fp8": "fp8_e4m3",
    "fp8_e4m3": "fp8_e4m3",
    "fp8_e5m2": "fp8_e5m2",
    "mxfp8": "mxfp8",
}
"""What users type -> the value of ``--kv-cache-dtype``."""
TAKEN = tuple(dict.fromkeys(flag for flag in CACHE_DTYPES.values() if flag != "auto"))
"""The values of ``--kv-cache-dtype`` that are planned, beside auto."""
MXFP8 = CacheFormat(
    name="mxfp8",
    bits=Fraction(8),
    group=32,
    scale_bytes=1,
    source="SGLang 0.5.23 model_executor/pool_configurator.py",
)
REPLICATED_SHARED_EXPERT = ("deepep", "mori", "flashinfer", "megamoe")
"""All-to-all backends under which every rank holds the whole shared expert (qwen2_moe.py)."""


def cache_flag(name: str) -> str:
    """Return the value of ``--kv-cache-dtype`` that `name` means.

    Raises:
        InputError: not a KV cache dtype that is planned.
    """
    try:
        return CACHE_DTYPES[name.lower()]
    except KeyError:
        raise InputError(
            f"SGLang has no KV cache dtype {name!r} that is planned; {', '.join(TAKEN)} are"
        ) from None


@frozen_with_cache
class Server:
    """A checkpoint, a layout, a device and options.

    Attributes:
        checkpoint: what is loaded.
        parallel: degrees of parallelism.
        gpu: the device.
        options: what the user set.
        kv_cache_dtype: "auto" or a flag value.
        context: longest sequence unless the options say; None for the model's own; may be a
            column (`planner.columns`).
    """

    checkpoint: Checkpoint
    parallel: Parallel
    gpu: Gpu
    options: SGLangOptions
    kv_cache_dtype: str = "auto"
    context: int | None = None

    @cached_property
    def rules(self) -> Rules:
        """The rules of the options' release."""
        return rules_for(self.options.version)

    @property
    def context_length(self) -> int:
        """Longest sequence that the server accepts."""
        given: int | None = self.options.context_length
        asked = self.context if given is None else given
        return self.checkpoint.model.max_position_embeddings if asked is None else asked

    @cached_property
    def cache_format(self) -> CacheFormat:
        """Number format of the KV cache; auto is the model's 16-bit dtype."""
        flag = cache_flag(self.kv_cache_dtype)
        if flag == MXFP8.name:
            return MXFP8
        return get_cache_format("bfloat16" if flag == "auto" else flag)

    @cached_property
    def resolved(self) -> Resolved:
        """Every default that memory depends on."""
        return resolve(
            self.checkpoint.model,
            parallel=self.parallel,
            gpu=self.gpu,
            options=self.options,
            rules=self.rules,
            kv_cache_dtype=cache_flag(self.kv_cache_dtype),
            context_length=self.context_length,
        )

    @cached_property
    def geometry(self) -> Geometry:
        """Sizes of slots and cells.

        Raises:
            LayoutError: state channels or heads do not divide.
        """
        return geometry_of(
            self.checkpoint.model,
            parallel=self.parallel,
            resolved=self.resolved,
            options=self.options,
            rules=self.rules,
            cache_format=self.cache_format,
        )

    @cached_property
    def images_mib(self) -> int:
        """MiB that are kept inside the budget for images."""
        kept = self.rules.multimodal_reserve_mib
        if self.checkpoint.model.vision is None or not kept:
            return 0
        return kept + (1024 if self.options.mm_feature_transport != "cpu" else 0)

    def pool(self, *, free_before_load: float, free_after_load: float) -> Pool:
        """Return the pools for so many bytes free on the tightest rank before and after loading."""
        return size_pool(
            self.geometry,
            resolved=self.resolved,
            parallel=self.parallel,
            options=self.options,
            rules=self.rules,
            images_mib=self.images_mib,
            free_before_load=free_before_load,
            free_after_load=free_after_load,
        )

    def allocated(self, pool: Pool) -> Allocated:
        """Return the bytes that `pool` really takes."""
        return allocated_of(pool, resolved=self.resolved)

    @property
    def drafting(self) -> bool:
        """Tokens are drafted, by a module that is loaded as well."""
        return self.options.speculative_algorithm is not None

    @property
    def shared_expert_replicated(self) -> bool:
        """Every rank holds the whole shared expert."""
        return self.options.moe_a2a_backend in REPLICATED_SHARED_EXPERT

    def load_violations(self) -> tuple[Violation, ...]:
        """Return why the language model would not load, in this layout and these formats.

        Blocks are looked at only where the layout itself is legal, as the engine does.
        """
        return _load_violations(self)

    def option_violations(self) -> tuple[Violation, ...]:
        """Return the options that the argument pipeline refuses."""
        return tuple(
            option_violations(
                self.checkpoint.model,
                parallel=self.parallel,
                gpu=self.gpu,
                options=self.options,
                resolved=self.resolved,
                rules=self.rules,
                mxfp8_cache=self.cache_format is MXFP8,
            )
        )

    def violations(self) -> tuple[Violation, ...]:
        """Return everything that SGLang refuses about this server."""
        return self._violations

    @cached_property
    def _violations(self) -> tuple[Violation, ...]:
        vision = vision_violations(self.checkpoint.model, self.parallel)
        return (*self.option_violations(), *self.load_violations(), *vision)


def _asked(deployment: Deployment, layout: Layout | None = None) -> Key:
    gpu = gpu_of(deployment.system.accelerator)
    asked = (layout or deployment.layout, deployment.kv_cache_dtype, deployment.context)
    return (deployment.checkpoint, deployment.options, gpu), asked


@remembered(_asked, most=4096)
def server_of(deployment: Deployment, layout: Layout | None = None) -> Server:
    """Return the server that `deployment` describes, in its own layout or in another."""
    return Server(
        checkpoint=deployment.checkpoint,
        parallel=parallel_of(layout or deployment.layout, deployment.options),
        gpu=gpu_of(deployment.system.accelerator),
        options=deployment.options,
        kv_cache_dtype=deployment.kv_cache_dtype,
        context=deployment.context,
    )


def _loading(server: Server) -> Key:
    return (server.checkpoint, server.parallel), server.shared_expert_replicated


@remembered(_loading)
def _load_violations(server: Server) -> tuple[Violation, ...]:
    """Return what `Server.load_violations` says; nothing of that depends on the workload."""
    found = tuple(layout_violations(server.checkpoint.model, server.parallel))
    return found or tuple(
        block_violations(
            server.checkpoint,
            server.parallel,
            shared_expert_replicated=server.shared_expert_replicated,
        )
    )
