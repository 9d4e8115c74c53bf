"""What quantizers write for one matrix, tensor by tensor, from their file layouts (not from bytes)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Literal

from planner.model.headers import StoredCheckpoint, StoredTensor
from planner.model.quantization import Scheme
from planner.model.spec import ModelSpec

WIDTH = {
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "BF16": 2,
    "F16": 2,
    "F8_E4M3": 1,
    "U8": 1,
    "I8": 1,
    "I64": 8,
}
PLAIN = {"bfloat16": "BF16", "float32": "F32", "float16": "F16"}

Entry = tuple[str, str, tuple[int, ...]]


def blocks(size: int, block: int) -> int:
    return -(-size // block)


def layout(name: str, shape: tuple[int, ...]) -> list[Entry]:
    """(ending, dtype, shape) of everything that stores one matrix in the format called `name`."""
    if name in PLAIN:
        return [(".weight", PLAIN[name], shape)]
    r, c = shape
    bits = (
        int(match[1])
        if (match := re.search(r"int(\d)|^mxfp(\d)|(\d)bit", name)) and match[1]
        else 4
    )
    if match and (match[2] or match[3]):
        bits = int(match[2] or match[3])
    group = int(match[1]) if (match := re.search(r"-g(\d+)", name)) else 0
    if name == "fp8-block128":
        scale = (blocks(r, 128), blocks(c, 128))
        return [(".weight", "F8_E4M3", shape), (".weight_scale_inv", "BF16", scale)]
    if name == "fp8-tensor":
        scalars = [(ending, "F32", ()) for ending in (".weight_scale", ".input_scale")]
        return [(".weight", "F8_E4M3", shape), *scalars]
    if name == "fp8-channel":
        return [(".weight", "F8_E4M3", shape), (".weight_scale", "BF16", (r, 1))]
    if name == "int8-channel":
        return [(".weight", "I8", shape), (".weight_scale", "BF16", (r, 1))]
    if name.startswith("nvfp4"):
        found: list[Entry] = [
            (".weight", "U8", (r, c // 2)),
            (".weight_scale", "F8_E4M3", (r, c // 16)),
        ]
        found.append((".weight_scale_2", "F32", ()))
        return found if name.endswith("only") else [*found, (".input_scale", "F32", ())]
    if name.startswith("mxfp"):
        kind = "F8_E4M3" if bits == 8 else "U8"
        return [(".weight", kind, (r, c * bits // 8)), (".weight_scale", "U8", (r, c // 32))]
    if name.startswith("ct-"):
        packed: list[Entry] = [
            (".weight_packed", "I32", (r, c * bits // 32)),
            (".weight_shape", "I64", (2,)),
        ]
        packed.append((".weight_scale", "BF16", (r, c // group)))
        zero = (".weight_zero_point", "I32", (r * bits // 32, c // group))
        return [*packed, zero] if name.endswith("asym") else packed
    if name.startswith("gptq"):
        return [
            (".qweight", "I32", (c * bits // 32, r)),
            (".qzeros", "I32", (c // group, r * bits // 32)),
            (".scales", "F16", (c // group, r)),
            (".g_idx", "I32", (c,)),
        ]
    if name.startswith(("awq", "autoround")):
        return [
            (".qweight", "I32", (c, r * bits // 32)),
            (".qzeros", "I32", (c // group, r * bits // 32)),
            (".scales", "F16", (c // group, r)),
        ]
    if name.startswith("mlx-"):
        scales = [(ending, "BF16", (r, c // group)) for ending in (".scales", ".biases")]
        return [(".weight", "U32", (r, c * bits // 32)), *scales]
    raise AssertionError(f"no layout for {name}")


def stored(
    tensors: Sequence[Entry], *, kind: Literal["safetensors", "gguf"] = "safetensors"
) -> StoredCheckpoint:
    found = tuple(
        StoredTensor(
            name=name, dtype=dtype, shape=shape, nbytes=prod(shape) * WIDTH[dtype], file="f"
        )
        for name, dtype, shape in tensors
    )
    return StoredCheckpoint(kind=kind, label=kind, tensors=found, files=(), metadata={})


def written(scheme: Scheme, model: ModelSpec) -> StoredCheckpoint:
    """A checkpoint of `model` as tools write it, expert by expert."""
    found: list[Entry] = []
    for row in scheme.store(model):
        base = row.tensor.name
        for layer in row.tensor.layers or (0,):
            for expert in range(row.tensor.experts):
                name = base.replace("{layer}", str(layer)).replace("{expert}", str(expert))
                if not row.tensor.is_matrix:
                    found.append((name, PLAIN[row.format.name], row.tensor.shape))
                    continue
                stem = name.removesuffix(".weight")
                entries = layout(row.format.name, row.tensor.shape)
                found += [(stem + ending, dtype, shape) for ending, dtype, shape in entries]
    return stored(found)
