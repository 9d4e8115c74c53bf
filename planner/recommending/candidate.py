"""Candidates: checkpoints that exist, each with an engine that loads it, before anything is planned.

Sizes are published, so that what cannot fit is left out before any table of tensors is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hardware_db import System
from planner.engines.choice import FOR_PICTURES, LOADS, OFFLOADS, engines_for
from planner.errors import PlannerError
from planner.recommending.wish import Wish
from planner.registry import Entry, Loss, Word, checkpoint_of, entries_of, loss_of

OUTSIDE = 0.9
"""Share of a GGUF's bytes that must find room at least: tables of embeddings stay in RAM."""

ALIKE = 1.04
"""Files of one class of quality up to this times the smallest count as equally large: of them the
one that was measured itself, then the one whose size is known to the byte, comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One engine with the checkpoints of one model that it loads, by class of quality.

    Attributes:
        engine: its name.
        why: why it stands where it stands.
        classes: (class, checkpoints of it in the order in which they are tried), the best class first.
    """

    engine: str
    why: str
    classes: tuple[tuple[Word, tuple[Entry, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """What somebody said, so that it is not chosen.

    Attributes:
        engine: name of the engine.
        precision: scheme or label of the checkpoint.
    """

    engine: str | None = None
    precision: str | None = None


def lanes(base: str, system: System, wish: Wish, fixed: Fixed) -> tuple[Lane, ...]:
    """Return the lanes of one model on one machine, the first choice of engine first.

    Args:
        base: bundled id.
        system: where.
        wish: only official checkpoints, only engines that take pictures.
        fixed: what was said.
    """
    rows = _stored_as(fixed.precision, [row for row in entries_of(base) if _proposed(row, wish)])
    found = []
    for engine, why in engines_for(system):
        if fixed.engine not in (None, engine) or (wish.pictures and engine not in FOR_PICTURES):
            continue
        room = _room(system, offload=engine in OFFLOADS)
        loaded = [
            row
            for row in rows
            if engine in LOADS.get(row.container, ())
            and OUTSIDE * (row.nbytes or 0) <= room
            and (not wish.pictures or not row.gguf or row.vision is not None)
        ]
        if loaded:
            found.append(Lane(engine=engine, why=why, classes=tuple(_by_class(loaded))))
    return tuple(found)


def _proposed(row: Entry, wish: Wish) -> bool:
    """A row of the model itself that can be downloaded, as far as it was asked for."""
    official = row.maker == "official" or not wish.official
    return row.recommendable and not (row.ollama or row.docker) and official


def _stored_as(precision: str | None, rows: list[Entry]) -> list[Entry]:
    """The rows that are stored so: by their label where one has it, else by their recipe."""
    if precision is None:
        return rows
    wanted = precision.lower().removeprefix("gguf-")
    named = [row for row in rows if (row.label or row.recipe).lower() == wanted]
    return named or [row for row in rows if row.recipe.removeprefix("gguf-") == wanted]


def _room(system: System, *, offload: bool) -> int:
    """Bytes that can hold weights at most."""
    host = system.host_memory if offload else None
    return system.total_bytes + (host or 0) * system.nodes


def _by_class(rows: list[Entry]) -> Iterator[tuple[Word, tuple[Entry, ...]]]:
    """Rows by class of quality; official ones and small ones first within one."""
    by_word: dict[Word, list[tuple[Entry, Loss]]] = {}
    for row in rows:
        loss = loss_of(row)
        by_word.setdefault(loss.word, []).append((row, loss))
    for word in sorted(by_word):
        pairs = by_word[word]
        least = min(_size(row) for row, _ in pairs)

        def order(pair: tuple[Entry, Loss], least: int = least) -> tuple[object, ...]:
            row, loss = pair
            alike = _size(row) <= ALIKE * least
            return (
                row.maker != "official",
                not alike,
                alike and loss.basis != "file",
                alike and row.evidence != "bytes",
                _size(row),
                row.name,
            )

        yield word, tuple(row for row, _ in sorted(pairs, key=order))


def _size(row: Entry) -> int:
    """Published bytes; the recipe's where nothing is published."""
    if row.nbytes is not None:
        return row.nbytes
    try:
        return checkpoint_of(row).nbytes("text", "mtp")
    except PlannerError:
        return 1 << 60  # what no recipe describes is tried last


def assuming_ram(system: System, gib: int) -> System:
    """Return `system` with so much RAM beside its accelerators, as an assumption."""
    from hardware_db import Figure

    return replace(
        system,
        id=f"{system.id}+{gib}gb-ram",
        host_memory_gib=Figure(value=gib, source="assumed", grade="D"),
    )
