"""Answer configurations with the code of the installed vLLM, on a machine without a GPU.

Runs in an environment that holds vLLM and nothing of the planner:

    python vllm_worker.py < questions.jsonl > answers.jsonl

A question is a JSON object: ``model`` (a folder with config.json), ``arguments`` (of vLLM's
EngineArgs), ``available`` (bytes for the cache, one figure or one per pipeline stage) and ``gpu``
(``name``, ``capability``, ``total``). Only the identity of the GPU and the process groups are
stand-ins; configuration, modules (on the meta device), cache layout and refusals are vLLM's. The
fields of an answer are those of the suite ``vllm``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import traceback
from collections.abc import Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

os.environ |= {
    "VLLM_LOGGING_LEVEL": "CRITICAL",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "CUDA_VISIBLE_DEVICES": "",
}

import torch
import vllm
import vllm.platforms
from torch.overrides import TorchFunctionMode
from vllm.platforms.cuda import CudaPlatformBase
from vllm.platforms.interface import DeviceCapability

GPU = SimpleNamespace(name="", capability=(9, 0), total=0)  # that vLLM is told of
CUDA = 13
"""Major version of the CUDA runtime that it is told of: the one of this release's wheel."""


FACTS: dict[str, Any] = {
    "get_device_capability": lambda: DeviceCapability(*GPU.capability),
    "get_device_name": lambda: GPU.name,
    "get_device_uuid": lambda: "GPU-0",
    "get_device_total_memory": lambda: GPU.total,
    "get_cuda_runtime_major": lambda: CUDA,
    "is_fully_connected": lambda: True,
    "is_integrated_gpu": lambda: tuple(GPU.capability) == (12, 1),
    "num_compute_units": lambda: 132,  # no size depends on it
    "device_count": lambda: 1024,
    "get_device_numa_node": lambda: None,
    "get_all_device_numa_nodes": lambda: None,
    "current_device": lambda: torch.device("meta"),
    "log_warnings": lambda: None,
}
"""What a driver would tell, by the name of vLLM's question."""


def _told(fact: Any) -> Any:
    return classmethod(lambda cls, *_, **__: fact())


def _at_least(cls: Any, capability: Any, device_id: int = 0) -> bool:
    least = capability if isinstance(capability, tuple) else divmod(capability, 10)
    return tuple(GPU.capability) >= tuple(least)


StandIn = type(
    "StandIn",
    (CudaPlatformBase,),
    {
        "has_device_capability": classmethod(_at_least),
        **{name: _told(fact) for name, fact in FACTS.items()},
    },
)
"""CUDA, with a GPU that is not there."""


class NoStream(SimpleNamespace):
    """A stream on which nothing ever runs."""


vllm.platforms._current_platform = StandIn()
torch.cuda.Stream = NoStream
torch.cuda.current_device = lambda: 0
torch.cuda.get_device_capability = lambda device=None: tuple(GPU.capability)
torch.cuda.get_device_name = lambda device=None: GPU.name
torch.cuda.get_device_properties = lambda device=None: SimpleNamespace(
    name=GPU.name,
    major=GPU.capability[0],
    minor=GPU.capability[1],
    total_memory=GPU.total,
    multi_processor_count=132,
    is_integrated=tuple(GPU.capability) == (12, 1),
)

from vllm.config import set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.distributed.kv_transfer.kv_connector.utils import get_current_attn_backends
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import registry
from vllm.usage.usage_lib import UsageContext
from vllm.utils import flashinfer
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.attention.backend import AttentionCGSupport
from vllm.v1.attention.backends.utils import (
    get_supported_kv_cache_layouts,
    resolve_kv_cache_layout,
)
from vllm.v1.core import kv_cache_planning as planning
from vllm.v1.core.kv_cache_config_builder import get_kv_cache_config_builder
from vllm.v1.core.kv_cache_utils import (
    generate_scheduler_kv_cache_config,
    get_kv_cache_capacity,
)
from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs
from vllm.v1.kv_cache_interface import MambaSpec
from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

# As on a machine where FlashInfer finds its kernels.
flashinfer.has_flashinfer_cubin = lambda: True
# The models are inspected in this process: another one would not know the stand-in.
registry._run_in_subprocess = lambda function: function()


def group(size: int, rank: int = 0) -> Any:
    """Return a process group of `size` ranks, seen from one of them."""
    members = SimpleNamespace(size=lambda: size, rank=lambda: rank)
    return SimpleNamespace(
        world_size=size,
        rank_in_group=rank,
        rank=rank,
        local_rank=rank,
        ranks=list(range(size)),
        is_first_rank=rank == 0,
        is_last_rank=rank == size - 1,
        first_rank=0,
        last_rank=size - 1,
        device_group=members,
        cpu_group=members,
        device_communicator=None,
        use_device_communicator=False,
        unique_name=f"group-{size}",
    )


