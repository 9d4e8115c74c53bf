"""llama-server's options that change memory, named as its flags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from planner.errors import InputError
from planner.units import check_count

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""What -ctk and -ctv take."""

_CHOICES = {
    "split_mode": ("layer", "none"),
    "flash_attn": ("auto", "on", "off"),
    "spec_type": ("none", "draft-mtp"),
    "load_mode": ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamacppOptions:
    """Options of `llama-server`; None means that the planner chooses, by --fit's order.

    Attributes:
        n_gpu_layers: blocks and output layer on GPUs, counted from the end (-ngl).
        n_cpu_moe: blocks, from the first, whose experts stay on the host.
        override_tensor: "pattern=CPU" or "pattern=CUDA0", first match wins (-ot).
        tensor_split: proportions of the GPUs (-ts).
        split_mode: "layer" spreads blocks over the GPUs, "none" uses the first alone (-sm).
        parallel: slots (-np); None: as many as sequences are asked for.
        kv_unified: all slots share one cache instead of one share each (-kvu).
        batch_size: logical batch in tokens (-b).
        ubatch_size: micro-batch in tokens (-ub): what compute buffers are made for.
        flash_attn: fused attention (-fa); "auto" is on wherever it is supported.
        cache_type_v: type of the V cache where it is not that of K (-ctv).
        kv_offload: caches lie with their blocks; off keeps them on the host (-nkvo).
        op_offload: large batches compute with host weights on a GPU (--op-offload).
        fit: keep `fit_target_mib` free on every GPU (--fit).
        fit_target_mib: that margin in MiB (-fitt).
        spec_type: "draft-mtp" drafts with the model's own MTP blocks.
        spec_draft_n_max: tokens drafted per step.
        mmproj: load the vision tower beside the model.
        mmproj_offload: keep it on the first GPU.
        ctx_checkpoints: copies of the recurrent state kept per slot in host memory (-ctxcp).
        cache_ram_mib: MiB of host memory for prompts of idle slots (-cram); 0 is off.
        load_mode: how the file is read.
        repack: the CPU rearranges weights for its kernels (without GPUs only).
        host_memory_gib: GiB of host memory, where the system does not tell (no flag).

    Raises:
        InputError: a value out of range.
    """

    n_gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    override_tensor: tuple[str, ...] = ()
    tensor_split: tuple[float, ...] | None = None
    split_mode: str = "layer"
    parallel: int | None = None
    kv_unified: bool | None = None
    batch_size: int = 2048
    ubatch_size: int = 512
    flash_attn: str = "auto"
    cache_type_v: str | None = None
    kv_offload: bool = True
    op_offload: bool = True
    fit: bool = True
    fit_target_mib: int = 1024
    spec_type: str = "none"
    spec_draft_n_max: int = 3
    mmproj: bool = False
    mmproj_offload: bool = True
    ctx_checkpoints: int = 32
    cache_ram_mib: int = 8192
    load_mode: str = "auto"
    repack: bool = True
    host_memory_gib: float | None = None

    def __post_init__(self) -> None:
        """Check every range; the error names the option."""
        for name, least, most in (
            ("n_gpu_layers", 0, 10_000),
            ("n_cpu_moe", 0, 10_000),
            ("parallel", 1, 10**6),
            ("batch_size", 1, 2**24),
            ("ubatch_size", 1, 2**24),
            ("fit_target_mib", 0, 2**30),
            ("spec_draft_n_max", 1, 64),
            ("ctx_checkpoints", 0, 10_000),
            ("cache_ram_mib", 0, 2**30),
        ):
            value = getattr(self, name)
            if value is not None:
                check_count(value, what=name, least=least, most=most)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name}: {getattr(self, name)!r}; known: {', '.join(known)}")
        if self.cache_type_v is not None and self.cache_type_v not in CACHE_TYPES:
            raise InputError(
                f"cache_type_v: {self.cache_type_v!r}; known: {', '.join(CACHE_TYPES)}"
            )
        if self.host_memory_gib is not None and not 0 < self.host_memory_gib <= 2**20:
            raise InputError(f"host_memory_gib: {self.host_memory_gib} is out of range")
        self._check_split()
        for rule in self.override_tensor:
            self._check_override(rule)

    def _check_split(self) -> None:
        shares: Any = self.tensor_split
        if shares is None:
            return
        if not isinstance(shares, tuple) or not all(
            isinstance(share, int | float) and 0 <= share < 2**40 for share in shares
        ):
            raise InputError("tensor_split: proportions of zero or more are wanted, one per GPU")
        if not sum(shares) > 0:
            raise InputError("tensor_split: at least one GPU needs a share above zero")

    @staticmethod
    def _check_override(rule: object) -> None:
        pattern, equals, buffer = rule.rpartition("=") if isinstance(rule, str) else ("", "", "")
        if not equals or not pattern or not re.fullmatch(r"CPU|(CUDA|ROCm|Vulkan|SYCL)\d+", buffer):
            raise InputError(
                f"override_tensor: {rule!r} is not of the form pattern=CPU or pattern=CUDA0"
            )
        if len(pattern) > 500:
            raise InputError("override_tensor: a pattern is longer than 500 characters")
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"override_tensor: {pattern!r} is not a regular expression ({error})"
            ) from None

    @property
    def draft_tokens(self) -> int:
        """Tokens drafted per step; zero without speculation."""
        return self.spec_draft_n_max if self.spec_type == "draft-mtp" else 0

    @property
    def places_by_hand(self) -> bool:
        """The user said where tensors go; --fit then changes nothing."""
        return (
            self.n_gpu_layers is not None
            or self.n_cpu_moe is not None
            or bool(self.override_tensor)
            or self.tensor_split is not None
        )
