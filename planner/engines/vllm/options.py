"""Declare the options of `vllm serve` that change memory."""

from __future__ import annotations

from hardware_db.records import frozen
from hardware_db.regex import pattern
from planner.engines.option_kinds import Choice, Count, Number, Share, Switch, Text, whole_number
from planner.engines.options import Options, option
from planner.engines.vllm.releases import NEWEST, parse_version
from planner.errors import InputError

_HUMAN = pattern(r"(\d{1,18}(?:\.\d{1,18})?)([kKmMgGtT])")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

MOST_GIB = 2.0**20


def human_integer(flag: str, text: str) -> int:
    """Return a whole number as vLLM reads it: 128K is 131,072, and 128k is 128,000.

    Source: vLLM 0.33.0 engine/arg_utils.py (human_readable_int).

    Raises:
        InputError: unreadable.
    """
    match = _HUMAN.fullmatch(text.strip())
    if match is None:
        return whole_number(text.strip(), flag)
    digits, unit = match.groups()
    if unit in _BINARY:
        if "." in digits:
            raise InputError(
                f"{flag}: vLLM takes no decimals before {unit}; {digits}{unit.lower()} counts in"
                f" steps of {_DECIMAL[unit.lower()]:,}"
            )
        return int(digits) * _BINARY[unit]
    return int(float(digits) * _DECIMAL[unit])


def _release(text: str, what: str) -> str:
    parse_version(text)
    return text


