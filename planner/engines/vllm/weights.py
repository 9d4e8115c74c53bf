"""Say what vLLM holds of a checkpoint on one rank: layers of a stage, and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.engines.engine import Deployment
from planner.engines.vllm.drafter import drafter_of
from planner.engines.vllm.indexed import on_host, table_on_rank
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import BLACKWELL, generation, rules_of, source
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.memory.breakdown import Kind, Term
from planner.memory.placement import Drafter, Placement
from planner.memory.weights import LoadRules, is_packed, weight_bytes
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE, Part
from planner.provenance import Band, Confidence, Source
from planner.units import GIB

KV_SCALE_BYTES = 8
"""k_scale and v_scale (float32) of an attention layer under block FP8 (quantization/kv_cache.py)."""

REPACK_BAND = 0.05
"""INT4 and NVFP4 weights take 1 to 5 % more than stored once repacked (start-up logs)."""


def stage_layers(num_hidden_layers: int, pipeline_parallel: int) -> tuple[range, ...]:
    """Return the layers of each stage: equal shares, a remainder goes to those before the last.

    Source: vLLM 0.33.0 distributed/utils.py (get_pp_indices).
    """
    share, remainder = divmod(num_hidden_layers, pipeline_parallel)
    sizes = [share] * pipeline_parallel
    for back in range(2, remainder + 2):
        sizes[-back] += 1
    starts = [sum(sizes[:index]) for index in range(pipeline_parallel)]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))


def loads_vision(model: ModelSpec, options: VllmOptions) -> bool:
    """Say whether the vision tower is loaded: it stays unless images and videos are both off.

    Source: vLLM 0.33.0 model_executor/models/interfaces.py (_mark_tower_model).
    """
    off = options.limit_images == 0 and options.limit_videos == 0
    return model.vision is not None and not options.language_model_only and not off


_WNA16 = {bits: {group: f"wna16-int{bits}-g{group}" for group in (32, 64)} for bits in (4, 8)}
"""Bits of GPTQ -> group that a rank's experts hold whole -> what they are loaded in: Marlin takes none
that is cut, and moe_wna16 halves it until it is whole (auto_gptq.py, moe_wna16.py)."""

REFINED = {64: "refined-fp8-block64", 32: "refined-fp8-block32"}
"""Blocks of 128x128 whose experts a rank cuts are refined to these, in both directions."""


MARLIN = ("nvidia", "custom")
"""Vendors on whose devices vLLM's platform is CUDA."""


def _pads(accelerator: Accelerator) -> bool:
    """Say whether experts that are cut are padded."""
    return generation(accelerator) == BLACKWELL


def loads_as(accelerator: Accelerator) -> tuple[bool, bool]:
    """Return what of a device decides how weights are loaded."""
    return _pads(accelerator), accelerator.vendor in MARLIN


def _replicates_shared_expert(layout: Layout) -> bool:
    """Say whether experts are parallel over attention that is data and tensor parallel."""
    return layout.expert_parallel and layout.data_parallel > 1 and layout.tensor_parallel > 1


def _rules(deployment: Deployment) -> Key:
    kind = loads_as(deployment.system.accelerator), _replicates_shared_expert(deployment.layout)
    return (deployment.checkpoint,), (deployment.options.version, kind)


