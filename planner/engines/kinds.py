"""Refusing models whose layers an engine's rules do not cover: by the kind's name, never a model's."""

from __future__ import annotations

from functools import cache

from planner.engines.engine import Refusal
from planner.model.spec import FULL, LINEAR, ModelSpec
from planner.provenance import Source

COVERED = frozenset({FULL, LINEAR})
"""Kinds that the rules of every engine cover."""

_SOURCE = Source(where="what the cache rules of this planner cover")


@cache
def kind_refusals(model: ModelSpec, *, title: str) -> tuple[Refusal, ...]:
    """Return why the engine called `title` cannot be planned with layers such as those of `model`.

    Every kind of layer must be covered, and layers of one kind must be alike: the engines' cache
    rules take one shape of each kind.
    """
    layers = (*model.layers, *(model.mtp.layers if model.mtp else ()))
    mixers = {layer.mixer for layer in layers}
    found = [f"layers of kind {kind}" for kind in model.kinds if kind not in COVERED]
    found += [
        f"layers of kind {kind} that differ in shape"
        for kind in sorted(COVERED)
        if len({mixer for mixer in mixers if mixer.kind == kind}) > 1
    ]
    if len({layer.mlp for layer in layers}) > 1:
        found.append("layers that differ in their feed-forward part")
    return tuple(
        Refusal(reason=f"{what} are not planned for under {title}", source=_SOURCE)
        for what in found
    )
