"""Say which KV cache dtypes an engine takes, before anything is looked for that would suit one."""

from __future__ import annotations

from planner.engines import ENGINES
from planner.engines.engine import AnyEngine
from planner.errors import InputError
from planner.formats.cache import CACHE_FORMATS
from planner.units import check_text, shown

_MEANT = {8: "q8_0 (llama.cpp) or fp8 (vLLM, SGLang)", 4: "q4_0 (llama.cpp) or nvfp4 (vLLM)"}
_SAID = "q{0} int{0} {0}bit {0}-bit fp{0} {0}"
"""What people call a cache of so many bits -> what engines call it."""


def check_cache(name: str, engine: AnyEngine | None) -> str:
    """Return the name of a KV cache dtype that the engine takes; of none that is named, that any takes.

    Raises:
        InputError: it does not; the line lists what it takes.
    """
    wanted = _plain(check_text(name, what="KV cache dtype"))
    if engine is not None:
        if wanted != "auto" and wanted not in map(_plain, engine.cache_dtypes):
            also = f"; {engine.cache_advice}" if engine.cache_advice else ""
            raise InputError(
                f"{engine.title} has no KV cache dtype {shown(name)}; it takes"
                f" {_listed(engine.cache_dtypes)}{also}"
            )
    elif wanted not in ("auto", *CACHE_FORMATS):
        every = {dtype for one in ENGINES.values() for dtype in one.cache_dtypes}
        if wanted not in map(_plain, every):
            bits = next((bits for bits in _MEANT if wanted in _SAID.format(bits).split()), None)
            meant = f"did you mean {_MEANT[bits]}? " if bits is not None else ""
            raise InputError(
                f"unknown KV cache dtype {shown(name)}; {meant}known: auto,"
                f" {', '.join(sorted(every))}"
            )
    return name


def _plain(name: str) -> str:
    """Return one name for what is spelled in several ways."""
    found = CACHE_FORMATS.get(name.lower())
    return name.lower() if found is None else found.name


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(('auto', *names[:-1]))} and {names[-1]}"
