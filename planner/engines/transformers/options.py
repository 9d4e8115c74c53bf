"""What a user can set in transformers, under the parameters' own names."""

from __future__ import annotations

from dataclasses import dataclass

from planner.engines.transformers.release import NEWEST, parse_version
from planner.errors import InputError
from planner.units import MAX_TOKENS, check_count

DEVICE_MAPS = ("auto", "sequential", "cuda")
ATTENTION = ("sdpa", "flash_attention_2", "eager")
CACHES = ("dynamic", "static")
CLASSES = ("AutoModelForImageTextToText", "AutoModelForCausalLM")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersOptions:
    """Parameters of `from_pretrained` and `generate`.

    Attributes:
        version: release whose rules apply.
        auto_class: class that loads the model; AutoModelForCausalLM leaves the vision tower out.
        device_map: "auto" balances layers over the GPUs, then host memory; "sequential" fills GPU
            by GPU; "cuda" puts everything on the first GPU.
        max_memory_gpu: accelerate's `max_memory` per GPU, GiB of weights; None takes what is free.
        max_memory_cpu: accelerate's `max_memory` of the host, GiB of weights; 0 offloads nothing;
            None takes the host's memory where it is known.
        cache_implementation: "dynamic" grows with every token, "static" is allocated at once.
        prefill_chunk_size: tokens of the prompt per forward pass; None runs the prompt in one.
        attn_implementation: attention kernels.
        flash_linear_attention: the package of that name (fla) is installed; without it DeltaNet
            prefill runs in plain PyTorch, slower and with a larger peak (no parameter of
            transformers').

    Raises:
        InputError: a value out of range or not covered.
    """

    version: str = NEWEST
    auto_class: str = "AutoModelForImageTextToText"
    device_map: str = "auto"
    max_memory_gpu: float | None = None
    max_memory_cpu: float | None = None
    cache_implementation: str = "dynamic"
    prefill_chunk_size: int | None = None
    attn_implementation: str = "sdpa"
    flash_linear_attention: bool = False

    def __post_init__(self) -> None:
        """Check every range; the error names the parameter."""
        parse_version(self.version)
        for name, known in (
            ("auto_class", CLASSES),
            ("device_map", DEVICE_MAPS),
            ("cache_implementation", CACHES),
            ("attn_implementation", ATTENTION),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"{name}: {getattr(self, name)!r}; known: {', '.join(known)}")
        for name in ("max_memory_gpu", "max_memory_cpu"):
            value: object = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= 2**20:  # type: ignore[operator]
                raise InputError(f"{name}: {value!r} is not a number of GiB from 0 to 1,048,576")
        if self.prefill_chunk_size is not None:
            check_count(self.prefill_chunk_size, what="prefill_chunk_size", most=MAX_TOKENS)
