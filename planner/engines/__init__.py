"""Engines by name: who allocates memory, each by its own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from planner.engines.base import Engine
from planner.errors import InputError
from planner.units import check_text, shown


class _Engines(Mapping[str, Engine]):
    """Engines by name, each loaded when it is first asked for: a plan needs one of them."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> Engine:
        package, policy = self._places[name]
        engine: Engine = getattr(import_module(f"{__name__}.{package}"), policy)
        return engine

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


ENGINES: Mapping[str, Engine] = _Engines(
    {
        "vllm": ("vllm", "VLLM"),
        "sglang": ("sglang", "SGLANG"),
        "llamacpp": ("llamacpp", "LLAMACPP"),
        "transformers": ("transformers", "TRANSFORMERS"),
        "mlx": ("mlx", "MLX"),
        "tensorrt-llm": ("tensorrt_llm", "TENSORRT_LLM"),
        "ktransformers": ("ktransformers", "KTRANSFORMERS"),
    }
)
"""Every engine, by the name that users type."""


def get_engine(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        InputError: no such engine; the line lists those that exist.
    """
    wanted = _plain(check_text(name, what="engine"))
    for known in ENGINES:
        if _plain(known) == wanted:
            return ENGINES[known]
    raise InputError(f"unknown engine {shown(name)}; known: {', '.join(ENGINES)}")


def _plain(name: str) -> str:
    """A name without what spellings differ in: "llama.cpp" and "TensorRT-LLM" are understood."""
    return "".join(c for c in name.lower() if c.isalnum())
