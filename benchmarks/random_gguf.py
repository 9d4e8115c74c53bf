"""Write a GGUF file of a bundled model with random weights.

What an engine allocates and how fast it runs does not depend on what the weights say.

    python -m benchmarks.random_gguf Qwen3.5-9B Q4_K_M 9B-Q4_K_M.gguf

Shapes, types and order are those that the planner says llama.cpp's converter and llama-quantize
write (`planner.model.gguf_mix`); an engine that loads the file confirms them. The vocabulary has the
model's size and none of its words. Format: ggml docs/gguf.md; keys as in llama.cpp's
gguf-py/gguf/constants.py and conversion/qwen.py.
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

import planner
from planner.model.architectures import by_model_type
from planner.model.ggml_types import GGML_TYPES
from planner.model.gguf_mix import GgufScheme
from planner.model.gguf_tensors import block_count
from planner.model.layers import FULL, DenseMLP, FeedForward
from planner.model.spec import ModelSpec
from planner.units import round_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIGNMENT = 32
REPEATED = 2**25
"""Bytes of random blocks that a tensor repeats: several times a GPU's cache."""
NUMBERS = {name: number for number, (name, _, _) in GGML_TYPES.items()}
SCALES: Mapping[str, tuple[int, ...]] = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}
"""Where a block has its half-precision scales (ggml/src/ggml-common.h)."""
SMALL = {"Q4_0": 2e-3, "Q5_0": 1e-3, "Q8_0": 1e-4, "Q6_K": 1e-5, "IQ4_XS": 1e-5}
"""Scales that keep what a layer computes near one; others take `SCALE`."""
SCALE = 1e-4
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5


def blocks(kind: str, count: int, random: np.random.Generator) -> bytes:
    """Return random blocks of a ggml type, with scales that keep their values small.

    Raises:
        ValueError: it is not known where the type keeps its scales.
    """
    _, _, nbytes = GGML_TYPES[NUMBERS[kind]]
    if kind in ("F32", "F16", "BF16"):
        values = random.standard_normal(count, dtype=np.float32) * np.float32(0.02)
        if kind == "F32":
            return values.tobytes()
        if kind == "F16":
            return values.astype(np.float16).tobytes()
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    if kind not in SCALES:
        raise ValueError(f"{kind}: random blocks of this type are not known")
    found: NDArray[np.uint8] = random.integers(0, 256, (count, nbytes), dtype=np.uint8)
    scale = np.frombuffer(np.float16(SMALL.get(kind, SCALE)).tobytes(), np.uint8)
    for place in SCALES[kind]:
        found[:, place : place + 2] = scale
    return found.tobytes()


def tensors(model: ModelSpec, scheme: GgufScheme) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield name, shape (slowest dimension first) and ggml type of every tensor, in the file's order.

    llama-quantize writes what lies outside the blocks first, then block by block, each by name
    (src/llama-model-loader.h, weight_name_comparer).
    """
    found: list[tuple[int, str, tuple[int, ...], str]] = []
    for row in scheme.tensors(model):
        held = row.held
        shape = held.tensor.shape
        if held.tensor.experts > 1:
            shape = (held.tensor.experts, *shape)
        shape = shape[len(shape) - held.dimensions :]
        for block, name in zip(held.blocks or (-1,), held.names, strict=True):
            found.append((block, name, shape, row.ggml_type))
    for _, name, shape, type_ in sorted(found):
        yield name, shape, type_


def metadata(model: ModelSpec, scheme: GgufScheme) -> Iterator[tuple[str, int, Any]]:
    """Yield key, GGUF's number of its type and value, as the converter of the family writes them."""
    name = by_model_type()[model.model_type].gguf
    attention, linear = model.attention, model.linear
    assert linear is not None
    blocks_ = block_count(model, mtp=scheme.mtp)
    yield "general.architecture", STRING, name
    yield "general.name", STRING, f"{model.name} with random weights"
    yield "general.alignment", U32, ALIGNMENT
    yield f"{name}.block_count", U32, blocks_
    yield f"{name}.context_length", U32, model.max_position_embeddings
    yield f"{name}.embedding_length", U32, model.hidden_size
    yield f"{name}.attention.head_count", U32, attention.num_attention_heads
    yield f"{name}.attention.head_count_kv", U32, attention.num_key_value_heads
    yield f"{name}.attention.key_length", U32, attention.head_dim
    yield f"{name}.attention.value_length", U32, attention.head_dim
    yield f"{name}.attention.layer_norm_rms_epsilon", F32, 1e-6
    yield f"{name}.rope.freq_base", F32, float(attention.rope_theta)
    yield f"{name}.rope.dimension_count", U32, attention.rotary_dim
    yield f"{name}.rope.dimension_sections", ARRAY, (I32, (*attention.mrope_section, 0))
    yield f"{name}.ssm.conv_kernel", U32, linear.linear_conv_kernel_dim
    yield f"{name}.ssm.state_size", U32, linear.linear_key_head_dim
    yield f"{name}.ssm.group_count", U32, linear.linear_num_key_heads
    yield f"{name}.ssm.time_step_rank", U32, linear.linear_num_value_heads
    yield f"{name}.ssm.inner_size", U32, linear.value_dim
    yield f"{name}.full_attention_interval", U32, model.layer_types.index(FULL) + 1
    if extra := blocks_ - model.num_hidden_layers:
        yield f"{name}.nextn_predict_layers", U32, extra
    yield from _mlp(name, model.mlp)
    words = ["<|endoftext|>", *(chr(number) for number in range(0x21, 0x7F))]
    words += [f"<{number}>" for number in range(len(words), model.vocab_size)]
    yield "tokenizer.ggml.model", STRING, "gpt2"
    yield "tokenizer.ggml.pre", STRING, "qwen35"
    yield "tokenizer.ggml.tokens", ARRAY, (STRING, words)
    yield "tokenizer.ggml.token_type", ARRAY, (I32, [3, *[1] * (len(words) - 1)])
    yield "tokenizer.ggml.merges", ARRAY, (STRING, ["a b"])
    yield "tokenizer.ggml.eos_token_id", U32, 0
    yield "tokenizer.ggml.add_bos_token", BOOL, False


