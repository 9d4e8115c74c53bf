"""The table of tensors as a GGUF file holds it: llama.cpp's names, merges and splits.

Source: llama.cpp 0c1e570 conversion/qwen.py, conversion/qwen3vl.py, conversion/base.py and
gguf-py/gguf/tensor_mapping.py; for hyper-connections, indexers and n-gram tables 79e2e74
conversion/qwen4exp.py. The converter stacks a layer's experts into one tensor, appends the
MTP module as one more block, drops the unit dimension of convolutions and of the shared
expert's gate, splits the fused in_proj_qkvz of older checkpoints and an indexer's projection in
two, joins two projections of an MTP module, and keeps the constants of hashes as metadata. The
vision tower goes into a file of its own (mmproj).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from hardware_db.records import frozen
from planner.model.architectures import by_model_type
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE, Tensor, tensor_table

_ONCE = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "mtp.fc.weight": "nextn.eh_proj.weight",
    "mtp.pre_fc_norm_embedding.weight": "nextn.enorm.weight",
    "mtp.pre_fc_norm_hidden.weight": "nextn.hnorm.weight",
    "mtp.norm.weight": "nextn.shared_head_norm.weight",
    "hyper_connection_mixer.hc_norm.weight": "output_hc_norm.weight",
    "hyper_connection_mixer.input_mix_weight_down.weight": "output_hc_down.weight",
    "hyper_connection_mixer.input_mix_weight_up.weight": "output_hc_up.weight",
    "mtp.hyper_connection_mixer.hc_norm.weight": "nextn.hc_head_norm.weight",
    "mtp.hyper_connection_mixer.input_mix_weight_down.weight": "nextn.hc_head_down.weight",
    "mtp.hyper_connection_mixer.input_mix_weight_up.weight": "nextn.hc_head_up.weight",
}
_IN_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.bias": "attn_output.bias",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.in_proj_ba.weight": "ssm_ba.weight",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight",
    "linear_attn.A_log": "ssm_a",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.experts.{expert}.gate_proj.weight": "ffn_gate_exps.weight",
    "mlp.experts.{expert}.up_proj.weight": "ffn_up_exps.weight",
    "mlp.experts.{expert}.down_proj.weight": "ffn_down_exps.weight",
    "mlp.shared_expert.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_expert.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_expert.down_proj.weight": "ffn_down_shexp.weight",
    "mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
    "self_attn.indexer.q_layernorm.weight": "indexer.q_norm.weight",
    "self_attn.indexer.k_layernorm.weight": "indexer.k_norm.weight",
    "attn_hyper_connection.hc_norm.weight": "hc_attn_norm.weight",
    "attn_hyper_connection.input_mix_weight_down.weight": "hc_attn_down.weight",
    "attn_hyper_connection.input_mix_weight_up.weight": "hc_attn_up.weight",
    "attn_hyper_connection.block_inject_weight.weight": "hc_attn_inject.weight",
    "mlp_hyper_connection.hc_norm.weight": "hc_ffn_norm.weight",
    "mlp_hyper_connection.input_mix_weight_down.weight": "hc_ffn_down.weight",
    "mlp_hyper_connection.input_mix_weight_up.weight": "hc_ffn_up.weight",
    "mlp_hyper_connection.block_inject_weight.weight": "hc_ffn_inject.weight",
    "ple.key_proj.weight": "ple_key.weight",
    "ple.value_proj.weight": "ple_value.weight",
    "ple.norm_key.weight": "ple_norm_key.weight",
    "ple.norm_query.weight": "ple_norm_query.weight",
    "ple.norm_conv.weight": "ple_norm_conv.weight",
    "ple.conv1d.weight": "ple_conv1d.weight",
}
_TABLE = "per_layer_token_embd.weight"
_OUTSIDE = frozenset({*_ONCE.values(), _TABLE})
_VISION_ONCE = {
    "patch_embed.proj.bias": "v.patch_embd.bias",
    "pos_embed.weight": "v.position_embd.weight",
    "merger.norm.weight": "v.post_ln.weight",
    "merger.norm.bias": "v.post_ln.bias",
    "merger.linear_fc1.weight": "mm.0.weight",
    "merger.linear_fc1.bias": "mm.0.bias",
    "merger.linear_fc2.weight": "mm.2.weight",
    "merger.linear_fc2.bias": "mm.2.bias",
}
_VISION_IN_LAYER = {
    "norm1": "ln1",
    "norm2": "ln2",
    "attn.qkv": "attn_qkv",
    "attn.proj": "attn_out",
    "mlp.linear_fc1": "ffn_up",
    "mlp.linear_fc2": "ffn_down",
}


@frozen
class GgufTensor:
    """One kind of tensor of a GGUF file.

    Attributes:
        tensor: the row of the table of tensors that it holds, its name the GGUF one; ``{layer}``
            stands for the block's index. Stacked experts count as `Tensor.experts` here.
        blocks: indices of the blocks it occurs in, as the file numbers them (the MTP module's
            layers follow the trunk's); empty outside the blocks.
        key: the name without block and ``.weight``: ``attn_qkv``, ``ffn_down_exps``.
    """

    tensor: Tensor
    blocks: tuple[int, ...]
    key: str

    @property
    def dimensions(self) -> int:
        """Dimensions as ggml counts them: trailing ones of size 1 do not count."""
        shape = self.tensor.shape
        if self.tensor.experts > 1:
            shape = (self.tensor.experts, *shape)
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
        return len(shape)

    @property
    def names(self) -> tuple[str, ...]:
        """The full names, one per block."""
        if not self.blocks:
            return (self.tensor.name,)
        return tuple(self.tensor.name.replace("{layer}", str(block)) for block in self.blocks)


@lru_cache(maxsize=64)
def gguf_tensors(model: ModelSpec, *, mtp: bool = True) -> tuple[GgufTensor, ...]:
    """The tensors of the language model's file: trunk and, if shipped and wanted, MTP blocks."""
    base = model.num_hidden_layers
    found: list[GgufTensor] = []
    for tensor in tensor_table(model):
        if tensor.part == "text" or (tensor.part == "mtp" and mtp):
            found.extend(_language(tensor, base, model))
    return tuple(found)


@lru_cache(maxsize=64)
def mmproj_tensors(model: ModelSpec) -> tuple[GgufTensor, ...]:
    """The tensors of the vision tower's own file; empty for text-only models."""
    return tuple(
        found
        for tensor in tensor_table(model)
        if tensor.part == "vision"
        for found in _vision(tensor)
    )


def gguf_key(tensor: Tensor) -> str | None:
    """The GGUF name of a text or MTP tensor without block and ``.weight``; None if it has none.

    Understands the names of GGUF files and those of checkpoints.
    """
    name = tensor.name.removeprefix("blk.{layer}.")
    if name == tensor.name and name not in _OUTSIDE:
        _, in_layer, inner = name.partition("layers.{layer}.")
        found = _IN_LAYER.get(inner) if in_layer else _ONCE.get(_outer_name(name))
        if found is None:
            return None
        name = found
    return name.removesuffix(".weight")


def block_count(model: ModelSpec, *, mtp: bool = True) -> int:
    """Blocks of the file (``block_count``), those of the MTP module included."""
    module = model.mtp if mtp else None
    extra = module.num_layers if module is not None and module.shipped else 0
    return model.num_hidden_layers + extra


def converts_mtp(model: ModelSpec) -> bool:
    """Whether llama.cpp's converter takes the MTP module of `model` along."""
    return by_model_type()[model.model_type].gguf_mtp


def _language(tensor: Tensor, base: int, model: ModelSpec) -> Iterator[GgufTensor]:
    if tensor.constant is not None:
        return
    _, in_layer, inner = tensor.name.partition("layers.{layer}.")
    if not in_layer:
        yield from _outside(tensor, base)
        return
    if tensor.component == NGRAM_TABLE:
        yield _row(replace(tensor, name=_TABLE, layers=()), ())
        return
    blocks = (
        tuple(layer + base for layer in tensor.layers) if tensor.part == "mtp" else tensor.layers
    )
    parts = _parts(inner, model)
    if parts:
        columns = tensor.shape[1:]
        for key, component, rows in parts:
            name = f"blk.{{layer}}.{key}.weight"
            part = replace(tensor, name=name, component=component, shape=(rows, *columns))
            yield _row(part, blocks)
        return
    shape = tensor.shape
    if inner.endswith("conv1d.weight"):
        shape = (shape[0], shape[2])
    elif inner == "mlp.shared_expert_gate.weight":
        shape = shape[1:]
    name = "blk.{layer}." + _IN_LAYER[inner]
    yield _row(replace(tensor, name=name, shape=shape), blocks)


def _outside(tensor: Tensor, base: int) -> Iterator[GgufTensor]:
    """What lies outside the trunk's layers; what the MTP module has so is part of its block."""
    if tensor.part != "mtp":
        yield _row(replace(tensor, name=_ONCE[_outer_name(tensor.name)]), ())
        return
    if tensor.component == "fc_hidden":
        return
    if tensor.component == "fc_embedding":
        rows, columns = tensor.shape
        tensor = replace(tensor, name="mtp.fc.weight", component="fc", shape=(rows, 2 * columns))
    yield _row(replace(tensor, name="blk.{layer}." + _ONCE[tensor.name], layers=(0,)), (base,))


def _parts(inner: str, model: ModelSpec) -> tuple[tuple[str, str, int], ...]:
    """Key, component and rows of the tensors that one tensor is split into; empty for others."""
    linear, indexer = model.linear, model.attention.indexer
    if inner == "linear_attn.in_proj_qkvz.weight" and linear is not None:
        return (
            ("attn_qkv", "gdn.in_proj_qkv", linear.conv_dim),
            ("attn_gate", "gdn.in_proj_z", linear.value_dim),
        )
    if inner == "self_attn.indexer.index_qk_proj.weight" and indexer is not None:
        queries = indexer.num_heads * indexer.head_dim
        return (
            ("indexer.q_proj", "full_attn.qsa_indexer", queries),
            ("indexer.k_proj", "full_attn.qsa_indexer", indexer.key_elements),
        )
    return ()


def _outer_name(name: str) -> str:
    return name.removeprefix("model.").removeprefix("language_model.")


def _row(tensor: Tensor, blocks: tuple[int, ...]) -> GgufTensor:
    key = tensor.name.removeprefix("blk.{layer}.").removesuffix(".weight")
    return GgufTensor(tensor=tensor, blocks=blocks, key=key)


def _vision(tensor: Tensor) -> Iterator[GgufTensor]:
    _, in_layer, inner = tensor.name.partition("blocks.{layer}.")
    if in_layer:
        stem, _, kind = inner.rpartition(".")
        name = f"v.blk.{{layer}}.{_VISION_IN_LAYER[stem]}.{kind}"
        yield GgufTensor(tensor=replace(tensor, name=name), blocks=tensor.layers, key=name)
        return
    inner = tensor.name.rpartition("visual.")[2]
    if inner == "patch_embed.proj.weight":
        # The 3-D convolution becomes one 2-D convolution per time step.
        width, channels, steps, *patch = tensor.shape
        for step in range(steps):
            name = "v.patch_embd.weight" + (f".{step}" if step else "")
            part = replace(tensor, name=name, shape=(width, channels, *patch))
            yield GgufTensor(tensor=part, blocks=(), key="v.patch_embd")
        return
    name = _VISION_ONCE[inner]
    yield GgufTensor(tensor=replace(tensor, name=name), blocks=(), key=name)
