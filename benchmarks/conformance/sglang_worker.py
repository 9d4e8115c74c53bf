"""Answer configurations with the code of the installed SGLang, on a machine without a GPU.

Runs in an environment that holds SGLang and nothing of the planner:

    python sglang_worker.py < questions.jsonl > answers.jsonl

A question is a JSON object: ``model`` (a folder with config.json), ``flags`` (of SGLang's
ServerArgs), ``gpu`` (``name``, ``capability``, ``mib``), ``before`` and ``after`` (free GiB before
and after weights are loaded). The first question's GPU holds for all. Only what the driver tells and
the process groups are stand-ins; the resolution of arguments and the sizing of pools are SGLang's.
The fields of an answer are those of the suite ``sglang``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from types import SimpleNamespace
from typing import Any

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import torch

GIB = 2**30
FREE = {"bytes": 0}
"""What the driver says is free."""


def stand_in(gpu: dict[str, Any]) -> None:
    """Let PyTorch tell of a GPU that is not there; before SGLang is imported, which asks at once."""
    capability = tuple(gpu["capability"])
    total = int(gpu["mib"] * 2**20)
    properties = SimpleNamespace(
        name=gpu["name"],
        major=capability[0],
        minor=capability[1],
        total_memory=total,
        multi_processor_count=132,
        is_integrated=False,
        shared_memory_per_block_optin=232_448,
        warp_size=32,
    )
    stand_ins = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 64,
        "current_device": lambda: 0,
        "empty_cache": lambda: None,
        "get_device_name": lambda device=None: gpu["name"],
        "get_device_capability": lambda device=None: capability,
        "get_device_properties": lambda device=None: properties,
        "mem_get_info": lambda device=None: (FREE["bytes"], total),
    }
    for name, function in stand_ins.items():
        setattr(torch.cuda, name, function)
    from sglang.srt.utils import common

    common.get_nvgpu_memory_capacity = lambda: float(gpu["mib"])


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return what SGLang makes of one configuration."""
    from sglang.srt.runtime_context import SpawnRanks, publish
    from sglang.srt.server_args import ServerArgs

    arguments = ServerArgs(
        model_path=question["model"], skip_tokenizer_init=True, **question["flags"]
    )
    arguments.resolve_once()
    arguments.check_server_args()
    publish(arguments, role="scheduler", ranks=SpawnRanks(world_rank=0, dp_rank=None, gpu_id=0))
    return {"resolved": resolved(arguments), "pool": pools(arguments, question)}


def resolved(arguments: Any) -> dict[str, Any]:
    """Return the defaults that memory depends on."""
    from sglang.srt.runtime_context import get_parallel

    every = arguments.resolved_dict()
    decode, prefill = (every["cuda_graph_config"][name] for name in ("decode", "prefill"))
    same = (
        "mem_fraction_static",
        "chunked_prefill_size",
        "page_size",
        "attention_backend",
        "mamba_radix_cache_strategy",
        "max_running_requests",
        "disable_overlap_schedule",
        "speculative_num_draft_tokens",
        "speculative_num_steps",
        "ep_size",
    )
    return {name: every[name] for name in same} | {
        "decode_cuda_graph_max_bs": decode["max_bs"],
        "decode_graph_backend": decode["backend"],
        "prefill_graph_backend": prefill["backend"],
        "prefill_graph_buckets": len(prefill["bs"] or ()),
        "attn_dp_size": get_parallel().attn_dp_size,
    }


