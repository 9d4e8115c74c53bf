"""MLX: Apple's unified memory, KV in steps of 256 tokens, text only."""

from planner.engines.mlx.engine import MLX
from planner.engines.mlx.options import MlxOptions

__all__ = ["MLX", "MlxOptions"]
