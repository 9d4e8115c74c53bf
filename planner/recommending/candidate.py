"""Candidates: checkpoints that exist, each with an engine that loads it, before anything is planned.

Sizes are published, so that what cannot fit is left out before any table of tensors is made.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from hardware_db import System
from hardware_db.records import frozen
from planner.engines.choice import FOR_PICTURES, LOADS, OFFLOADS, engines_for
from planner.errors import InputError, PlannerError
from planner.model import catalog
from planner.model.quantization import get_scheme
from planner.model.tensors import NGRAM_TABLE, tensor_table
from planner.recommending.makers import renown, standing
from planner.recommending.wish import Wish
from planner.registry import Entry, Word, checkpoint_of, entries_of, loss_of

OUTSIDE = 0.9
"""Share of a GGUF's bytes that must find room at least: tables of embeddings stay in RAM."""

REACH = 1.2
"""Files of a class that loses little, up to this times its smallest: of them the one with the most
bits comes first. A fifth of the speed is hardly felt; half a bit halves the loss."""

ALIKE = 1.05
"""Files up to this times the smallest count as equally large: of them, whose files people run."""

MIXED = re.compile(r"(?:UD-|AD-)?(?:I?Q\d(?:_K)?(?:_(?:XXS|XS|S|M|L|XL|NL))?|Q8_0|Q[68]_K_XL|BF16)")
"""GGUF labels of the usual mixes. Files of one type for nearly all tensors (Q4_0, Q4_1, MXFP4_MOE)
take more bits than a mix that loses less; labels of somebody's own are tried last."""


ONLY_BITS = re.compile(r"(int)?([2-8])(?:[- ]?bits?)?")
"""A precision that says nothing but its bits."""


@frozen
class Lane:
    """One engine with the checkpoints of one model that it loads, by class of quality.

    Attributes:
        engine: its name.
        why: why it stands where it stands.
        classes: (class, checkpoints of it in the order in which they are tried), the best class first;
            to be gone through once, since most are never come to.
        spare: bytes that are left for caches at most, beside the smallest of them.
    """

    engine: str
    why: str
    classes: Iterator[tuple[Word, tuple[Entry, ...]]]
    spare: int


@frozen
class Fixed:
    """What somebody said, so that it is not chosen.

    Attributes:
        engine: name of the engine.
        precision: scheme or label of the checkpoint.
    """

    engine: str | None = None
    precision: str | None = None

    @property
    def settles(self) -> bool:
        """Whether nothing is left to choose: engine and way to store are both said."""
        return self.engine is not None and self.precision is not None


def lanes(base: str, system: System, wish: Wish, fixed: Fixed) -> tuple[Lane, ...]:
    """Return the lanes of one model on one machine, the first choice of engine first.

    Args:
        base: bundled id.
        system: where.
        wish: only official checkpoints, only engines that take pictures.
        fixed: what was said.
    """
    found = []
    for engine, why, rows in _loaded(base, system, wish, fixed):
        room = _room(system, offload=engine in OFFLOADS)
        outside = OUTSIDE * (1 - _read_from_files(base))
        loaded = [row for row in rows if outside * (row.nbytes or 0) <= room]
        if loaded:
            least = int(outside * min(row.nbytes or 0 for row in loaded))
            classes = _by_class(loaded, system, wish)
            found.append(Lane(engine=engine, why=why, classes=classes, spare=room - least))
    return tuple(found)


def smallest(
    base: str, system: System, wish: Wish, fixed: Fixed
) -> Iterator[tuple[str, str, Entry]]:
    """Yield each engine, why, and the smallest checkpoint of a model that it loads, room or not.

    Arguments are those of `lanes`.
    """
    for engine, why, rows in _loaded(base, system, wish, fixed):
        if rows:
            yield engine, why, min(rows, key=size_of)


def _loaded(
    base: str, system: System, wish: Wish, fixed: Fixed
) -> Iterator[tuple[str, str, list[Entry]]]:
    """Yield each engine that comes into question, why, and what it loads of a model."""
    rows = stored_as(
        fixed.precision, [row for row in entries_of(base) if _proposed(row, system, wish)]
    )
    for engine, why in engines_for(system):
        if fixed.engine not in (None, engine) or (wish.pictures and engine not in FOR_PICTURES):
            continue
        yield (
            engine,
            why,
            [
                row
                for row in rows
                if engine in LOADS.get(row.container, ())
                and (not wish.pictures or not row.gguf or row.vision is not None)
            ],
        )


@lru_cache(maxsize=256)
def least_cache(base: str) -> tuple[int, int]:
    """Return the bytes of a token and of a sequence in the smallest caches that are ever chosen.

    Keys and values in eight bits without copies of heads, recurrent state in sixteen.
    """
    known = catalog.find(base)
    if known is None:
        return 0, 0
    model = known[0].model
    attention, linear = model.attention, model.linear
    heads = len(model.full_attention_layers) * attention.num_key_value_heads
    state = 0 if linear is None else 2 * linear.ssm_elements * len(model.linear_attention_layers)
    return 2 * heads * attention.head_dim, state


def _proposed(row: Entry, system: System, wish: Wish) -> bool:
    """A row of the model itself that can be downloaded, as far as it was asked for.

    What its author made for one machine is for no other.
    """
    official = row.maker == "official" or not wish.official
    fitting = system.accelerator.id.startswith(row.made_for)
    return row.recommendable and not (row.ollama or row.docker) and official and fitting