@frozen
class VllmOptions(Options):
    """Options of `vllm serve`; None means that vLLM decides."""

    version: str = option(
        NEWEST, Text(checked=_release, longest=100), meaning="release of vLLM that is planned for"
    )
    gpu_memory_utilization: float | None = option(
        None,
        Share(),
        "--gpu-memory-utilization",
        meaning="share of the GPU's memory that vLLM may use",
        memory="what weights and overheads leave of it becomes KV cache",
        default_words="0.92 (0.9 up to 0.19.1)",
        written=False,
    )
    kv_cache_memory_bytes: int | None = option(
        None,
        Count(most=2**50, spelled=human_integer),
        "--kv-cache-memory-bytes",
        "--kv-cache-memory",
        meaning="size of the KV cache on each GPU, in place of what the share leaves",
        memory="the cache takes exactly this; --gpu-memory-utilization is ignored",
        default_words="what the share leaves",
        written=False,
    )
    max_num_seqs: int | None = option(
        None,
        Count(),
        "--max-num-seqs",
        meaning="sequences scheduled at once",
        memory="logits, sampler buffers and CUDA graphs grow with it",
        default_words="1024 on GPUs from 70 GiB on (not A100, GB10), else 256",
        written=False,
    )
    dtype: str = option(
        "auto",
        Choice(
            choices=("auto", "bfloat16", "float16"),
            spelled=(("half", "float16"),),
            refused=(
                ("float32", "is not planned; the model's own dtype is"),
                ("float", "is not planned; the model's own dtype is"),
            ),
        ),
        "--dtype",
        meaning="dtype of weights that are not quantized, and of activations",
        default_words="the model's",
        written=False,
    )
    max_num_batched_tokens: int | None = option(
        None,
        Count(spelled=human_integer),
        "--max-num-batched-tokens",
        meaning="tokens computed in one step, of all requests together (the prefill chunk)",
        memory="the activation peak grows with it",
        default_words="16384 on GPUs from 160 GiB on, 8192 from 70 GiB on, else 2048",
    )
    enable_prefix_caching: bool | None = option(
        None,
        Switch(),
        "--enable-prefix-caching",
        off=("--no-enable-prefix-caching",),
        meaning="keep blocks of finished requests for reuse",
        memory="each request holds one more state block per group",
        default_words="on from 0.28.0, off before",
    )
    num_speculative_tokens: int = option(
        0,
        Count(least=0, most=64),
        meaning="tokens drafted per step; 0 is off",
        memory="a drafter's weights and cache, and one more state block per token",
        written=False,
    )
    speculative_method: str = option(
        "mtp",
        Choice(choices=("mtp", "dflash")),
        meaning="who drafts (speculative decoding): mtp takes the model's own module, dflash a separate drafter",
        written=False,
    )
    draft_model: str | None = option(
        None, Text(), meaning="repository id of the drafter (dflash only)", written=False
    )
    draft_num_layers: int | None = option(
        None, Count(most=4096), meaning="attention layers of the drafter", default_words="as known"
    )
    draft_num_key_value_heads: int | None = option(
        None,
        Count(most=4096),
        meaning="KV heads of one of the drafter's layers",
        default_words="as known",
    )
    draft_head_dim: int | None = option(
        None,
        Count(most=4096),
        meaning="elements of one of the drafter's heads",
        default_words="as known",
    )
    draft_sliding_layers: int | None = option(
        None,
        Count(least=0, most=4096),
        meaning="attention layers of the drafter that attend to a sliding window",
        memory="they keep the window and what is in flight, not the whole context",
        default_words="as known",
    )
    draft_sliding_window: int | None = option(
        None, Count(), meaning="tokens of the drafter's sliding window", default_words="as known"
    )
    draft_gib: float | None = option(
        None,
        Number(above=True, most=MOST_GIB),
        meaning="GiB of the drafter's weights",
        default_words="as known",
    )
    block_size: int | None = option(
        None,
        Count(),
        "--block-size",
        meaning="least tokens per block; alignment may raise it",
        default_words="16",
    )
    mamba_cache_dtype: str = option(
        "auto",
        Choice(choices=("auto", "float32", "float16", "bfloat16")),
        "--mamba-cache-dtype",
        meaning="dtype of the convolution state",
        default_words="the model's",
    )
    mamba_ssm_cache_dtype: str = option(
        "auto",
        Choice(choices=("auto", "float32", "float16", "bfloat16")),
        "--mamba-ssm-cache-dtype",
        meaning="dtype of the recurrent state",
        memory="16 bits halve the state, and with it the size of a block",
        default_words="what config.json asks for",
    )
    language_model_only: bool = option(
        False,
        Switch(),
        "--language-model-only",
        off=("--no-language-model-only",),
        meaning="do not load the vision tower",
        memory="saves the tower and the peak of encoding an image",
    )
    limit_images: int | None = option(
        None,
        Count(least=0),
        meaning="most images per prompt (--limit-mm-per-prompt)",
        memory="0 leaves the vision tower out, if videos are 0 as well",
        default_words="as many as fit",
        written=False,
    )
    limit_videos: int | None = option(
        None,
        Count(least=0),
        meaning="most videos per prompt (--limit-mm-per-prompt)",
        memory="0 leaves the vision tower out, if images are 0 as well",
        default_words="as many as fit",
        written=False,
    )
    gdn_prefill_backend: str = option(
        "auto",
        Choice(choices=("auto", "flashinfer", "triton", "cutedsl")),
        "--gdn-prefill-backend",
        meaning="kernels of DeltaNet prefill",
        memory="FlashInfer's keep one more state block per group with prefix caching (0.33.0)",
        default_words="flashinfer on Hopper and Blackwell, else triton",
    )
    mm_encoder_tp_mode: str = option(
        "weights",
        Choice(choices=("weights", "data")),
        "--mm-encoder-tp-mode",
        meaning="how ranks hold the vision tower: weights cuts it, data replicates it",
        memory="data takes the whole tower on every rank",
    )
    enforce_eager: bool = option(
        False,
        Switch(),
        "--enforce-eager",
        off=("--no-enforce-eager",),
        meaning="no CUDA graphs",
        memory="saves the graphs; decoding of few sequences becomes slower",
    )
    cpu_offload_gb: float = option(
        0.0,
        Number(most=MOST_GIB),
        "--cpu-offload-gb",
        meaning="GiB of weights per rank that stay in host memory",
        memory="frees as much on the GPU; every step copies them over the link",
    )
    kv_offloading_size: float = option(
        0.0,
        Number(most=MOST_GIB),
        "--kv-offloading-size",
        meaning="GiB of host memory for KV blocks that leave the GPU, all ranks together",
        memory="host memory only",
    )
    engram_cpu_offload: bool = option(
        True,
        Switch(),
        meaning="tables of n-grams lie in pinned host memory (cpu_offload of --engram-config)",
        memory="off puts each rank's share of the table on its GPU",
        written=False,
    )
    engram_across_dp: bool = option(
        False,
        Switch(),
        meaning="tables of n-grams are shared out over replicas, too (embedding_across_dp of --engram-config)",
        memory="each rank holds its share of one table instead of one table per replica",
        written=False,
    )
    indexer_kv_dtype: str = option(
        "auto",
        Choice(choices=("auto", "fp8")),
        meaning="dtype of an indexer's keys (indexer_kv_dtype of --attention-config)",
        memory="fp8 halves them",
        default_words="the model's",
        written=False,
    )
    model_memory_gib: float | None = option(
        None,
        Number(above=True, most=MOST_GIB),
        meaning='GiB of weights on each rank, as a log tells them ("Model loading took")',
        default_words="computed",
    )
    keep_default_seqs: bool = option(
        False,
        Switch(),
        meaning="plan vLLM's own max_num_seqs where it is not given, whether it starts or not",
        default_words="the largest that starts, and the command carries it",
    )
    wsl2: bool = option(
        False, Switch(), meaning="the server runs under the Windows Subsystem for Linux"
    )

    def check(self) -> None:
        """Check how speculation, its method and its drafter go together.

        Raises:
            InputError: a drafter without tokens, or figures of a drafter that is not used.
        """
        if self.speculative_method == "dflash":
            if not self.num_speculative_tokens:
                raise InputError(
                    "num_speculative_tokens: say how many tokens dflash drafts per step"
                )
            if self.draft_sliding_layers and self.draft_sliding_window is None:
                raise InputError(
                    "draft_sliding_window: say how many tokens the drafter's window holds"
                )
            return
        for name in DRAFTER:
            if getattr(self, name) is not None:
                raise InputError(
                    f"{name}: only a separate drafter has it (speculative_method dflash)"
                )

    @property
    def draft_tokens(self) -> int | None:
        """Tokens that the model's own MTP module drafts per step; None: a separate drafter does."""
        mtp = self.speculative_method == "mtp"
        return self.num_speculative_tokens if mtp or not self.num_speculative_tokens else None

    @property
    def drafts_by_itself(self) -> bool:
        """The model's own MTP module drafts."""
        return bool(self.num_speculative_tokens) and self.speculative_method == "mtp"


DRAFTER = (
    "draft_model",
    "draft_num_layers",
    "draft_num_key_value_heads",
    "draft_head_dim",
    "draft_sliding_layers",
    "draft_sliding_window",
    "draft_gib",
)
"""Options of a separate drafter: they mean nothing to the model's own module."""
