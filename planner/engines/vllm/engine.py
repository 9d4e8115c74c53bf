"""vLLM as an engine: refusals, allocation, command, log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hardware_db import System
from planner.engines.base import Allocation, Capacity, Deployment, Launch, Refusal
from planner.engines.economies import Economy, Knob
from planner.engines.vllm import economies as saving
from planner.engines.vllm import launch as launching
from planner.engines.vllm.cache import Pool
from planner.engines.vllm.defaults import batch_defaults
from planner.engines.vllm.drafters import drafter_of
from planner.engines.vllm.kernels import kernel_warnings
from planner.engines.vllm.legality import refusals
from planner.engines.vllm.loading import Loaded, load, load_rules, weight_terms
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.overheads import FIRST_BOOT, Step, overhead_terms
from planner.engines.vllm.pool import build_pool, cache_terms, pool_details
from planner.engines.vllm.rules import Rules, is_newer_than_read, rules_of
from planner.engines.vllm.stages import stage_layers
from planner.layout import Layout
from planner.memory.breakdown import Rank, Term
from planner.model.checkpoint import Checkpoint
from planner.units import GIB, ceil_div, format_gib

FREE_AT_START = int(0.4 * GIB)
"""CUDA context and driver take about this much before vLLM measures free memory (start-up logs)."""

WHOLE_GPU = (
    "Free memory on device is less than desired GPU memory utilization (the CUDA context is there"
    " before vLLM measures)"
)
"""What vLLM raises at gpu_memory_utilization 1 (v1/worker/gpu_worker.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The weights of one pipeline stage: the same however many sequences are scheduled."""

    index: int
    layers: range
    loaded: Loaded
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One pipeline stage, before the cache."""

    index: int
    layers: range
    loaded: Loaded
    terms: tuple[Term, ...]

    @property
    def fixed(self) -> int:
        return sum(term.nbytes for term in self.terms)

    @property
    def above(self) -> int:
        return sum(term.band.above for term in self.terms if term.band)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vllm:
    """The policy of vLLM; the release is an option."""

    name: str = "vllm"
    title: str = "vLLM"

    @property
    def options_type(self) -> type[Any]:
        """`VllmOptions`."""
        return VllmOptions

    def version(self, options: VllmOptions) -> str:
        """The release whose rules are used."""
        return options.version

    def layouts(self, checkpoint: Checkpoint, system: System) -> tuple[Layout, ...]:
        """Tensor parallelism as wide as possible first, the rest as pipeline stages."""
        count = system.count
        return tuple(
            Layout(tensor_parallel=width, pipeline_parallel=count // width)
            for width in range(count, 0, -1)
            if count % width == 0
        )

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
        defaults = batch_defaults(deployment.system.accelerator, rules)
        held, step = _held(deployment), Step.of(options, defaults)
        if options.max_num_seqs is not None or rules.seqs_check != "refuses":
            return self._allocate(deployment, rules, step, held)
        return self._start_by_itself(deployment, rules, step, held)

    def _start_by_itself(
        self, deployment: Deployment, rules: Rules, step: Step, held: tuple[_Held, ...]
    ) -> Allocation:
        """The default max_num_seqs if the engine starts with it, else the largest that does.

        The pool is estimated, so the value must hold at the far end of the band, too.
        """
        default = step.sequences
        first = self._allocate(deployment, rules, step, held)
        if deployment.options.enforce_eager or self._holds(first, default):
            return first
        asked = ceil_div(deployment.concurrency, deployment.layout.data_parallel)
        smaller = [2**power for power in range(10, -1, -1) if 2**power < default]
        chosen = first
        for sequences in sorted({*smaller, min(asked, default)}, reverse=True):
            chosen = self._allocate(deployment, rules, replace(step, sequences=sequences), held)
            if self._holds(chosen, sequences):
                break
        else:
            return first  # no number of sequences helps: the memory itself is short
        sequences = chosen.resolved["max_num_seqs"]
        blocks = first.details["num_blocks"]
        note = (
            f"at its default max_num_seqs of {default} vLLM would refuse to start (about"
            f" {blocks:,} cache blocks): the command carries --max-num-seqs {sequences}"
        )
        return replace(chosen, warnings=(note, *chosen.warnings))

    @staticmethod
    def _holds(allocation: Allocation, sequences: int) -> bool:
        return bool(sequences <= allocation.details["num_blocks_at_worst"])

    def _allocate(
        self, deployment: Deployment, rules: Rules, step: Step, held: tuple[_Held, ...]
    ) -> Allocation:
        options: VllmOptions = deployment.options
        system, layout = deployment.system, deployment.layout
        accelerator = system.accelerator
        utilization, notes = _utilization(deployment, rules)
        total = accelerator.total_bytes_on("wddm" if options.wsl2 else "linux")
        usable = int(-(-total * utilization // 1))
        stages = self._stages(deployment, rules, step, held)
        fixed = options.kv_cache_memory_bytes
        available = tuple(fixed if fixed is not None else usable - stage.fixed for stage in stages)
        pool = build_pool(deployment, rules, available)
        worst = build_pool(
            deployment,
            rules,
            tuple(size - stage.above for size, stage in zip(available, stages, strict=True))
            if fixed is None
            else available,
        )
        replicas = layout.data_parallel
        asked = ceil_div(deployment.concurrency, replicas)
        ranks = []
        for stage, size in zip(stages, pool.bytes_per_block, strict=True):
            ranks.append(
                Rank(
                    name=_stage_name(stage.index, layout),
                    count=layout.tensor_parallel * replicas,
                    total=total,
                    usable=usable if fixed is None else total,
                    terms=(*stage.terms, *cache_terms(deployment, pool, size, asked)),
                )
            )
        shortfall = pool.shortfall(deployment.context)
        if rules.start_check == "first group":
            shortfall = 0 if pool.num_blocks > 0 else max(shortfall, 1)
        over = -total if fixed is None else max(stage.fixed + fixed - total for stage in stages)
        shortfall = max(shortfall, over)
        seqs_refused = (
            rules.seqs_check == "refuses"
            and not options.enforce_eager
            and pool.state_groups > 0
            and step.sequences > pool.num_blocks
        )
        whole = fixed is None and usable >= total
        starts = shortfall == 0 and not seqs_refused and not whole
        fitting = min(pool.sequences(deployment.context), step.sequences) * replicas
        limited = (
            "max_num_seqs"
            if pool.sequences(deployment.context) > step.sequences
            else "cache blocks"
        )
        concurrency = pool.max_concurrency(deployment.context)
        details = pool_details(deployment, pool, rules) | {
            "num_blocks_at_worst": worst.num_blocks,
            "params": [
                {
                    "rank_pp": stage.index,
                    "param_bytes": stage.loaded.parameters,
                    "draft_param_bytes": stage.loaded.draft,
                    "buffer_bytes": stage.loaded.buffers,
                    "components": dict(stage.loaded.components),
                }
                for stage in stages
            ],
            "available_bytes": list(available),
        }
        return Allocation(
            ranks=tuple(sorted(ranks, key=lambda rank: rank.headroom)),
            capacity=Capacity(
                sequences=fitting if starts else 0,
                tokens=int(concurrency * deployment.context) * replicas,
                longest_context=0
                if over > 0 or seqs_refused or whole
                else min(pool.longest_context(served=True), _position_limit(deployment)),
                limited_by=limited,
                blocks=pool.num_blocks,
                block_size=pool.page.block_size,
            ),
            starts=starts,
            shortfall=shortfall,
            refusal=None
            if starts
            else WHOLE_GPU
            if whole
            else launching.start_error(deployment, pool, step, seqs_refused),
            kv_cache_dtype=launching.kv_dtype(deployment),
            resolved=launching.resolve(deployment, rules, step, utilization),
            details=details,
            warnings=(*notes, *_warnings(deployment, rules, total, usable)),
            first_boot=FIRST_BOOT,
            at_worst=_at_worst(deployment, rules, step, worst, total=total, usable=usable),
        )

    def _stages(
        self, deployment: Deployment, rules: Rules, step: Step, held: tuple[_Held, ...]
    ) -> list[_Stage]:
        last = deployment.layout.pipeline_parallel - 1
        stages = []
        for part in held:
            drafting = bool(deployment.options.num_speculative_tokens) and part.index == last
            overheads = overhead_terms(
                deployment.checkpoint,
                layout=deployment.layout,
                accelerator=deployment.system.accelerator,
                options=deployment.options,
                rules=rules,
                step=step,
                layers=len(part.layers) + int(drafting),
                first_stage=part.index == 0,
                last_stage=part.index == last,
            )
            stages.append(
                _Stage(
                    index=part.index,
                    layers=part.layers,
                    loaded=part.loaded,
                    terms=(*part.terms, *overheads),
                )
            )
        return stages

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


def _held(deployment: Deployment) -> tuple[_Held, ...]:
    """The weights of every pipeline stage."""
    layers_of = stage_layers(
        deployment.checkpoint.model.num_hidden_layers, deployment.layout.pipeline_parallel
    )
    parts = []
    for index, layers in enumerate(layers_of):
        loaded = load(deployment, stage=index, layers=layers)
        terms = tuple(weight_terms(deployment, loaded))
        parts.append(_Held(index=index, layers=layers, loaded=loaded, terms=terms))
    return tuple(parts)


def _stage_name(index: int, layout: Layout) -> str:
    if layout.pipeline_parallel > 1:
        return f"stage {index + 1} of {layout.pipeline_parallel}"
    return "each GPU" if layout.accelerators > 1 else "GPU 0"


def _utilization(deployment: Deployment, rules: Rules) -> tuple[float, tuple[str, ...]]:
    """The share to use, and a word where it is not the engine's default."""
    given = deployment.options.gpu_memory_utilization
    if given is not None:
        return float(given), ()
    unified = deployment.system.accelerator.unified
    safe = unified.safe_utilization if unified is not None else None
    if safe is not None and safe.value < rules.gpu_memory_utilization:
        note = (
            f"memory is shared with the system: the plan uses --gpu-memory-utilization"
            f" {safe.value:g} instead of vLLM's default {rules.gpu_memory_utilization:g}"
        )
        return float(safe.value), (note,)
    return rules.gpu_memory_utilization, ()


def _at_worst(
    deployment: Deployment, rules: Rules, step: Step, worst: Pool, *, total: int, usable: int
) -> str:
    """What goes wrong at the far end of the bands beside the ranks' headroom, as a clause."""
    options: VllmOptions = deployment.options
    if options.kv_cache_memory_bytes is None and usable > total - FREE_AT_START:
        return (
            f"only {format_gib(total - usable)} stay outside the budget, and the CUDA context takes"
            f" about {format_gib(FREE_AT_START)}: vLLM may refuse to start"
        )
    refuses = rules.seqs_check == "refuses" and not options.enforce_eager and worst.state_groups
    if refuses and step.sequences > worst.num_blocks:
        return (
            f"at the far end of the estimates' band there are {worst.num_blocks:,} cache blocks,"
            f" and vLLM refuses to start with --max-num-seqs {step.sequences}"
        )
    return ""


def _position_limit(deployment: Deployment) -> int:
    native = deployment.checkpoint.model.max_position_embeddings
    return max(native, deployment.context) if deployment.yarn else native


def _warnings(deployment: Deployment, rules: Rules, total: int, usable: int) -> tuple[str, ...]:
    drafter = drafter_of(deployment)
    notes = [f"drafter: {drafter.assumed}"] if drafter is not None and drafter.assumed else []
    notes += [*kernel_warnings(deployment.checkpoint, deployment.system.accelerator)]
    if is_newer_than_read(rules.version):
        notes.append(
            f"vLLM {rules.version} is newer than the newest release read: its rules are assumed"
        )
    if not rules.subtracts_cuda_graphs and not deployment.options.enforce_eager:
        notes.append(
            f"vLLM {rules.version} does not take CUDA graphs off its budget: leave about 1 GiB"
            " outside --gpu-memory-utilization"
        )
    return tuple(notes)