@remembered(_rules)
def load_rules(deployment: Deployment) -> LoadRules:
    """Return how vLLM changes the checkpoint on loading.

    Scales of blocks and channels become float32, A_log stays float32 and other float32 vectors
    become the model's dtype; on CUDA, AWQ and GPTQ replicate in_proj_b and in_proj_a (Marlin cannot
    cut them; layers/mamba/gdn/qwen_gdn_linear_attn.py), which a fused in_proj_ba is spared. With experts parallel over data-parallel attention the shared expert is replicated;
    without expert parallelism the experts are cut over the ranks of all replicas
    (fused_moe/config.py, flatten_tp_across_dp_and_pcp). Gates that write to residual streams are
    padded to 16 rows.

    Source: vLLM 0.33.0 model_executor (checked against its modules on the meta device).
    """
    checkpoint = deployment.checkpoint
    rules = rules_of(deployment.options.version)
    small = ("text.gdn.in_proj_a", "text.gdn.in_proj_b")
    packed = deployment.system.accelerator.vendor in MARLIN and any(
        row.format.name.startswith(("gptq", "awq", "auto")) for row in checkpoint.stored
    )
    gptq = {name for row in checkpoint.stored if (name := row.format.name).startswith("gptq")}
    index = "" if rules.gptq_column_index else "-plain"
    bias = "-bias" if rules.gptq_expert_bias else ""
    return LoadRules(
        formats=FLOAT32_SCALES
        | {"float32": checkpoint.model.dtype}
        | {name: f"{name}{index}" for name in gptq},
        expert_formats={name: f"{name}{index}{bias}" for name in gptq},
        regrouped={name: _WNA16[bits] for name in gptq for bits in _WNA16 if f"int{bits}-" in name},
        float32=("gdn.A_log",),
        replicated=small if packed else (),
        vocab_padding=64,
        embed_on_every_stage=True,
        head_on_every_stage=checkpoint.model.model_type in rules.head_on_every_stage,
        shared_expert_replicated=_replicates_shared_expert(deployment.layout),
        row_multiples={"block_inject_weight": 16},
        refined=REFINED if rules.refines_blocks else {},
        experts_over_replicas=True,
        expert_padding=rules.expert_padding if _pads(deployment.system.accelerator) else 1,
    )


FLOAT32_SCALES = {
    "fp8-block128": "fp8-block128-f32",
    "fp8-channel": "fp8-channel-f32",
    "int8-channel": "int8-channel-f32",
}
"""Formats whose scales are loaded as float32 (quantization/fp8.py, compressed_tensors/schemes)."""


@frozen
class Loaded:
    """Weight bytes of one rank by part.

    Attributes:
        text: trunk (KV scales included).
        vision: the vision tower.
        draft: the MTP module, or a separate drafter.
        buffers: rotary cache.
        table: the rank's share of tables of n-grams, wherever it lies.
        components: ``part.component`` -> bytes.
    """

    text: int
    vision: int
    draft: int
    buffers: int
    table: int
    components: Mapping[str, int]

    @property
    def parameters(self) -> int:
        """Bytes of the served model's own parameters (draft apart)."""
        return self.text + self.vision

    @property
    def layered(self) -> int:
        """Bytes of the trunk's layers: embeddings and the head apart."""
        apart = ("text.embed_tokens", "text.lm_head")
        return self.text - sum(self.components.get(name, 0) for name in apart)

    def offloaded(self, options: VllmOptions) -> int:
        """Return the bytes of layers that stay in host memory (--cpu-offload-gb)."""
        return min(int(options.cpu_offload_gb * GIB), self.layered)


@frozen
class StageWeights:
    """The weights of one pipeline stage on one rank: the same however many sequences there are.

    Attributes:
        index: which stage.
        layers: trunk layers on it.
        loaded: bytes by part.
        terms: the same as terms of the plan.
    """

    index: int
    layers: range
    loaded: Loaded
    terms: tuple[Term, ...]


def _loaded(deployment: Deployment) -> Key:
    """Return what the weights on a rank depend on; of the context, how far it is beyond the native."""
    accelerator, layout = deployment.system.accelerator, deployment.layout
    model = deployment.checkpoint.model
    shared = model.moe is not None or model.ngrams is not None  # over replicas, too
    said = (
        (layout.tensor_parallel, layout.pipeline_parallel, layout.expert_parallel),
        layout.data_parallel if shared else 1,
        max(deployment.context, model.max_position_embeddings),
        loads_as(accelerator),
        accelerator.is_unified,
    )
    return (deployment.checkpoint, deployment.options), said


@remembered(_loaded)
def stage_weights(deployment: Deployment) -> tuple[StageWeights, ...]:
    """Return the weights of every pipeline stage."""
    layers_of = stage_layers(
        deployment.checkpoint.model.num_hidden_layers, deployment.layout.pipeline_parallel
    )
    stages = []
    for index, layers in enumerate(layers_of):
        loaded = load(deployment, stage=index, layers=layers)
        terms = tuple(weight_terms(deployment, loaded))
        stages.append(StageWeights(index=index, layers=layers, loaded=loaded, terms=terms))
    return tuple(stages)


