"""transformers: one process, layers spread by accelerate, a cache that grows token by token."""

from planner.engines.transformers.engine import TRANSFORMERS
from planner.engines.transformers.options import TransformersOptions

__all__ = ["TRANSFORMERS", "TransformersOptions"]
