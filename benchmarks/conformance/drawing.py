"""Draw configurations at random: what is asked of an engine's own code and of the planner."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.suites.words import system_named
from planner.model.catalog import CatalogEntry, catalog, find
from planner.model.spec import FULL, LINEAR

GIB = 2**30
QUANTIZED = Path(__file__).parents[2] / "tests" / "reference" / "vllm_quant.json"
"""Cases whose ``quantization_config`` is drawn from."""

GPUS = (
    "h100",
    "h200",
    "b200",
    "a100",
    "rtx4090",
    "rtx5090",
    "rtxpro6000",
    "gb10",
    "l40s",
    "rtx3090",
)
LENGTHS = (2048, 8192, 16_384, 32_768, 65_536, 131_072, 262_144)


def draw_vllm(random: Random) -> dict[str, Any]:
    """Return one case of vLLM in the form of the suite ``vllm``, without its answers."""
    entry = random.choice(_models())
    experts = entry.model.moe is not None
    tensor = random.choice((1, 1, 2, 2, 4, 4, 8, 16, 3, 6))
    case: dict[str, Any] = {
        "model": entry.id.rpartition("/")[2],
        "tp": tensor,
        "gpu": random.choice(GPUS),
        "max_model_len": random.choice((*LENGTHS, random.randrange(1024, 262_145))),
        "available": int(GIB * 2 ** random.uniform(0, 7)),
    }
    _maybe(random, case, 0.2, pp=(2, 4), data_parallel_size=(2, 4))
    if experts:
        _maybe(random, case, 0.4, ep=(True,))
    if tensor >= 4:
        _maybe(random, case, 0.2, dcp=(2, 4))
    if entry.model.mtp is not None:
        _maybe(random, case, 0.35, num_speculative_tokens=(1, 2, 3, 4, 5))
    _maybe(random, case, 0.4, enable_prefix_caching=(True, False))
    _maybe(random, case, 0.4, kv_cache_dtype=CACHES)
    _maybe(random, case, 0.3, mamba_ssm_cache_dtype=STATES)
    _maybe(random, case, 0.1, mamba_cache_dtype=STATES)
    _maybe(random, case, 0.2, block_size=(16, 32, 48, 64, 128, 256))
    _maybe(random, case, 0.3, language_model_only=(True, False))
    _maybe(random, case, 0.2, max_num_batched_tokens=(2048, 4096, 8192, 12_345, 16_384, 65_536))
    _maybe(random, case, 0.2, max_num_seqs=(1, 4, 16, 100, 256, 512))
    _maybe(random, case, 0.2, gpu_memory_utilization=(0.5, 0.8, 0.9, 0.97))
    _maybe(random, case, 0.15, enforce_eager=(True,))
    _maybe(random, case, 0.15, gdn_prefill_backend=("triton", "flashinfer"))
    if random.random() < 0.5:
        return {"case": case}
    name, configuration = random.choice((("fp8", blocks_of_fp8(entry)), *_quantizations(experts)))
    base = case["model"]
    case["model"] = f"{base}@{name}"
    case["language_model_only"] = True  # the lists of what stays 16-bit name the text's modules
    return {"case": case, "base_model": base, "quantization_config": configuration}


def draw_sglang(random: Random) -> dict[str, Any]:
    """Return one case of SGLang in the form of the suite ``sglang``, without its answers."""
    entry = random.choice(_models())
    accelerator = system_named(random.choice(GPUS)).accelerator
    driver = accelerator.memory_driver_mib
    mib = driver.value if driver is not None else accelerator.total_bytes / 2**20
    before = round(mib / 1024 * random.uniform(0.93, 0.99) * 64) / 64
    flags: dict[str, Any] = {}
    _maybe(random, flags, 0.7, tp_size=(1, 2, 4, 8))
    _maybe(random, flags, 0.1, pp_size=(2, 4))
    if flags.get("tp_size", 1) > 1:
        _maybe(random, flags, 0.15, attn_dp_size=(2,))
    if entry.model.mtp is not None and random.random() < 0.35:
        flags["speculative_algorithm"] = "NEXTN"
        if random.random() < 0.6:
            steps = random.choice((1, 2, 3, 5))
            flags |= {
                "speculative_num_steps": steps,
                "speculative_eagle_topk": 1,
                "speculative_num_draft_tokens": steps + 1,
            }
    _maybe(random, flags, 0.3, max_running_requests=(1, 8, 48, 100, 256, 1000))
    _maybe(random, flags, 0.3, mem_fraction_static=(0.5, 0.75, 0.85, 0.92))
    _maybe(random, flags, 0.3, context_length=(8192, 32_768, 131_072, 262_144))
    _maybe(random, flags, 0.2, chunked_prefill_size=(2048, 4096, 8192, 16_384))
    _maybe(random, flags, 0.2, mamba_radix_cache_strategy=("no_buffer", "extra_buffer"))
    _maybe(random, flags, 0.25, kv_cache_dtype=("fp8_e4m3", "fp8_e5m2", "bfloat16"))
    _maybe(random, flags, 0.25, mamba_ssm_dtype=("float32", "bfloat16"))
    _maybe(random, flags, 0.1, max_mamba_cache_size=(10, 64, 200))
    _maybe(random, flags, 0.15, mamba_full_memory_ratio=(0.2, 0.5, 2.0))
    _maybe(random, flags, 0.1, max_total_tokens=(10_000, 200_000))
    _maybe(random, flags, 0.15, disable_radix_cache=(True,), disable_cuda_graph=(True,))
    _maybe(random, flags, 0.1, disable_overlap_schedule=(True,))
    capability = accelerator.compute_capability or "0.0"
    return {
        "input": {
            "gpu": accelerator.nvml_names[0],
            "gpu_mem_mib": float(mib),
            "compute_capability": [int(part) for part in capability.split(".")],
            "model": entry.id,
            "weights_precision": random.choice(("bf16", "fp8")),
            "flags": flags,
            "pre_model_load_gib": before,
            "available_after_load_gib": round(before * random.uniform(0.15, 0.95) * 64) / 64,
        }
    }


CACHES = (
    "auto",
    "bfloat16",
    "fp8",
    "fp8_e4m3",
    "fp8_e5m2",
    "int8_per_token_head",
    "int4_per_token_head",
    "fp8_per_token_head",
    "nvfp4",
    "turboquant_4bit_nc",
)
STATES = ("auto", "float32", "bfloat16")


def _maybe(random: Random, case: dict[str, Any], share: float, **choices: tuple[Any, ...]) -> None:
    """Say some of the arguments in a share of the cases."""
    for name, values in choices.items():
        if random.random() < share:
            case[name] = random.choice(values)


@cache
def _models() -> tuple[CatalogEntry, ...]:
    """Models of attention and DeltaNet; other kinds of layers have a suite of their own."""
    return tuple(entry for entry in catalog() if {FULL, LINEAR} >= set(entry.model.layer_types))


def blocks_of_fp8(entry: CatalogEntry) -> dict[str, Any]:
    """Return a configuration of FP8 in blocks that names every module it leaves out, layer by layer."""
    front = "model.language_model.layers" if entry.model.vision is not None else "model.layers"
    small = ("linear_attn.in_proj_a", "linear_attn.in_proj_b", "mlp.gate", "mlp.shared_expert_gate")
    kept = [
        f"{front}.{layer}.{name}" for layer in range(len(entry.model.layer_types)) for name in small
    ]
    kept += [f"mtp.layers.0.{name}" for name in small[2:]]
    tower = ("attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2")
    if entry.model.vision is not None:
        depth = range(entry.model.vision.depth)
        kept += [f"model.visual.blocks.{block}.{name}" for block in depth for name in tower]
        kept += [f"model.visual.merger.{name}" for name in ("linear_fc1", "linear_fc2")]
    return {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": ["lm_head", *kept],
    }


@cache
def _quantizations(experts: bool) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Configurations of the kept cases whose base has experts as well, or none."""
    found: dict[str, dict[str, Any]] = {}
    for case in json.loads(QUANTIZED.read_text("utf-8"))["cases"]:
        base, _, name = case["case"]["model"].partition("@")
        known = find(base)
        if known is not None and (known[0].model.moe is not None) is experts:
            found.setdefault(name, case["quantization_config"])
    return tuple(found.items())
