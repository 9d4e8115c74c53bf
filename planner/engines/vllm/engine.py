"""The policy of vLLM: refusals, allocation, command, log, and what could be changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.bisection import last_holding
from planner.engines.economies import Economy, Knob
from planner.engines.engine import Columns, Deployment, Engine, Launch, Refusal, but_machine
from planner.engines.kinds import kind_refusals
from planner.engines.vllm import launch as launching
from planner.engines.vllm.answer import VllmAnswer, answer_of
from planner.engines.vllm.budget import Budget, budget_of
from planner.engines.vllm.options import DRAFTER, VllmOptions
from planner.engines.vllm.overheads import Step
from planner.engines.vllm.pool import prefix_caching, ssm_dtype
from planner.engines.vllm.refusals import refusals
from planner.engines.vllm.releases import batch_defaults, rules_of
from planner.engines.vllm.weights import loads_vision, stage_weights
from planner.layout import Degrees
from planner.memo import remembered
from planner.units import ceil_div

SMALL_CHUNK = 2048
"""Tokens per step that vLLM itself takes on smaller GPUs (engine/arg_utils.py)."""

HIGH_UTILIZATION = 0.95
"""Above this a CUDA context and the first request's workspaces no longer fit (start-up logs)."""


class Vllm(Engine[VllmOptions, VllmAnswer]):
    """The policy of vLLM; the release is an option."""

    name = "vllm"
    title = "vLLM"
    options_type = VllmOptions
    degrees = Degrees(tensor=True, pipeline=True, data=True, expert=True)

    def version(self, options: VllmOptions) -> str:
        """Return the release whose rules are used."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why vLLM cannot run it; see `refusals`."""
        return _refusals(deployment)

    def allocate(self, deployment: Deployment) -> VllmAnswer:
        """Return budget, pool and capacity.

            usable    = ceil(total x gpu_memory_utilization)
            available = usable - weights - runtime - activation peak - CUDA graphs
            blocks    = min over stages of available // bytes per block

        Source: vLLM 0.33.0 v1/worker/gpu_worker.py (determine_available_memory).
        """
        options: VllmOptions = deployment.options
        rules = rules_of(options.version)
        defaults = batch_defaults(deployment.system.accelerator, rules)
        step = Step.of(options, defaults, deployment.context)
        budget = budget_of(deployment, rules, step, stage_weights(deployment))
        settled = options.max_num_seqs is not None or options.keep_default_seqs
        if settled or rules.seqs_check != "refuses":
            return answer_of(budget)
        return _start_by_itself(budget)

    def launch(self, deployment: Deployment, answer: VllmAnswer) -> Launch:
        """Return `vllm serve` with exactly the flags that the plan assumed."""
        return launching.launch(deployment, answer)

    def expected_log(self, deployment: Deployment, answer: VllmAnswer) -> tuple[str, ...]:
        """Return the lines on memory that it would print."""
        return launching.expected_log(deployment, answer)

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts between one step and the native length."""
        from planner.engines.vllm import columns

        return columns.contexts_alike(deployment)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once; see `columns_of`."""
        from planner.engines.vllm import columns

        return columns.columns_of(deployment, contexts, concurrencies)

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Return changes that save memory, those that are already made left out."""
        return tuple(_economies(deployment))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Return what can be solved for: the utilization, and the weights kept on the host."""
        return tuple(_knobs(deployment))


VLLM = Vllm()


@remembered(but_machine)
def _refusals(deployment: Deployment) -> tuple[Refusal, ...]:
    """Return why vLLM cannot run it; nothing of that depends on the workload."""
    return kind_refusals(VLLM, deployment) or tuple(refusals(deployment))


def _start_by_itself(default: Budget) -> VllmAnswer:
    """Return the default max_num_seqs if the engine starts with it, else the largest that does.

    The pool is estimated, so the value should hold at the far end of the band, too; where none
    does, it holds by the estimate itself. It is a power of two, or what is asked for; where that
    would keep sequences waiting that the cache has room for, the very largest. More sequences never
    leave more blocks, so the largest can be bisected.
    """
    deployment, most = default.deployment, default.step.sequences
    largest = largest_that_starts(default)
    if largest is None:
        return answer_of(default)  # the memory itself is short, or the default does
    asked = min(ceil_div(deployment.concurrency, deployment.layout.data_parallel), most)
    chosen = 1 << (largest.bit_length() - 1)
    if chosen < asked <= largest:
        chosen = asked
    if chosen < min(asked, with_sequences(default, chosen).pool.sequences(deployment.context)):
        chosen = largest
    note = (
        f"at its default max_num_seqs of {most} vLLM would refuse to start (about"
        f" {default.pool.num_blocks:,} cache blocks): the command carries"
        f" --max-num-seqs {chosen}"
    )
    answer = answer_of(with_sequences(default, chosen))
    return replace(answer, notes=(note, *answer.notes))


def with_sequences(default: Budget, sequences: int) -> Budget:
    """Return the budget with another max_num_seqs."""
    step = replace(default.step, sequences=sequences)
    return budget_of(default.deployment, default.rules, step, default.stages)


def largest_that_starts(default: Budget) -> int | None:
    """Return the largest max_num_seqs with which it starts; None where the default is to be kept."""
    most = default.step.sequences
    if default.deployment.options.enforce_eager or most <= default.worst.num_blocks:
        return None

    def tried(sequences: int) -> Budget:
        return with_sequences(default, sequences)

    # So many hold at the default's step, which leaves the fewest blocks: the search begins there.
    largest = last_holding(
        lambda n: n <= tried(n).worst.num_blocks, 1, most - 1, guess=default.worst.num_blocks
    )
    if not largest:
        largest = last_holding(
            lambda n: n <= tried(n).pool.num_blocks, 1, most, guess=default.pool.num_blocks
        )
    return None if largest == most else largest


def _economies(deployment: Deployment) -> Iterator[Economy]:
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
        )
    step = Step.of(options, defaults, deployment.context)
    asked = ceil_div(deployment.concurrency, deployment.layout.data_parallel)
    if asked < step.sequences:
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


def _knobs(deployment: Deployment) -> Iterator[Knob]:
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
            unit="GiB per GPU",
        )
