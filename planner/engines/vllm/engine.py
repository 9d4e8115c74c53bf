"""The policy of vLLM: refusals, allocation, command, log, and what could be changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any

from hardware_db import Accelerator
from planner.bisection import last_holding
from planner.engines.engine import Deployment, Engine, Launch, Refusal, but_machine
from planner.engines.kinds import kind_refusals
from planner.engines.vllm import launch as launching
from planner.engines.vllm.answer import VllmAnswer, answer_of
from planner.engines.vllm.budget import Budget, budget_of, device_of, taken_by, usable_bytes
from planner.engines.vllm.formats import TAKEN
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.overheads import Step
from planner.engines.vllm.pool import empty_pool
from planner.engines.vllm.refusals import of_layout, of_machine, refusals
from planner.engines.vllm.releases import Rules, batch_defaults, rules_of
from planner.engines.vllm.weights import stage_weights
from planner.layout import Degrees, Layout
from planner.memo import Key, remembered
from planner.units import ceil_div

if TYPE_CHECKING:
    from planner.engines.columns import Columns
    from planner.engines.economies import Economy, Knob


class Vllm(Engine[VllmOptions, VllmAnswer]):
    """The policy of vLLM; the release is an option."""

    name = "vllm"
    title = "vLLM"
    options_type = VllmOptions
    degrees = Degrees(tensor=True, pipeline=True, data=True, expert=True)
    cache_dtypes = TAKEN

    def version(self, options: VllmOptions) -> str:
        """Return the release whose rules are used."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why vLLM cannot run it; see `refusals`."""
        return () if self.takes(deployment) else _refusals(deployment)

    def takes(self, deployment: Deployment) -> bool:
        """Say whether vLLM runs it."""
        return not _is_refused(deployment)

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

    def may_hold_in(self, deployment: Deployment, layouts: tuple[Layout, ...]) -> Iterator[Layout]:
        """Yield the layouts whose pool would do if only one sequence were scheduled: more leave less."""
        if deployment.options.kv_cache_memory_bytes is not None:
            yield from layouts
            return
        usable = usable_bytes(deployment, rules_of(deployment.options.version))
        known = _least_in(deployment)
        for layout in layouts:
            least = known.get(layout)
            if least is None:
                asked = deployment.in_layout(layout)
                known[layout] = least = inf if _is_refused(asked) else _least_usable(asked)
            if least <= usable:
                yield layout

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
        from planner.engines.vllm.economies import economies

        return tuple(economies(deployment))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Return what can be solved for: the utilization, and the weights kept on the host."""
        from planner.engines.vllm.economies import knobs

        return tuple(knobs(deployment))


VLLM = Vllm()


def _family_of(accelerator: Accelerator) -> tuple[Hashable, ...]:
    return accelerator.vendor, accelerator.compute_capability, accelerator.gfx


def _in_any_layout(deployment: Deployment) -> Key:
    """Return what decides whether a machine is refused: of the device its family, not its name.

    Of the layout whether it has stages and shares tokens.
    """
    layout, family = deployment.layout, _family_of(deployment.system.accelerator)
    shape = layout.pipeline_parallel > 1, layout.context_parallel > 1
    held = deployment.checkpoint, deployment.options
    return held, (family, deployment.kv_cache_dtype, shape)


def _is_refused(deployment: Deployment) -> bool:
    return _refuses_machine(deployment) or bool(of_layout(deployment))


@remembered(_in_any_layout)
def _refuses_machine(deployment: Deployment) -> bool:
    return any(True for _ in chain(kind_refusals(VLLM, deployment), of_machine(deployment)))


@remembered(but_machine)
def _refusals(deployment: Deployment) -> tuple[Refusal, ...]:
    """Return why vLLM cannot run it; nothing of that depends on the workload."""
    return kind_refusals(VLLM, deployment) or tuple(refusals(deployment))


def _but_size(accelerator: Accelerator, rules: Rules) -> Key:
    return (accelerator, rules), None


@remembered(_but_size)
def _kind_of(accelerator: Accelerator, rules: Rules) -> tuple[Hashable, ...]:
    """Return all that vLLM looks at in a device beside its size and its name."""
    defaults = batch_defaults(accelerator, rules)
    batch = defaults.max_num_batched_tokens, defaults.max_num_seqs
    return device_of(accelerator), batch, _family_of(accelerator)


def _of_kind(
    deployment: Deployment,
) -> tuple[tuple[object, ...], tuple[Hashable, tuple[Hashable, ...], Hashable]]:
    """Return what decides how much memory is needed, in whichever layout."""
    kind = _kind_of(deployment.system.accelerator, rules_of(deployment.options.version))
    workload = deployment.kv_cache_dtype, deployment.context, deployment.concurrency
    return (deployment.checkpoint, deployment.options), (workload, kind, deployment.lesson)


@remembered(_of_kind)
def _least_in(deployment: Deployment) -> dict[Layout, float]:
    """Return `_least_usable` of the layouts that were asked so far; infinity: it is refused."""
    return {}


def _of_layout(deployment: Deployment) -> Key:
    """Return the same in one layout, whatever is refused on the device: of its family nothing."""
    held, (workload, (device, defaults, _), lesson) = _of_kind(deployment)
    return held, (deployment.layout, workload, device, defaults, lesson)


@remembered(_of_layout)
def _least_usable(deployment: Deployment) -> int:
    """Return the bytes of a GPU without which vLLM does not hold the workload in any setting.

    max over stages of weights + overheads of one sequence + blocks of the workload
    """
    rules = rules_of(deployment.options.version)
    defaults = batch_defaults(deployment.system.accelerator, rules)
    step = Step.of(deployment.options, defaults, deployment.context)
    step = Step(tokens=step.tokens, sequences=1)
    spent = taken_by(deployment, rules, step, stage_weights(deployment))
    pool = empty_pool(deployment, rules, step.tokens)
    asked = ceil_div(deployment.concurrency, deployment.layout.data_parallel)
    blocks = asked * pool.blocks_per_request(deployment.context) + 1
    pairs = zip(spent.nbytes, pool.bytes_per_block, strict=True)
    return max(taken + blocks * size for taken, size in pairs)


def _start_by_itself(default: Budget) -> VllmAnswer:
    """Return the default max_num_seqs if the engine starts with it, else the largest that does.

    The pool is estimated, so the value should hold at the far end of the band, too; where none
    does, it holds by the estimate itself. It is a power of two, or what is asked for; where that
    would keep sequences waiting that the cache has room for, the very largest.
    """
    deployment, most = default.deployment, default.step.sequences
    starts = _starting(default)
    if starts is None:
        return answer_of(default)  # the memory itself is short, or the default does
    asked = min(ceil_div(deployment.concurrency, deployment.layout.data_parallel), most)
    # So many hold at the default's step, which leaves the fewest blocks: the search begins there.
    chosen = 1 << max(0, min(default.worst.num_blocks, most - 1).bit_length() - 1)
    while 2 * chosen < most and starts(2 * chosen):
        chosen *= 2
    if chosen < asked < most and starts(asked):
        chosen = asked
    if chosen < asked and chosen < with_sequences(default, chosen).pool.sequences(
        deployment.context
    ):
        chosen = last_holding(starts, chosen, most - 1) or chosen
    note = (
        f"at its default max_num_seqs of {most} vLLM would refuse to start (about"
        f" {default.pool.num_blocks:,} cache blocks): the command carries"
        f" --max-num-seqs {chosen}"
    )
    return answer_of(with_sequences(default, chosen), notes=(note,))


def with_sequences(default: Budget, sequences: int) -> Budget:
    """Return the budget with another max_num_seqs."""
    step = Step(tokens=default.step.tokens, sequences=sequences)
    return replace(default, step=step, spent=default.spent_with(sequences))


def largest_that_starts(default: Budget) -> int | None:
    """Return the largest max_num_seqs with which it starts; None where the default is to be kept."""
    starts = _starting(default)
    if starts is None:
        return None
    guess = default.worst.num_blocks
    return last_holding(starts, 1, default.step.sequences - 1, guess=guess)


def _starting(default: Budget) -> Callable[[int], bool] | None:
    """Return what tells whether it starts with so many sequences; None: the default is to be kept.

    More sequences never leave more blocks, so what is told of them can be bisected.
    """
    most = default.step.sequences
    if default.deployment.options.enforce_eager or most <= default.worst.num_blocks:
        return None

    def at_worst(sequences: int) -> bool:
        return sequences <= default.blocks_with(sequences, at_worst=True)

    def as_estimated(sequences: int) -> bool:
        return sequences <= default.blocks_with(sequences, at_worst=False)

    if default.worst.num_blocks or at_worst(1):
        return at_worst
    if most <= default.pool.num_blocks:
        return None
    return as_estimated if as_estimated(1) else None
