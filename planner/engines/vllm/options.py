"""vLLM's options that change memory, named as its flags."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import InputError
from planner.units import check_count, check_fraction

GDN_PREFILL_BACKENDS = ("auto", "flashinfer", "triton", "cutedsl")
CACHE_DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmOptions:
    """Options of `vllm serve`; None means the engine's default.

    Attributes:
        version: release whose rules apply.
        gpu_memory_utilization: share of the GPU's memory that the engine may use.
        max_num_seqs: sequences scheduled at once.
        max_num_batched_tokens: tokens of one step (the prefill chunk).
        enable_prefix_caching: keep blocks of finished requests for reuse.
        num_speculative_tokens: tokens drafted per step; 0 is off.
        speculative_method: "mtp" drafts with the model's own module, "dflash" with a drafter.
        draft_model: repository id of the drafter ("dflash" only).
        draft_num_layers: its attention layers.
        draft_num_key_value_heads: KV heads of one of them.
        draft_head_dim: elements of one of its heads.
        draft_gib: GiB of its weights.
        block_size: least tokens per block; alignment may raise it.
        mamba_cache_dtype: dtype of the convolution state.
        mamba_ssm_cache_dtype: dtype of the SSM state.
        gdn_prefill_backend: kernels of DeltaNet prefill; those of FlashInfer keep one more state
            block per group with prefix caching (0.33.0).
        language_model_only: do not load the vision tower.
        limit_images: largest number of images per prompt; 0 does not load the tower either.
        mm_encoder_tp_mode: "weights" cuts the tower over ranks, "data" replicates it.
        enforce_eager: no CUDA graphs.
        kv_cache_memory_bytes: fixed size of the pool per rank; utilization is then ignored.
        decode_context_parallel_size: ranks that share the tokens of one KV head's copies.
        model_memory_gib: GiB of weights on each rank where a log tells them ("Model loading took"),
            in place of the computed ones (no flag of vLLM's).
        cpu_offload_gb: GiB of weights per rank that stay in host memory.
        wsl2: the server runs under the Windows Subsystem for Linux (no flag of vLLM's).

    Raises:
        InputError: a value out of range.
    """

    version: str = "0.33.0"
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enable_prefix_caching: bool | None = None
    num_speculative_tokens: int = 0
    speculative_method: str = "mtp"
    draft_model: str | None = None
    draft_num_layers: int | None = None
    draft_num_key_value_heads: int | None = None
    draft_head_dim: int | None = None
    draft_gib: float | None = None
    block_size: int | None = None
    mamba_cache_dtype: str = "auto"
    mamba_ssm_cache_dtype: str = "auto"
    gdn_prefill_backend: str = "auto"
    language_model_only: bool = False
    limit_images: int | None = None
    mm_encoder_tp_mode: str = "weights"
    enforce_eager: bool = False
    kv_cache_memory_bytes: int | None = None
    decode_context_parallel_size: int = 1
    model_memory_gib: float | None = None
    cpu_offload_gb: float = 0.0
    wsl2: bool = False

    def __post_init__(self) -> None:
        """Check every range; the error names the flag."""
        if self.gpu_memory_utilization is not None:
            check_fraction(self.gpu_memory_utilization, what="gpu_memory_utilization")
        for name in ("max_num_seqs", "max_num_batched_tokens", "block_size"):
            value = getattr(self, name)
            if value is not None:
                check_count(value, what=name)
        check_count(self.num_speculative_tokens, what="num_speculative_tokens", least=0, most=64)
        check_count(self.decode_context_parallel_size, what="decode_context_parallel_size")
        if self.limit_images is not None:
            check_count(self.limit_images, what="limit_images", least=0)
        if self.kv_cache_memory_bytes is not None:
            check_count(self.kv_cache_memory_bytes, what="kv_cache_memory_bytes", most=2**50)
        if not 0 <= self.cpu_offload_gb <= 2**20:
            raise InputError(f"cpu_offload_gb: {self.cpu_offload_gb} is out of range")
        for name in ("mamba_cache_dtype", "mamba_ssm_cache_dtype"):
            if getattr(self, name) not in CACHE_DTYPES:
                raise InputError(
                    f"{name}: {getattr(self, name)!r}; known: {', '.join(CACHE_DTYPES)}"
                )
        if self.speculative_method not in ("mtp", "dflash"):
            raise InputError("speculative_method: known are mtp and dflash")
        for name in ("draft_num_layers", "draft_num_key_value_heads", "draft_head_dim"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), what=name, most=4096)
        if self.model_memory_gib is not None and not 0 < self.model_memory_gib <= 2**20:
            raise InputError(f"model_memory_gib: {self.model_memory_gib} is out of range")
        if self.draft_gib is not None and not 0 < self.draft_gib <= 2**20:
            raise InputError(f"draft_gib: {self.draft_gib} is out of range")
        if self.speculative_method == "dflash" and not self.num_speculative_tokens:
            raise InputError("num_speculative_tokens: say how many tokens dflash drafts per step")
        if self.speculative_method != "dflash":
            self._refuse_drafter()
        if self.gdn_prefill_backend not in GDN_PREFILL_BACKENDS:
            raise InputError(f"gdn_prefill_backend: known are {', '.join(GDN_PREFILL_BACKENDS)}")
        if self.mm_encoder_tp_mode not in ("weights", "data"):
            raise InputError("mm_encoder_tp_mode: known are weights and data")

    def _refuse_drafter(self) -> None:
        """The figures of a separate drafter mean nothing to the model's own module."""
        for name in (
            "draft_model",
            "draft_num_layers",
            "draft_num_key_value_heads",
            "draft_head_dim",
            "draft_gib",
        ):
            if getattr(self, name) is not None:
                raise InputError(
                    f"{name}: only a separate drafter has it (speculative_method dflash)"
                )

    @property
    def draft_tokens(self) -> int | None:
        """Tokens that the model's own MTP module drafts per step; None: a separate drafter does."""
        mtp = self.speculative_method == "mtp"
        return self.num_speculative_tokens if mtp or not self.num_speculative_tokens else None
