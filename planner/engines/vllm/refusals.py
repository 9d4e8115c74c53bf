"""Say what vLLM refuses whatever the memory, and in which words."""

from __future__ import annotations

from collections.abc import Iterator

from hardware_db import Accelerator
from planner.engines.elsewhere import served_by, unbuilt
from planner.engines.engine import Deployment, Refusal
from planner.engines.vllm.drafter import Drafter, drafter_of
from planner.engines.vllm.formats import cache_refusals, kernel_refusals
from planner.engines.vllm.indexed import indexed_refusals, ring_refusals
from planner.engines.vllm.pool import model_dtype, page_of
from planner.engines.vllm.releases import capability, kernels_of, rules_of, source
from planner.engines.vllm.weights import load_rules, loads_as
from planner.memo import Key, remembered
from planner.memory.weights import rank_shape, whole_edge
from planner.model.checkpoint import Checkpoint
from planner.model.tensors import Split

_FP8_BLOCK = 128
_BUILDS = (
    "vLLM CMakeLists.txt (HIP_SUPPORTED_ARCHS, commit 000a1ee93b), docker/Dockerfile.rocm_base"
    " (commit 00256d59e6); vllm-project/vllm#33811"
)


def refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Yield every reason why vLLM cannot run `deployment`, in the order it would raise them."""
    yield from of_machine(deployment)
    yield from of_layout(deployment)


def of_machine(deployment: Deployment) -> Iterator[Refusal]:
    """Yield what follows from the device; of the layout whether it has stages and shares tokens."""
    yield from _of_device(deployment.checkpoint, deployment.system.accelerator)
    yield from cache_refusals(deployment)
    yield from indexed_refusals(deployment, dtype=model_dtype(deployment))


def _both(checkpoint: Checkpoint, accelerator: Accelerator) -> Key:
    return (checkpoint, accelerator), None


@remembered(_both)
def _of_device(checkpoint: Checkpoint, accelerator: Accelerator) -> tuple[Refusal, ...]:
    """Return what follows from the device and the stored formats: the same in every layout."""
    return (*_hardware(accelerator), *kernel_refusals(checkpoint, accelerator))


def _but_memory(deployment: Deployment) -> Key:
    device = deployment.system.accelerator
    said = deployment.layout, deployment.kv_cache_dtype, loads_as(device), kernels_of(device)
    return (deployment.checkpoint, deployment.options), said


@remembered(_but_memory)
def of_layout(deployment: Deployment) -> tuple[Refusal, ...]:
    """Return what follows from model, layout and options, on devices that load weights alike."""
    return tuple(_layout_refusals(deployment))


def _layout_refusals(deployment: Deployment) -> Iterator[Refusal]:
    yield from _heads(deployment)
    yield from _context_parallel(deployment)
    yield from _experts(deployment)
    yield from _block_fp8(deployment)
    yield from _groups(deployment)
    yield from _speculation(deployment)
    page = page_of(deployment, rules_of(deployment.options.version))
    yield from ring_refusals(deployment, block_size=page.block_size)


def _hardware(accelerator: Accelerator) -> Iterator[Refusal]:
    if accelerator.vendor not in ("nvidia", "amd", "intel", "custom"):
        yield Refusal(
            reason=f"vLLM is planned for NVIDIA, AMD and Intel, not for {accelerator.name}",
            source=source("platforms/"),
            remedy=served_by(accelerator),
        )
    least = capability(accelerator)
    if least is not None and least < (7, 0):
        yield Refusal(
            reason=f"vLLM needs compute capability 7.0, {accelerator.name} has {least[0]}.{least[1]}",
            source=source("platforms/cuda.py"),
        )
    if (refusal := unbuilt(accelerator, "vLLM", _BUILDS)) is not None:
        yield refusal


def _heads(deployment: Deployment) -> Iterator[Refusal]:
    model, layout, options = deployment.checkpoint.model, deployment.layout, deployment.options
    tp, attention = layout.tensor_parallel, model.attention
    if layout.pipeline_parallel > model.num_hidden_layers:
        yield Refusal(
            reason=f"{layout.pipeline_parallel} pipeline stages for"
            f" {model.num_hidden_layers} layers leave stages empty",
            source=source("distributed/utils.py (get_pp_indices)"),
        )
    if attention.num_attention_heads % tp:
        yield Refusal(
            reason=f"{attention.num_attention_heads} attention heads do not divide by TP {tp}",
            engine_message=f"Total number of attention heads ({attention.num_attention_heads})"
            f" must be divisible by tensor parallel size ({tp}).",
            source=source("config/model.py"),
        )
        return
    if model.streams is not None and model.vocab_size % tp:
        # Such models build their embedding before the first layer.
        yield Refusal(
            reason=f"a vocabulary of {model.vocab_size} does not divide by TP {tp}",
            engine_message=f"{model.vocab_size} is not divisible by {tp}",
            source=source("distributed/utils.py (divide)"),
        )
        return
    linear = model.linear
    if linear is not None:
        for what, heads in (
            ("DeltaNet key heads", linear.linear_num_key_heads),
            ("DeltaNet value heads", linear.linear_num_value_heads),
        ):
            if heads % tp:
                yield Refusal(
                    reason=f"{heads} {what} do not divide by TP {tp}",
                    engine_message=f"{heads} is not divisible by {tp}",
                    source=source("distributed/utils.py (divide)"),
                )
                return
    kv = attention.num_key_value_heads
    if (kv % tp if kv >= tp else tp % kv) != 0:
        yield Refusal(
            reason=f"{kv} KV heads can neither be divided over nor replicated on {tp} ranks",
            source=source("model_executor/models/qwen3_next.py"),
        )
    # Also for text only: the tower is built without memory before it is dropped.
    vision = model.vision
    if vision is not None and options.mm_encoder_tp_mode == "weights" and vision.num_heads % tp:
        yield Refusal(
            reason=f"the vision tower's {vision.num_heads} heads do not divide by TP {tp}",
            engine_message=f"{vision.num_heads} is not divisible by {tp}",
            source=source("distributed/utils.py (divide), model_executor/models/interfaces.py"),
            remedy="use --mm-encoder-tp-mode data",
        )


def _context_parallel(deployment: Deployment) -> Iterator[Refusal]:
    """Tokens are shared over the ranks that hold copies of the same KV head, and no others."""
    attention, layout = deployment.checkpoint.model.attention, deployment.layout
    tp, size, kv = layout.tensor_parallel, layout.context_parallel, attention.num_key_value_heads
    if size == 1:
        return
    copies, queries = tp // kv, attention.num_attention_heads // kv
    if tp <= kv:
        reason = f"TP {tp} leaves no copies of the {kv} KV heads to share tokens over"
        message = (
            f"Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` ({tp}) to be"
            f" greater than the model's total number of KV heads ({kv}). Increase"
            " `--tensor-parallel-size` or set `--decode-context-parallel-size 1`."
        )
    elif size > copies:
        reason = f"TP {tp} makes {copies} copies of each KV head, fewer than {size}"
        message = (
            f"`--decode-context-parallel-size` ({size}) exceeds the maximum supported value"
            f" ({copies}) for `--tensor-parallel-size` ({tp}) and {kv} model KV heads."
        )
    elif queries % size:
        reason = f"{queries} query heads per KV head do not divide by {size}"
        message = (
            f"The model's number of query heads per KV head ({queries}) must be divisible by"
            f" `--decode-context-parallel-size` ({size}) for GQA/MQA."
        )
    else:
        return
    yield Refusal(
        reason=f"decode context parallel size {size}: {reason}",
        engine_message=message,
        source=source("config/model.py"),
    )


def _experts(deployment: Deployment) -> Iterator[Refusal]:
    moe, layout = deployment.checkpoint.model.moe, deployment.layout
    if moe is None:
        if layout.expert_parallel:
            yield Refusal(
                reason="expert parallelism needs a model with experts, this one is dense",
                engine_message="Number of experts in the model must be greater than 0 when expert"
                " parallelism is enabled.",
                source=source("config/model.py"),
            )
        return
    cuts = layout.tensor_parallel * (1 if layout.expert_parallel else layout.data_parallel)
    if moe.moe_intermediate_size % cuts and not layout.expert_parallel:
        yield Refusal(
            reason=f"{layout} cuts experts of {moe.moe_intermediate_size} columns into {cuts} parts",
            source=source("model_executor/layers/fused_moe/config.py"),
        )
    if layout.tensor_parallel > moe.num_experts:
        yield Refusal(
            reason=f"TP {layout.tensor_parallel} is more than the {moe.num_experts} experts",
            engine_message=f"Tensor parallel size {layout.tensor_parallel} is greater than the"
            f" number of experts {moe.num_experts}.",
            source=source("model_executor/layers/fused_moe/layer.py"),
        )


_ALONE = "gdn.in_proj_ba"
"""A projection of one part; those of several are looked at even where they are whole."""


def _block_fp8(deployment: Deployment) -> Iterator[Refusal]:
    """Blocks of 128x128 must not be cut: the first tensor that would be is named.

    The shared expert is checked before the routed ones, and is cut even under expert parallelism.
    """
    checkpoint, layout = deployment.checkpoint, deployment.layout
    rules = load_rules(deployment)
    found: list[tuple[int, Refusal]] = []
    for row in checkpoint.rows("text"):
        tensor, tp = row.tensor, layout.tensor_parallel
        if row.format.block != (_FP8_BLOCK, _FP8_BLOCK):
            continue
        routed = tensor.is_routed
        if routed and layout.expert_parallel:
            continue
        if tensor.component == "moe.shared_expert" and rules.shared_expert_replicated:
            continue
        if routed:
            tp = rules.expert_cuts(layout)
        shape = rank_shape(tensor, tensor_parallel=tp, rules=rules)
        by_rows = tensor.split in (Split.ROW, Split.EXPERT_ROW)
        width = shape[1] if by_rows else shape[0]
        if width % _FP8_BLOCK == 0:
            continue
        if tp == 1 and not routed and (by_rows or tensor.component == _ALONE):
            continue  # only what is cut, or lies in one matrix with others, is looked at
        if routed and whole_edge(tensor, shape, _FP8_BLOCK) in rules.refined:
            continue
        if routed:
            side = (
                "input_size of down's weight"
                if by_rows
                else "output_size of gate's and up's weight"
            )
            block = "block_k" if by_rows else "block_n"
            message = f"The {side} = {width} is not divisible by weight quantization {block} = 128."
        elif by_rows:
            message = (
                f"Weight input_size_per_partition = {width} is not divisible by weight"
                " quantization block_k = 128."
            )
        else:
            message = (
                f"Weight output_partition_size = {width} is not divisible by weight"
                " quantization block_n = 128."
            )
        found.append(
            (
                (0 if by_rows else 1) + (2 if routed else 0),
                Refusal(
                    reason=f"{layout} cuts {tensor.component} into {width}"
                    f" {'columns' if by_rows else 'rows'}, and FP8 blocks are 128 wide",
                    engine_message=message,
                    source=source("layers/quantization/fp8.py"),
                ),
            )
        )
    if found:
        yield min(found, key=lambda pair: pair[0])[1]


def _groups(deployment: Deployment) -> Iterator[Refusal]:
    """Weights that share a scale along their inputs must not be cut within such a group.

    Routed experts are no linear layers: their kernels take what is left over.
    """
    layout, rules = deployment.layout, load_rules(deployment)
    for row in deployment.checkpoint.rows("text"):
        tensor, block = row.tensor, row.format.block
        if tensor.split is not Split.ROW or block is None or block[0] != 1:
            continue
        if tensor.component == "moe.shared_expert" and rules.shared_expert_replicated:
            continue
        width = rank_shape(tensor, tensor_parallel=layout.tensor_parallel, rules=rules)[-1]
        if width % block[1]:
            yield Refusal(
                reason=f"{layout} cuts {tensor.component} into {width} columns, and its weights are"
                f" stored in groups of {block[1]}",
                source=source("model_executor/kernels/linear/mixed_precision/, auto_awq.py"),
            )
            return


def _speculation(deployment: Deployment) -> Iterator[Refusal]:
    model, options = deployment.checkpoint.model, deployment.options
    if not options.num_speculative_tokens:
        return
    if options.speculative_method == "dflash":
        drafter = drafter_of(deployment)
        if drafter is None:
            yield Refusal(
                reason=f"the shape of a drafter for {model.name} is not known",
                source=source("v1/core/kv_cache_utils.py"),
                remedy="give draft_num_layers, draft_num_key_value_heads and draft_head_dim",
            )
        else:
            yield from _sliding_windows(deployment, drafter)
        return
    if model.mtp is None or not model.mtp.shipped:
        yield Refusal(
            reason=f"{deployment.checkpoint.id} ships no MTP module to speculate with",
            source=source("model_executor/models/qwen3_5_mtp.py"),
            remedy="leave num_speculative_tokens at 0",
        )


def _sliding_windows(deployment: Deployment, drafter: Drafter) -> Iterator[Refusal]:
    """Yield what a drafter whose layers attend to a sliding window does not run with."""
    if not drafter.sliding_layers:
        return
    version = deployment.options.version
    mixed = drafter.sliding_layers < drafter.num_layers
    if mixed and rules_of(version).model_runner == "V1":
        yield Refusal(
            reason=f"a drafter with sliding and full attention needs the V2 model runner, vLLM"
            f" {version} takes V1",
            engine_message="DFlash drafters with mixed sliding/full attention require the V2 model"
            " runner; relaunch with VLLM_USE_V2_MODEL_RUNNER=1.",
            source=source("model_executor/models/qwen3_dflash.py"),
            remedy="vLLM takes V2 by itself from 0.29.0 on",
        )
    if deployment.layout.context_parallel > 1:
        yield Refusal(
            reason="a drafter's sliding windows and decode context parallelism exclude each other",
            engine_message="DCP not support sliding window.",
            source=source("v1/kv_cache_interface.py (SlidingWindowSpec)"),
            remedy="use --decode-context-parallel-size 1",
        )
