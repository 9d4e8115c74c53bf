"""Valid things of every kind that strangers hand over; the fuzz tests mutate them."""

from __future__ import annotations

import json
from typing import Any

from planner.model.catalog import catalog
from planner.model.gguf_tensors import gguf_tensors
from planner.model.hf_config import read_config
from planner.model.quantization import get_scheme
from tests.model.builders import Tensors
from tests.model.builders import gguf as gguf_file
from tests.model.builders import safetensors as safetensors_file
from tests.model.stored_tensors import written

CONFIGS: dict[str, Any] = {entry.id: json.loads(json.dumps(entry.config)) for entry in catalog()}
SMALL = CONFIGS["Qwen/Qwen3.5-0.8B"]
MOE = CONFIGS["Qwen/Qwen3.5-35B-A3B"]

FOUR_LAYERS: Any = json.loads(json.dumps(SMALL))
"""The smallest model that has a layer of each kind: whole files of it are read in no time."""
FOUR_LAYERS["text_config"] |= {"num_hidden_layers": 4, "full_attention_interval": 4}
FOUR_LAYERS["text_config"].pop("layer_types", None)
_MODEL = read_config(FOUR_LAYERS, name="x")

MODEL_TENSORS: Tensors = {
    tensor.name: (tensor.dtype, tensor.shape)
    for tensor in written(get_scheme("bf16"), _MODEL).tensors
}
"""Every tensor of that model as safetensors files hold it."""

GGUF_TENSORS: Tensors = {
    name: (
        "Q8_0" if held.tensor.is_matrix and held.tensor.shape[-1] % 32 == 0 else "F32",
        held.tensor.shape,
    )
    for held in gguf_tensors(_MODEL)
    for name in held.names
}
"""The same as GGUF files hold it."""

GGUF_PAIRS: dict[str, object] = {
    "general.architecture": "qwen35",
    "general.name": "x",
    **{
        f"qwen35.{key}": value
        for key, value in {
            "block_count": 4,
            "embedding_length": _MODEL.hidden_size,
            "feed_forward_length": 3584,
            "context_length": 262144,
            "attention.head_count": 8,
            "attention.head_count_kv": 2,
            "attention.key_length": 256,
            "rope.dimension_count": 64,
            "rope.freq_base": 1e7,
            "ssm.conv_kernel": 4,
            "ssm.state_size": 128,
            "ssm.group_count": 16,
            "ssm.time_step_rank": 16,
            "ssm.inner_size": 2048,
            "full_attention_interval": 4,
        }.items()
    },
}

SAFETENSORS = safetensors_file(
    {
        "model.layers.0.mlp.up_proj.weight": ("BF16", (64, 32)),
        "lm_head.weight": ("F8_E4M3", (8, 8)),
    },
    {"format": "pt"},
)
GGUF = gguf_file(
    {"general.architecture": "qwen35", "qwen35.block_count": 4, "tokenizer.tokens": ["a", "b"]},
    {"blk.0.ffn_up.weight": ("Q4_K", (64, 256)), "output.weight": ("BF16", (8, 32))},
)

HOSTILE = (
    "re:.*.*.*.*.*.*.*.*!",
    "re:(.|.)*!",
    "re:((.+))+!",
    "re:(?=(.|..)*[!])(.|..)*[!]",
    "re:" + "(" * 200,
    "-:(.*)*[!]",
    "*" * 50 + "[!]",
    "[" * 50,
)

QUANTIZED: tuple[dict[str, Any], ...] = (
    {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}}},
    {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["mlp.gate"]},
    {
        "quant_method": "auto-round",
        "bits": 4,
        "group_size": 128,
        "extra_config": {".*x": {"bits": 8}},
    },
    {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ["lm_head", "re:.*gate$"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True},
            }
        },
    },
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head", "*gate*"]},
    {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["lm_head"]},
)

TOML = """
[[accelerator]]
id = "my-card"
name = "My card"
vendor = "ours"
architecture = "none"
memory_driver_mib = { value = 49140, grade = "A", source = "nvidia-smi here" }
"""

COMMANDS = (
    "vllm serve Qwen/Qwen3.5-27B --tensor-parallel-size 2 --max-model-len 32768",
    "python -m sglang.launch_server --model-path Qwen/Qwen3.5-4B --tp 2 --mem-fraction-static 0.8",
    "llama-server -hf unsloth/Qwen3.5-35B-A3B-GGUF:Q4_K_M -ngl 99 -c 32768 -ot '(.|.)*x=CPU'",
    "docker run --gpus all vllm/vllm-openai:v0.33.0 --model Qwen/Qwen3.5-4B -tp 2",
)

LOG = """INFO 11-20 10:00:00 [core.py:77] Initializing a V1 LLM engine (v0.33.0) with config: model='x'
INFO 11-20 10:00:00 [gpu_model_runner.py:1] Model loading took 12.3456 GiB and 10.2 seconds
INFO 11-20 10:00:00 [gpu_worker.py:1] Available KV cache memory: 5.43 GiB
llama_context: n_ctx = 32768
load_tensors: CUDA0 model buffer size = 1234.56 MiB
"""

SIZES = ("128k", "1M", "24GB", "2x rtx-4090 + rtx-3090", "custom:48GiB", "8 x h100")

ADDRESSES = (
    "v=2&on=2x+h100-sxm&model=Qwen3.5-27B&with=vllm&context=64k&users=4&layout=tp2&o-max_num_seqs=8",
    "v=2&on=rtx-4090&model=other&repository=a/b&with=best&context=1M&users=1",
)
