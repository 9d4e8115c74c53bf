"""Say what to type: a few lines of Python, because transformers is a library."""

from __future__ import annotations

from typing import Any

from planner.engines.engine import Deployment, Launch
from planner.engines.transformers.answer import TransformersAnswer
from planner.engines.transformers.options import TransformersOptions
from planner.engines.yarn import yarn_parameters
from planner.units import GIB

QUANTIZATION = {
    "bnb-nf4": "BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4',"
    " bnb_4bit_compute_dtype='{dtype}')",
    "bnb-nf4-double": "BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4',"
    " bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype='{dtype}')",
    "bnb-int8": "BitsAndBytesConfig(load_in_8bit=True)",
}
"""Formats that are made while loading a 16-bit checkpoint."""

FALLBACKS = (
    ("chunk_gated_delta_rule", "flash-linear-attention"),
    ("causal_conv1d_fn", "causal_conv1d"),
)


def made_on_load(deployment: Deployment) -> str | None:
    """Return the `quantization_config` that makes the asked precision, where loading makes it."""
    if not deployment.checkpoint.hypothetical:
        return None
    for row in deployment.checkpoint.stored:
        if row.format.name in QUANTIZATION:
            return QUANTIZATION[row.format.name].format(dtype=deployment.checkpoint.model.dtype)
    return None


def launch_of(deployment: Deployment, answer: TransformersAnswer) -> Launch:
    """Return a call of `python -c` that loads and generates exactly as planned.

    It answers the prompt given as its argument, as often as sequences were asked for.
    """
    options: TransformersOptions = deployment.options
    checkpoint = deployment.checkpoint
    made = made_on_load(deployment)
    names = ["AutoTokenizer", options.auto_class]
    config = _stretched(deployment)
    if made:
        names.append("BitsAndBytesConfig")
    if config:
        names.append("AutoConfig")
    where: dict[str, Any] = {}
    if checkpoint.revision:
        where["revision"] = checkpoint.revision
    loading = where | {
        "dtype": "auto",
        "device_map": options.device_map,
        "attn_implementation": options.attn_implementation,
    }
    budgets = _max_memory(deployment)
    if budgets:
        loading["max_memory"] = budgets
    words = [f"{name}={value!r}" for name, value in loading.items()]
    words += ["config=config"] if config else []
    words += [f"quantization_config={made}"] if made else []
    generating: dict[str, Any] = {"max_length": deployment.context}
    if options.cache_implementation != "dynamic":
        generating["cache_implementation"] = options.cache_implementation
    if options.prefill_chunk_size is not None:
        generating["prefill_chunk_size"] = options.prefill_chunk_size
    pinned = "".join(f", {name}={value!r}" for name, value in where.items())
    asked = ", ".join(f"{name}={value!r}" for name, value in generating.items())
    lines = [
        "import sys",
        f"from transformers import {', '.join(sorted(names))}",
        f"name = {checkpoint.id!r}",
        *config,
        f"model = {options.auto_class}.from_pretrained(name, {', '.join(words)})",
        f"tokenizer = AutoTokenizer.from_pretrained(name{pinned})",
        f"prompts = sys.argv[1:2] * {deployment.concurrency}",
        "inputs = tokenizer(prompts, return_tensors='pt').to(model.device)",
        f"output = model.generate(**inputs, {asked})",
        "print(*tokenizer.batch_decode(output, skip_special_tokens=True), sep='\\n')",
    ]
    return Launch(
        argv=("python", "-c", "; ".join(lines), "Hello"),
        notes=_notes(deployment, answer, made),
    )


def _stretched(deployment: Deployment) -> list[str]:
    """Return the lines that scale RoPE beyond the native context (YaRN)."""
    model = deployment.checkpoint.model
    if not deployment.yarn or deployment.context <= model.max_position_embeddings:
        return []
    rope = yarn_parameters(model, deployment.context)
    return [
        "config = AutoConfig.from_pretrained(name)",
        f"config.get_text_config().rope_parameters = {rope!r}",
        f"config.get_text_config().max_position_embeddings = {deployment.context}",
    ]


def _max_memory(deployment: Deployment) -> dict[int | str, int]:
    """Return accelerate's `max_memory`, in bytes, where the user gave budgets."""
    options: TransformersOptions = deployment.options
    if options.max_memory_gpu is None and options.max_memory_cpu is None:
        return {}
    system, share = deployment.system, options.max_memory_gpu
    budgets: dict[int | str, int] = {
        index: accelerator.total_bytes if share is None else int(share * GIB)
        for index, accelerator in enumerate(system.accelerators[: deployment.layout.accelerators])
    }
    if options.max_memory_cpu is not None and not system.accelerator.is_unified:
        budgets["cpu"] = int(options.max_memory_cpu * GIB)
    return budgets


def _notes(deployment: Deployment, answer: TransformersAnswer, made: str | None) -> tuple[str, ...]:
    options: TransformersOptions = deployment.options
    needed = ["torch", f"transformers=={options.version}", "accelerate"]
    if made:
        needed.append("bitsandbytes")
    if options.flash_linear_attention and deployment.checkpoint.model.linear is not None:
        needed += ["flash-linear-attention", "causal-conv1d"]
    notes = [f"install them first: pip install {' '.join(needed)}"]
    if answer.gpus_used < deployment.layout.accelerators:
        notes.append("some GPUs get no layers: hide them with CUDA_VISIBLE_DEVICES")
    return tuple(notes)


def log_lines(deployment: Deployment) -> tuple[str, ...]:
    """Return the lines that it would print: that DeltaNet runs in plain PyTorch, where it does."""
    options: TransformersOptions = deployment.options
    if options.flash_linear_attention or deployment.checkpoint.model.linear is None:
        return ()
    return tuple(
        f"`{function}` is falling back to its reference PyTorch implementation because"
        f" `{package}` is not installed."
        for function, package in FALLBACKS
    )
