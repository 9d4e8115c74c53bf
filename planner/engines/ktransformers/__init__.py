"""Plan KTransformers: attention and caches on the GPU as in SGLang, experts in host memory."""

from planner.engines.ktransformers.engine import KTRANSFORMERS
from planner.engines.ktransformers.options import KTransformersOptions

__all__ = ["KTRANSFORMERS", "KTransformersOptions"]
