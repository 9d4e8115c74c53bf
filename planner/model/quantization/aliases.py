"""What people type for a precision -> the scheme that is meant."""

from __future__ import annotations

ALIASES = {
    "16bit": "bf16",
    "bfloat16": "bf16",
    "f16": "bf16",
    "fp16": "bf16",
    "float16": "bf16",
    "fp8-block": "fp8",
    "fp8_dynamic": "fp8-dynamic",
    "8bit": "w8a8-int8",
    "int8": "w8a8-int8",
    "w8a8": "w8a8-int8",
    "4bit": "awq-int4",
    "int4": "awq-int4",
    "awq": "awq-int4",
    "awq-4bit": "awq-int4",
    "gptq": "gptq-int4",
    "gptq-4bit": "gptq-int4",
    "autoround": "autoround-int4",
    "fp4": "nvfp4",
    "q4": "q4_k_m",
    "q5": "q5_k_m",
    "q6": "q6_k",
    "q8": "q8_0",
    "gguf": "q4_k_m",
    "bnb-4bit": "bnb-nf4",
    "nf4": "bnb-nf4",
    "nf4-double": "bnb-nf4-double",
    "bnb-8bit": "bnb-int8",
    "llm-int8": "bnb-int8",
    "mlx": "mlx-4bit",
    **{f"mlx{bits}": f"mlx-{bits}bit" for bits in (3, 4, 5, 6, 8)},
}
"""What people type -> the scheme that is meant."""
