"""Refuse arguments that a function does not take, with the one that was meant.

Python's own TypeError names neither; whoever catches this project's errors would miss it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar, is_typeddict

from planner.errors import InputError
from planner.units import check_switch, check_text, shown

P = ParamSpec("P")
R = TypeVar("R")

_MEANT = {
    "on": ("hardware", "gpu", "gpus", "device", "machine", "system", "accelerator"),
    "precision": ("quant", "quantization", "quantisation", "dtype", "weights", "format"),
    "context": ("ctx", "context_length", "ctx_size", "max_model_len", "num_ctx", "max_seq_len"),
    "concurrency": ("users", "requests", "batch", "batch_size", "parallel"),
    "kv_cache_dtype": ("kv", "kv_cache", "kv_dtype", "cache_dtype", "kv_cache_type"),
    "engine": ("server", "backend", "runtime"),
    "ram": ("host_memory", "memory", "cpu_memory"),
    "layout": ("tp", "pp", "dp", "tensor_parallel", "tensor_parallel_size", "pipeline_parallel"),
    "least_speed": ("min_speed", "speed"),
    "use": ("task", "for_use"),
}
"""Parameter -> other words for it."""

_TEXTS = {
    "engine": "engine",
    "precision": "precision",
    "kv_cache_dtype": "KV cache dtype",
    "revision": "revision",
    "use": "use",
    "best": "best",
    "objective": "objective",
}
"""Parameters that are text -> what an error line calls them."""

_SWITCHES = ("yarn", "free", "images", "official", "every", "speed", "learned")
"""Parameters that are true or false."""

_KEYWORD, _MANY = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD


def checked(*further: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: unknown and missing arguments are an InputError.

    Args:
        further: the TypedDicts whose keys the function takes as ``**keywords``.
    """
    assert all(map(is_typeddict, further))

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function).parameters.values()
        names = [parameter.name for parameter in own if parameter.kind is not _MANY]
        places = [parameter.name for parameter in own if parameter.kind not in (_KEYWORD, _MANY)]
        needed = {parameter.name for parameter in own if parameter.default is parameter.empty}
        needed.intersection_update(names)
        known = frozenset(names).union(*(kind.__annotations__ for kind in further))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if not known.issuperset(kwargs):
                strange = next(name for name in kwargs if name not in known)
                raise unknown_argument(function.__name__, strange, known)
            if len(args) > len(places):
                raise InputError(
                    f"{function.__name__}: {shown(args[len(places)])} must be named: write"
                    f" {'on=' if 'on' in known else 'NAME='}{args[len(places)]!r}"
                )
            missing = needed.difference(kwargs, places[: len(args)])
            if missing:
                raise _missing(function.__name__, [name for name in names if name in missing])
            twice = next((name for name in places[: len(args)] if name in kwargs), None)
            if twice is not None:
                raise InputError(f"{function.__name__}: {twice} is given twice; leave one out")
            _check(kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


def _check(said: dict[str, object]) -> None:
    """Refuse what is neither the text nor the truth value that a parameter takes."""
    for name, what in _TEXTS.items():
        if said.get(name) is not None:
            check_text(said[name], what=what)
    for name in _SWITCHES:
        if name in said:
            said[name] = check_switch(said[name], what=name)


def _missing(function: str, names: Iterable[str]) -> InputError:
    first, *_ = names
    if first == "model":
        return InputError(
            f"{function}: name a model, or let planner.recommend(on=...) choose what to run"
        )
    example = "on='rtx-4090'" if first == "on" else f"{first}=..."
    return InputError(f"{function}: {first} is missing; write {example}")


def unknown_argument(function: str, name: str, known: frozenset[str]) -> InputError:
    """Return the error for an argument that is none, with what was probably meant."""
    start = f"{function}: unknown argument {name!r}"
    meant = next((real for real, words in _MEANT.items() if name in words and real in known), None)
    near = [meant] if meant is not None else get_close_matches(name, known, n=1)
    if near:
        how = "layout=planner.Layout(tensor_parallel=2)" if near[0] == "layout" else near[0]
        return InputError(f"{start}; did you mean {how}?")
    if "options" in known:
        from planner.engines import commands

        flag = f"--{name.replace('_', '-')}"
        if commands.known_to_any(flag):
            return InputError(f"{start}; options of an engine go into options={{{name!r}: ...}}")
    return InputError(f"{start}; known: {', '.join(sorted(known))}")
