"""The tensors of the vision tower, as in transformers 5.23 `models/qwen3_5/modeling_qwen3_5.py`."""

from __future__ import annotations

from collections.abc import Iterator

from planner.model.spec import VisionTower
from planner.model.tensor import Split, Tensor


def vision_tensors(vision: VisionTower) -> Iterator[Tensor]:
    """Yield every tensor of the tower and its merger."""
    width, inner = vision.hidden_size, vision.intermediate_size
    base, block = "model.visual.", "model.visual.blocks.{layer}."
    every = tuple(range(vision.depth))
    merged = width * vision.spatial_merge_size**2
    patch = (width, vision.in_channels, vision.temporal_patch_size) + (vision.patch_size,) * 2

    def once(name: str, component: str, shape: tuple[int, ...], split: Split) -> Tensor:
        return Tensor(
            name=base + name, part="vision", component=component, shape=shape, split=split
        )

    yield once("patch_embed.proj.weight", "patch_embed", patch, Split.REPLICATED)
    yield once("patch_embed.proj.bias", "patch_embed", (width,), Split.REPLICATED)
    positions = (vision.num_position_embeddings, width)
    yield once("pos_embed.weight", "pos_embed", positions, Split.REPLICATED)
    blocks: list[tuple[str, tuple[int, ...], Split]] = []
    for norm in ("norm1", "norm2"):
        blocks += [(f"{norm}.weight", (width,), Split.REPLICATED)]
        blocks += [(f"{norm}.bias", (width,), Split.REPLICATED)]
    blocks += [
        ("attn.qkv.weight", (3 * width, width), Split.COLUMN),
        ("attn.qkv.bias", (3 * width,), Split.COLUMN),
        ("attn.proj.weight", (width, width), Split.ROW),
        ("attn.proj.bias", (width,), Split.REPLICATED),
        ("mlp.linear_fc1.weight", (inner, width), Split.COLUMN),
        ("mlp.linear_fc1.bias", (inner,), Split.COLUMN),
        ("mlp.linear_fc2.weight", (width, inner), Split.ROW),
        ("mlp.linear_fc2.bias", (width,), Split.REPLICATED),
    ]
    for name, shape, split in blocks:
        yield Tensor(
            name=block + name,
            part="vision",
            component="blocks",
            shape=shape,
            layers=every,
            split=split,
        )
    out = vision.out_hidden_size
    for name, shape, split in (
        ("merger.norm.weight", (width,), Split.REPLICATED),
        ("merger.norm.bias", (width,), Split.REPLICATED),
        ("merger.linear_fc1.weight", (merged, merged), Split.COLUMN),
        ("merger.linear_fc1.bias", (merged,), Split.COLUMN),
        ("merger.linear_fc2.weight", (out, merged), Split.ROW),
        ("merger.linear_fc2.bias", (out,), Split.REPLICATED),
    ):
        yield once(name, "merger", shape, split)
