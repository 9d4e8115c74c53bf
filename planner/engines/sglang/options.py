"""Declare the options of `sglang.launch_server` that change memory."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.engines.option_kinds import Choice, Count, Number, Share, Switch, Text
from planner.engines.options import Options, option
from planner.engines.sglang.releases import DEFAULT_VERSION, rules_for
from planner.errors import InputError
from planner.units import MAX_TOKENS

MTP_STEPS = 3
"""Draft steps that speculation gets unless told otherwise (arg_groups/speculative_hook.py)."""

HICACHE_RATIO = 2.0
"""Bytes in host memory per byte of the pools unless told otherwise (arg_groups/hicache_hook.py)."""

LONGER_CONTEXT = "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"
"""Variable without which SGLang refuses a context beyond the model's own."""

ATTENTION_BACKENDS = (
    *("triton", "torch_native", "flex_attention", "fa3", "fa4", "flashinfer", "trtllm_mha"),
    *("hpc_ops", "aiter", "wave"),
)

_RANKS = Count(most=4096)


class _Algorithm(Choice):
    """Names of speculative algorithms, which SGLang reads in any case."""

    def check(self, value: object, what: str) -> str:
        """Return the name in capitals; anything else is refused."""
        return super().check(value.upper() if isinstance(value, str) else value, what)


def _release(text: str, what: str) -> str:
    rules_for(text)
    return text


def _not_while_loading(text: str, what: str) -> str:
    raise InputError(
        f"{what}: quantizing while loading is not planned; name a quantized checkpoint or a"
        " precision"
    )


