"""The flags of ``sglang.launch_server``, by what they do to memory.

Source: SGLang 0.5.9 to 0.5.23 server_args.py.
"""

from __future__ import annotations

from planner.engines.flags import FlagTable, flags

COUNTS = (
    "chunked-prefill-size",
    "max-prefill-tokens",
    "max-running-requests",
    "max-total-tokens",
    "context-length",
    "page-size",
    "max-mamba-cache-size",
    "speculative-num-steps",
    "speculative-eagle-topk",
    "speculative-num-draft-tokens",
    "attn-dp-size",
)
NUMBERS = ("mem-fraction-static", "mamba-full-memory-ratio")
WORDS = (
    "attention-backend",
    "mamba-radix-cache-strategy",
    "mamba-ssm-dtype",
    "speculative-algorithm",
    "speculative-draft-model-path",
    "moe-a2a-backend",
    "mm-feature-transport",
)

_VALUES = {
    "--model-path": "model-path",
    "--model": "model-path",
    "--revision": "revision",
    "--tp-size": "tp-size",
    "--tp": "tp-size",
    "--tensor-parallel-size": "tp-size",
    "--pp-size": "pp-size",
    "--pp": "pp-size",
    "--pipeline-parallel-size": "pp-size",
    "--dp-size": "dp-size",
    "--dp": "dp-size",
    "--data-parallel-size": "dp-size",
    "--ep-size": "ep-size",
    "--ep": "ep-size",
    "--expert-parallel-size": "ep-size",
    "--kv-cache-dtype": "kv-cache-dtype",
    "--cuda-graph-max-bs": "cuda-graph-max-bs",
    "--cuda-graph-max-bs-decode": "cuda-graph-max-bs",
    "--mamba-scheduler-strategy": "mamba-radix-cache-strategy",
    "--speculative-algo": "speculative-algorithm",
    "--speculative-draft-model": "speculative-draft-model-path",
    "--json-model-override-args": "json-model-override-args",
    "--quantization": "quantization",
    "--dtype": "dtype",
    "--attn-cp-size": "attn-cp-size",
    "--context-parallel-size": "attn-cp-size",
}

SWITCHES = (
    "disable-cuda-graph",
    "disable-decode-cuda-graph",
    "disable-prefill-cuda-graph",
    "disable-radix-cache",
    "disable-overlap-schedule",
    "language-model-only",
)
"""Switches spelled like their option."""

_SWITCHES = {
    "--enable-dp-attention": ("enable-dp-attention", True),
    "--enable-ep-moe": ("enable-ep-moe", True),
    "--enable-deepep-moe": ("enable-deepep-moe", True),
}

_NEUTRAL = flags(
    "tokenizer-path tokenizer-mode tokenizer-worker-num load-format model-loader-extra-config",
    "served-model-name chat-template completion-template file-storage-path hf-chat-template-name",
    "reasoning-parser tool-call-parser tool-server host port fastapi-root-path device",
    "nccl-port dist-init-addr dist-timeout nnodes node-rank base-gpu-id gpu-id-step",
    "api-key admin-api-key log-level log-level-http log-requests-level watchdog-timeout",
    "soft-watchdog-timeout bucket-time-to-first-token bucket-inter-token-latency",
    "decode-log-interval schedule-policy schedule-conservativeness priority-scheduling-preemption-threshold",
    "load-balance-method prefill-round-robin-balance random-seed stream-interval sampling-backend",
    "grammar-backend sampling-defaults mm-attention-backend moe-runner-backend fp8-gemm-backend",
    "fp4-gemm-backend nsa-prefill-backend mamba-backend linear-attn-backend",
    "linear-attn-decode-backend linear-attn-prefill-backend deepep-mode deepep-config",
    "preferred-sampling-params custom-sigquit-handler constrained-json-whitespace-pattern",
    "download-dir model-impl tool-call-constraint hicache-ratio hicache-size hicache-write-policy",
    "hicache-io-backend hicache-mem-layout hicache-storage-backend swa-full-tokens-ratio",
    "num-continuous-decode-steps speculative-accept-threshold-single speculative-accept-threshold-acc",
    "speculative-attention-mode speculative-token-map speculative-draft-model-revision",
    "radix-eviction-policy max-queued-requests otlp-traces-endpoint crash-dump-folder",
    "mm-process-config keep-mm-feature-on-device-limit flashinfer-mxfp4-moe-precision",
    "disaggregation-mode disaggregation-transfer-backend disaggregation-bootstrap-port",
    "disaggregation-ib-device elastic-ep-backend init-expert-location eplb-algorithm",
    "rl-on-policy-target asr-max-buffer-seconds warmups debug-tensor-dump-output-folder",
    "attention-reduce-in-fp32 cuda-graph-bs-strategy weight-version",
)

_NEUTRAL_SWITCHES = flags(
    "trust-remote-code skip-tokenizer-init enable-metrics enable-metrics-for-all-schedulers",
    "log-requests show-time-cost enable-cache-report enable-multimodal enable-custom-logit-processor",
    "disable-fast-image-processor enable-mixed-chunk enable-torch-compile skip-server-warmup",
    "disable-custom-all-reduce enable-mscclpp enable-nccl-nvls enable-symm-mem",
    "disable-flashinfer-cutlass-moe-fp4-allgather enable-tokenizer-batch-encode",
    "disable-outlines-disk-cache disable-shared-experts-fusion enable-p2p-check",
    "triton-attention-reduce-in-fp32 enable-memory-saver allow-auto-truncate",
    "enable-flashinfer-allreduce-fusion enable-dp-lm-head disable-chunked-prefix-cache",
    "enable-hierarchical-cache enable-priority-scheduling enable-trace enable-request-time-stats-logging",
    "enable-nan-detection sleep-on-idle use-ray grpc-mode enable-deterministic-inference",
    "enable-return-hidden-states disable-hybrid-swa-memory disable-cuda-graph-padding",
    "enable-profile-cuda-graph enable-cudagraph-gc enable-single-batch-overlap numa-node",
    "enable-streaming-session incremental-streaming-output enable-fused-qk-norm-rope",
)

_UNPLANNED = {
    "--cuda-graph-bs": "the plan takes the default CUDA graphs",
    "--disable-piecewise-cuda-graph": "the plan takes the release's default prefill graphs",
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
}

TABLE = FlagTable(
    values=_VALUES | {f"--{name}": name for name in (*COUNTS, *NUMBERS, *WORDS)},
    switches=_SWITCHES | {f"--{name}": (name, True) for name in SWITCHES},
    neutral=_NEUTRAL,
    neutral_switches=_NEUTRAL_SWITCHES,
    unplanned=_UNPLANNED,
)
