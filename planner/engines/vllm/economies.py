"""Say what could be changed of a deployment of vLLM to save memory, and what can be solved for."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Deployment
from planner.engines.vllm.engine import VLLM
from planner.engines.vllm.options import DRAFTER, VllmOptions
from planner.engines.vllm.overheads import Step
from planner.engines.vllm.pool import prefix_caching, ssm_dtype
from planner.engines.vllm.releases import batch_defaults, rules_of
from planner.engines.vllm.weights import loads_vision
from planner.units import ceil_div

SMALL_CHUNK = 2048
"""Tokens per step that vLLM itself takes on smaller GPUs (engine/arg_utils.py)."""

HIGH_UTILIZATION = 0.95
"""Above this a CUDA context and the first request's workspaces no longer fit (start-up logs)."""


def economies(deployment: Deployment) -> Iterator[Economy]:
    """Yield changes that save memory, those that are already made left out."""
    options: VllmOptions = deployment.options
    checkpoint, accelerator = deployment.checkpoint, deployment.system.accelerator
    rules = rules_of(options.version)
    defaults = batch_defaults(accelerator, rules)
    if loads_vision(checkpoint.model, options):
        yield Economy(
            title="leave the vision tower out (--language-model-only)",
            loses="no images or videos",
            cost=1,
            options={"language_model_only": True},
            without_pictures=True,
        )
    step = Step.of(options, defaults, deployment.context)
    asked = ceil_div(deployment.concurrency, deployment.layout.data_parallel)
    blocks = _blocks_that_refuse(deployment)
    if blocks is not None and asked < blocks:
        yield Economy(
            title=f"schedule no more sequences than there are cache blocks (--max-num-seqs {blocks})",
            loses="further requests wait",
            cost=1,
            options={"max_num_seqs": blocks},
        )
    elif asked < step.sequences:
        yield Economy(
            title=f"schedule no more sequences than asked for (--max-num-seqs {asked})",
            loses="further requests wait",
            cost=1,
            options={"max_num_seqs": asked},
        )
    if step.tokens > SMALL_CHUNK:
        yield Economy(
            title=f"smaller prefill chunks (--max-num-batched-tokens {SMALL_CHUNK})",
            loses="prompts are computed in more steps",
            cost=2,
            options={"max_num_batched_tokens": SMALL_CHUNK},
        )
    if options.num_speculative_tokens:
        drafter = "the MTP module" if options.drafts_by_itself else "a separate drafter"
        yield Economy(
            title=f"do not draft with {drafter}",
            loses="slower decoding",
            cost=2,
            options={"num_speculative_tokens": 0, "speculative_method": "mtp"}
            | dict.fromkeys(DRAFTER),
        )
    if deployment.checkpoint.model.linear is not None and prefix_caching(options, rules):
        yield Economy(
            title="no prefix caching (--no-enable-prefix-caching)",
            loses="prompts that begin alike are computed again",
            cost=2,
            options={"enable_prefix_caching": False},
        )
    share = options.gpu_memory_utilization
    if (
        options.kv_cache_memory_bytes is None
        and not accelerator.is_unified
        and (share if share is not None else rules.gpu_memory_utilization) < HIGH_UTILIZATION
    ):
        yield Economy(
            title=f"let vLLM use more of the GPU (--gpu-memory-utilization {HIGH_UTILIZATION:g})",
            loses="less room for other programs and for peaks",
            cost=2,
            options={"gpu_memory_utilization": HIGH_UTILIZATION},
        )
    if deployment.kv_cache_dtype in ("auto", "bfloat16", "float16"):
        yield Economy(
            title="FP8 KV cache (--kv-cache-dtype fp8)",
            loses="a little accuracy on long contexts",
            cost=3,
            kv_cache_dtype="fp8",
        )
    if checkpoint.model.linear is not None and ssm_dtype(deployment) == "float32":
        yield Economy(
            title="16-bit recurrent state (--mamba-ssm-cache-dtype bfloat16)",
            loses="a little accuracy: the model asks for 32-bit state",
            cost=3,
            options={"mamba_ssm_cache_dtype": "bfloat16"},
        )
    if not options.enforce_eager:
        yield Economy(
            title="no CUDA graphs (--enforce-eager)",
            loses="much slower decoding of few sequences",
            cost=3,
            options={"enforce_eager": True},
        )


def _blocks_that_refuse(deployment: Deployment) -> int | None:
    """Return the cache blocks of a start that fails for their number alone; None of any other."""
    if VLLM.refusals(deployment):
        return None
    answer = VLLM.allocate(deployment)
    alone = answer.budget.refuses_sequences(answer.pool)
    alone = alone and not answer.pool.shortfall(deployment.context)
    return answer.pool.num_blocks if alone else None


def knobs(deployment: Deployment) -> Iterator[Knob]:
    """Yield what can be solved for: the utilization, and the weights kept on the host."""
    if deployment.options.kv_cache_memory_bytes is None:
        yield Knob(
            question="smallest utilization",
            option="gpu_memory_utilization",
            values=tuple(percent / 100 for percent in range(1, 100)),
        )
    if not deployment.system.accelerator.is_unified:
        most = ceil_div(deployment.checkpoint.nbytes("text"), 2**30)
        yield Knob(
            question="least weights on the host",
            option="cpu_offload_gb",
            values=tuple(float(size) for size in range(most + 1)),
            unit="GiB per GPU"
            if deployment.system.host_memory is not None
            else "GiB of RAM per GPU; how much the machine has was not said, --ram",
        )
