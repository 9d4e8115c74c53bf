"""Work out what weights and overheads leave of a GPU, and whether vLLM starts on that."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import cached_property
from operator import add

from hardware_db import Accelerator
from hardware_db.records import frozen, frozen_with_cache
from planner.columns import larger
from planner.engines.engine import Deployment
from planner.engines.vllm.cache import Pool
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.overheads import SWITCHED, Step, overhead_terms
from planner.engines.vllm.pool import build_pool
from planner.engines.vllm.releases import Rules, batch_defaults, capability, kernels_of
from planner.engines.vllm.weights import StageWeights, loads_as
from planner.memo import Key, remembered
from planner.memory.breakdown import Term
from planner.units import GIB, format_gib, plain_number

FREE_AT_START = int(0.4 * GIB)
"""CUDA context and driver take about this much before vLLM measures free memory (start-up logs)."""


def utilization_of(deployment: Deployment, rules: Rules) -> tuple[float, tuple[str, ...]]:
    """Return the share of the GPU to use, and a word where it is not the engine's default or not safe."""
    given = deployment.options.gpu_memory_utilization
    unified = deployment.system.accelerator.unified
    safe = unified.safe_utilization if unified is not None else None
    if given is not None:
        if safe is None or given <= safe.value:
            return float(given), ()
        return float(given), (
            f"--gpu-memory-utilization {given:g} is more than is known to start on such machines:"
            f" {safe.value:g} ({safe.source})",
        )
    if safe is not None and safe.value < rules.gpu_memory_utilization:
        note = (
            f"memory is shared with the system: the plan uses --gpu-memory-utilization"
            f" {safe.value:g} instead of vLLM's default {rules.gpu_memory_utilization:g}"
        )
        return float(safe.value), (note,)
    return rules.gpu_memory_utilization, ()


@frozen
class Taken:
    """What weights and overheads take of a rank, whatever memory it has.

    Attributes:
        terms: stage -> weights and overheads.
        nbytes: stage -> their bytes.
        above: stage -> bytes more that they may take at the far end of their bands.
    """

    terms: tuple[tuple[Term, ...], ...]
    nbytes: tuple[int, ...]
    above: tuple[int, ...]


