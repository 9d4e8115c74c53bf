"""Parameters counted by component, in all and active per token."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hardware_db.records import frozen
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE, Part, Tensor, tensor_table

_EMBED, _HEAD = "embed_tokens", "lm_head"
_LOOKED_UP = (_EMBED, NGRAM_TABLE)


@frozen
class ParameterCounts:
    """How many parameters a model has, and how many one token uses.

    Attributes:
        components: ``part.component`` -> parameters, such as ``text.gdn.in_proj_qkv``.
        text, vision, mtp: totals of the parts (zero where a part is absent).
        active_body: trunk layers and final norm, routed experts scaled by
            num_experts_per_tok / num_experts; no embedding, no lm_head, and nothing of a table of
            n-grams, of which a token reads a few rows.
        active_decode: `active_body` plus the output head: what decoding streams per token.
        active_named: `active_decode` plus the whole embedding table; the convention behind names
            such as "A3B" (tied tables count once).
        active_mtp: what one draft step of the MTP module streams, without the shared head.
    """

    components: Mapping[str, int]
    text: int
    vision: int
    mtp: int
    active_body: int
    active_decode: int
    active_named: int
    active_mtp: int

    @property
    def total(self) -> int:
        """All parameters that a checkpoint holds."""
        return self.text + self.vision + self.mtp


def count_parameters(model: ModelSpec) -> ParameterCounts:
    """Count `model`'s parameters from its table of tensors.

    Active parameters follow three stated definitions; see `ParameterCounts`.
    """
    table = tensor_table(model)
    components: dict[str, int] = {}
    for tensor in table:
        if tensor.constant:
            continue
        key = f"{tensor.part}.{tensor.component}"
        components[key] = components.get(key, 0) + tensor.parameters
    embed = components["text.embed_tokens"]
    head = components.get("text.lm_head", embed)
    body = _active(table, "text")
    tied = model.tie_word_embeddings
    return ParameterCounts(
        components=MappingProxyType(components),
        text=_total(table, "text"),
        vision=_total(table, "vision"),
        mtp=_total(table, "mtp"),
        active_body=body,
        active_decode=body + head,
        active_named=body + head + (0 if tied else embed),
        active_mtp=_active(table, "mtp"),
    )


def _total(table: tuple[Tensor, ...], part: Part) -> int:
    return sum(tensor.parameters for tensor in table if tensor.part == part)


def _active(table: tuple[Tensor, ...], part: Part) -> int:
    return sum(
        tensor.parameters * tensor.experts_read // tensor.experts
        for tensor in table
        if tensor.part == part and tensor.component not in (*_LOOKED_UP, _HEAD)
    )