@frozen
class SGLangOptions(Options):
    """Options of `sglang.launch_server`; None means SGLang's own default.

    Source: SGLang 0.5.9 to 0.5.23 server_args.py, arg_groups/fields/.
    """

    version: str = option(
        DEFAULT_VERSION, Text(checked=_release), meaning="release of SGLang that is planned for"
    )
    context_length: int | None = option(
        None,
        Count(most=MAX_TOKENS),
        "--context-length",
        meaning="tokens of the longest request that the server accepts",
        memory="none: the pool is sized to what is left, whatever this says",
        default_words="the planned context",
        written=False,
    )
    mem_fraction_static: float | None = option(
        None,
        Share(below_one="1 leaves nothing to compute with; try 0.85"),
        "--mem-fraction-static",
        meaning="share of the memory free before loading that weights and pools get",
        memory="the rest stays free for activations and CUDA graphs",
        default_words="by GPU size, prefill chunk and CUDA graphs",
    )
    chunked_prefill_size: int | None = option(
        None,
        Count(most=2**24, also=(-1,)),
        "--chunked-prefill-size",
        meaning="tokens of a prompt per step; -1 computes prompts whole",
        memory="a larger chunk leaves less for weights and pools",
        default_words="2048 to 16384 by GPU size",
    )
    max_running_requests: int | None = option(
        None,
        Count(),
        "--max-running-requests",
        meaning="requests that run at once",
        memory="without a prefix cache each holds one state slot from the start",
        default_words="what the pools hold; 48 with MTP",
    )
    max_total_tokens: int | None = option(
        None,
        Count(most=MAX_TOKENS),
        "--max-total-tokens",
        meaning="most tokens of the KV pool",
        memory="a smaller KV pool; the memory stays free",
        default_words="what is left",
    )
    page_size: int | None = option(
        None,
        Count(most=2**16),
        "--page-size",
        meaning="tokens per page of the KV pool",
        memory="each request takes whole pages",
        default_words="1, or what the attention backend needs",
    )
    attention_backend: str | None = option(
        None,
        Choice(choices=ATTENTION_BACKENDS),
        "--attention-backend",
        meaning="kernels of full attention",
        memory="decides the page size; some work without CUDA graphs only",
        default_words="by GPU generation",
    )
    max_mamba_cache_size: int | None = option(
        None,
        Count(),
        "--max-mamba-cache-size",
        meaning="slots of the recurrent state pool",
        memory="each slot holds one state; --mamba-full-memory-ratio is ignored",
        default_words="by --mamba-full-memory-ratio",
    )
    mamba_ssm_dtype: str | None = option(
        None,
        Choice(choices=("float32", "bfloat16", "float16")),
        "--mamba-ssm-dtype",
        meaning="number format of the recurrent state",
        memory="16 bit halves the state",
        default_words="what the model asks for",
    )
    speculative_algorithm: str | None = option(
        None,
        _Algorithm(
            choices=("NEXTN", "EAGLE"),
            refused=tuple(
                (name, "is not planned: its drafter's size is not known; NEXTN and no drafter are")
                for name in (
                    *("EAGLE3", "STANDALONE", "NGRAM", "DFLASH", "DSPARK", "FROZEN_KV_MTP"),
                    "UNO",
                )
            ),
        ),
        "--speculative-algorithm",
        "--speculative-algo",
        meaning="who drafts (speculative decoding): NEXTN and EAGLE both take the model's own module",
        memory="the module, a KV pool of its own, and states under verification",
        default_words="no speculation",
    )
    speculative_num_steps: int | None = option(
        None,
        Count(most=64),
        "--speculative-num-steps",
        meaning="draft steps",
        memory="more drafted tokens keep more states under verification",
        default_words=f"{MTP_STEPS} with speculation",
    )
    speculative_eagle_topk: int | None = option(
        None,
        Count(most=64),
        "--speculative-eagle-topk",
        meaning="branches per draft step",
        default_words="1 with speculation",
    )
    speculative_num_draft_tokens: int | None = option(
        None,
        Count(most=256),
        "--speculative-num-draft-tokens",
        meaning="drafted tokens that are verified at once",
        memory="each keeps a state per running request",
        default_words="steps + 1",
    )
    speculative_draft_model_path: str | None = option(
        None,
        Text(),
        "--speculative-draft-model-path",
        "--speculative-draft-model",
        meaning="checkpoint of the drafter",
        memory="naming one, even the served one, puts the drafter's KV pool inside the budget",
        default_words="the served checkpoint",
    )
    max_prefill_tokens: int = option(
        16384,
        Count(most=MAX_TOKENS),
        "--max-prefill-tokens",
        meaning="tokens of a prefill batch",
        memory="counts for the reserve only where prompts are not cut",
    )
    mamba_full_memory_ratio: float = option(
        0.9,
        Number(most=1000, above=True),
        "--mamba-full-memory-ratio",
        meaning="bytes of the state pool per byte of the KV pool",
        memory="more runs more requests at once with fewer tokens",
    )
    moe_a2a_backend: str = option(
        "none",
        Choice(choices=("none", "deepep", "mooncake", "mori", "flashinfer", "megamoe", "pplx")),
        "--moe-a2a-backend",
        meaning="how tokens are exchanged between ranks that share experts out",
        memory="any but none shares the experts out over all ranks; buffers of its own",
    )
    ple_offload_embedding: bool = option(
        True,
        Switch(),
        "--ple-offload-embedding",
        off=("--no-ple-offload-embedding",),
        meaning="tables of n-grams lie in pinned host memory",
        memory="off puts each rank's share of the table on its GPU",
    )
    ple_offload_backend: str | None = option(
        None,
        Choice(choices=("file",)),
        "--ple-offload-backend",
        meaning="file maps tables of n-grams from disk (needs --ple-offload-dir)",
        memory="no host memory for the table; needs pageable access, as on GB10",
        default_words="pinned host memory",
    )
    qsa_indexer_dtype: str | None = option(
        None,
        Choice(choices=("bfloat16", "fp8_e4m3")),
        "--qsa-indexer-dtype",
        meaning="dtype of an indexer's keys",
        memory="fp8_e4m3 halves them (compute capability 9.0 and 10.0 only)",
        default_words="bfloat16",
    )
    mm_feature_transport: str = option(
        "cpu",
        Choice(choices=("cpu", "cuda_ipc", "cuda_vmm")),
        "--mm-feature-transport",
        meaning="how image features reach the GPU",
        memory="cuda_ipc and cuda_vmm keep a pool of 1 GiB",
    )
    disable_cuda_graph: bool = option(
        False,
        Switch(),
        "--disable-cuda-graph",
        meaning="capture no CUDA graphs",
        memory="a smaller reserve",
    )
    disable_decode_cuda_graph: bool = option(
        False,
        Switch(),
        "--disable-decode-cuda-graph",
        meaning="capture no CUDA graphs for decoding",
        memory="a smaller reserve",
    )
    disable_prefill_cuda_graph: bool = option(
        False,
        Switch(),
        "--disable-prefill-cuda-graph",
        "--disable-piecewise-cuda-graph",
        meaning="capture no CUDA graphs for prefill",
        memory="a smaller reserve",
        written=False,
    )
    disable_radix_cache: bool = option(
        False,
        Switch(),
        "--disable-radix-cache",
        meaning="keep no prefix cache",
        memory="one state slot per request instead of 3 to 5",
    )
    disable_overlap_schedule: bool = option(
        False,
        Switch(),
        "--disable-overlap-schedule",
        meaning="the scheduler does not run ahead of the GPU",
        memory="with extra_buffer 4 state slots per request instead of 5",
    )
    enable_hierarchical_cache: bool = option(
        False,
        Switch(),
        "--enable-hierarchical-cache",
        "--enable-hicache",
        meaning="keep the prefix cache in host memory as well",
        memory="host memory: --hicache-size GB per rank, or --hicache-ratio times the pools",
    )
    hicache_ratio: float | None = option(
        None,
        Number(most=1000, above=True),
        "--hicache-ratio",
        meaning="bytes of the prefix cache in host memory per byte of the pools",
        memory="host memory",
        default_words=f"{HICACHE_RATIO:g}, or less where the host has less",
    )
    hicache_size: int = option(
        0,
        Count(least=0),
        "--hicache-size",
        meaning="GB (10^9 bytes) of the prefix cache in host memory per rank; 0 takes the ratio",
        memory="host memory",
    )
    language_only: bool = option(
        False,
        Switch(),
        "--language-only",
        meaning="other servers encode the images (encoder disaggregation)",
        memory="a larger default of --mem-fraction-static; the vision tower still lies on the GPU",
    )
    language_model_only: bool = option(
        False,
        Switch(),
        "--language-model-only",
        meaning="leave the vision tower out; SGLang refuses it for this family",
    )
    cuda_graph_max_bs: int | None = option(
        None,
        Count(most=2**16),
        "--cuda-graph-max-bs-decode",
        "--cuda-graph-max-bs",
        meaning="largest batch that is captured for decoding",
        memory="2 MiB of the reserve each",
        default_words="8 to 512 by GPU size",
        written=False,
    )
    mamba_radix_cache_strategy: str = option(
        "auto",
        Choice(choices=("auto", "no_buffer", "extra_buffer", "extra_buffer_lazy")),
        "--mamba-radix-cache-strategy",
        "--mamba-scheduler-strategy",
        meaning="how the prefix cache keeps states",
        memory="3 to 5 state slots per request",
        written=False,
    )
    attn_dp_size: int = option(
        1,
        _RANKS,
        "--attn-dp-size",
        "--attention-data-parallel-size",
        meaning="groups of tensor-parallel ranks with their own requests (attention DP)",
        memory="each group holds attention, states and KV cache whole",
        written=False,
    )
    ep_size: int | None = option(
        None,
        _RANKS,
        meaning="ranks over which the experts are shared out",
        default_words="all with --ep, else 1",
        written=False,
    )
    quantization: str | None = option(
        None,
        Text(checked=_not_while_loading),
        meaning="quantizing while loading, which is not planned",
        default_words="what the checkpoint stores",
        written=False,
    )

    def check(self) -> None:
        """Check what depends on the release, and how speculation is told.

        Raises:
            InputError: two values that exclude each other.
        """
        lazy = self.mamba_radix_cache_strategy == "extra_buffer_lazy"
        if lazy and not rules_for(self.version).lazy_strategy:
            raise InputError(
                f"mamba_radix_cache_strategy: SGLang {self.version} has no extra_buffer_lazy"
            )
        steps, topk = self.speculative_num_steps, self.speculative_eagle_topk
        tokens = self.speculative_num_draft_tokens
        given = [detail is not None for detail in (steps, topk, tokens)]
        if self.speculative_algorithm is None:
            if any(given):
                raise InputError(
                    "speculative_num_steps, speculative_eagle_topk and speculative_num_draft_tokens"
                    " need speculative_algorithm"
                )
        elif steps is None and any(given):
            raise InputError(
                "speculative_num_steps: give it together with speculative_eagle_topk and"
                " speculative_num_draft_tokens, or none of them"
            )
        elif steps is not None and (topk is None or (topk > 1 and tokens is None)):
            raise InputError(
                "speculative_eagle_topk and speculative_num_draft_tokens are needed beside"
                " speculative_num_steps"
            )

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
