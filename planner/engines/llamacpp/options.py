"""Declare llama-server's options that change memory.

Source of flags and defaults: llama.cpp 0c1e570 common/arg.cpp, common/common.h, and the older
spellings that it still takes.
"""

from __future__ import annotations

import re
from typing import Any

from hardware_db.records import frozen
from planner.engines.llamacpp.releases import NEWEST, check_version
from planner.engines.option_kinds import Choice, Count, Number, Several, Switch, Text, Worded
from planner.engines.options import Options, option
from planner.errors import InputError

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""What -ctk and -ctv take."""

ALL = 10_000
"""More blocks than any file has: what the word "all" stands for."""

NO_GPU = ("none",)
"""What -dev takes for no GPU at all."""

_SLOTS_MOST = 10**6
_BATCH_MOST = 2**24
_MIB_MOST = 2**30
_CELLS_MOST = 2**32


def _override(rule: str, what: str) -> str:
    """Return an -ot rule; InputError: neither pattern=CPU nor =CUDA0, or no regular expression."""
    pattern, equals, buffer = rule.rpartition("=")
    if not equals or not pattern or not re.fullmatch(r"CPU|(CUDA|ROCm|Vulkan|SYCL)\d+", buffer):
        raise InputError(f"{what}: {rule!r} is not of the form pattern=CPU or pattern=CUDA0")
    from planner.patterns import PatternError, read_pattern

    try:
        read_pattern(pattern)
    except PatternError as error:
        raise InputError(f"{what}: {pattern!r}: {error}") from None
    return rule


def gpu_number(buffer: str) -> int:
    """Return the number in the name of a GPU's buffer, as CUDA0."""
    return int("".join(filter(str.isdigit, buffer)))


CHECKPOINTS = 32
"""Copies of its state that a slot keeps by default (`--ctx-checkpoints`)."""


def _shares(values: tuple[Any, ...], what: str) -> None:
    """Refuse proportions that give no GPU anything."""
    if not sum(values) > 0:
        raise InputError(f"{what}: at least one GPU needs a share above zero")


def _cache_of_drafts(half: str) -> Any:
    """Declare the type of one half of the drafts' cache."""
    return option(
        "f16",
        Choice(choices=CACHE_TYPES),
        f"--spec-draft-type-{half}",
        f"-ct{half}d",
        f"--cache-type-{half}-draft",
        meaning=f"type of the {half.upper()} cache of drafts",
        memory="q8_0 takes half of f16",
        written=False,
    )


