"""What CUDA keeps alive for its fused kernels: more memory than the graph alone would need.

A fused kernel reads its first operands while it writes its result, so these must not share
memory. ggml-cuda therefore asks the allocator to keep them until the fused sequence ends, for the
choice of experts (softmax to normalized weights) and for the weighted sum of the experts' outputs.

Source: llama.cpp 0c1e570 ggml/src/ggml-cuda/ggml-cuda.cu (ggml_backend_cuda_graph_optimize,
ggml_cuda_match_moe_weighted_reduction, ggml_cuda_topk_moe_fusion), topk-moe.cu.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.engines.llamacpp.ggml.tensor import GgmlTensor

MAX_REDUCED_EXPERTS = 15
_CHOICE = (
    "soft_max",
    "reshape",
    "argsort",
    "view",
    "get_rows",
    "reshape",
    "sum_rows",
    "clamp",
    "div",
    "reshape",
)
_FUSED_EXPERT_COUNTS = frozenset({2**i for i in range(10)} | {288, 576})


def kept_alive(
    nodes: Sequence[GgmlTensor], start: int, end: int, kept: dict[int, list[GgmlTensor]]
) -> None:
    """Add to `kept`: node (by id) -> tensors to keep until it, for the split [start, end)."""

    def keep(tensor: GgmlTensor, until: GgmlTensor) -> None:
        held = kept.setdefault(id(until), [])
        if all(tensor is not other for other in held):
            held.append(tensor)

    index = start
    while index < end:
        op = nodes[index].op
        if op == "mul" and (length := _weighted_sum(nodes, index, end)):
            experts, shares = nodes[index].src[:2]
            result = nodes[index + length - 1]
            keep(experts, result)
            keep(shares, result)
            index += length - 1
        elif op == "soft_max" and _is_choice(nodes, index, end):
            after = index + len(_CHOICE)
            if after < len(nodes):
                for node in nodes[index:after]:
                    keep(node, nodes[after])
                    for operand in node.src:
                        keep(operand, nodes[after])
            index += len(_CHOICE) - 1
        index += 1


def _weighted_sum(nodes: Sequence[GgmlTensor], index: int, end: int) -> int:
    """Length of "multiply by shares, view each expert's part, add them up" from a product, or 0."""
    first = nodes[index]
    if first.type != "f32" or not first.is_contiguous:
        return 0
    full, shares = first.src[0], first.src[1]
    if full.ne != first.ne or shares.ne != (1, *first.ne[1:]) or not shares.is_contiguous:
        return 0
    used = first.ne[1]
    length = 2 * used
    if not 2 <= used <= MAX_REDUCED_EXPERTS or index + length > end:
        return 0
    rest = nodes[index + 1 : index + length]
    if any(node.op not in ("view", "add") for node in rest):
        return 0
    views = [node for node in rest if node.op == "view"]
    if len(views) != used or any(node.src[0] is not first for node in views):
        return 0
    return length


def _is_choice(nodes: Sequence[GgmlTensor], index: int, end: int) -> bool:
    """The sequence of operations that picks experts starts at a softmax."""
    if index + len(_CHOICE) > end:
        return False
    if len(nodes[index].src) > 1 or nodes[index].ne[0] not in _FUSED_EXPERT_COUNTS:
        return False
    found = tuple(node.op for node in nodes[index : index + len(_CHOICE)])
    return found == _CHOICE
