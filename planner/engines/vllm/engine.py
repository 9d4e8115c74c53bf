"""vLLM as an engine: refusals, allocation, command, log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Allocation, Capacity, Deployment, Engine, Launch, Refusal
from planner.engines.vllm import economies as saving
from planner.engines.vllm import launch as launching
from planner.engines.vllm.budget import (
    Budget,
    StageWeights,
    budget_of,
    stage_weights,
    utilization_of,
)
from planner.engines.vllm.cache_dtypes import cache_warnings
from planner.engines.vllm.defaults import batch_defaults
from planner.engines.vllm.drafters import drafter_of
from planner.engines.vllm.kernels import kernel_warnings
from planner.engines.vllm.legality import refusals
from planner.engines.vllm.loading import load_rules
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.overheads import FIRST_BOOT, Step
from planner.engines.vllm.pool import cache_terms, pool_details
from planner.engines.vllm.rules import Rules, is_newer_than_read, rules_of
from planner.layout import Degrees, Layout
from planner.memory.breakdown import Rank
from planner.units import ceil_div, format_tokens


class Vllm(Engine[VllmOptions, Allocation]):
    """The policy of vLLM; the release is an option."""

    name = "vllm"
    title = "vLLM"
    options_type = VllmOptions
    degrees = Degrees(tensor=True, pipeline=True, data=True, expert=True)

    def version(self, options: VllmOptions) -> str:
        """The release whose rules are used."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Why vLLM cannot run it; see `legality`."""
        rules = load_rules(deployment.checkpoint, deployment.layout)
        return tuple(refusals(deployment, rules))

    def allocate(self, deployment: Deployment) -> Allocation:
        """Budget, pool and capacity.

            usable    = ceil(total x gpu_memory_utilization)
            available = usable - weights - runtime - activation peak - CUDA graphs
            blocks    = min over stages of available // bytes per block

        Source: vLLM 0.33.0 v1/worker/gpu_worker.py (determine_available_memory).
        """
        options: VllmOptions = deployment.options
        rules = rules_of(options.version)
        step = Step.of(options, batch_defaults(deployment.system.accelerator, rules))
        weights = stage_weights(deployment)
        budget = budget_of(deployment, rules, step, weights)
        if options.max_num_seqs is not None or rules.seqs_check != "refuses":
            return _answer(budget, weights)
        return _start_by_itself(budget, weights)

    def launch(self, deployment: Deployment, allocation: Allocation) -> Launch:
        """`vllm serve` with exactly the flags that the plan assumed."""
        return launching.launch(deployment, allocation)

    def expected_log(self, deployment: Deployment, allocation: Allocation) -> tuple[str, ...]:
        """The lines on memory that it would print."""
        return launching.expected_log(deployment, allocation)

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Changes that save memory."""
        return tuple(saving.economies(deployment))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Settings that can be solved for."""
        return tuple(saving.knobs(deployment))


VLLM = Vllm()


def _start_by_itself(default: Budget, weights: tuple[StageWeights, ...]) -> Allocation:
    """The default max_num_seqs if the engine starts with it, else the largest that does.

    The pool is estimated, so the value must hold at the far end of the band, too. It is a power of
    two, or what is asked for; where that would keep sequences waiting that the cache has room for,
    the very largest.
    """
    deployment, most = default.deployment, default.step.sequences
    if deployment.options.enforce_eager or most <= default.worst.num_blocks:
        return _answer(default, weights)
    asked = min(ceil_div(deployment.concurrency, deployment.layout.data_parallel), most)
    powers = {2**power for power in range(10, -1, -1) if 2**power < most}

    def tried(sequences: int) -> Budget:
        step = replace(default.step, sequences=sequences)
        return budget_of(deployment, default.rules, step, weights)

    above = most
    for sequences in sorted(powers | {asked}, reverse=True):
        budget = tried(sequences)
        if sequences > budget.worst.num_blocks:
            above = sequences
        else:
            if sequences < min(asked, budget.pool.sequences(deployment.context)):
                sequences, budget = _largest(tried, sequences, above)
            note = (
                f"at its default max_num_seqs of {most} vLLM would refuse to start (about"
                f" {default.pool.num_blocks:,} cache blocks): the command carries"
                f" --max-num-seqs {sequences}"
            )
            answer = _answer(budget, weights)
            return replace(answer, warnings=(note, *answer.warnings))
    return _answer(default, weights)  # no number of sequences helps: the memory itself is short


