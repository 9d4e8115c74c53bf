"""Which layers a pipeline stage holds."""

from __future__ import annotations


def stage_layers(num_hidden_layers: int, pipeline_parallel: int) -> tuple[range, ...]:
    """Layers of each stage: equal shares, a remainder goes to the stages before the last.

    Source: vLLM 0.33.0 distributed/utils.py (get_pp_indices).
    """
    share, remainder = divmod(num_hidden_layers, pipeline_parallel)
    sizes = [share] * pipeline_parallel
    for back in range(2, remainder + 2):
        sizes[-back] += 1
    starts = [sum(sizes[:index]) for index in range(pipeline_parallel)]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))
