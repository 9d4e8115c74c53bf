"""Estimate the part of vLLM's memory that is not deterministic, by calibrated rules with bands.

Constants come from 281 start-up logs (166 of vLLM from 0.16 on), collected 2026-11-21; the bands
are the 10th and 90th percentile of what was left over. What the logs charge to a first start
(compilation and autotuning) is stated apart, never mixed into the estimate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.engines.vllm.indexed import step_buffers
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import BatchDefaults, Rules, capability, capture_sizes
from planner.engines.vllm.weights import loads_vision
from planner.layout import Layout
from planner.learning import Lesson
from planner.memory.breakdown import Kind, Term
from planner.model.checkpoint import Checkpoint
from planner.model.spec import DenseMLP, ModelSpec, VisionTower
from planner.provenance import Band, Confidence, Source
from planner.units import GIB, MIB

_LOGS = Source(where="281 start-up logs, vLLM 0.16 to 0.31", when="2026-11-21")


def _gib(value: float) -> int:
    return int(value * GIB)


RUNTIME = _gib(0.25)
"""CUDA context of the process, libraries, persistent buffers: one discrete GPU."""

RUNTIME_TENSOR_PARALLEL = _gib(0.3)
"""More with tensor parallelism (NCCL, custom all-reduce)."""

RUNTIME_SWITCHED = _gib(0.7)
"""More again where the GPUs are joined by NVLink switches (NCCL's channel buffers)."""

HOST_PROCESS = _gib(2.6)
"""On unified memory "free" is the system's available RAM: the engine's own host memory counts."""

WSL2 = _gib(1.0)
"""Under WSL2 the same start-ups leave about this much less (four logs of one machine)."""

MEASURED = _gib(0.01)
"""How far what was measured on the machine may be off: the last digit that vLLM prints. Only the
activation peak, which follows the workload, keeps its band; the rest was measured in one sum."""

GRAPH_BYTES_PER_LAYER = int(0.20 * MIB)
"""One captured graph of one layer."""

RUNTIME_BAND = Band(below=_gib(0.2), above=_gib(0.5))
"""How far the runtime of a discrete GPU may be off."""

SHARED_BAND = Band(below=_gib(1.5), above=_gib(1.0))
"""The same where others take of the memory, too: on unified memory and under WSL2."""

PEAK_OFF = _gib(0.3)
"""How far an activation peak may be off; of a small one three tenths at most lie below."""

GRAPHS_ABOVE = _gib(0.6)
"""What CUDA graphs may take beyond the estimate."""

MAX_IMAGE_PATCHES = 65_536
"""Patches of the largest image the processor admits (16,777,216 pixels, patches of 16)."""

EXPERT_WORKSPACE_FACTOR = {"nvfp4": 4, "marlin": 2, "triton": 1}
"""Measured workspace of the routed experts against the first-order rule, by kernel family."""

DRAFTER_BAND = _gib(2.0)
"""What a separate drafter's own workspaces may take; they are not modelled (GB10 start-up logs)."""

FIRST_BOOT = (_gib(0.7), _gib(2.5))
"""What a first start may take beyond a later one."""


SWITCHED = 2
"""GPUs that a link joins directly; where it joins more, a switch does, with channels of its own."""


@frozen
class Step:
    """What the engine is set up to run at once.

    Attributes:
        tokens: max_num_batched_tokens.
        sequences: max_num_seqs.
    """

    tokens: int
    sequences: int

    @classmethod
    def of(cls, options: VllmOptions, defaults: BatchDefaults, context: int) -> Step:
        """Return the user's values over the engine's defaults, which bound each other.

            tokens    = min(default, sequences * context);  sequences = min(default, tokens)

        Source: vLLM 0.20.0 to 0.33.0 engine/arg_utils.py.
        """
        sequences = options.max_num_seqs or defaults.max_num_seqs
        tokens = options.max_num_batched_tokens or min(
            defaults.max_num_batched_tokens, sequences * context
        )
        return cls(tokens=tokens, sequences=options.max_num_seqs or min(sequences, tokens))


def vision_peak(vision: VisionTower, *, hidden_size: int, tensor_parallel: int) -> int:
    """Return the peak of encoding one image of the largest size.

        2 P (2 Hv + max(7 Hv, 2 Iv) / tp) + 3072 P + 4 (P / merge^2) H

    Source: vLLM 0.33.0 profiling (one image of the processor's maximum); logs of the 4B, 9B and 27B
    towers agree within 0.1 GiB on one GPU, within 0.3 GiB on four.
    """
    patches = MAX_IMAGE_PATCHES
    inner = max(7 * vision.hidden_size, 2 * vision.intermediate_size) // tensor_parallel
    merged = patches // vision.spatial_merge_size**2
    tower = 2 * patches * (2 * vision.hidden_size + inner)
    return tower + 3072 * patches + 4 * merged * hidden_size


def forward_peak(model: ModelSpec, *, tokens: int, tensor_parallel: int) -> int:
    """Return the peak of one dense or DeltaNet layer over `tokens`.

        dense: 2 T (2 s H + 3 I / tp);   DeltaNet: 2 T (2 s H + (2 key + 2 value + 2 value) / tp)

    s: residual streams (1 where the stream is plain).

    Source: first-order reading of vLLM 0.33.0 models/qwen3_5.py; +-30 %.
    """
    hidden = model.hidden_size * (model.streams.count if model.streams else 1)
    widths = [0]
    if isinstance(model.mlp, DenseMLP):
        widths.append(3 * model.mlp.intermediate_size)
    if model.linear is not None:
        widths.append(2 * model.linear.key_dim + 4 * model.linear.value_dim)
    return 2 * tokens * (2 * hidden + max(widths) // tensor_parallel)


def expert_workspace(model: ModelSpec, *, tokens: int, ranks: int, factor: int) -> int:
    """Return the workspace of the routed experts, held from profiling on.

        factor * 2 T k (max(2 Im / ranks, H) + max(Im / ranks, H));  T x E x 4 of router logits

    Source: vLLM 0.33.0 layers/fused_moe (workspace13, workspace2); factors from the logs.
    """
    if model.moe is None:
        return 0
    width, hidden = model.moe.moe_intermediate_size // ranks, model.hidden_size
    per_token = model.moe.num_experts_per_tok * (max(2 * width, hidden) + max(width, hidden))
    return factor * 2 * tokens * per_token + 4 * tokens * model.moe.num_experts


def sampler_peak(model: ModelSpec, step: Step) -> int:
    """Return the bytes of one step's logits: BF16 and two FP32 copies, 10 x rows x vocabulary.

    Source: vLLM 0.33.0 v1/sample; rows = min(max_num_seqs, max_num_batched_tokens).
    """
    return 10 * min(step.sequences, step.tokens) * model.vocab_size


def sampler_buffers(model: ModelSpec, step: Step, rules: Rules) -> int:
    """Return the V2 runner's buffers: int32 counts and a bit mask per sequence and token id.

    Source: vLLM 0.33.0 v1/worker/gpu/sample (penalties).
    """
    if rules.model_runner == "V1":
        return 0
    return step.sequences * model.vocab_size * 33 // 8


def expert_kernels(checkpoint: Checkpoint) -> str:
    """Return the kernel family of the routed experts, by the format they are stored in."""
    for row in checkpoint.rows("text"):
        if row.tensor.component == "moe.routed_experts":
            name = row.format.name
            if name.startswith("nvfp4"):
                return "nvfp4"
            return "marlin" if row.format.bits_per_weight < 6 else "triton"
    return "triton"


def graph_count(accelerator: Accelerator, options: VllmOptions, step: Step) -> int:
    """Count captured graphs: piecewise ones of every size, full ones up to the decode batch.

    Source: vLLM 0.33.0 (FULL_AND_PIECEWISE); counts agree with the logs.
    """
    if options.enforce_eager:
        return 0
    sizes = capture_sizes(
        accelerator,
        max_num_seqs=step.sequences,
        num_speculative_tokens=options.num_speculative_tokens,
    )
    largest = step.sequences * (1 + options.num_speculative_tokens)
    return len(sizes) + bisect_right(sizes, largest)


def overhead_terms(
    checkpoint: Checkpoint,
    *,
    layout: Layout,
    accelerator: Accelerator,
    options: VllmOptions,
    rules: Rules,
    step: Step,
    layers: int,
    first_stage: bool = True,
    last_stage: bool = True,
    lesson: Lesson | None = None,
) -> Iterator[Term]:
    """Yield runtime, one activation peak (the largest of its causes) and CUDA graphs of a rank.

    Args:
        checkpoint: what is served.
        layout: how it is spread.
        accelerator: what it runs on.
        options: the engine's options.
        rules: the release's rules.
        step: tokens and sequences of one step.
        layers: trunk layers of this stage (MTP layer included).
        first_stage: the vision tower runs here.
        last_stage: logits are computed here.
        lesson: what such a start took beyond these estimates, if it was measured.
    """
    yield _runtime(checkpoint, layout, accelerator, rules, step, options, lesson)
    yield from step_buffers(checkpoint.model, options, tokens=step.tokens)
    yield _peak(checkpoint, layout, options, accelerator, step, first_stage, last_stage)
    graphs = graph_count(accelerator, options, step)
    if graphs and rules.subtracts_cuda_graphs:
        yield Term(
            name="CUDA graphs",
            kind=Kind.CUDA_GRAPHS,
            nbytes=GRAPH_BYTES_PER_LAYER * layers * graphs,
            confidence=Confidence.CALIBRATED,
            formula="bytes per layer x layers x graphs",
            values={
                "bytes per layer": GRAPH_BYTES_PER_LAYER,
                "layers": layers,
                "graphs": graphs,
            },
            source=_LOGS,
            band=None
            if lesson is not None
            else Band(below=GRAPH_BYTES_PER_LAYER * layers * graphs // 5, above=GRAPHS_ABOVE),
        )


def _runtime(
    checkpoint: Checkpoint,
    layout: Layout,
    accelerator: Accelerator,
    rules: Rules,
    step: Step,
    options: VllmOptions,
    lesson: Lesson | None,
) -> Term:
    parallel = RUNTIME_TENSOR_PARALLEL if layout.tensor_parallel > 1 else 0
    switched = layout.tensor_parallel > 1 and (accelerator.nvlink_domain or 0) > SWITCHED
    # NVIDIA only: on AMD's unified memory the driver counts what the GPU holds.
    host = HOST_PROCESS if accelerator.is_unified and capability(accelerator) else 0
    buffers = sampler_buffers(checkpoint.model, step, rules)
    values: dict[str, int | float | str] = {"process": RUNTIME, "sampler buffers": buffers}
    if parallel:
        values["tensor parallel"] = parallel
    if switched:
        values["NVLink channels"] = RUNTIME_SWITCHED
    if host:
        values["host process"] = host
    if options.wsl2:
        values["WSL2"] = WSL2
    if lesson is not None:
        values["measured beyond the estimates"] = max(
            lesson.difference, -sum(int(value) for value in values.values())
        )
    band = RUNTIME_BAND
    if lesson is not None:
        band = Band(below=MEASURED, above=MEASURED)
    elif accelerator.is_unified or options.wsl2:
        band = SHARED_BAND
    if options.speculative_method == "dflash" and lesson is None:
        band = Band(below=band.below, above=band.above + DRAFTER_BAND)
    return Term(
        name="runtime (CUDA context, libraries, buffers)",
        kind=Kind.RUNTIME,
        nbytes=sum(int(value) for value in values.values()),
        confidence=Confidence.CALIBRATED,
        formula=" + ".join(values),
        values=values,
        source=_LOGS,
        band=band,
    )


def _peak(
    checkpoint: Checkpoint,
    layout: Layout,
    options: VllmOptions,
    accelerator: Accelerator,
    step: Step,
    first_stage: bool,
    last_stage: bool,
) -> Term:
    model, tp = checkpoint.model, layout.tensor_parallel
    causes = {"forward": forward_peak(model, tokens=step.tokens, tensor_parallel=tp)}
    if last_stage:
        causes["sampler"] = sampler_peak(model, step)
    if model.vision is not None and loads_vision(model, options) and first_stage:
        split = tp if options.mm_encoder_tp_mode == "weights" else 1
        causes["vision"] = vision_peak(
            model.vision, hidden_size=model.hidden_size, tensor_parallel=split
        )
    if model.moe is not None:
        causes["experts"] = expert_workspace(
            model,
            tokens=step.tokens,
            ranks=1 if layout.expert_parallel else tp,
            factor=EXPERT_WORKSPACE_FACTOR[expert_kernels(checkpoint)],
        )
    largest = max(causes, key=lambda name: causes[name])
    return Term(
        name=f"activation peak ({largest})",
        kind=Kind.ACTIVATIONS,
        nbytes=causes[largest],
        confidence=Confidence.CALIBRATED,
        formula=f"max({', '.join(causes)})",
        values=dict(causes),
        source=_LOGS,
        band=Band(
            below=min(PEAK_OFF, causes[largest] * 3 // 10),
            above=PEAK_OFF,
        ),
    )
