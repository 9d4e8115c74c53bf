"""Read `sglang serve ...` back, and say how SGLang is talked to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.log_figure import LogReader
from planner.engines.logged_arguments import as_words, logged_values
from planner.engines.out_of_memory import OUT_OF_MEMORY
from planner.engines.sglang.log import (
    BEFORE,
    EXPLAINS,
    FIELDS,
    FIGURES,
    also,
    beyond,
    given_memory,
    requests_told,
)
from planner.engines.sglang.options import LONGER_CONTEXT, SGLangOptions
from planner.engines.sglang.refused import OBJECTIONS, REFUSALS, STAGES, SUGGESTS
from planner.engines.sglang.releases import RULES
from planner.engines.words import FlagTable, Sorted, flags, names_yarn, sort_words
from planner.errors import InputError
from planner.layout import Layout

KEPT = flags(
    "tokenizer-path tokenizer-mode tokenizer-worker-num load-format model-loader-extra-config",
    "served-model-name chat-template completion-template file-storage-path hf-chat-template-name",
    "reasoning-parser tool-call-parser tool-server host port fastapi-root-path device",
    "nccl-port dist-timeout base-gpu-id gpu-id-step",
    "api-key admin-api-key log-level log-level-http log-requests-level watchdog-timeout",
    "soft-watchdog-timeout bucket-time-to-first-token bucket-inter-token-latency",
    "decode-log-interval schedule-policy schedule-conservativeness priority-scheduling-preemption-threshold",
    "load-balance-method prefill-round-robin-balance random-seed stream-interval sampling-backend",
    "grammar-backend sampling-defaults mm-attention-backend moe-runner-backend fp8-gemm-backend",
    "fp4-gemm-backend nsa-prefill-backend mamba-backend linear-attn-backend",
    "linear-attn-decode-backend linear-attn-prefill-backend deepep-mode deepep-config",
    "preferred-sampling-params custom-sigquit-handler constrained-json-whitespace-pattern",
    "download-dir model-impl tool-call-constraint hicache-write-policy",
    "hicache-io-backend hicache-mem-layout hicache-storage-backend swa-full-tokens-ratio",
    "num-continuous-decode-steps speculative-accept-threshold-single speculative-accept-threshold-acc",
    "speculative-attention-mode speculative-token-map speculative-draft-model-revision",
    "radix-eviction-policy max-queued-requests otlp-traces-endpoint crash-dump-folder",
    "mm-process-config keep-mm-feature-on-device-limit flashinfer-mxfp4-moe-precision",
    "disaggregation-mode disaggregation-transfer-backend disaggregation-bootstrap-port",
    "disaggregation-ib-device elastic-ep-backend init-expert-location eplb-algorithm",
    "rl-on-policy-target asr-max-buffer-seconds warmups debug-tensor-dump-output-folder",
    "attention-reduce-in-fp32 cuda-graph-bs-strategy weight-version ple-offload-dir",
    "allowed-media-domains",
    "bf16-gemm-backend fp8-gemm-runner-backend fp4-gemm-runner-backend tokenizer-backend",
    "default-chat-template-kwargs detokenizer-worker-num encoder-bootstrap-port encoder-urls",
    "encoder-transfer-backend encoder-register-urls extra-metric-labels generation-tokens-buckets",
    "prompt-tokens-buckets grpc-port grpc-worker-threads hicache-host-memory-fraction",
    "hicache-host-memory-mode hicache-storage-prefetch-policy",
    "hicache-storage-backend-extra-config image-processor-backend kv-events-config",
    "linear-attn-verify-backend log-requests-format log-requests-target mamba-track-interval",
    "max-queued-requests media-url-max-file-size-mb min-free-slots-delay mm-io-worker-num",
    "mm-processor-worker-num num-reserved-decode-tokens pp-async-batch-depth retraction-policy",
    "pp-max-micro-batch-size prefill-max-requests scheduler-recv-interval radix-cache-backend",
    "speculative-draft-attention-backend ssl-ca-certs ssl-certfile ssl-keyfile",
    "ssl-keyfile-password torch-compile-max-bs triton-attention-num-kv-splits",
    "triton-attention-split-tile-size uvicorn-access-log-exclude-prefixes",
    "weight-loader-prefetch-num-threads",
)

KEPT_SWITCHES = flags(
    "trust-remote-code skip-tokenizer-init enable-metrics enable-metrics-for-all-schedulers",
    "log-requests show-time-cost enable-cache-report enable-multimodal enable-custom-logit-processor",
    "disable-fast-image-processor enable-mixed-chunk enable-torch-compile skip-server-warmup",
    "disable-custom-all-reduce enable-mscclpp enable-nccl-nvls enable-symm-mem",
    "disable-flashinfer-cutlass-moe-fp4-allgather enable-tokenizer-batch-encode",
    "disable-outlines-disk-cache disable-shared-experts-fusion enable-p2p-check",
    "triton-attention-reduce-in-fp32 enable-memory-saver allow-auto-truncate",
    "enable-flashinfer-allreduce-fusion enable-dp-lm-head disable-chunked-prefix-cache",
    "enable-priority-scheduling enable-trace enable-request-time-stats-logging",
    "enable-nan-detection sleep-on-idle use-ray grpc-mode enable-deterministic-inference",
    "enable-return-hidden-states disable-hybrid-swa-memory disable-cuda-graph-padding",
    "enable-profile-cuda-graph enable-cudagraph-gc enable-single-batch-overlap numa-node",
    "enable-streaming-session incremental-streaming-output enable-fused-qk-norm-rope",
    "constrained-json-disable-any-whitespace disable-flashinfer-autotune disable-priority-preemption",
    "enable-adaptive-dispatch-to-encoder enable-dynamic-batch-tokenizer enable-dynamic-chunking",
    "enable-forward-pass-metrics enable-fused-moe-sum-all-reduce enable-http2 enable-mfu-metrics",
    "enable-prefill-delayer enable-return-routed-experts enable-strict-thinking is-embedding",
    "enable-torch-symm-mem export-metrics-to-file flashinfer-mla-disable-ragged pre-warm-nccl",
    "schedule-low-priority-values-first stream-response-default-include-usage",
    "weight-loader-disable-mmap weight-loader-drop-cache-after-load",
    "weight-loader-prefetch-checkpoints delete-ckpt-after-loading stream-output",
)

UNPLANNED = {
    "--cuda-graph-bs": "the plan takes the default CUDA graphs",
    "--cuda-graph-bs-decode": "the plan takes the default CUDA graphs",
    "--cuda-graph-bs-prefill": "the plan takes the default CUDA graphs",
    "--cuda-graph-max-bs-prefill": "the plan takes the default CUDA graphs",
    "--cuda-graph-config": "the plan takes the default CUDA graphs",
    "--enforce-piecewise-cuda-graph": "the plan takes the release's default prefill graphs",
    "--piecewise-cuda-graph-max-tokens": "the plan takes the release's default prefill graphs",
    "--enable-piecewise-cuda-graph": "the plan takes the release's default prefill graphs",
    "--enable-lora": "adapters take memory that is not counted",
    "--lora-paths": "adapters take memory that is not counted",
    "--max-lora-rank": "adapters take memory that is not counted",
    "--max-loras-per-batch": "adapters take memory that is not counted",
    "--prefill-attention-backend": "the plan takes one attention backend",
    "--decode-attention-backend": "the plan takes one attention backend",
    "--enable-two-batch-overlap": "its second batch is not counted",
    "--moe-dp-size": "it is not planned",
    "--moe-dense-tp-size": "the plan cuts dense layers over all ranks",
    "--ep-num-redundant-experts": "redundant experts are not counted",
    "--enable-eplb": "redundant experts are not counted",
    "--cpu-offload-gb": "offload is not planned for SGLang",
    "--speculative-draft-model-quantization": "a separate drafter is not planned",
    "--torchao-config": "quantizing while loading is not planned",
    "--enable-linear-replayssm": "its buffers are not counted",
    "--mm-max-concurrent-calls": "it is not planned",
    "--enable-unified-memory": "one buffer for states and KV cache is not planned: the plan splits"
    " them in advance",
    "--dcp-size": "decode context parallelism is not planned",
    "--decode-context-parallel-size": "decode context parallelism is not planned",
    "--moe-data-parallel-size": "it is not planned",
    "--enable-int8-mamba-checkpoint": "its pool of quantized states is not counted",
    "--enable-kv-cache-sharding": "the plan keeps the KV cache whole on its ranks",
    "--enable-page-major-kv-layout": "it is not planned",
    "--enable-multi-layer-eagle": "the plan drafts with one MTP layer",
    "--enable-paged-experts": "experts are planned on the GPUs",
    "--enable-weights-cpu-backup": "the host memory of the copy is not counted",
    "--enable-draft-weights-cpu-backup": "the host memory of the copy is not counted",
    "--enable-lmcache": "its host memory is not counted",
    "--enable-flexkv": "its host memory is not counted",
    "--enable-hisparse": "it is not planned",
    "--enable-fp32-lm-head": "the plan keeps the output head in 16 bit",
    "--encoder-only": "an encoder alone is not planned",
    "--enable-prefix-mm-cache": "its cache is not counted",
    "--mm-enable-dp-encoder": "the plan cuts the vision tower over the attention group",
    "--modelopt-quant": "quantizing while loading is not planned",
    "--offload-mode": "offload is not planned for SGLang",
    "--offload-group-size": "offload is not planned for SGLang",
    "--speculative-adaptive": "the plan drafts the same number of tokens in every step",
    "--speculative-draft-kv-cache-dtype": "the plan keeps the drafter's cache like the target's",
}

OWN = MappingProxyType({"--nnodes": 1, "--node-rank": 1, "--dist-init-addr": 1})
"""Flags of one node of several -> how many values follow."""

FLAGS = FlagTable(
    options=SGLangOptions,
    parts={
        "model-path": ("--model-path", "--model"),
        "revision": ("--revision",),
        "tp-size": ("--tp-size", "--tp", "--tensor-parallel-size"),
        "pp-size": ("--pp-size", "--pp", "--pipeline-parallel-size"),
        "dp-size": ("--dp-size", "--dp", "--data-parallel-size"),
        "ep-size": ("--ep-size", "--ep", "--expert-parallel-size"),
        "attn-cp-size": (
            "--attn-cp-size",
            "--context-parallel-size",
            "--attention-context-parallel-size",
        ),
        "cuda-graph-backend-decode": ("--cuda-graph-backend-decode",),
        "cuda-graph-backend-prefill": ("--cuda-graph-backend-prefill",),
        "kv-cache-dtype": ("--kv-cache-dtype",),
        "json-model-override-args": ("--json-model-override-args",),
        "quantization": ("--quantization",),
        "dtype": ("--dtype",),
    },
    part_switches={
        "--enable-dp-attention": ("enable-dp-attention", True),
        "--enable-ep-moe": ("enable-ep-moe", True),
        "--enable-deepep-moe": ("enable-deepep-moe", True),
    },
    kept=KEPT,
    kept_switches=KEPT_SWITCHES,
    own={**OWN, "--nccl-init-addr": 1},
    unplanned=UNPLANNED,
)
"""Source: SGLang 0.5.9 to 0.5.23 server_args.py, arg_groups/fields/."""

GRAPHS_OFF = {
    "cuda-graph-backend-decode": "disable_decode_cuda_graph",
    "cuda-graph-backend-prefill": "disable_prefill_cuda_graph",
}
OFF = "disabled"
"""Value of a graph backend that is an option of its own."""
DEGREES = ("tp-size", "pp-size", "dp-size", "ep-size")
_SIXTEEN_BITS = ("auto", "bfloat16", "float16", "half")
_TRUE = ("1", "true", "yes", "y")


def starts(words: Sequence[str]) -> int | None:
    """Return how many of `words` name the program; None if another program is meant."""
    if tuple(words[:2]) == ("-m", "sglang.launch_server"):
        return 2
    if words[0].rpartition("/")[2] == "sglang" and words[1:2] == ["serve"]:
        return 2
    return None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return the words behind `sglang serve` as a `Command`.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    return command_of(sort_words(words, FLAGS), environment)


def command_of(found: Sorted, environment: Mapping[str, str]) -> Command:
    """Return the sorted words of SGLang's program as a `Command`.

    Raises:
        InputError: a value that cannot be read, or a layout that is not planned.
    """
    model = found.model("model-path")
    if (found.degree("attn-cp-size") or 1) > 1:
        raise InputError("--attn-cp-size: context parallelism is not planned")
    if found.last("dtype") not in (None, *_SIXTEEN_BITS):
        raise InputError(f"--dtype: {found.last('dtype')} is not planned; the model's own dtype is")
    yarn = names_yarn(found.document("json-model-override-args"))
    layout, parallel = _layout(found)
    return Command(
        model=model,
        named=(model,) if model is not None else (),
        revision=found.last("revision"),
        context=found.options.get("context_length"),
        layout=layout,
        kv_cache_dtype=found.last("kv-cache-dtype"),
        options={**found.options, **_without_graphs(found), **parallel},
        yarn=yarn or environment.get(LONGER_CONTEXT, "").lower() in _TRUE,
        quantization=found.last("quantization"),
        kept=(
            *found.kept,
            *_given(found, "dtype"),
            *_given(found, "quantization"),
            *(word for part in GRAPHS_OFF for word in _captured(found, part)),
            *(() if yarn else _given(found, "json-model-override-args")),
            *found.strays(model),
        ),
        unplanned=tuple(found.unplanned),
        environment=environment,
        nodes=found.nodes,
    )


def _given(found: Sorted, part: str) -> tuple[str, ...]:
    """Return a flag that was read and changes no memory, as it was given."""
    value = found.last(part)
    return () if value is None else (f"--{part}", value)


def _without_graphs(found: Sorted) -> dict[str, Any]:
    """Return the options that a graph backend called "disabled" stands for."""
    return {option: True for part, option in GRAPHS_OFF.items() if found.last(part) == OFF}


def _captured(found: Sorted, part: str) -> tuple[str, ...]:
    """Return the flag of a graph backend that captures, as it was given."""
    return () if found.last(part) == OFF else _given(found, part)


def _layout(found: Sorted) -> tuple[Layout | None, dict[str, Any]]:
    """Return the layout, and the degrees that it has no word for as options.

    ``--dp-size`` counts replicas, or attention groups inside the tensor-parallel ranks where
    attention data parallelism is asked for.
    """
    tp, pp, dp, ep = (found.degree(part) or 1 for part in DEGREES)
    options: dict[str, Any] = {}
    attn_dp = found.options.get("attn_dp_size", 1)
    if found.switched.get("enable-dp-attention"):
        attn_dp, dp = max(attn_dp, dp), 1
    if attn_dp > 1:
        options["attn_dp_size"] = attn_dp
    if found.switched.get("enable-deepep-moe"):
        options["moe_a2a_backend"] = "deepep"
    if found.switched.get("enable-ep-moe"):
        ep = tp
    shared = ep == tp and tp > 1 and dp == 1
    if ep > 1 and not shared:
        options["ep_size"] = ep
    told = found.switched or "attn_dp_size" in found.options
    if not told and not any(part in found.parts for part in DEGREES):
        return None, options
    layout = Layout(
        tensor_parallel=tp, pipeline_parallel=pp, data_parallel=dp, expert_parallel=shared
    )
    return layout, options


def logged_command(
    lines: Sequence[str],
    table: FlagTable | None = None,
    read: Callable[[Sequence[str]], Command] | None = None,
) -> Command | None:
    """Return what SGLang was told: the arguments that it prints, with the defaults it resolved.

    Args:
        lines: the log.
        table: the flags of a program that runs SGLang inside; None: SGLang's own.
        read: reads that program's words; None: SGLang's.
    """
    known = (FLAGS if table is None else table).known
    matter = [flag for flag, (role, _) in known.items() if role in _READ]
    read = read_command if read is None else read
    for line in reversed(lines):
        _, mark, text = line.partition("server_args=")
        if mark:
            values = logged_values(text)
            if not values.get("model_path"):
                return None
            return read(as_words(values, matter))
    return _inferred(lines, matter, read)


_RESOLVED = re.compile(
    r"chunked_prefill_size=(\d{1,12}),.{0,400}?context_len=(?P<context>\d{1,12})"
)
"""The line that tells two arguments as they were resolved."""

_SHARE = re.compile(r"Not enough memory.{0,120}server_args\.mem_fraction_static=(0\.\d{1,6})")
"""The refusal that tells which share of the GPU was asked for."""


def _inferred(
    lines: Sequence[str], matter: Sequence[str], read: Callable[[Sequence[str]], Command]
) -> Command | None:
    """Return what a log without the arguments tells of them; the model is left open."""
    for line in reversed(lines):
        _, _, behind = line.rpartition("max_total_num_tokens=")
        match = _RESOLVED.search(behind) if len(behind) < len(line) else None
        if match is not None:
            told = {"chunked_prefill_size": int(match[1]), "context_length": int(match["context"])}
            return read(as_words(told | requests_told(lines), matter))
    share = next((match for line in lines if (match := _SHARE.search(line))), None)
    return None if share is None else read([f"--mem-fraction-static={share[1]}"])


_READ = ("option", "part", "part switch")
"""Roles of flags that a plan depends on."""

LOG_READER = LogReader(
    marks=(
        "server_args=ServerArgs(",
        "Mamba Cache is allocated.",
        "KV Cache is allocated.",
        "Load weight begin. avail mem=",
        "max_total_num_tokens=",
        "Load weight end. elapsed=",
        "Memory pool end. avail mem=",
        "Capture cuda graph failed",
        "sglang",
    ),
    version=(r"(?i)sglang(?:\[\w+\])?(?:==| version[:=]? ?v?| v)(?P<version>\d+\.\d+\.\d+[\w.]*)",),
    figures=FIGURES,
    fields=FIELDS,
    releases=lambda: tuple(rules.version for rules in reversed(RULES)),
    explains=EXPLAINS,
    starts="server_args=",
    command=logged_command,
    also=also,
    given_memory=given_memory,
    beyond=beyond,
    refusals=REFUSALS,
    objections=OBJECTIONS,
    suggests=SUGGESTS,
    stages=STAGES,
    share="mem_fraction_static",
    begun=(BEFORE,),
    shared_refusals=OUT_OF_MEMORY,
)

FACE = Face(
    command=CommandReader(program="sglang serve", starts=starts, read=read_command, flags=FLAGS),
    log=LOG_READER,
    container=Container(
        images=MappingProxyType(
            {"nvidia": "lmsysorg/sglang:v{version}", "amd": "lmsysorg/sglang:v{version}-rocm"}
        ),
        port=30000,
        listen=("--host", "0.0.0.0"),
        node_flags=OWN,
        rank_flag="--node-rank",
    ),
)
