"""Plan SGLang: a state pool and a KV pool inside a static share, by its own rules."""

from planner.engines.sglang.engine import SGLANG, SGLang
from planner.engines.sglang.options import SGLangOptions

__all__ = ["SGLANG", "SGLang", "SGLangOptions"]
