"""The flags of `vllm serve`, by what they do to memory.

Source: vLLM 0.17 to 0.33 engine/arg_utils.py and entrypoints/openai/cli_args.py.
"""

from __future__ import annotations

from planner.engines.flags import FlagTable, flags

OPTIONS = (
    "gpu-memory-utilization",
    "max-num-seqs",
    "max-num-batched-tokens",
    "block-size",
    "mamba-cache-dtype",
    "mamba-ssm-cache-dtype",
    "mm-encoder-tp-mode",
    "gdn-prefill-backend",
    "cpu-offload-gb",
    "kv-cache-memory-bytes",
    "decode-context-parallel-size",
)
"""Flags spelled like their option."""

_VALUES = {
    "--model": "model",
    "--revision": "revision",
    "--max-model-len": "max-model-len",
    "--tensor-parallel-size": "tensor-parallel-size",
    "-tp": "tensor-parallel-size",
    "--pipeline-parallel-size": "pipeline-parallel-size",
    "-pp": "pipeline-parallel-size",
    "--data-parallel-size": "data-parallel-size",
    "-dp": "data-parallel-size",
    "-dcp": "decode-context-parallel-size",
    "--prefill-context-parallel-size": "prefill-context-parallel-size",
    "-pcp": "prefill-context-parallel-size",
    "--kv-cache-dtype": "kv-cache-dtype",
    "--kv-cache-memory": "kv-cache-memory-bytes",
    "--speculative-config": "speculative-config",
    "-sc": "speculative-config",
    "--hf-overrides": "hf-overrides",
    "--limit-mm-per-prompt": "limit-mm-per-prompt",
    "--quantization": "quantization",
    "-q": "quantization",
    "--dtype": "dtype",
}

_SWITCHES = {
    "--enable-prefix-caching": ("enable-prefix-caching", True),
    "--no-enable-prefix-caching": ("enable-prefix-caching", False),
    "--enable-expert-parallel": ("enable-expert-parallel", True),
    "-ep": ("enable-expert-parallel", True),
    "--no-enable-expert-parallel": ("enable-expert-parallel", False),
    "--enforce-eager": ("enforce-eager", True),
    "--no-enforce-eager": ("enforce-eager", False),
    "--language-model-only": ("language-model-only", True),
    "--no-language-model-only": ("language-model-only", False),
}

_NEUTRAL = flags(
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
    "distributed-executor-backend nnodes node-rank master-addr master-port",
    "data-parallel-size-local data-parallel-rank data-parallel-start-rank data-parallel-address",
    "data-parallel-rpc-port data-parallel-backend api-server-count max-parallel-loading-workers",
    "worker-cls worker-extension-cls attention-backend moe-backend linear-backend",
    "all2all-backend prefix-caching-hash-algo scheduling-policy scheduler-cls",
    "max-num-partial-prefills max-long-partial-prefills long-prefill-token-threshold",
    "stream-interval preemption-mode swap-space kv-events-config kv-offloading-size",
    "kv-offloading-backend otlp-traces-endpoint collect-detailed-traces",
    "show-hidden-metrics-for-version mm-processor-cache-gb mm-processor-cache-type",
    "mm-shm-cache-max-object-size-mb mm-encoder-attn-backend media-io-kwargs additional-config",
    "shutdown-timeout device optimization-level disable-log-requests config profiler-config",
    "kernel-config weight-transfer-config h11-max-incomplete-event-size h11-max-header-count",
) | {"-asc", "-dpl", "-dpa", "-dpp", "-dpn", "-dpr", "-n", "-r"}

_NEUTRAL_SWITCHES = flags(
    "trust-remote-code enable-auto-tool-choice enable-chunked-prefill async-scheduling",
    "no-async-scheduling enable-log-requests no-enable-log-requests no-disable-log-requests",
    "disable-log-stats enable-prompt-tokens-details enable-server-load-tracking",
    "enable-force-include-usage enable-tokenizer-info-endpoint disable-uvicorn-access-log",
    "disable-fastapi-docs headless enable-eplb disable-custom-all-reduce enable-sleep-mode",
    "disable-cascade-attn no-disable-cascade-attn skip-tokenizer-init enable-prompt-embeds",
    "return-tokens-as-token-ids disable-frontend-multiprocessing enable-request-id-headers",
    "use-tqdm-on-load no-use-tqdm-on-load data-parallel-hybrid-lb data-parallel-external-lb",
    "interleave-mm-strings calculate-kv-scales ray-workers-use-nsight allow-credentials",
    "enable-ssl-refresh no-trust-remote-code enable-flashinfer-autotune exclude-tools-when-tool-choice-none",
    "no-enable-flashinfer-autotune log-error-stack disable-nccl-for-dp-synchronization",
    "enable-layerwise-nvtx-tracing enable-mfu-metrics kv-cache-metrics cudagraph-metrics",
    "enable-cumem-allocator enable-logging-iteration-details fail-on-environ-validation",
)

_UNPLANNED = {
    "--enable-lora": "adapters take memory that is not counted",
    "--max-loras": "adapters take memory that is not counted",
    "--max-lora-rank": "adapters take memory that is not counted",
    "--max-cpu-loras": "adapters take memory that is not counted",
    "--lora-modules": "adapters take memory that is not counted",
    "--num-gpu-blocks-override": "the plan takes the blocks that fit",
    "--performance-mode": "it changes the batch defaults; write --max-num-seqs and"
    " --max-num-batched-tokens instead",
    "--mm-processor-kwargs": "the plan takes images of the processor's own limits",
    "--skip-mm-profiling": "the plan counts the image that vLLM would profile",
    "--compilation-config": "the plan takes the default CUDA graphs",
    "-cc": "the plan takes the default CUDA graphs",
    "-O": "the plan takes the default CUDA graphs",
    "--cuda-graph-sizes": "the plan takes the default CUDA graphs",
    "--cudagraph-capture-sizes": "the plan takes the default CUDA graphs",
    "--max-cudagraph-capture-size": "the plan takes the default CUDA graphs",
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
}

TABLE = FlagTable(
    values=_VALUES | {f"--{name}": name for name in OPTIONS},
    switches=_SWITCHES,
    neutral=_NEUTRAL,
    neutral_switches=_NEUTRAL_SWITCHES,
    unplanned=_UNPLANNED,
)
