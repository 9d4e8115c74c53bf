"""Plan TensorRT-LLM: states for every schedulable request, KV blocks from what is left."""

from planner.engines.tensorrt_llm.engine import TENSORRT_LLM
from planner.engines.tensorrt_llm.options import TensorRtLlmOptions

__all__ = ["TENSORRT_LLM", "TensorRtLlmOptions"]