def load(deployment: Deployment, *, stage: int, layers: range) -> Loaded:
    """Return what one rank of `stage` holds."""
    checkpoint, layout = deployment.checkpoint, deployment.layout
    options: VllmOptions = deployment.options
    model, rules = checkpoint.model, load_rules(deployment)
    parts: tuple[Part, ...] = ("text", "mtp") if options.drafts_by_itself else ("text",)
    sizes = weight_bytes(
        checkpoint, layout=layout, rules=rules, parts=parts, stage=stage, stage_layers=layers
    )
    if loads_vision(model, options):
        tower = layout
        if options.mm_encoder_tp_mode == "data":
            tower = Layout(pipeline_parallel=layout.pipeline_parallel)
        everywhere = rules_of(options.version).tower_on_every_stage
        sizes |= weight_bytes(
            checkpoint,
            layout=tower,
            rules=rules,
            parts=("vision",),
            stage=0 if everywhere else stage,
        )
    if any(row.format.name == "fp8-block128" for row in checkpoint.rows("text")):
        held = sum(layer in layers for layer in model.full_attention_layers)
        if model.attention.indexer is None:  # indexed attention has no such scales
            sizes["text.kv_scales"] = KV_SCALE_BYTES * held
    scales = sum(
        row.format.tensor_bytes
        for row in checkpoint.rows("text")
        if row.tensor.component == NGRAM_TABLE
    )
    if scales:
        sizes["text.table_scales"] = scales
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
        table=table_on_rank(deployment) - scales,
        components=sizes,
    )


def weight_terms(deployment: Deployment, loaded: Loaded) -> Iterator[Term]:
    """Yield the weights of one rank as terms."""
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
    offloaded = loaded.offloaded(options)
    repacked = is_packed(checkpoint)
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
    yield from _table_term(deployment, loaded)


def _table_term(deployment: Deployment, loaded: Loaded) -> Iterator[Term]:
    """Yield tables of n-grams, where they take the GPU's memory."""
    on_gpu = not on_host(deployment.options)
    if not loaded.table or not (on_gpu or deployment.system.accelerator.is_unified):
        return
    yield Term(
        name="n-gram table" if on_gpu else "n-gram table (pinned host memory: the same pool)",
        kind=Kind.WEIGHTS,
        nbytes=loaded.table,
        confidence=Confidence.ENGINE_RULE if on_gpu else Confidence.ASSUMED,
        formula="bytes of the rank's rows",
        values={"bytes of the rank's rows": loaded.table},
        source=source("config/engram.py"),
    )


def _of_stages(deployment: Deployment, stages: tuple[StageWeights, ...], *, chunk: int) -> Key:
    return (deployment.checkpoint, deployment.options, stages), (deployment.layout, chunk)


@remembered(_of_stages)
def placement_of(
    deployment: Deployment, stages: tuple[StageWeights, ...], *, chunk: int
) -> Placement:
    """Return where the weights that a step multiplies lie, over all ranks.

    Kernels read what --cpu-offload-gb leaves in host memory in place, over the link, so only the
    chosen experts cross it. vLLM takes whole layers, the first ones first: routed experts have
    their share of it.

    Source: vLLM 0.33.0 model_executor/offloader/uva.py.
    """
    options: VllmOptions = deployment.options
    tied = deployment.checkpoint.model.tie_word_embeddings
    ranks = deployment.layout.tensor_parallel * deployment.layout.data_parallel
    device = host = experts = 0
    for stage in stages:
        loaded = stage.loaded
        offloaded = loaded.offloaded(options)
        routed = loaded.components.get("text.moe.routed_experts", 0)
        looked_up = 0 if tied else loaded.components.get("text.embed_tokens", 0)
        multiplied = loaded.text - looked_up
        device += ranks * max(0, multiplied + loaded.draft - offloaded)
        host += ranks * offloaded
        experts += ranks * min(routed, offloaded * routed // max(1, loaded.layered))
    return Placement(
        device=device,
        host_streamed=host,
        host_streamed_experts=experts,
        chunk=chunk,
        drafter=_separate(deployment),
    )


def _separate(deployment: Deployment) -> Drafter | None:
    """Return the drafter that DFlash reads in one pass per step, with the model's own head."""
    drafter = drafter_of(deployment)
    if drafter is None or not drafter.nbytes:
        return None
    return Drafter(
        nbytes=drafter.nbytes,
        tokens=deployment.options.num_speculative_tokens,
        layers=drafter.num_layers,
        at_once=True,
    )
