"""Count what SGLang loads on one rank: target model, and drafter before sizing."""

from __future__ import annotations

from functools import cached_property

from hardware_db.records import frozen_with_cache
from planner.engines.sglang.server import Server
from planner.engines.sglang.tables import TABLE, table_takes_gpu
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.memory.weights import LoadRules, table_bytes, weight_bytes

ATTENTION = ("text.full_attn.", "text.gdn.", "mtp.full_attn.")
EMBEDDING, HEAD = "text.embed_tokens", "text.lm_head"


@frozen_with_cache
class Stage:
    """One pipeline stage: its layers and what is loaded on one of its ranks."""

    index: int
    layers: range
    target: dict[str, int]
    draft: dict[str, int]

    @cached_property
    def text_bytes(self) -> int:
        """Bytes of the language model."""
        return sum(size for name, size in self.target.items() if name.startswith("text."))

    def multiplied_bytes(self, *, tied: bool) -> int:
        """Return the bytes that a step multiplies: the table of embeddings only where it is the head.

        Args:
            tied: the output head is the table of embeddings, on the stage that has no other.
        """
        table = self.table_bytes + (0 if tied else self.target.get(EMBEDDING, 0))
        return self.text_bytes - table + self.draft_module_bytes

    @property
    def table_bytes(self) -> int:
        """Bytes of tables of n-grams that take the GPU's memory."""
        return self.target.get(TABLE, 0)

    @property
    def vision_bytes(self) -> int:
        """Bytes of the vision tower."""
        return sum(size for name, size in self.target.items() if name.startswith("vision."))

    @property
    def draft_bytes(self) -> int:
        """Bytes of the draft worker while pools are sized."""
        return sum(self.draft.values())

    @property
    def draft_module_bytes(self) -> int:
        """Bytes of the draft worker without its own embedding and output head."""
        return sum(size for name, size in self.draft.items() if not name.startswith("text."))

    @cached_property
    def nbytes(self) -> int:
        """Bytes of everything that is loaded."""
        return self.text_bytes + self.vision_bytes + self.draft_bytes


def _rules(server: Server) -> Key:
    return (server.checkpoint,), server.shared_expert_replicated


@remembered(_rules)
def load_rules(server: Server) -> LoadRules:
    """Return what SGLang changes on loading.

    Block scales and A_log are float32, other float32 vectors become the model's dtype; the
    vocabulary is padded to a multiple of 64; all-to-all backends replicate the shared expert.

    Source: SGLang 0.5.23 models/qwen3_5.py, layers/quantization/fp8.py,
    layers/vocab_parallel_embedding.py, models/qwen2_moe.py.
    """
    return LoadRules(
        formats={"fp8-block128": "fp8-block128-f32", "float32": server.checkpoint.model.dtype},
        float32=("gdn.A_log",),
        vocab_padding=64,
        shared_expert_replicated=server.shared_expert_replicated,
    )


def target_weights(server: Server, *, stage: int, layers: range) -> dict[str, int]:
    """Return the bytes by ``part.component`` of the target on one rank of a pipeline stage.

    Attention, DeltaNet and the vision tower are cut over the attention group, experts over what
    expert parallelism leaves, the rest over all ranks; the embedding is whole with attention data
    parallelism. Every stage loads the vision tower; the target skips the MTP module.
    """
    parallel = server.parallel
    sizes = _text(server, parallel.tp_size, stage=stage, layers=layers)
    if parallel.attn_tp_size != parallel.tp_size:
        attention = _text(server, parallel.attn_tp_size, stage=stage, layers=layers)
        sizes |= {name: size for name, size in attention.items() if name.startswith(ATTENTION)}
    if parallel.attn_dp_size > 1 and EMBEDDING in sizes:
        sizes[EMBEDDING] = _text(server, 1, stage=stage, layers=layers)[EMBEDDING]
    routed = "text.moe.routed_experts"
    if parallel.ep_size > 1 and routed in sizes:
        cut = _text(server, parallel.moe_tp_size, stage=stage, layers=layers)[routed]
        sizes[routed] = cut // parallel.ep_size
    tower = weight_bytes(
        server.checkpoint,
        layout=Layout(tensor_parallel=parallel.attn_tp_size),
        rules=load_rules(server),
        parts=("vision",),
    )
    if table_takes_gpu(server):
        tower[TABLE] = table_bytes(server.checkpoint, cuts=parallel.tp_size)
    return sizes | tower


def draft_weights(server: Server) -> dict[str, int]:
    """Return the drafter's bytes while pools are sized: MTP module, its own embedding and head.

    The target's embedding and head replace them only after the pools exist.

    Source: SGLang 0.5.23 models/qwen3_5_mtp.py (set_embed_and_head); measured 5.53 GiB for 27B
    (start-up log of SGLang 0.5.16).
    """
    if not server.drafting:
        return {}
    parallel, rules = server.parallel, load_rules(server)

    def module(ranks: int) -> dict[str, int]:
        layout = Layout(tensor_parallel=ranks)
        return weight_bytes(server.checkpoint, layout=layout, rules=rules, parts=("mtp",))

    sizes, attention = module(parallel.tp_size), module(parallel.attn_tp_size)
    sizes |= {name: size for name, size in attention.items() if name.startswith(ATTENTION)}
    routed = "mtp.moe.routed_experts"
    if parallel.ep_size > 1 and routed in sizes:
        sizes[routed] = module(parallel.moe_tp_size)[routed] // parallel.ep_size
    own = _text(server, parallel.tp_size, stage=0, layers=range(0))
    if parallel.attn_dp_size > 1:
        own[EMBEDDING] = _text(server, 1, stage=0, layers=range(0))[EMBEDDING]
    return sizes | {name: own[name] for name in (EMBEDDING, HEAD) if name in own}


def _text(server: Server, ranks: int, *, stage: int, layers: range) -> dict[str, int]:
    layout = Layout(tensor_parallel=ranks, pipeline_parallel=server.parallel.pp_size)
    return weight_bytes(
        server.checkpoint,
        layout=layout,
        rules=load_rules(server),
        parts=("text",),
        stage=stage,
        stage_layers=layers,
    )