def _largest(tried: Callable[[int], Budget], least: int, above: int) -> tuple[int, Budget]:
    """The largest number of sequences from `least` to below `above` that starts at the far end."""
    best = tried(least)
    while above - least > 1:
        middle = (least + above) // 2
        budget = tried(middle)
        if middle <= budget.worst.num_blocks:
            least, best = middle, budget
        else:
            above = middle
    return least, best


def _answer(budget: Budget, weights: tuple[StageWeights, ...]) -> Allocation:
    """The allocation that a budget comes to."""
    deployment, rules, pool = budget.deployment, budget.rules, budget.pool
    layout, context = deployment.layout, deployment.context
    utilization, notes = utilization_of(deployment, rules)
    resident = pool.sequences(context)
    return Allocation(
        ranks=tuple(sorted(_ranks(budget), key=lambda rank: rank.headroom)),
        capacity=Capacity(
            sequences=min(resident, budget.step.sequences) * layout.data_parallel
            if budget.starts
            else 0,
            tokens=int(pool.max_concurrency(context) * context) * layout.data_parallel,
            longest_context=budget.longest_context,
            limited_by="max_num_seqs" if resident > budget.step.sequences else "cache blocks",
            blocks=pool.num_blocks,
            block_size=pool.page.block_size,
        ),
        starts=budget.starts,
        shortfall=budget.shortfall,
        refusal=budget.refusal,
        kv_cache_dtype=launching.kv_dtype(deployment),
        resolved=launching.resolve(deployment, rules, budget.step, utilization),
        details=pool_details(deployment, pool, rules)
        | {
            "num_blocks_at_worst": budget.worst.num_blocks,
            "params": [_parameters(stage) for stage in weights],
            "available_bytes": list(budget.available),
        },
        warnings=(*notes, *_warnings(deployment, rules)),
        first_boot=FIRST_BOOT,
        at_worst=budget.at_worst,
    )


def _ranks(budget: Budget) -> Iterator[Rank]:
    """One rank per stage, with the cache that the asked workload needs."""
    deployment, layout = budget.deployment, budget.deployment.layout
    asked = ceil_div(deployment.concurrency, layout.data_parallel)
    pairs = zip(budget.terms, budget.pool.bytes_per_block, strict=True)
    for index, (terms, size) in enumerate(pairs):
        yield Rank(
            name=_stage_name(index, layout),
            count=layout.tensor_parallel * layout.data_parallel,
            total=budget.total,
            usable=budget.cap,
            terms=(*terms, *cache_terms(deployment, budget.pool, size, asked)),
        )


def _parameters(stage: StageWeights) -> dict[str, Any]:
    return {
        "rank_pp": stage.index,
        "param_bytes": stage.loaded.parameters,
        "draft_param_bytes": stage.loaded.draft,
        "buffer_bytes": stage.loaded.buffers,
        "components": dict(stage.loaded.components),
    }


def _stage_name(index: int, layout: Layout) -> str:
    if layout.pipeline_parallel > 1:
        return f"stage {index + 1} of {layout.pipeline_parallel}"
    return "each GPU" if layout.accelerators > 1 else "GPU 0"


def _warnings(deployment: Deployment, rules: Rules) -> tuple[str, ...]:
    drafter = drafter_of(deployment)
    notes = [f"drafter: {drafter.assumed}"] if drafter is not None and drafter.assumed else []
    notes += [*kernel_warnings(deployment.checkpoint, deployment.system.accelerator)]
    notes += [*cache_warnings(deployment)]
    if is_newer_than_read(rules.version):
        notes.append(
            f"vLLM {rules.version} is newer than the newest release read: its rules are assumed"
        )
    native = deployment.checkpoint.model.max_position_embeddings
    if deployment.context > native:
        notes.append(
            f"beyond {format_tokens(native)} tokens vLLM needs the YaRN override that the command"
            " carries; its scaling is static and may cost quality on short texts"
        )
    if not rules.subtracts_cuda_graphs and not deployment.options.enforce_eager:
        notes.append(
            f"vLLM {rules.version} does not take CUDA graphs off its budget: leave about 1 GiB"
            " outside --gpu-memory-utilization"
        )
    return tuple(notes)
