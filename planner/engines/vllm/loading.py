"""What vLLM holds of a checkpoint on one rank of one pipeline stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.engines.engine import Deployment
from planner.engines.vllm.drafters import drafter_of
from planner.engines.vllm.legality import loads_vision
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.rules import source
from planner.layout import Layout
from planner.memory.breakdown import Kind, Term
from planner.memory.weights import LoadRules, weight_bytes
from planner.model.checkpoint import Checkpoint
from planner.model.tensors import Part
from planner.provenance import Band, Confidence, Source
from planner.units import GIB

KV_SCALE_BYTES = 8
"""k_scale and v_scale (float32) of an attention layer under block FP8 (quantization/kv_cache.py)."""

REPACK_BAND = 0.05
"""INT4 and NVFP4 weights take 1 to 5 % more than stored once repacked (start-up logs)."""


def load_rules(checkpoint: Checkpoint, layout: Layout) -> LoadRules:
    """How vLLM changes `checkpoint` on loading.

    Block scales become float32, A_log stays float32 and other float32 vectors become the model's
    dtype; AWQ and GPTQ replicate in_proj_b and in_proj_a (Marlin cannot cut them). With experts
    parallel over data-parallel attention the shared expert is replicated; without expert
    parallelism the experts are cut over the ranks of all replicas (fused_moe/config.py,
    flatten_tp_across_dp_and_pcp).

    Source: vLLM 0.33.0 model_executor (checked against its modules on the meta device).
    """
    small = ("text.gdn.in_proj_a", "text.gdn.in_proj_b", "text.gdn.in_proj_ba")
    packed = any(row.format.name.startswith(("gptq", "awq", "auto")) for row in checkpoint.stored)
    sequence_parallel = (
        layout.expert_parallel and layout.data_parallel > 1 and layout.tensor_parallel > 1
    )
    return LoadRules(
        formats={"fp8-block128": "fp8-block128-f32", "float32": checkpoint.model.dtype},
        float32=("gdn.A_log",),
        replicated=small if packed else (),
        vocab_padding=64,
        embed_on_every_stage=True,
        shared_expert_replicated=sequence_parallel,
        experts_over_replicas=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Weight bytes of one rank by part.

    Attributes:
        text: trunk (KV scales included).
        vision: the vision tower.
        draft: the MTP module, or a separate drafter.
        buffers: rotary cache.
        components: ``part.component`` -> bytes.
    """

    text: int
    vision: int
    draft: int
    buffers: int
    components: Mapping[str, int]

    @property
    def parameters(self) -> int:
        """Bytes of the served model's own parameters (draft apart)."""
        return self.text + self.vision


def load(deployment: Deployment, *, stage: int, layers: range) -> Loaded:
    """What one rank of `stage` holds."""
    checkpoint, layout = deployment.checkpoint, deployment.layout
    options: VllmOptions = deployment.options
    model, rules = checkpoint.model, load_rules(checkpoint, layout)
    mtp = options.num_speculative_tokens and options.speculative_method == "mtp"
    parts: tuple[Part, ...] = ("text", "mtp") if mtp else ("text",)
    sizes = weight_bytes(
        checkpoint, layout=layout, rules=rules, parts=parts, stage=stage, stage_layers=layers
    )
    if loads_vision(model, options):
        tower = layout
        if options.mm_encoder_tp_mode == "data":
            tower = Layout(pipeline_parallel=layout.pipeline_parallel)
        sizes |= weight_bytes(checkpoint, layout=tower, rules=rules, parts=("vision",), stage=stage)
    if any(row.format.name == "fp8-block128" for row in checkpoint.rows("text")):
        held = sum(layer in layers for layer in model.full_attention_layers)
        sizes["text.kv_scales"] = KV_SCALE_BYTES * held
    by_part = dict.fromkeys(("text", "vision", "mtp"), 0)
    for name, size in sizes.items():
        by_part[name.partition(".")[0]] += size
    drafter = drafter_of(deployment)
    if drafter is not None and stage == layout.pipeline_parallel - 1:
        by_part["mtp"] += drafter.nbytes
    positions = max(deployment.context, model.max_position_embeddings)
    return Loaded(
        text=by_part["text"],
        vision=by_part["vision"],
        draft=by_part["mtp"],
        buffers=positions * model.attention.rotary_dim * 2,
        components=sizes,
    )


def weight_terms(deployment: Deployment, loaded: Loaded) -> Iterator[Term]:
    """The weights of one rank as terms."""
    checkpoint, options = deployment.checkpoint, deployment.options
    if options.model_memory_gib is not None:
        yield Term(
            name="weights (as logged)",
            kind=Kind.WEIGHTS,
            nbytes=int(options.model_memory_gib * GIB),
            confidence=Confidence.EXACT,
            formula="model_memory_gib x 2^30",
            values={"model_memory_gib": options.model_memory_gib},
            source=Source(where='the user, from a log\'s "Model loading took"'),
        )
        return
    where = source("model_executor (run on the meta device)")
    offloaded = min(int(options.cpu_offload_gb * GIB), loaded.text)
    repacked = any(
        row.format.bits_per_weight < 8 and row.tensor.is_matrix for row in checkpoint.rows("text")
    )
    kept = loaded.text - offloaded
    yield Term(
        name="weights (text)",
        kind=Kind.WEIGHTS,
        nbytes=kept,
        confidence=Confidence.CALIBRATED if repacked else Confidence.ENGINE_RULE,
        formula="bytes of the rank's tensors" + (" - CPU offload" if offloaded else ""),
        values={"bytes of the rank's tensors": loaded.text, "CPU offload": offloaded}
        if offloaded
        else {"bytes of the rank's tensors": loaded.text},
        source=where,
        band=Band(below=0, above=int(kept * REPACK_BAND)) if repacked else None,
    )
    for name, size, formula in (
        ("vision tower", loaded.vision, "bytes of the rank's vision tensors"),
        ("drafter", loaded.draft, "bytes of the rank's drafter tensors"),
        ("rotary cache", loaded.buffers, "positions x rotary dimensions x 2"),
    ):
        if size:
            yield Term(
                name=name,
                kind=Kind.WEIGHTS,
                nbytes=size,
                confidence=Confidence.ENGINE_RULE,
                formula=formula,
                values={formula: size}
                if formula.startswith("bytes")
                else {
                    "positions": max(deployment.context, checkpoint.model.max_position_embeddings),
                    "rotary dimensions": checkpoint.model.attention.rotary_dim,
                },
                source=where,
            )