def write(path: Path, model: ModelSpec, scheme: GgufScheme, *, seed: int = 0) -> None:
    """Write the file.

    Raises:
        ValueError: a tensor has a type whose random blocks are not known.
    """
    random = np.random.default_rng(seed)
    rows, pairs = list(tensors(model, scheme)), list(metadata(model, scheme))
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(rows), len(pairs)))
        for key, kind, value in pairs:
            file.write(_text(key) + struct.pack("<I", kind) + _value(kind, value))
        offset = 0
        for name, shape, type_ in rows:
            file.write(_text(name) + struct.pack("<I", len(shape)))
            file.write(struct.pack(f"<{len(shape)}Q", *reversed(shape)))
            file.write(struct.pack("<IQ", NUMBERS[type_], offset))
            offset = round_up(offset + _nbytes(shape, type_), ALIGNMENT)
        _pad(file)
        made: dict[str, bytes] = {}
        for name, shape, type_ in rows:
            _write_tensor(file, name, shape, type_, made, random)
            _pad(file)


def _write_tensor(
    file: BinaryIO,
    name: str,
    shape: Sequence[int],
    type_: str,
    made: dict[str, bytes],
    random: np.random.Generator,
) -> None:
    wanted = _nbytes(shape, type_)
    if "norm" in name:
        file.write(np.ones(prod(shape), np.float32).tobytes())
        return
    if name.endswith("ssm_a"):
        file.write((-random.uniform(0.5, 2, prod(shape))).astype(np.float32).tobytes())
        return
    _, _, block = GGML_TYPES[NUMBERS[type_]]
    if type_ not in made:
        made[type_] = blocks(type_, REPEATED // block, random)
    for start in range(0, wanted, len(made[type_])):
        file.write(made[type_][: wanted - start])


def _mlp(name: str, mlp: FeedForward) -> Iterator[tuple[str, int, Any]]:
    if isinstance(mlp, DenseMLP):
        yield f"{name}.feed_forward_length", U32, mlp.intermediate_size
        return
    yield f"{name}.expert_count", U32, mlp.num_experts
    yield f"{name}.expert_used_count", U32, mlp.num_experts_per_tok
    yield f"{name}.expert_feed_forward_length", U32, mlp.moe_intermediate_size
    yield f"{name}.expert_shared_feed_forward_length", U32, mlp.shared_expert_intermediate_size


def _nbytes(shape: Sequence[int], type_: str) -> int:
    _, elements, nbytes = GGML_TYPES[NUMBERS[type_]]
    return prod(shape) // elements * nbytes


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % ALIGNMENT))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _text(value)
    if kind == ARRAY:
        element, items = value
        head = struct.pack("<IQ", element, len(items))
        return head + b"".join(_value(element, item) for item in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def main(argv: Sequence[str] | None = None) -> int:
    """Write one file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_gguf")
    parser.add_argument("model", help="a bundled model")
    parser.add_argument("type", help="one of llama-quantize's types: Q4_K_M")
    parser.add_argument("file", type=Path)
    parser.add_argument("--mtp", action="store_true", help="with the MTP blocks")
    options = parser.parse_args(argv)
    model = planner.load_checkpoint(options.model).model
    write(options.file, model, GgufScheme(mix=options.type.upper(), mtp=options.mtp))
    return 0


if __name__ == "__main__":
    sys.exit(main())
