"""Estimate what lies on a rank before the caches; nothing of it was measured: all is assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from planner.engines.engine import Deployment, but_machine
from planner.engines.tensorrt_llm.cache import attention_ranks
from planner.engines.tensorrt_llm.options import TensorRtLlmOptions, source
from planner.layout import Layout
from planner.memo import remembered
from planner.memory.breakdown import Kind, Term
from planner.memory.weights import LoadRules, weight_bytes
from planner.model.spec import DenseMLP, ModelSpec
from planner.provenance import Band, Confidence, Source
from planner.units import GIB

RUNTIME = int(0.6 * GIB)
"""CUDA context, libraries, NCCL: what vLLM's start-up logs show for one GPU and for several."""

RUNTIME_BAND = Band(below=int(0.3 * GIB), above=int(1.0 * GIB))
WEIGHT_BAND = 0.05
"""Repacking and replication that were not read may add this share."""


@remembered(but_machine)
def weights(deployment: Deployment) -> Mapping[str, int]:
    """Return the bytes by ``part.component`` on one rank.

    Tensor parallelism cuts everything but vision; attention data parallelism replicates everything
    but the routed experts, which stay cut or shared out.
    """
    checkpoint, layout = deployment.checkpoint, deployment.layout
    rules = _load_rules(checkpoint.model.dtype)
    dense = Layout(tensor_parallel=attention_ranks(deployment))
    sizes = weight_bytes(checkpoint, layout=dense, rules=rules, parts=("text",))
    routed = "text.moe.routed_experts"
    if routed in sizes:
        cut = weight_bytes(checkpoint, layout=layout, rules=rules, parts=("text",))
        sizes[routed] = cut[routed]
    vision = weight_bytes(checkpoint, layout=Layout(), rules=rules, parts=("vision",))
    return MappingProxyType(sizes | vision)


@lru_cache(maxsize=8)
def _load_rules(dtype: str) -> LoadRules:
    return LoadRules(formats={"float32": dtype}, float32=("gdn.A_log",))


def forward_peak(model: ModelSpec, *, tokens: int, ranks: int, expert_ranks: int) -> int:
    """Return the activations of the widest layer over `tokens`, 16 bit.

        dense: 2 T (2 H + 3 I / tp);  experts: 2 T (2 H + k (2 H + 3 Im) / ranks)
        DeltaNet: 2 T (2 H + (2 K + 4 V) / tp)

    First order, by analogy with the other engines; not measured.
    """
    hidden, mlp = model.hidden_size, model.mlp
    if isinstance(mlp, DenseMLP):
        widths = [3 * mlp.intermediate_size // ranks]
    else:
        chosen = mlp.num_experts_per_tok * (2 * hidden + 3 * mlp.moe_intermediate_size)
        widths = [chosen // expert_ranks]
    if model.linear is not None:
        widths.append((2 * model.linear.key_dim + 4 * model.linear.value_dim) // ranks)
    return 2 * tokens * (2 * hidden + max(widths))


@remembered(but_machine)
def fixed_terms(deployment: Deployment) -> tuple[Term, ...]:
    """Return weights, runtime and activation peak of one rank."""
    return tuple(_fixed(deployment))


def _fixed(deployment: Deployment) -> Iterator[Term]:
    options: TensorRtLlmOptions = deployment.options
    size = sum(weights(deployment).values())
    yield Term(
        name="weights",
        kind=Kind.WEIGHTS,
        nbytes=size,
        confidence=Confidence.ASSUMED,
        formula="bytes of the rank's tensors",
        values={"bytes of the rank's tensors": size},
        source=source("_torch/models/modeling_qwen3_next.py"),
        band=Band(below=0, above=int(size * WEIGHT_BAND)),
    )
    yield Term(
        name="runtime (CUDA context, libraries, NCCL)",
        kind=Kind.RUNTIME,
        nbytes=RUNTIME,
        confidence=Confidence.ASSUMED,
        formula="process",
        values={"process": RUNTIME},
        source=Source(where="start-up logs of vLLM 0.16 to 0.31, carried over", when="2026-11-21"),
        band=RUNTIME_BAND,
    )
    ranks = attention_ranks(deployment)
    peak = forward_peak(
        deployment.checkpoint.model,
        tokens=options.max_num_tokens,
        ranks=ranks,
        expert_ranks=deployment.layout.tensor_parallel,
    )
    yield Term(
        name="activation peak (forward)",
        kind=Kind.ACTIVATIONS,
        nbytes=peak,
        confidence=Confidence.ASSUMED,
        formula="2 x max_num_tokens x widest layer",
        values={
            "max_num_tokens": options.max_num_tokens,
            "widest layer": peak // (2 * options.max_num_tokens),
        },
        source=Source(
            where="first-order reading, by analogy with other engines", when="2026-11-21"
        ),
        band=Band(below=peak // 2, above=peak),
    )
