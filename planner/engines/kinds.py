"""Refusing models whose layers an engine does not serve, or whose memory is not planned for.

The rule knows kinds of layers, never a model; which engine serves which kinds since which release
is data (data/kinds.toml).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from hardware_db.records import frozen
from planner.engines.engine import AnyEngine, Deployment, Refusal
from planner.model.layers import HYPER_CONNECTIONS, NGRAM_EMBEDDING
from planner.model.spec import FULL, LINEAR, ModelSpec
from planner.provenance import Source
from planner.shipped import read_toml

COVERED = frozenset({FULL, LINEAR})
"""Kinds that every engine serves and whose memory is planned for everywhere."""

_LIMIT = Source(where="what the cache rules of this planner cover")


@frozen
class Served:
    """One row of data/kinds.toml, where the fields are explained."""

    engine: str
    title: str
    kinds: tuple[str, ...]
    planned: bool
    source: str
    since: str | None = None
    words: str = ""
    backends: tuple[str, ...] = ()


@cache
def served() -> Mapping[tuple[str, str], Served]:
    """Return the rows by engine and kind."""
    rows = [_row(values) for values in read_toml("engines", "data", "kinds.toml")["served"]]
    return MappingProxyType({(row.engine, kind): row for row in rows for kind in row.kinds})


def _row(values: Mapping[str, Any]) -> Served:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Served(**fields)


def kind_refusals(engine: AnyEngine, deployment: Deployment) -> tuple[Refusal, ...]:
    """Return why `engine` cannot be planned with layers such as those of the deployment's model.

    Every kind of layer must be served by the release and covered by the cache rules, and layers of
    one kind must be alike: the engines' cache rules take one shape of each kind.
    """
    version = engine.version(deployment.options)
    return _refusals(deployment.checkpoint.model, engine.name, engine.title, version)


@lru_cache(maxsize=256)
def _refusals(model: ModelSpec, engine: str, title: str, version: str) -> tuple[Refusal, ...]:
    rows: dict[Served | None, list[str]] = {}
    for kind in model.kinds:
        if kind not in COVERED:
            rows.setdefault(served().get((engine, kind)), []).append(kind)
    found = [
        refusal
        for row, kinds in rows.items()
        for refusal in _of_row(row, kinds, title=title, version=version)
    ]
    return (*found, *_unlike(model, title))


def _of_row(row: Served | None, kinds: list[str], *, title: str, version: str) -> Iterable[Refusal]:
    named = _words(kinds)
    if row is None:
        yield Refusal(
            reason=f"no release of {title} that serves {named} is known",
            source=_LIMIT,
            remedy=_others(kinds),
        )
    elif row.since is not None and _release(version) < _release(row.since):
        yield Refusal(
            reason=f"{title} {version} does not serve {named}",
            source=Source(where=row.source),
            remedy=f"{title} {row.since} is the first release that does",
        )
    elif not row.planned:
        yield Refusal(
            reason=f"the memory of {named} is not planned for under {title}",
            source=Source(where=row.source),
            remedy="; ".join(filter(None, (row.words, _others(kinds)))),
        )


def _unlike(model: ModelSpec, title: str) -> Iterable[Refusal]:
    layers = (*model.layers, *(model.mtp.layers if model.mtp else ()))
    mixers = {layer.mixer for layer in layers}
    found = [
        f"layers of {_words([kind])} that differ in shape"
        for kind in sorted({mixer.kind for mixer in mixers})
        if len({mixer for mixer in mixers if mixer.kind == kind}) > 1
    ]
    if len({layer.mlp for layer in layers}) > 1:
        found.append("layers that differ in their feed-forward part")
    for what in found:
        yield Refusal(reason=f"{what} are not planned for under {title}", source=_LIMIT)


def _others(kinds: Iterable[str]) -> str | None:
    """Say which engines are planned for with all of these kinds."""
    wanted = set(kinds)
    able = {row.title for row in served().values() if row.planned and wanted <= set(row.kinds)}
    return f"planned for under {_joined(sorted(able))}" if able else None


_WORDS = {
    HYPER_CONNECTIONS: "hyper-connections",
    NGRAM_EMBEDDING: "n-gram embeddings",
}
"""What users read, where it is not the kind's name without underscores."""


def _words(kinds: Iterable[str]) -> str:
    return _joined([_WORDS.get(kind, kind.replace("_", " ")) for kind in kinds])


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
