"""The vision tower (mmproj) in memory: its weights and what encoding one image takes.

Source: llama.cpp 0c1e570 tools/mtmd/clip.cpp (the tower is warmed up on an image of 1472 x 1472
pixels), measured there on emulated CUDA devices for the family's three widths of tower.
"""

from __future__ import annotations

from hardware_db.records import frozen
from planner.engines.llamacpp.tensor_file import FileScheme
from planner.model.spec import ModelSpec

WARMUP_PIXELS = 1472
"""Side of the image that memory is reserved for; 2116 tokens at patches of 16."""

MAX_TOKENS = 4096
"""Tokens of the largest image: some 1.9 times the patches of the warm-up."""

_F32, _F16 = 4, 2
_HELD = 6
_POSITIONS = 4


@frozen
class VisionMemory:
    """Bytes of the vision tower.

    Attributes:
        weights: its tensors.
        compute: reserved for the warm-up image on the device that encodes.
        compute_growth: how much more the largest image may take.
        host: its input on the host.
    """

    weights: int
    compute: int
    compute_growth: int
    host: int

    @property
    def device(self) -> int:
        """Bytes on the device that encodes, when it starts."""
        return self.weights + self.compute


def vision_memory(model: ModelSpec, scheme: FileScheme, *, flash_attn: bool) -> VisionMemory | None:
    """What `--mmproj` adds; None for text-only models.

    patches = (1472 / patch)^2
    host    = 4 x patches x (3 x patch^2 + 4)
    compute = 4 x patches x 6 x width + host, where a row of width is wider than a patch;
              half of the image's share where it is not: its memory is taken over then
    without flash attention also 4 x patches^2 x heads
    """
    vision = model.vision
    if vision is None:
        return None
    patches = (WARMUP_PIXELS // vision.patch_size) ** 2
    pixels = vision.in_channels * vision.patch_size**2
    image = _F32 * patches * pixels
    positions = _F32 * patches * _POSITIONS
    kept = image if vision.hidden_size > pixels else image * _F16 // _F32
    compute = _F32 * patches * _HELD * vision.hidden_size + kept + positions
    if not flash_attn:
        compute += _F32 * patches**2 * vision.num_heads
    largest = MAX_TOKENS * vision.spatial_merge_size**2
    return VisionMemory(
        weights=sum(row.nbytes for row in scheme.store(model) if row.tensor.part == "vision"),
        compute=compute,
        compute_growth=max(0, compute * largest // patches - compute),
        host=image + positions,
    )