def pools(arguments: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Return the pools that SGLang makes of the free memory; ``error`` where it makes none."""
    from sglang.srt.runtime_context import get_parallel

    stages = get_parallel().pp_size
    least: int | None = None
    found: dict[str, Any] = {}
    try:
        if stages > 1:  # what the stages tell each other is told in a second round
            alone = [_pool(arguments, question, stage, None) for stage in range(stages)]
            least = min(pool["max_total_num_tokens"] for pool in alone)
        cells = []
        for stage in range(stages):
            found = _pool(arguments, question, stage, least)
            cells.append(found["cell_bytes_per_token"])
    except (RuntimeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return found | {"cell_bytes_per_token": cells[0]}


def _pool(
    arguments: Any, question: dict[str, Any], stage: int, least: int | None
) -> dict[str, Any]:
    """Return one stage's pool; `least`: the fewest tokens that any stage has room for."""
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.distributed.utils import get_pp_indices
    from sglang.srt.mem_cache.kv_cache_configurator import KVCacheConfigurator
    from sglang.srt.mem_cache.kv_cache_dtype import configure_kv_cache_dtype
    from sglang.srt.model_executor.model_runner_components.kv_pool_runtime import (
        is_post_capture_kv_active,
    )
    from sglang.srt.model_executor.model_runner_components.layer_setup import (
        resolve_layer_indices,
    )
    from sglang.srt.model_executor.model_runner_components.spec_aux_hidden_state import (
        resolve_spec_aux_hidden_state_config,
    )
    from sglang.srt.model_executor.pool_configurator import create_memory_pool_configurator
    from sglang.srt.runtime_context import (
        SpawnRanks,
        get_model,
        get_parallel,
        get_schedule,
        publish,
    )
    from sglang.srt.speculative.spec_info import SpeculativeAlgorithm

    publish(arguments, role="scheduler", ranks=SpawnRanks(world_rank=0, dp_rank=None, gpu_id=0))
    parallel = get_parallel()
    config = ModelConfig.from_server_args(arguments)
    algorithm = SpeculativeAlgorithm.from_string(arguments.resolved_dict()["speculative_algorithm"])
    _, dtype = configure_kv_cache_dtype(
        server_args_kv_cache_dtype=get_model().kv_cache_dtype,
        model=None,
        model_dtype=config.dtype,
        is_draft_worker=False,
        is_dflash=False,
        speculative_draft_attention_backend=None,
    )
    start, end = get_pp_indices(config.num_hidden_layers, stage, parallel.pp_size)
    auxiliary = resolve_spec_aux_hidden_state_config(
        server_args=arguments,
        model_config=config,
        spec_algorithm=algorithm,
        is_draft_worker=False,
    )

    def told(tensor: Any, **_: Any) -> None:
        if tensor.dtype == torch.int64 and least is not None:
            tensor.fill_(least)

    torch.distributed.all_reduce = told
    nobody = SimpleNamespace(cpu_group=None, world_size=parallel.pp_size)
    FREE["bytes"] = int(question["after"] * GIB)
    with parallel.override(world_group=nobody):
        configurator = KVCacheConfigurator(
            device="cuda",
            gpu_id=0,
            attn_dp_size=parallel.attn_dp_size,
            pp_size=parallel.pp_size,
            pp_group=nobody,
            model=None,
            model_config=config,
            server_args=arguments,
            kv_cache_dtype=dtype,
            kv_cache_dtype_str=get_model().kv_cache_dtype,
            model_dtype=config.dtype,
            page_size=get_schedule().page_size,
            sliding_window_size=None,
            spec_algorithm=algorithm,
            is_draft_worker=False,
            post_capture_kv_active=is_post_capture_kv_active(
                server_args=arguments,
                is_draft_worker=False,
                spec_algorithm=algorithm,
                token_to_kv_pool_allocator=None,
            ),
            spec_aux_config=auxiliary,
            is_hybrid_swa=config.is_hybrid_swa,
            is_hybrid_swa_compress=False,
            use_mla_backend=False,
            layer_info=resolve_layer_indices(
                model=SimpleNamespace(start_layer=start, end_layer=end),
                model_config=config,
                is_draft_worker=False,
            ),
            forward_stream=None,
            req_to_token_pool=None,
            token_to_kv_pool_allocator=None,
            memory_pool_config=None,
        )
        sized = configurator._resolve_memory_pool_config(question["before"])
        cell = create_memory_pool_configurator(configurator)._cell_size
    state = configurator.mambaish_config.mamba2_cache_params
    return {
        "cell_bytes_per_token": int(cell),
        "max_total_num_tokens": sized.max_total_num_tokens,
        "max_running_requests": sized.max_running_requests,
        "mamba_cache_per_req": state.mamba_cache_per_req,
        "conv_shape": [list(shape) for shape in state.shape.conv],
        "temporal_shape": list(state.shape.temporal),
        "ssm_dtype": str(state.dtype.temporal),
        "conv_dtype": str(state.dtype.conv),
        "n_linear_layers": len(state.layers),
        "max_mamba_cache_size": get_schedule().max_mamba_cache_size,
        "mamba_ratio": configurator._calculate_mamba_ratio(),
        "draft_layers": auxiliary.eagle_draft_num_layers,
        "attn_tp": parallel.attn_tp_size,
    }


def main() -> None:
    """Answer one question per line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    version = ""
    for line in sys.stdin:
        question = json.loads(line)
        if not version:
            stand_in(question["gpu"])
            import sglang

            version = sglang.__version__
        before = dict(os.environ)
        try:
            found = answer(question)
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        os.environ.clear()  # SGLang keeps some arguments there
        os.environ.update(before)
        answers.write(json.dumps({"version": version, **found}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
