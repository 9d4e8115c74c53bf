"""The command that a plan stands for, and the lines that SGLang prints."""

from __future__ import annotations

import json
from collections.abc import Iterator

from planner.engines.engine import Allocation, Deployment, Launch
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.server import Server, cache_flag
from planner.engines.yarn import yarn_parameters
from planner.units import GIB, ceil_div, plain_number

HEAD = "HEAD_ADDRESS"
PORT = 50000
FLAGS = (
    "mem_fraction_static",
    "chunked_prefill_size",
    "max_running_requests",
    "max_total_tokens",
    "page_size",
    "attention_backend",
    "max_mamba_cache_size",
    "mamba_ssm_dtype",
    "speculative_algorithm",
    "speculative_num_steps",
    "speculative_eagle_topk",
    "speculative_num_draft_tokens",
    "speculative_draft_model_path",
)
"""Flags spelled like their option, written where the user gave them."""
SWITCHES = (
    "disable_cuda_graph",
    "disable_decode_cuda_graph",
    "disable_prefill_cuda_graph",
    "disable_radix_cache",
    "disable_overlap_schedule",
)


def launch_of(deployment: Deployment, server: Server) -> Launch:
    """``sglang.launch_server`` with exactly the flags that the plan assumed."""
    parallel, options, rules = server.parallel, server.options, server.rules
    argv = ["python", "-m", "sglang.launch_server", "--model-path", deployment.checkpoint.id]
    if deployment.checkpoint.revision:
        argv += ["--revision", deployment.checkpoint.revision]
    argv += ["--context-length", str(server.context_length)]
    for flag, degree in (
        ("--tp-size", parallel.tp_size),
        ("--pp-size", parallel.pp_size),
        ("--dp-size", parallel.replicas),
        ("--ep-size", parallel.ep_size),
    ):
        if degree > 1:
            argv += [flag, str(degree)]
    if parallel.attn_dp_size > 1:
        argv += [word.format(n=parallel.attn_dp_size) for word in rules.attn_dp_flags]
    if cache_flag(server.kv_cache_dtype) != "auto":
        argv += ["--kv-cache-dtype", cache_flag(server.kv_cache_dtype)]
    argv += _option_words(options)
    if options.cuda_graph_max_bs is not None:
        argv += [rules.graph_flag, str(options.cuda_graph_max_bs)]
    if options.mamba_radix_cache_strategy != "auto":
        argv += [rules.strategy_flag, options.mamba_radix_cache_strategy]
    environment = {}
    model = deployment.checkpoint.model
    if server.context_length > model.max_position_embeddings:
        override = {"rope_parameters": yarn_parameters(model, server.context_length)}
        wrapped = {"text_config": override} if model.vision is not None else override
        argv += ["--json-model-override-args", json.dumps(wrapped)]
        environment["SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"] = "1"
    return _over_nodes(deployment, argv, environment)


def _option_words(options: SGLangOptions) -> Iterator[str]:
    defaults = type(options)()
    for name in FLAGS:
        value = getattr(options, name)
        if value is not None:
            yield from (
                _flag(name),
                plain_number(value) if isinstance(value, float) else str(value),
            )
    for name in ("max_prefill_tokens", "mamba_full_memory_ratio", "moe_a2a_backend"):
        value = getattr(options, name)
        if value != getattr(defaults, name):
            yield from (
                _flag(name),
                plain_number(value) if isinstance(value, float) else str(value),
            )
    if options.mm_feature_transport != defaults.mm_feature_transport:
        yield from (_flag("mm_feature_transport"), options.mm_feature_transport)
    for name in SWITCHES:
        if getattr(options, name):
            yield _flag(name)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _over_nodes(deployment: Deployment, argv: list[str], environment: dict[str, str]) -> Launch:
    """One command, or one per node where the layout leaves the node."""
    nodes = ceil_div(deployment.layout.accelerators, deployment.system.accelerators_per_node)
    if nodes == 1:
        return Launch(argv=tuple(argv), environment=environment)
    shared = ["--nnodes", str(nodes), "--dist-init-addr", f"{HEAD}:{PORT}"]
    commands = [(*argv, *shared, "--node-rank", str(rank)) for rank in range(nodes)]
    return Launch(
        argv=commands[0],
        environment=environment,
        per_node=tuple(commands[1:]),
        notes=(f"run one command on each of the {nodes} nodes; {HEAD} is the first node's",),
    )


def log_lines(server: Server, allocation: Allocation) -> tuple[str, ...]:
    """Lines on memory that SGLang would print at start-up, with the plan's figures put in.

    "GB" in them is GiB. Figures that depend on the estimate of free memory say so.

    Source: SGLang 0.5.23 model_executor/model_runner.py, mem_cache/memory_pool.py,
    managers/scheduler.py.
    """
    details, resolved = allocation.details, server.resolved
    before, after = details["free_before_load_bytes"], details["free_after_load_bytes"]
    lines = [
        f"Load weight begin. avail mem={before / GIB:.2f} GB (estimate)",
        f"Load weight end. avail mem={after / GIB:.2f} GB,"
        f" mem usage={(before - after) / GIB:.2f} GB. (estimate)",
    ]
    if not allocation.starts and allocation.refusal and details["max_running_requests"] is None:
        return (*lines, allocation.refusal)
    taken = details["allocated_bytes"]
    size = {name: f"{nbytes / GIB:.2f}" for name, nbytes in taken.items()}
    state = (
        f"Mamba Cache is allocated. max_mamba_cache_size: {details['max_mamba_cache_size']},"
        f" conv_state size: {size['conv_state']}GB, ssm_state size: {size['ssm_state']}GB"
    )
    if resolved.speculation is not None:
        state += (
            f" intermediate_ssm_state_cache size: {size['intermediate_ssm']}GB"
            f" intermediate_conv_window_cache size: {size['intermediate_conv']}GB"
        )
    tokens = details["max_total_num_tokens"]
    dtype = {"auto": "bfloat16", "fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}
    flag = cache_flag(server.kv_cache_dtype)
    return (
        *lines,
        state,
        f"KV Cache is allocated. dtype: torch.{dtype.get(flag, flag)}, #tokens: {tokens},"
        f" K size: {size['k_cache']} GB, V size: {size['v_cache']} GB",
        f"max_total_num_tokens={tokens}, chunked_prefill_size={resolved.chunked_prefill_size},"
        f" max_prefill_tokens={server.options.max_prefill_tokens},"
        f" max_running_requests={details['max_running_requests']},"
        f" context_len={resolved.context_length}",
    )
