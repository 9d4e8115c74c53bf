"""Read `vllm serve ...` back, and say how vLLM is talked to: command, log, container."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.log_figure import LogReader
from planner.engines.logged_arguments import as_words, logged_values
from planner.engines.option_kinds import whole_number
from planner.engines.out_of_memory import OUT_OF_MEMORY
from planner.engines.vllm.bench import BENCH
from planner.engines.vllm.log import (
    EXPLAINS,
    FIELDS,
    FIGURES,
    MARKS,
    VERSION,
    WSL,
    also,
    beyond,
    given_memory,
    soft,
)
from planner.engines.vllm.options import VllmOptions, human_integer
from planner.engines.vllm.refused import OBJECTIONS, REFUSALS, STAGES, SUGGESTS
from planner.engines.vllm.releases import first_releases
from planner.engines.vllm.said import model_of_banner, numbers_said, share_said
from planner.engines.words import (
    FlagTable,
    Sorted,
    flags,
    json_object,
    names_yarn,
    sort_words,
)
from planner.errors import InputError
from planner.layout import Layout

_LONGEST = ("-1", "auto")
_KIND_FLAGS: Mapping[str, Mapping[str, str]] = {
    "engram-config": {
        "cpu_offload": "engram_cpu_offload",
        "embedding_across_dp": "engram_across_dp",
    },
    "attention-config": {"indexer_kv_dtype": "indexer_kv_dtype"},
}
"""Flags whose value is a document -> key -> option."""

_TRUE = ("1", "true")
_GRAPHS = "the plan takes the default CUDA graphs"
_ADAPTERS = "adapters take memory that is not counted"
_OFFLOADING = "weights are planned as --cpu-offload-gb alone leaves them"

OWN = MappingProxyType({"--nnodes": 1, "--master-addr": 1, "--node-rank": 1, "--headless": 0})
"""Flags of one node of several -> how many values follow."""

FLAGS = FlagTable(
    options=VllmOptions,
    parts={
        "model": ("--model",),
        "revision": ("--revision",),
        "max-model-len": ("--max-model-len",),
        "tensor-parallel-size": ("--tensor-parallel-size", "-tp"),
        "pipeline-parallel-size": ("--pipeline-parallel-size", "-pp"),
        "data-parallel-size": ("--data-parallel-size", "-dp"),
        "decode-context-parallel-size": ("--decode-context-parallel-size", "-dcp"),
        "prefill-context-parallel-size": ("--prefill-context-parallel-size", "-pcp"),
        "kv-cache-dtype": ("--kv-cache-dtype",),
        "speculative-config": ("--speculative-config", "-sc"),
        "hf-overrides": ("--hf-overrides",),
        "limit-mm-per-prompt": ("--limit-mm-per-prompt",),
        "engram-config": ("--engram-config",),
        "attention-config": ("--attention-config",),
        "quantization": ("--quantization", "-q"),
    },
    part_switches={
        "--enable-expert-parallel": ("expert", True),
        "-ep": ("expert", True),
        "--no-enable-expert-parallel": ("expert", False),
    },
    kept=flags(
        "host port uds uvicorn-log-level allowed-origins allowed-methods allowed-headers api-key",
        "chat-template chat-template-content-format default-chat-template-kwargs response-role",
        "ssl-keyfile ssl-certfile ssl-ca-certs ssl-cert-reqs root-path middleware",
        "tool-call-parser tool-parser-plugin tool-server reasoning-parser reasoning-parser-plugin",
        "log-config-file max-log-len served-model-name tokenizer tokenizer-mode tokenizer-revision",
        "code-revision hf-config-path hf-token allowed-local-media-path allowed-media-domains seed",
        "download-dir load-format safetensors-load-strategy model-loader-extra-config config-format",
        "guided-decoding-backend structured-outputs-config generation-config",
        "override-generation-config logits-processors logits-processor-pattern max-logprobs",
        "logprobs-mode io-processor-plugin model-impl runner convert task ignore-patterns",
        "distributed-executor-backend master-port",
        "data-parallel-size-local data-parallel-rank data-parallel-start-rank data-parallel-address",
        "data-parallel-rpc-port data-parallel-backend api-server-count max-parallel-loading-workers",
        "worker-cls worker-extension-cls attention-backend moe-backend linear-backend",
        "all2all-backend prefix-caching-hash-algo scheduling-policy scheduler-cls",
        "max-num-partial-prefills max-long-partial-prefills long-prefill-token-threshold",
        "stream-interval preemption-mode swap-space kv-events-config",
        "kv-offloading-backend otlp-traces-endpoint collect-detailed-traces",
        "show-hidden-metrics-for-version mm-processor-cache-gb mm-processor-cache-type",
        "mm-shm-cache-max-object-size-mb mm-encoder-attn-backend media-io-kwargs additional-config",
        "shutdown-timeout device optimization-level disable-log-requests config profiler-config",
        "kernel-config weight-transfer-config h11-max-incomplete-event-size h11-max-header-count",
    )
    | {"-asc", "-dpl", "-dpa", "-dpp", "-dpn", "-dpr"},
    kept_switches=flags(
        "trust-remote-code enable-auto-tool-choice enable-chunked-prefill async-scheduling",
        "no-async-scheduling enable-log-requests no-enable-log-requests no-disable-log-requests",
        "disable-log-stats enable-prompt-tokens-details enable-server-load-tracking",
        "enable-force-include-usage enable-tokenizer-info-endpoint disable-uvicorn-access-log",
        "disable-fastapi-docs enable-eplb disable-custom-all-reduce enable-sleep-mode",
        "disable-cascade-attn no-disable-cascade-attn skip-tokenizer-init enable-prompt-embeds",
        "return-tokens-as-token-ids disable-frontend-multiprocessing enable-request-id-headers",
        "use-tqdm-on-load no-use-tqdm-on-load data-parallel-hybrid-lb data-parallel-external-lb",
        "interleave-mm-strings calculate-kv-scales ray-workers-use-nsight allow-credentials",
        "enable-ssl-refresh no-trust-remote-code enable-flashinfer-autotune exclude-tools-when-tool-choice-none",
        "no-enable-flashinfer-autotune log-error-stack disable-nccl-for-dp-synchronization",
        "enable-layerwise-nvtx-tracing enable-mfu-metrics kv-cache-metrics cudagraph-metrics",
        "enable-cumem-allocator enable-logging-iteration-details fail-on-environ-validation",
    ),
    own={**OWN, "-n": 1, "-r": 1},
    unplanned={
        "--enable-lora": _ADAPTERS,
        "--max-loras": _ADAPTERS,
        "--max-lora-rank": _ADAPTERS,
        "--max-cpu-loras": _ADAPTERS,
        "--lora-modules": _ADAPTERS,
        "--num-gpu-blocks-override": "the plan takes the blocks that fit",
        "--performance-mode": "it changes the batch defaults; write --max-num-seqs and"
        " --max-num-batched-tokens instead",
        "--mm-processor-kwargs": "the plan takes images of the processor's own limits",
        "--skip-mm-profiling": "the plan counts the image that vLLM would profile",
        "--compilation-config": _GRAPHS,
        "-cc": _GRAPHS,
        "-O": _GRAPHS,
        "--cuda-graph-sizes": _GRAPHS,
        "--cudagraph-capture-sizes": _GRAPHS,
        "--max-cudagraph-capture-size": _GRAPHS,
        "--enable-dbo": "its second batch is not counted",
        "--eplb-config": "redundant experts are not counted",
        "--mamba-cache-mode": "the plan takes the mode that prefix caching asks for",
        "--mamba-block-size": "the plan takes the default",
        "--no-enable-chunked-prefill": "the plan takes chunked prefill",
        "--disable-hybrid-kv-cache-manager": "the plan takes the hybrid manager",
        "--no-disable-hybrid-kv-cache-manager": "the plan takes the hybrid manager",
        "--kv-transfer-config": "a connector's buffers are not counted",
        "--ec-transfer-config": "a connector's buffers are not counted",
        "--kv-sharing-fast-prefill": "it is not planned",
        "--video-pruning-rate": "it is not planned",
        "--cpu-offload-params": _OFFLOADING,
        "--offload-backend": _OFFLOADING,
        "--offload-group-size": _OFFLOADING,
        "--offload-num-in-group": _OFFLOADING,
        "--offload-prefetch-step": _OFFLOADING,
        "--offload-params": _OFFLOADING,
    },
)
"""Source: vLLM 0.17 to 0.33 engine/arg_utils.py and entrypoints/openai/cli_args.py."""


def starts(words: Sequence[str]) -> int | None:
    """Return how many of `words` name the program; None if another program is meant."""
    name = words[0].rpartition("/")[2]
    if name in ("vllm", "vllm.exe") and words[1:2] == ["serve"]:
        return 2
    if tuple(words[:2]) in (
        ("-m", "vllm.entrypoints.openai.api_server"),
        ("-m", "vllm.entrypoints.api_server"),
    ):
        return 2
    return None


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return the words behind `vllm serve` as a `Command`.

    Raises:
        InputError: a flag or value that cannot be read, or a layout that is not planned.
    """
    found = sort_words(words, FLAGS)
    model = found.model()
    kept = [*found.kept, *found.strays(model)]
    unplanned = [*found.unplanned, *_environment_notes(environment)]
    if (found.degree("prefill-context-parallel-size") or 1) > 1:
        raise InputError("--prefill-context-parallel-size is not planned; leave it at 1")
    overrides = found.document("hf-overrides")
    if not (scales := names_yarn(overrides)) and overrides:
        kept += ["--hf-overrides", json.dumps(overrides)]
    if (quantization := found.last("quantization")) is not None:
        kept += ["--quantization", quantization]
    own_length = ""
    if (context := found.last("max-model-len")) in _LONGEST:
        own_length, context = f"--max-model-len {context}", None
    options = found.options | _speculation(found.document("speculative-config")) | _limits(found)
    if options.get("limit_images") == 0 and options.get("limit_videos") != 0:
        unplanned.append("--limit-mm-per-prompt: without video 0 the vision tower is still loaded")
    options |= _kinds(found, unplanned)
    return Command(
        model=model,
        named=(model,) if model is not None else (),
        revision=found.last("revision"),
        context=None if context is None else human_integer("--max-model-len", context),
        own_length=own_length,
        shortens=bool(own_length),
        layout=_layout(found),
        kv_cache_dtype=found.last("kv-cache-dtype"),
        options=options,
        yarn=scales or environment.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "").lower() in _TRUE,
        quantization=quantization,
        kept=tuple(kept),
        unplanned=tuple(unplanned),
        environment=environment,
        nodes=found.nodes,
    )