@frozen
class LlamacppOptions(Options):
    """Options of `llama-server`; None means that the planner chooses, by --fit's order."""

    version: str = option(
        NEWEST,
        Text(checked=check_version, longest=60),
        meaning="build (b9010) or commit that is planned for",
        memory="builds up to b9235 take larger compute buffers",
    )
    n_gpu_layers: int | None = option(
        None,
        Worded(
            of=Count(least=0, most=ALL),
            spelled=(("all", ALL), ("auto", None), ("-1", None), ("-2", ALL)),
        ),
        "-ngl",
        "--gpu-layers",
        "--n-gpu-layers",
        meaning="blocks and output layer on the GPUs, counted from the end",
        memory="the other blocks and their caches lie in RAM",
        default_words="as many as fit",
        written=False,
    )
    n_cpu_moe: int | None = option(
        None,
        Count(least=0, most=ALL),
        "--n-cpu-moe",
        "-ncmoe",
        meaning="blocks, from the first, whose experts stay in RAM",
        memory="moves the routed experts of these blocks from the GPUs to RAM",
        default_words="as few as fit",
        written=False,
    )
    override_tensor: tuple[str, ...] = option(
        (),
        Several(of=Text(checked=_override, longest=500), each=True),
        "-ot",
        "--override-tensor",
        meaning="where tensors go: pattern=CPU or pattern=CUDA0, the first match wins",
        memory="moves the tensors that match",
        written=False,
    )
    tensor_split: tuple[float, ...] | None = option(
        None,
        Several(of=Number(most=2.0**40), separators=",/", checked=_shares),
        "-ts",
        "--tensor-split",
        meaning="proportions of the GPUs",
        memory="how blocks are shared out over the GPUs",
        default_words="by the memory that is free",
        written=False,
    )
    split_mode: str = option(
        "layer",
        Choice(
            choices=("layer", "none"),
            refused=tuple((way, "is not planned; layer and none are") for way in ("row", "tensor")),
        ),
        "-sm",
        "--split-mode",
        meaning='how blocks are put on GPUs: "layer" spreads them, "none" uses the first GPU',
        written=False,
    )
    main_gpu: int = option(
        0,
        Count(least=0, most=1024),
        "-mg",
        "--main-gpu",
        meaning='the GPU that "-sm none" uses, counted from 0',
        written=False,
    )
    device: tuple[str, ...] = option(
        (),
        Several(of=Text(longest=100)),
        "-dev",
        "--device",
        meaning="the GPUs that it uses, as it calls them: CUDA0,CUDA1; they are those of the machine",
        default_words="all",
        written=False,
    )
    rpc: str | None = option(
        None,
        Text(longest=2000),
        "--rpc",
        meaning="servers on other machines (host:port,host:port); empty: this machine alone",
        memory="blocks are spread over the GPUs of all these machines",
        default_words="the other machines of the system",
        written=False,
    )
    parallel: int | None = option(
        None,
        Worded(of=Count(most=_SLOTS_MOST), spelled=(("-1", None), ("auto", None))),
        "-np",
        "--parallel",
        meaning="slots: requests that are served at once",
        memory="each slot has its own recurrent state, and its own share of the cache",
        default_words="as many as requests are asked for",
        written=False,
    )
    kv_unified: bool | None = option(
        None,
        Switch(),
        "-kvu",
        "--kv-unified",
        off=("--no-kv-unified", "-no-kvu"),
        meaning="all slots share one cache instead of one share each",
        default_words="one share each",
        written=False,
    )
    batch_size: int = option(
        2048,
        Count(most=_BATCH_MOST),
        "-b",
        "--batch-size",
        meaning="logical batch in tokens",
        memory="output buffers in RAM",
    )
    ubatch_size: int = option(
        512,
        Count(most=_BATCH_MOST),
        "-ub",
        "--ubatch-size",
        meaning="micro-batch in tokens",
        memory="compute buffers are made for it: smaller takes less",
    )
    flash_attn: str = option(
        "auto",
        Choice(
            choices=("auto", "on", "off"),
            spelled=(
                ("1", "on"),
                ("true", "on"),
                ("enabled", "on"),
                ("0", "off"),
                ("false", "off"),
                ("disabled", "off"),
                ("-1", "auto"),
            ),
        ),
        "-fa",
        "--flash-attn",
        meaning='fused attention; "auto" is on wherever it is supported',
        memory="off takes larger compute buffers and no quantized V cache",
        valueless="on",
    )
    cache_type_v: str | None = option(
        None,
        Choice(choices=CACHE_TYPES),
        "-ctv",
        "--cache-type-v",
        meaning="type of the V cache",
        memory="q8_0 takes half of f16",
        default_words="that of the K cache",
        written=False,
    )
    kv_offload: bool = option(
        True,
        Switch(),
        "-kvo",
        "--kv-offload",
        off=("--no-kv-offload", "-nkvo"),
        meaning="caches lie with their blocks; off keeps them in RAM",
        memory="off moves KV cache and state to RAM",
    )
    op_offload: bool = option(
        True,
        Switch(),
        "--op-offload",
        off=("--no-op-offload",),
        meaning="large batches compute with weights in RAM on a GPU",
        memory="a copy of such weights in the compute buffer",
    )
    fit: bool = option(
        True,
        Switch(),
        meaning="keep the margin of --fit-target free on every GPU",
        memory="off plans up to the last byte",
    )
    fit_ctx: int = option(
        4096,
        Count(most=_CELLS_MOST),
        "-fitc",
        "--fit-ctx",
        meaning="shortest context that --fit may choose where -c is not said",
        written=False,
    )
    fit_target_mib: int = option(
        1024,
        Count(least=0, most=_MIB_MOST),
        "-fitt",
        "--fit-target",
        meaning="margin in MiB that --fit keeps free",
        memory="stays free on every GPU",
    )
    spec_type: str = option(
        "none",
        Choice(choices=("none", "draft-mtp")),
        "--spec-type",
        meaning='who drafts (speculative decoding): "draft-mtp" takes the model\'s own MTP blocks',
        memory="their weights, a second cache, and copies of the recurrent state",
    )
    spec_draft_n_max: int = option(
        3,
        Count(most=64),
        "--spec-draft-n-max",
        "--draft",
        "--draft-n",
        "--draft-max",
        meaning="tokens drafted per step",
        memory="one more copy of the recurrent state each",
        written=False,
    )
    spec_draft_type_k: str = _cache_of_drafts("k")
    spec_draft_type_v: str = _cache_of_drafts("v")
    mmproj: bool = option(
        False,
        Switch(),
        meaning="load the vision tower beside the model",
        memory="the tower's weights and what encoding an image takes",
    )
    mmproj_file: str | None = option(
        None,
        Text(),
        meaning="the vision tower's file, as the command names it",
        default_words="a name made from the model's",
    )
    mmproj_offload: bool = option(
        True,
        Switch(),
        "--mmproj-offload",
        off=("--no-mmproj-offload",),
        meaning="keep the vision tower on the first GPU",
        memory="off moves it to RAM",
        written=False,
    )
    ctx_checkpoints: int | None = option(
        None,
        Count(least=0, most=10_000),
        "-ctxcp",
        "--ctx-checkpoints",
        "--swa-checkpoints",
        meaning="copies of the recurrent state kept per slot",
        memory="RAM, as prompts grow",
        default_words=f"{CHECKPOINTS}, or as many as fit",
        written=False,
    )
    cache_ram_mib: int = option(
        8192,
        Worded(of=Count(least=0, most=_MIB_MOST), spelled=(("-1", _MIB_MOST),)),
        "-cram",
        "--cache-ram",
        meaning="MiB for prompts of idle slots; 0 is off",
        memory="up to this much RAM",
    )
    load_mode: str = option(
        "auto",
        Choice(choices=("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")),
        "-lm",
        "--load-mode",
        meaning="how the file is read",
    )
    lazy_mode: str = option(
        "auto",
        Choice(choices=("auto", "on", "off")),
        "-lzm",
        "--lazy-mode",
        meaning="tables of n-grams stay in the file and are read row by row",
        memory="off keeps such a table in RAM; auto does where GPU and CPU share their memory",
    )
    all_logits: bool = option(
        False,
        Switch(),
        meaning="every token of a batch may ask for logits, not one of each slot",
        memory="grows compute buffers; llama-bench and llama-perplexity reserve so",
    )
    repack: bool = option(
        True,
        Switch(),
        "--repack",
        off=("--no-repack", "-nr"),
        meaning="the CPU rearranges weights for its kernels (without GPUs only)",
    )
    host_memory_gib: float | None = option(
        None,
        Number(above=True),
        meaning="GiB of RAM, where the system does not tell",
        memory="what may lie beside the GPUs",
        default_words="what the hardware database knows",
    )
    ram_unsaid: bool = option(
        False,
        Switch(),
        meaning="where RAM is not known, count on twice as much as the GPUs have",
        memory="what --fit may move there",
    )

    @property
    def draft_tokens(self) -> int:
        """Tokens drafted per step; zero without speculation."""
        return self.spec_draft_n_max if self.spec_type == "draft-mtp" else 0

    @property
    def takes_no_gpu(self) -> bool:
        """Not even compute buffers lie on GPUs (-dev none; common/arg.cpp, "don't offload")."""
        return self.device == NO_GPU

    @property
    def first_gpu(self) -> int:
        """The GPU from which on a server takes them."""
        return self.main_gpu if self.split_mode == "none" else 0

    @property
    def places_by_hand(self) -> bool:
        """The user said where tensors go; --fit then changes nothing."""
        numbers = (self.n_gpu_layers, self.n_cpu_moe, self.tensor_split)
        return bool(self.override_tensor) or any(number is not None for number in numbers)

    @property
    def kept_free_mib(self) -> int:
        """MiB of every GPU that stay free: what --fit keeps, which gives up where the user places.

        Source: common/fit.cpp (-ngl, -ts and -ot "already set by user", abort).
        """
        return self.fit_target_mib if self.fit and not self.places_by_hand else 0
