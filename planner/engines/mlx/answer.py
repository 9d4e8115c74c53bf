"""What mlx-lm would allocate, with the figures that its own code computes."""

from __future__ import annotations

from typing import Any

from hardware_db.records import frozen_with_cache
from planner.engines.engine import FullAllocation
from planner.engines.mlx.cache import SequenceCache
from planner.engines.mlx.options import MlxOptions


@frozen_with_cache
class MlxAnswer(FullAllocation):
    """What mlx-lm would allocate.

    Attributes:
        options: as they were asked.
        weights: bytes of the text model.
        cache: bytes of one sequence of the asked context, by kind.
        kv_bytes_per_token_per_layer: bytes that one token adds to one attention layer.
        keeping: finished caches that the server is told to keep.
        prompts: prompts that the server is told to process at once.
        working_set: bytes that the GPU may use (max_recommended_working_set_size).
        largest_buffer: bytes of the largest single buffer, the scores of a prefill step.
        max_buffer: bytes that Metal lets one buffer have (maxBufferLength).
    """

    options: MlxOptions
    weights: int
    cache: SequenceCache
    kv_bytes_per_token_per_layer: int
    keeping: int
    prompts: int
    working_set: int
    largest_buffer: int
    max_buffer: int

    def settings(self) -> dict[str, Any]:
        """Return every option as the server resolves it."""
        options, alone = self.options, self.options.kv_bits is not None
        return {
            "version": options.version,
            "kv_bits": options.kv_bits,
            "kv_group_size": options.kv_group_size,
            "quantized_kv_start": options.quantized_kv_start,
            "prefill_step_size": options.prefill_step_size,
            "decode_concurrency": 1 if alone else options.decode_concurrency,
            "prompt_concurrency": self.prompts,
            "prompt_cache_size": self.keeping,
        }

    def figures(self) -> dict[str, Any]:
        """Return the server's own figures, in bytes."""
        return {
            "weight_bytes": self.weights,
            "kv_bytes_per_sequence": self.cache.kv,
            "conv_bytes_per_sequence": self.cache.conv,
            "recurrent_bytes_per_sequence": self.cache.recurrent,
            "kv_bytes_per_token_per_layer": self.kv_bytes_per_token_per_layer,
            "max_recommended_working_set_size": self.working_set,
            "largest_buffer": self.largest_buffer,
            "max_buffer_length": self.max_buffer,
        }