@contextlib.contextmanager
def groups_of(config: Any, stage: int) -> Iterator[None]:
    """Let vLLM find the process groups of one rank of a pipeline stage."""
    parallel = config.parallel_config
    tensor, data = parallel.tensor_parallel_size, parallel.data_parallel_size
    sizes = {
        "_TP": group(tensor),
        "_ETP": group(tensor),
        "_PP": group(parallel.pipeline_parallel_size, stage),
        "_DP": group(data),
        "_EP": group(tensor * data),
        "_DCP": group(parallel.decode_context_parallel_size),
        "_PCP": group(1),
        "_WORLD": group(tensor * parallel.pipeline_parallel_size),
    }
    before = {name: getattr(parallel_state, name) for name in sizes}
    for name, value in sizes.items():
        setattr(parallel_state, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(parallel_state, name, value)


def size_of(tensors: Any) -> int:
    """Return the bytes of tensors, each counted once."""
    found = {id(tensor): tensor.numel() * tensor.element_size() for tensor in tensors}
    return sum(found.values())


def draft_bytes(drafter: Any) -> int:
    """Return the bytes of a drafter's own tensors: it takes embedding and head from the target."""
    shared = ("model.embed_tokens.", "lm_head.")
    return size_of(
        tensor for name, tensor in drafter.named_parameters() if not name.startswith(shared)
    )


class WithoutMemory(TorchFunctionMode):  # type: ignore[misc]
    """Puts on the meta device what is asked to be on a GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` with another device."""
        named = dict(kwargs or {})
        if str(named.get("device", "")).startswith("cuda"):
            named["device"] = torch.device("meta")
        return func(*args, **named)


class Stage:
    """One pipeline stage of a model: modules on the meta device, and what they keep in a cache."""

    def __init__(self, arguments: dict[str, Any], rank: int) -> None:
        """Build the stage's modules as one of its ranks does."""
        self.config = EngineArgs(**deepcopy(arguments)).create_engine_config(
            UsageContext.OPENAI_API_SERVER
        )
        config = self.config
        config.parallel_config.rank = rank * config.parallel_config.tensor_parallel_size
        with (
            groups_of(config, rank),
            set_current_vllm_config(config),
            set_default_torch_dtype(config.model_config.dtype),
            torch.device("meta"),
            WithoutMemory(),
        ):
            model = initialize_model(config)
            drafter = None
            speculation = config.speculative_config
            if (
                speculation is not None
                and rank == config.parallel_config.pipeline_parallel_size - 1
            ):
                drafter = initialize_model(
                    speculation.apply_draft_overrides(config),
                    model_config=speculation.draft_model_config,
                )
            vllm.platforms.current_platform.update_block_size_for_backend(config)
            register_all_kvcache_specs(config)
            self.specs = get_kv_cache_spec(config)
            self.backends = get_current_attn_backends(config)
            self.layouts = [each.name for each in get_supported_kv_cache_layouts(self.backends)]
        self.params = {
            "rank_pp": rank,
            "param_bytes": size_of(model.parameters()),
            "draft_param_bytes": draft_bytes(drafter) if drafter is not None else 0,
        }


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return what vLLM makes of one configuration."""
    GPU.__dict__.update(question["gpu"])
    arguments = {
        "model": question["model"],
        "skip_tokenizer_init": True,
        "load_format": "dummy",
        **question["arguments"],
    }
    stages = [Stage(arguments, rank) for rank in range(arguments.get("pipeline_parallel_size", 1))]
    config = stages[-1].config
    resolve_kv_cache_layout(
        config,
        [stage.layouts for stage in stages],
        [spec for stage in stages for spec in stage.specs.values()],
    )
    with set_current_vllm_config(config):
        found = {
            "resolved": resolved(config, stages[-1].backends),
            "params": [stage.params for stage in stages],
        }
        try:
            return found | pool(config, stages, question["available"], arguments)
        except ValueError as error:
            return found | {"error": f"ValueError: {error}"}


def resolved(config: Any, backends: list[Any]) -> dict[str, Any]:
    """Return what vLLM chose for what was not said."""
    from vllm.model_executor.layers.mamba.gdn.qwen_gdn_linear_attn import (
        _resolve_gdn_prefill_backend,
    )

    cache, scheduler, graphs = (
        config.cache_config,
        config.scheduler_config,
        config.compilation_config,
    )
    return {
        "attn_backends": [backend.get_name() for backend in backends],
        "gdn_prefill_backend": _resolve_gdn_prefill_backend(config)[1],
        "enable_prefix_caching": cache.enable_prefix_caching,
        "mamba_cache_mode": cache.mamba_cache_mode,
        "gpu_memory_utilization": cache.gpu_memory_utilization,
        "max_model_len": config.model_config.max_model_len,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "max_num_seqs": scheduler.max_num_seqs,
        "use_v2_model_runner": config.use_v2_model_runner,
        "cudagraph_mode": graphs.cudagraph_mode.name,
        "cudagraph_capture_max": graphs.max_cudagraph_capture_size,
    }


def pool(
    config: Any, stages: list[Stage], available: Any, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the cache pool that vLLM plans for so many bytes.

    Raises:
        ValueError: vLLM refuses to start with it.
    """
    specs = [stage.specs for stage in stages]
    memory = available if isinstance(available, list) else [available] * len(stages)
    builder = get_kv_cache_config_builder(config)
    groups = planning.get_global_kv_cache_groups(config, specs)
    parts = [planning._project_kv_cache_groups_to_worker(groups, spec) for spec in specs]
    per_block = [
        planning._pool_bytes_per_block_from_builder(builder, config, part) for part in parts
    ]
    longest = config.model_config.max_model_len
    fitting = min(
        planning._estimate_max_model_len_from_groups(builder, config, part, left - size)
        for part, left, size in zip(parts, memory, per_block, strict=True)
    )
    config.model_config.max_model_len = longest
    planned = planning.get_kv_cache_configs(config, specs, memory, groups)
    whole = generate_scheduler_kv_cache_config(planned)
    tokens, concurrency = get_kv_cache_capacity(config, whole)
    if "max_num_seqs" in arguments:
        config.compilation_config.resolve_cudagraph_mode_and_sizes(
            AttentionCGSupport.UNIFORM_BATCH,
            None,
            use_v2_model_runner=config.use_v2_model_runner,
            kv_cache_config=whole,
            max_num_reqs=config.scheduler_config.max_num_seqs,
        )
    return {
        **_pages(specs),
        "groups": [_group(config, each) for each in groups],
        "layers_per_group_by_pp": [[len(each.layer_names) for each in part] for part in parts],
        "bytes_per_block": per_block,
        "blocks_per_request": sum(_group(config, each)["blocks_per_req"] for each in groups),
        "needed_bytes_for_one_request": [
            planning._max_memory_usage_bytes_from_groups(builder, config, part) for part in parts
        ],
        "max_model_len_that_fits": fitting,
        "num_blocks": whole.num_blocks,
        "kv_cache_size_tokens": tokens,
        "max_concurrency": concurrency,
    }


def _pages(specs: list[dict[str, Any]]) -> dict[str, Any]:
    every = [spec for part in specs for spec in part.values()]
    attention = next(spec for spec in every if not isinstance(spec, MambaSpec))
    states = [spec for spec in every if isinstance(spec, MambaSpec)]
    found: dict[str, Any] = {
        "block_size": attention.block_size,
        "attn_page_bytes": attention.page_size_bytes,
        "attn_kv_heads_per_rank": attention.num_kv_heads,
    }
    if not states:
        return found | {"mamba_dtypes": None}
    state = states[0]
    unpadded = sum(
        torch.empty(shape, dtype=dtype, device="meta").nbytes
        for shape, dtype in zip(state.shapes, state.dtypes, strict=True)
    )
    return found | {
        "mamba_block_size": state.block_size,
        "mamba_page_bytes_unpadded": unpadded,
        "mamba_page_bytes": state.page_size_bytes,
        "mamba_shapes": [list(shape) for shape in state.shapes],
        "mamba_dtypes": [str(dtype) for dtype in state.dtypes],
        "num_speculative_blocks": state.num_speculative_blocks,
        "num_prefill_checkpoint_blocks": state.num_prefill_checkpoint_blocks,
    }


def _group(config: Any, each: Any) -> dict[str, Any]:
    spec = each.kv_cache_spec
    return {
        "kind": "MambaSpec" if isinstance(spec, MambaSpec) else "FullAttentionSpec",
        "layers": len(each.layer_names),
        "block_size": spec.block_size,
        "page_bytes": spec.page_size_bytes,
        "blocks_per_req": -(-spec.max_memory_usage_bytes(config) // spec.page_size_bytes),
    }


def main() -> None:
    """Answer one question per line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps({"vllm_version": vllm.__version__, **found}) + "\n")
        answers.flush()
        gc.collect()


if __name__ == "__main__":
    main()