def stored_as(precision: str | None, rows: list[Entry]) -> list[Entry]:
    """The rows that are stored so.

    By their label where one has it; by their bits where only bits are said ("4bit", "int8"); else by
    their recipe or one of its family (of "nvfp4" those that store more, or less, in it).
    """
    if precision is None:
        return rows
    wanted = precision.strip().lower().removeprefix("gguf-")
    named = [row for row in rows if (row.label or row.recipe).lower() == wanted]
    if named:
        return named
    if bits := ONLY_BITS.fullmatch(wanted):
        kinds = "int|w" if bits[1] else "q|int|fp|w"
        stored = re.compile(rf"(?:^|[^0-9])(?:(?:{kinds}){bits[2]}|{bits[2]}bit)(?:[^0-9]|$)")
        return [row for row in rows if stored.search((row.label or row.recipe).lower())]
    with contextlib.suppress(InputError):
        wanted = get_scheme(wanted).name
    recipes = ((row.recipe.removeprefix("gguf-"), row) for row in rows)
    return [row for recipe, row in recipes if recipe == wanted or recipe.startswith(f"{wanted}-")]


@lru_cache(maxsize=256)
def _read_from_files(base: str) -> float:
    """Return the share of a model's parameters that may stay in its file: the rows of n-gram tables."""
    known = catalog.find(base)
    if known is None or known[0].model.ngrams is None:
        return 0.0
    tensors = tensor_table(known[0].model)
    tables = sum(tensor.parameters for tensor in tensors if tensor.component == NGRAM_TABLE)
    return tables / sum(tensor.parameters for tensor in tensors)


def _room(system: System, *, offload: bool) -> int:
    """Bytes that can hold weights at most: of several machines the RAM of the first alone takes some."""
    host = system.host_memory if offload else None
    return system.total_bytes + (host or 0)


def _by_class(
    rows: list[Entry], system: System, wish: Wish
) -> Iterator[tuple[Word, tuple[Entry, ...]]]:
    """Rows by class of quality, in the order in which they are tried.

    Files of the maker first, then of those who store the family regularly. Where next to nothing is
    lost the smallest come first; where little is, the most bits within `REACH`; where much is, the
    most bits. Where speed or context come first, the smallest of every class: it is the fastest and
    reaches furthest.
    """
    by_word: dict[Word, list[Entry]] = {}
    for row in rows:
        by_word.setdefault(loss_of(row).word, []).append(row)
    for word, group in sorted(by_word.items()):
        least: dict[int, int] = {}
        for row in group:
            who = standing(row)
            least[who] = min(size_of(row), least.get(who, size_of(row)))
        keys = {row: _turn(row, word, least[standing(row)], system) for row in group}
        if wish.best != "quality":
            yield (
                word,
                tuple(sorted(group, key=lambda row: (standing(row), size_of(row), keys[row]))),
            )
            continue
        yield word, tuple(sorted(group, key=lambda row: keys[row]))


def _turn(row: Entry, word: Word, least: int, system: System) -> tuple[object, ...]:
    """Return when a row of a class is tried; the same question has the same order.

    Args:
        row: the row.
        word: its class.
        least: bytes of the smallest of the class by makers of this standing.
        system: where; formats that it computes in come before those that it unpacks.
    """
    size, loss = size_of(row), loss_of(row)
    known = -renown(row), -(row.downloads or 0), size, row.evidence != "bytes", row.name
    mixed = not row.gguf or MIXED.fullmatch(row.label) is not None
    if word <= Word.NEAR_LOSSLESS:
        step = ALIKE if row.gguf else REACH  # sizes of others are often known to a GB alone
        steps = 0 if size <= step * least else round(math.log(size / least) / math.log(step))
        return standing(row), not mixed, steps, loss.basis != "file", *known
    near = word > Word.SMALL or size <= REACH * least
    if row.gguf:
        finest = (not mixed, -round(loss.bits or 0.0, 1)) if near else (not mixed, float(size))
        return standing(row), not near, *finest, *known
    measured = loss.value or 0.0 if loss.basis == "file" else float("inf")
    return standing(row), not near, measured, not _is_native(row, system), *known


def _is_native(row: Entry, system: System) -> bool:
    """Say whether the accelerator computes in the format instead of unpacking it."""
    how = system.accelerator.formats.get(row.recipe.partition("-")[0], "")
    return how.startswith("native")


def size_of(row: Entry) -> int:
    """Return published bytes; the recipe's where nothing is published."""
    if row.nbytes is not None:
        return row.nbytes
    try:
        return checkpoint_of(row).nbytes("text", "mtp")
    except PlannerError:
        return 1 << 60  # what no recipe describes is tried last


def is_beyond(row: Entry, system: System) -> bool:
    """Say whether a checkpoint is larger than all accelerators, though MTP blocks may be left out."""
    return OUTSIDE * (1 - _read_from_files(row.base)) * size_of(row) > system.total_bytes


def least_held(row: Entry) -> int:
    """Return the bytes of a checkpoint that accelerators and RAM must hold together at least."""
    in_files = _read_from_files(row.base)
    return int(checkpoint_of(row).nbytes("text") * (1 - in_files))


def assuming_ram(system: System, gib: int) -> System:
    """Return `system` with so much RAM beside its accelerators, as an assumption."""
    from hardware_db import Figure

    return replace(
        system,
        id=f"{system.id}+{gib}gb-ram",
        host_memory_gib=Figure(value=gib, source="assumed", grade="D"),
    )
