"""SGLang's options that change memory, named as its flags."""

from __future__ import annotations

from dataclasses import dataclass

from planner.engines.sglang.versions import DEFAULT_VERSION, rules_for
from planner.errors import InputError
from planner.units import MAX_TOKENS, check_count, check_fraction

STRATEGIES = ("auto", "no_buffer", "extra_buffer", "extra_buffer_lazy")
SSM_DTYPES = ("float32", "bfloat16", "float16")
ATTENTION_BACKENDS = (
    "triton",
    "torch_native",
    "flex_attention",
    "fa3",
    "fa4",
    "flashinfer",
    "trtllm_mha",
    "hpc_ops",
    "aiter",
    "wave",
)
A2A_BACKENDS = ("none", "deepep", "mooncake", "mori", "flashinfer", "megamoe", "pplx")
MTP_ALGORITHMS = ("NEXTN", "EAGLE")
MTP_STEPS = 3
"""Draft steps that speculation gets unless told otherwise (arg_groups/speculative_hook.py)."""
OTHER_ALGORITHMS = ("EAGLE3", "STANDALONE", "NGRAM", "DFLASH", "DSPARK", "FROZEN_KV_MTP", "UNO")


@dataclass(frozen=True, slots=True, kw_only=True)
class SGLangOptions:
    """Options of ``sglang.launch_server``; None means the engine's default.

    Attributes:
        version: release whose rules apply.
        mem_fraction_static: share of the memory free before loading that weights and pools get.
        chunked_prefill_size: tokens of one prefill step; -1 does not cut prompts.
        max_prefill_tokens: tokens of one prefill batch.
        max_running_requests: requests running at once.
        max_total_tokens: upper bound of the KV pool, tokens.
        context_length: longest sequence; None for the deployment's context.
        page_size: tokens per page of the KV pool.
        attention_backend: kernels of full attention; they decide the page size.
        cuda_graph_max_bs: largest batch captured for decoding.
        disable_cuda_graph: no CUDA graphs at all.
        disable_decode_cuda_graph: none for decoding.
        disable_prefill_cuda_graph: none for prefill.
        disable_radix_cache: no prefix cache: one state slot per request.
        disable_overlap_schedule: the scheduler does not run ahead of the GPU.
        mamba_radix_cache_strategy: how states are kept for the prefix cache.
        mamba_full_memory_ratio: bytes of the state pool per byte of the KV pool.
        max_mamba_cache_size: state slots; the ratio is then ignored.
        mamba_ssm_dtype: dtype of the SSM state; None for what the model says.
        speculative_algorithm: NEXTN or EAGLE (both: the model's own MTP module), or None.
        speculative_num_steps: draft steps.
        speculative_eagle_topk: branches per step.
        speculative_num_draft_tokens: drafted tokens that are verified at once.
        speculative_draft_model_path: a checkpoint named for the drafter (the same one counts, too).
        attn_dp_size: attention data parallelism inside the tensor-parallel ranks.
        ep_size: ranks over which experts are shared out; None follows the layout.
        moe_a2a_backend: all-to-all of expert parallelism.
        mm_feature_transport: how image features reach the GPU; cuda_ipc and cuda_vmm keep a pool.
        quantization: quantizes while loading; None loads what the checkpoint stores.
        language_model_only: SGLang has the flag, but refuses it for this family.

    Raises:
        InputError: a value out of range or not covered.
    """

    version: str = DEFAULT_VERSION
    mem_fraction_static: float | None = None
    chunked_prefill_size: int | None = None
    max_prefill_tokens: int = 16384
    max_running_requests: int | None = None
    max_total_tokens: int | None = None
    context_length: int | None = None
    page_size: int | None = None
    attention_backend: str | None = None
    cuda_graph_max_bs: int | None = None
    disable_cuda_graph: bool = False
    disable_decode_cuda_graph: bool = False
    disable_prefill_cuda_graph: bool = False
    disable_radix_cache: bool = False
    disable_overlap_schedule: bool = False
    mamba_radix_cache_strategy: str = "auto"
    mamba_full_memory_ratio: float = 0.9
    max_mamba_cache_size: int | None = None
    mamba_ssm_dtype: str | None = None
    speculative_algorithm: str | None = None
    speculative_num_steps: int | None = None
    speculative_eagle_topk: int | None = None
    speculative_num_draft_tokens: int | None = None
    speculative_draft_model_path: str | None = None
    attn_dp_size: int = 1
    ep_size: int | None = None
    moe_a2a_backend: str = "none"
    mm_feature_transport: str = "cpu"
    quantization: str | None = None
    language_model_only: bool = False

    def __post_init__(self) -> None:
        """Check every range; the error names the flag."""
        rules = rules_for(self.version)
        if self.mem_fraction_static is not None:
            share = check_fraction(self.mem_fraction_static, what="mem_fraction_static")
            if share == 1:
                raise InputError("mem_fraction_static: 1 leaves nothing to compute with; try 0.85")
        counts = {
            "max_prefill_tokens": MAX_TOKENS,
            "max_total_tokens": MAX_TOKENS,
            "context_length": MAX_TOKENS,
            "page_size": 2**16,
            "max_running_requests": 10**6,
            "cuda_graph_max_bs": 2**16,
            "max_mamba_cache_size": 10**6,
            "attn_dp_size": 4096,
            "ep_size": 4096,
            "speculative_num_steps": 64,
            "speculative_eagle_topk": 64,
            "speculative_num_draft_tokens": 256,
        }
        for name, most in counts.items():
            value = getattr(self, name)
            if value is not None:
                check_count(value, what=name, most=most)
        if self.chunked_prefill_size is not None and self.chunked_prefill_size != -1:
            check_count(self.chunked_prefill_size, what="chunked_prefill_size", most=2**24)
        ratio: object = self.mamba_full_memory_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 1000:
            raise InputError(f"mamba_full_memory_ratio: {ratio!r} is not above 0 and up to 1000")
        if self.quantization is not None:
            raise InputError(
                "quantization: quantizing while loading is not covered; name a quantized"
                " checkpoint or a precision"
            )
        _one_of("mamba_radix_cache_strategy", self.mamba_radix_cache_strategy, STRATEGIES)
        if self.mamba_radix_cache_strategy == "extra_buffer_lazy" and not rules.lazy_strategy:
            raise InputError(
                f"mamba_radix_cache_strategy: SGLang {self.version} has no extra_buffer_lazy"
            )
        _one_of("moe_a2a_backend", self.moe_a2a_backend, A2A_BACKENDS)
        _one_of("mm_feature_transport", self.mm_feature_transport, ("cpu", "cuda_ipc", "cuda_vmm"))
        if self.mamba_ssm_dtype is not None:
            _one_of("mamba_ssm_dtype", self.mamba_ssm_dtype, SSM_DTYPES)
        if self.attention_backend is not None:
            _one_of("attention_backend", self.attention_backend, ATTENTION_BACKENDS)
        self._check_speculation()

    @property
    def decode_graphs(self) -> bool:
        """Decoding is captured in CUDA graphs."""
        return not (self.disable_cuda_graph or self.disable_decode_cuda_graph)

    @property
    def prefill_graphs(self) -> bool:
        """Prefill may be captured in CUDA graphs."""
        return not (self.disable_cuda_graph or self.disable_prefill_cuda_graph)

    @property
    def draft_tokens(self) -> int:
        """Tokens that the model's own MTP module drafts per step; zero without speculation."""
        if self.speculative_algorithm is None:
            return 0
        return self.speculative_num_steps or MTP_STEPS

    def _check_speculation(self) -> None:
        details = (
            self.speculative_num_steps,
            self.speculative_eagle_topk,
            self.speculative_num_draft_tokens,
        )
        if self.speculative_algorithm is None:
            if any(detail is not None for detail in details):
                raise InputError("speculative_num_steps and the like need speculative_algorithm")
            return
        name = str(self.speculative_algorithm).upper()
        if name in OTHER_ALGORITHMS:
            raise InputError(
                f"speculative_algorithm: {name} is not covered; NEXTN (the model's own MTP) is"
            )
        _one_of("speculative_algorithm", name, MTP_ALGORITHMS)
        steps, topk, tokens = details
        if steps is None and (topk is not None or tokens is not None):
            raise InputError(
                "speculative_num_steps: give it together with speculative_eagle_topk and"
                " speculative_num_draft_tokens, or none of them"
            )
        if steps is not None and (topk is None or (topk > 1 and tokens is None)):
            raise InputError(
                "speculative_eagle_topk and speculative_num_draft_tokens are needed beside"
                " speculative_num_steps"
            )


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name}: {value!r} is not known; known: {', '.join(known)}")
