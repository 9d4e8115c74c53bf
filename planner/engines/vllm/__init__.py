"""vLLM: one pool of equal pages for attention and recurrent state, by the engine's own rules."""

from planner.engines.vllm.engine import VLLM
from planner.engines.vllm.options import VllmOptions

__all__ = ["VLLM", "VllmOptions"]