@frozen_with_cache
class Budget:
    """One rank's memory per stage, and the pool that is left.

    Attributes:
        deployment: the question.
        rules: the release's rules.
        step: tokens and sequences of one step.
        stages: the weights of each stage.
        utilization: share of the GPU that vLLM may use.
        total: bytes that CUDA reports.
        usable: bytes that the utilization allows.
        spent: weights and overheads.
    """

    deployment: Deployment
    rules: Rules
    step: Step
    stages: tuple[StageWeights, ...]
    utilization: float
    total: int
    usable: int
    spent: Taken

    @property
    def _options(self) -> VllmOptions:
        options: VllmOptions = self.deployment.options
        return options

    @property
    def default_sequences(self) -> int:
        """The max_num_seqs that vLLM takes by itself, with the tokens of this step."""
        defaults = batch_defaults(self.deployment.system.accelerator, self.rules)
        return min(defaults.max_num_seqs, self.step.tokens)

    @property
    def cap(self) -> int:
        """The line that the engine plans against: all, where the pool's size is fixed."""
        return self.usable if self._options.kv_cache_memory_bytes is None else self.total

    @property
    def terms(self) -> tuple[tuple[Term, ...], ...]:
        """Stage -> weights and overheads."""
        return self.spent.terms

    @property
    def taken(self) -> tuple[int, ...]:
        """Stage -> bytes of weights and overheads."""
        return self.spent.nbytes

    @cached_property
    def available(self) -> tuple[int, ...]:
        """Stage -> bytes for the pool."""
        return self._left_by(self.spent)

    def _left_by(self, spent: Taken, *, at_worst: bool = False) -> tuple[int, ...]:
        """Return per stage the bytes for the pool where so much is taken."""
        fixed = self._options.kv_cache_memory_bytes
        if fixed is not None:
            return (fixed,) * len(spent.nbytes)
        taken = map(add, spent.nbytes, spent.above) if at_worst else spent.nbytes
        return tuple([self.usable - nbytes for nbytes in taken])

    def blocks_with(self, sequences: int, *, at_worst: bool) -> int:
        """Return the blocks of the pool with another max_num_seqs."""
        spent = self.spent_with(sequences)
        return self.pool.blocks_in(self._left_by(spent, at_worst=at_worst))

    def spent_with(self, sequences: int) -> Taken:
        """Return weights and overheads with another max_num_seqs."""
        step = Step(tokens=self.step.tokens, sequences=sequences)
        return taken_by(self.deployment, self.rules, step, self.stages)

    @cached_property
    def pool(self) -> Pool:
        """The pool that the estimates leave."""
        return self._pool_of(self.available)

    @cached_property
    def worst(self) -> Pool:
        """The pool at the far end of the estimates' bands."""
        return self._pool_of(self._left_by(self.spent, at_worst=True))

    def _pool_of(self, available: tuple[int, ...]) -> Pool:
        return build_pool(self.deployment, self.rules, available, step_tokens=self.step.tokens)

    @property
    def over(self) -> int:
        """Bytes by which weights, overheads and a fixed pool exceed the GPU; zero if they do not."""
        fixed = self._options.kv_cache_memory_bytes
        return 0 if fixed is None else max(0, max(self.taken) + fixed - self.total)

    @property
    def whole_gpu(self) -> bool:
        """More is asked for than the CUDA context leaves free."""
        return self._options.kv_cache_memory_bytes is None and self.usable >= self.total

    def refuses_sequences(self, pool: Pool) -> bool:
        """Say whether max_num_seqs exceeds the blocks, which full CUDA graphs do not allow."""
        return (
            self.rules.seqs_check == "refuses"
            and not self._options.enforce_eager
            and pool.state_groups > 0
            and self.step.sequences > pool.num_blocks
        )

    @cached_property
    def shortfall(self) -> int:
        """Bytes missing to start and serve one request of the asked length."""
        return self.shortfall_of(self.deployment.context)

    def shortfall_of(self, context: int) -> int:
        """Return the bytes missing to start and serve one request; `context` may be a column."""
        missing = self.pool.shortfall(context)
        if self.rules.start_check == "first group":
            missing = context * 0 if self.pool.num_blocks > 0 else larger(missing, 1)
        short: int = larger(missing, self.over)
        return short

    @cached_property
    def starts(self) -> bool:
        """The engine starts and can serve one request of the asked length."""
        return not self.shortfall and self.may_start

    @property
    def may_start(self) -> bool:
        """Nothing but the length of a request can keep the engine from starting."""
        return not (self.whole_gpu or self.refuses_sequences(self.pool))

    @property
    def refusal(self) -> str | None:
        """What the engine raises where it does not start."""
        if self.starts:
            return None
        return self._whole_gpu_error() if self.whole_gpu else self._start_error()

    def _whole_gpu_error(self) -> str:
        """Return what vLLM raises where more is asked for than is free (v1/worker/utils.py)."""
        free, total = (self.total - FREE_AT_START) / GIB, self.total / GIB
        return (
            f"Free memory on device cuda:0 ({free:.2f}/{total:.2f} GiB) on startup is less than"
            f" desired GPU memory utilization ({plain_number(self.utilization)},"
            f" {self.usable / GIB:.2f} GiB). Decrease GPU memory utilization or reduce GPU memory"
            " used by other processes."
        )

    def _start_error(self) -> str:
        """Return what vLLM raises when the memory is too small, in the release's words."""
        length, pool = self.deployment.context, self.pool
        short = pool.shortfall(length)
        if short and min(pool.available) <= 0:
            return self.rules.no_memory_error
        if short:
            pairs = zip(pool.available, pool.bytes_per_block, strict=True)
            available, size = min(pairs, key=lambda pair: pair[0] - pair[1])
            fits = pool.longest_context()
            estimate = "Based on the available memory, the estimated maximum model length is "
            return self.rules.short_memory_error.format(
                length=length,
                need=round(pool.blocks_per_request(length) * size / GIB, 2),
                have=round((available - (size if pool.null_block else 0)) / GIB, 2),
                estimate=f"{estimate}{fits}. " if fits else "",
            )
        if self.refuses_sequences(pool):
            return (
                f"max_num_seqs ({self.step.sequences}) exceeds available Mamba cache blocks"
                f" ({pool.num_blocks}). Each decode sequence requires one Mamba cache block, so"
                " CUDA graph capture cannot proceed. Please lower max_num_seqs to at most"
                f" {pool.num_blocks} or increase gpu_memory_utilization."
            )
        return "the fixed KV cache memory and the weights exceed the GPU's memory"

    @property
    def longest_context(self) -> int:
        """Tokens of the longest single request; zero if the engine would not start at any length."""
        if self.over or self.whole_gpu or self.refuses_sequences(self.pool):
            return 0
        native = self.deployment.checkpoint.model.max_position_embeddings
        limit = max(native, self.deployment.context) if self.deployment.yarn else native
        return min(self.pool.longest_context(served=True), limit)

    @property
    def at_worst(self) -> str:
        """What goes wrong at the far end of the bands beside the ranks' headroom, as a clause."""
        fixed = self._options.kv_cache_memory_bytes
        if fixed is None and self.usable > self.total - FREE_AT_START:
            return (
                f"only {format_gib(self.total - self.usable)} stay outside the budget, and the"
                f" CUDA context takes about {format_gib(FREE_AT_START)}: vLLM may refuse to start"
            )
        accelerator = self.deployment.system.accelerator
        if fixed is None and accelerator.is_unified and self.usable > accelerator.usable_bytes:
            return (
                f"vLLM starts only where {format_gib(self.usable)} are free, and the system leaves"
                f" about {format_gib(accelerator.usable_bytes)}: a lower --gpu-memory-utilization"
                " starts"
            )
        if self.refuses_sequences(self.worst):
            return (
                f"at the far end of the estimates' band there are {self.worst.num_blocks:,} cache"
                f" blocks, and vLLM refuses to start with --max-num-seqs {self.step.sequences}"
            )
        return ""