def _layout(found: Sorted) -> Layout | None:
    """Return the layout; None where no degree is given."""
    degrees = {
        "tensor_parallel": found.degree("tensor-parallel-size"),
        "pipeline_parallel": found.degree("pipeline-parallel-size"),
        "data_parallel": found.degree("data-parallel-size"),
        "context_parallel": found.degree("decode-context-parallel-size"),
    }
    given = {name: degree for name, degree in degrees.items() if degree is not None}
    if not given and "expert" not in found.switched:
        return None
    return Layout(**given, expert_parallel=found.switched.get("expert", False))


def _speculation(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `--speculative-config` as options: the model's own module unless it names a drafter."""
    if not config:
        return {}
    method = str(config.get("method") or ("dflash" if config.get("model") else "mtp")).lower()
    if method.endswith("mtp"):
        method = "mtp"
    if method not in ("mtp", "dflash"):
        raise InputError(
            f"--speculative-config: method {method} is not planned; mtp and dflash are"
        )
    tokens = config.get("num_speculative_tokens")
    if tokens is None:
        if method != "mtp":
            raise InputError("--speculative-config: num_speculative_tokens is missing")
        tokens = 1  # vLLM drafts as many as the module has layers
    options = {"speculative_method": method, "num_speculative_tokens": tokens}
    if method == "dflash" and config.get("model"):
        options["draft_model"] = str(config["model"])
    return options


def _kinds(found: Sorted, unplanned: list[str]) -> dict[str, Any]:
    """Return what the flags of n-gram tables and indexers say, as options."""
    options: dict[str, Any] = {}
    for flag, names in _KIND_FLAGS.items():
        for key, value in found.document(flag).items():
            if key in names:
                options[names[key]] = value
            else:
                unplanned.append(f"--{flag}: {key} is not planned")
    return options


def _limits(found: Sorted) -> dict[str, int]:
    """Return how many images and videos a prompt may hold, where the flag says it."""
    flag, text = "--limit-mm-per-prompt", found.last("limit-mm-per-prompt")
    if text is not None and "=" in text and not text.lstrip().startswith("{"):
        limits: dict[str, Any] = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    else:
        limits = json_object(flag, text)
    limits |= found.dotted.get("limit-mm-per-prompt", {})
    options = {}
    for kind, option in (("image", "limit_images"), ("video", "limit_videos")):
        limit = limits.get(kind)
        count = limit.get("count") if isinstance(limit, dict) else limit
        if count is not None:
            options[option] = whole_number(str(count), flag)
    return options


def _environment_notes(environment: Mapping[str, str]) -> list[str]:
    """Return a line per variable that changes memory and is not planned."""
    name = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"
    if name in environment:
        return [f"{name}: the plan takes the release's default"]
    return []


_ENGINE_CONFIG = {
    "model": "model",
    "revision": "revision",
    "max_seq_len": "max_model_len",
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "decode_context_parallel_size": "decode_context_parallel_size",
    "kv_cache_dtype": "kv_cache_dtype",
    "quantization": "quantization",
    "enforce_eager": "enforce_eager",
    "enable_prefix_caching": "enable_prefix_caching",
}
"""What the engine prints of its configuration -> the flag that sets it."""

_UNTOLD = ("kept", "kept switch", "own")
"""Flags that a plan of what runs already does not need."""


def logged_command(lines: Sequence[str]) -> Command | None:
    """Return what vLLM was told: the arguments that it prints, else its configuration."""
    seen: dict[str, object] = {"wsl2": True} if any(WSL in line for line in lines) else {}
    seen |= share_said(lines)
    for line in reversed(lines):
        _, mark, text = line.partition("non-default args: ")
        if mark:
            return _command(seen | logged_values(text))
    for line in reversed(lines):
        _, mark, text = line.partition("with config: ")
        if mark and "LLM engine" in line:
            values = logged_values(text.partition("_config={")[0])
            return _command(
                seen
                | {flag: values[name] for name, flag in _ENGINE_CONFIG.items() if name in values}
            )
    return _inferred(lines, seen)


def _inferred(lines: Sequence[str], seen: dict[str, object]) -> Command | None:
    """Return what lines beside the arguments tell; the model is left open where the banner is missing."""
    values, model = seen | numbers_said(lines), model_of_banner(lines)
    command = read_command(as_words(values, FLAGS.known)) if values else None
    return command if model is None else replace(command or Command(), model=model, named=(model,))


def _command(values: Mapping[str, object]) -> Command | None:
    known = [flag for flag, (role, _) in FLAGS.known.items() if role not in _UNTOLD]
    told = {name: value for name, value in values.items() if name != "model_tag"}
    told.setdefault("model", values.get("model_tag"))
    if not told["model"]:
        return None
    return read_command(as_words(told, known))


FACE = Face(
    command=CommandReader(program="vllm serve", starts=starts, read=read_command, flags=FLAGS),
    log=LogReader(
        marks=MARKS,
        version=VERSION,
        figures=FIGURES,
        starts="non-default args:",
        command=logged_command,
        also=also,
        given_memory=given_memory,
        beyond=beyond,
        soft=soft,
        refusals=REFUSALS,
        objections=OBJECTIONS,
        suggests=SUGGESTS,
        stages=STAGES,
        share="gpu_memory_utilization",
        begun=("device memory", "free at start"),
        shared_refusals=OUT_OF_MEMORY,
        kept=("memory-utilization=", "memory_utilization=", "█  model "),
        running=MappingProxyType({"keep_default_seqs": True}),
        fields=FIELDS,
        releases=first_releases,
        explains=EXPLAINS,
    ),
    container=Container(
        images=MappingProxyType(
            {"nvidia": "vllm/vllm-openai:v{version}", "amd": "vllm/vllm-openai-rocm:latest"}
        ),
        port=8000,
        node_flags=OWN,
        rank_flag="--node-rank",
        ray_words=("--distributed-executor-backend", "ray"),
    ),
    bench=BENCH,
)
