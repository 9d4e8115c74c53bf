"""llama.cpp: what it allocates, from its own graph, scheduler and allocator."""

from planner.engines.llamacpp.engine import LLAMACPP, Llamacpp
from planner.engines.llamacpp.options import LlamacppOptions

__all__ = ["LLAMACPP", "Llamacpp", "LlamacppOptions"]