def _total_bytes(deployment: Deployment) -> int:
    """Return the bytes that CUDA reports."""
    return deployment.system.accelerator.total_bytes_on(
        "wddm" if deployment.options.wsl2 else "linux"
    )


def usable_bytes(deployment: Deployment, rules: Rules) -> int:
    """Return the bytes of one GPU that vLLM may use: ceil(total x utilization)."""
    utilization, _ = utilization_of(deployment, rules)
    return _share(_total_bytes(deployment), utilization)


def _share(total: int, utilization: float) -> int:
    return int(-(-total * utilization // 1))


@remembered(lambda accelerator: ((accelerator,), None))
def device_of(accelerator: Accelerator) -> tuple[Hashable, ...]:
    """Return what memory depends on beside its size: one value per kind of device."""
    switched = (accelerator.nvlink_domain or 0) > SWITCHED
    shared = accelerator.is_unified, accelerator.is_unified and bool(capability(accelerator))
    return *shared, switched, kernels_of(accelerator), loads_as(accelerator)


def budget_of(
    deployment: Deployment, rules: Rules, step: Step, stages: tuple[StageWeights, ...]
) -> Budget:
    """Return the budget of `deployment` for one setting of the step."""
    utilization, _ = utilization_of(deployment, rules)
    total = _total_bytes(deployment)
    return Budget(
        deployment=deployment,
        rules=rules,
        step=step,
        stages=stages,
        utilization=utilization,
        total=total,
        usable=_share(total, utilization),
        spent=taken_by(deployment, rules, step, stages),
    )


def _of_rank(deployment: Deployment, rules: Rules, step: Step) -> Key:
    cut = deployment.layout.tensor_parallel, deployment.layout.expert_parallel
    device = device_of(deployment.system.accelerator)
    said = (cut, device, step.tokens, step.sequences, deployment.lesson)
    return (deployment.checkpoint, deployment.options, rules), said


def _of_stages(
    deployment: Deployment, rules: Rules, step: Step, stages: tuple[StageWeights, ...]
) -> Key:
    held, said = _of_rank(deployment, rules, step)
    return (*held, stages), said


@remembered(_of_stages, most=4096)
def taken_by(
    deployment: Deployment, rules: Rules, step: Step, stages: tuple[StageWeights, ...]
) -> Taken:
    """Return what the stages take: the same of every size of memory."""
    terms = tuple(
        (*_weights(deployment, stage), *_overheads(deployment, rules, step, stage))
        for stage in stages
    )
    return Taken(
        terms=terms,
        nbytes=tuple(sum(term.nbytes for term in held) for held in terms),
        above=tuple(sum(term.band.above for term in held if term.band) for held in terms),
    )


def _weights(deployment: Deployment, stage: StageWeights) -> tuple[Term, ...]:
    """Return the weights of one stage; a start that was measured leaves their band out."""
    if deployment.lesson is None:
        return stage.terms
    return tuple(replace(term, band=None) for term in stage.terms)


def _ends(deployment: Deployment, stage: StageWeights) -> tuple[bool, bool]:
    """Say whether a stage is the first, and whether it is the last."""
    return stage.index == 0, stage.index == deployment.layout.pipeline_parallel - 1


def _of_step(deployment: Deployment, rules: Rules, step: Step, stage: StageWeights) -> Key:
    """Return what overheads depend on: stages between the first and the last are alike."""
    held, said = _of_rank(deployment, rules, step)
    return held, (said, _ends(deployment, stage), len(stage.layers))


@remembered(_of_step, most=4096)
def _overheads(
    deployment: Deployment, rules: Rules, step: Step, stage: StageWeights
) -> tuple[Term, ...]:
    """Return the overheads of one stage: the context shows in nothing but the step."""
    first, last = _ends(deployment, stage)
    drafting = bool(deployment.options.num_speculative_tokens) and last
    return tuple(
        overhead_terms(
            deployment.checkpoint,
            layout=deployment.layout,
            accelerator=deployment.system.accelerator,
            options=deployment.options,
            rules=rules,
            step=step,
            layers=len(stage.layers) + int(drafting),
            first_stage=first,
            last_stage=last,
            lesson=deployment.lesson,
        )
    )
