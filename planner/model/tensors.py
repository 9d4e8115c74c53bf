"""`ModelSpec` -> the table of its tensors. Everything said about weights derives from it.

The MTP module is laid out as in vLLM 0.33.0 `model_executor/models/qwen3_5_mtp.py` and
`models/qwen4_exp/nvidia/mtp.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from planner.model.layer_tensors import last_norm_tensors, layer_tensors
from planner.model.spec import ModelSpec
from planner.model.tensor import NGRAM_TABLE, Part, Split, Tensor
from planner.model.vision_tensors import vision_tensors

__all__ = ["NGRAM_TABLE", "Part", "Split", "Tensor", "tensor_table"]


@lru_cache(maxsize=256)
def tensor_table(model: ModelSpec) -> tuple[Tensor, ...]:
    """Every tensor that a checkpoint of `model` holds, in order of parts."""
    return (*_text(model), *(vision_tensors(model.vision) if model.vision else ()), *_mtp(model))


def _text(model: ModelSpec) -> Iterator[Tensor]:
    hidden, vocab = model.hidden_size, model.vocab_size
    base = "model.language_model." if model.vision else "model."
    yield Tensor(
        name=f"{base}embed_tokens.weight",
        part="text",
        component="embed_tokens",
        shape=(vocab, hidden),
        split=Split.VOCAB,
    )
    yield from layer_tensors(model.layers, hidden, base + "layers.{layer}.", "text")
    yield from last_norm_tensors(model.streams, hidden, base, "text")
    if not model.tie_word_embeddings:
        yield Tensor(
            name="lm_head.weight",
            part="text",
            component="lm_head",
            shape=(vocab, hidden),
            split=Split.VOCAB,
        )


def _mtp(model: ModelSpec) -> Iterator[Tensor]:
    if model.mtp is None or not model.mtp.shipped:
        return
    hidden = model.hidden_size
    streams = model.mtp.layers[0].streams
    projections = (
        (("fc_embedding", hidden), ("fc_hidden", hidden))
        if model.mtp.split_fc
        else (("fc", 2 * hidden),)
    )
    for name, columns in projections:
        yield Tensor(
            name=f"mtp.{name}.weight",
            part="mtp",
            component=name,
            shape=(hidden, columns),
            split=Split.COLUMN,
        )
    wide = hidden * (streams.count if streams else 1)
    for name, width in (("pre_fc_norm_embedding", hidden), ("pre_fc_norm_hidden", wide)):
        yield Tensor(name=f"mtp.{name}.weight", part="mtp", component="norms", shape=(width,))
    yield from last_norm_tensors(streams, hidden, "mtp.", "mtp")
    yield from layer_tensors(model.mtp.layers, hidden, "mtp.layers.{layer}.", "mtp")
