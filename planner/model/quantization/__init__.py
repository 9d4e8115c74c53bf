"""How checkpoints store weights: schemes as data, by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from planner.errors import InputError
from planner.model.quantization.aliases import ALIASES
from planner.model.quantization.scheme import (
    Evidence,
    ModelScheme,
    RoleScheme,
    Scheme,
    Variant,
    bits_per_weight,
    kernels,
    precision_name,
    recipe,
    scheme_notes,
)
from planner.model.quantization.schemes import ALL_SCHEMES
from planner.model.stored import Stored
from planner.units import check_text, shown

__all__ = [
    "ALIASES",
    "SCHEMES",
    "Evidence",
    "ModelScheme",
    "RoleScheme",
    "Scheme",
    "Stored",
    "Variant",
    "bits_per_weight",
    "get_scheme",
    "kernels",
    "precision_name",
    "recipe",
    "scheme_notes",
]

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in ALL_SCHEMES})
"""Named schemes, by the name that users type."""


def get_scheme(name: str) -> Scheme:
    """The scheme called `name`; aliases ("int4", "nf4"), GGUF types and underscores are understood.

    Raises:
        InputError: no such scheme; the line lists the nearest, or all that exist.
    """
    plain = check_text(name, what="precision").lower().replace(" ", "-")
    for wanted in (plain, plain.replace("_", "-"), plain.replace("-", "_")):
        for found in (wanted, wanted.removeprefix("gguf-"), wanted.removeprefix("gguf_")):
            real = ALIASES.get(found, found)
            if real in SCHEMES:
                return SCHEMES[real]
            if real in _gguf_schemes():
                return _gguf_schemes()[real]
    near = near_schemes(plain)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(SCHEMES))}"
    raise InputError(f"unknown precision {shown(name)}; {hint}")


def _gguf_schemes() -> Mapping[str, Scheme]:
    """Return llama.cpp's types, whose rules are loaded when one of them may be meant."""
    from planner.model.gguf_mix import gguf_schemes

    return gguf_schemes()


def near_schemes(name: str) -> list[str]:
    """Return the names of schemes that `name` may have been meant to be, the nearest first."""
    return get_close_matches(name.lower(), [*SCHEMES, *ALIASES, *_gguf_schemes()], n=3)
