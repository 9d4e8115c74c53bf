"""A row of the registry -> a checkpoint that engines can plan: its bytes spread over the roles."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Protocol, cast

from planner.errors import InputError, PlannerError, UnsupportedModelError
from planner.formats import get_format
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme, get_mix
from planner.model.quantization import Scheme, Stored, get_scheme
from planner.model.spec import ModelSpec
from planner.model.tensors import Part, tensor_table
from planner.provenance import Band
from planner.registry.entry import GGUF_HEADER, Entry
from planner.registry.scaled import TABLE, ScaledScheme, scale_to
from planner.registry.store import entries_stored_as
from planner.units import format_gib

AS_THE_RECIPE = Fraction(1, 500)
"""How near a published size must be to its recipe to be taken for it (0.2 %: Q8_0 and BF16 files,
lmstudio-community's and mradermacher's are within 0.1 %, no file of other recipes is)."""

GGUF_RECIPE = (Fraction(7, 100), Fraction(11, 100))
"""How much smaller and larger than llama.cpp's plain recipe published files of a type are: 71 of
bartowski's are up to 10.8 % larger, 79 of unsloth's up to 9.8 %, one of mradermacher's 6.4 % smaller."""

OTHER_RECIPE = (Fraction(9, 100), Fraction(9, 100))
"""How far other published checkpoints are from the recipe of their kind, nine of ten of them."""


@lru_cache(maxsize=2048)
def checkpoint_of(entry: Entry) -> Checkpoint:
    """Return the checkpoint that a row describes, named as programs load it.

    Bytes are the published ones, spread over the roles by the nearest recipe; the band is their
    rounding and, where the file follows a recipe of its own, how far it is from that one. Without a
    published size they are the recipe's, with the band that published files of its kind span.

    Raises:
        UnsupportedModelError: a vision tower or drafter, or weights that no recipe describes.
        UnknownModelError: its model is not bundled.
    """
    if entry.part != "model":
        raise UnsupportedModelError(f"{entry.name} is a {_PARTS[entry.part]}, not a model")
    known = catalog.find(entry.base)
    if known is None:
        raise catalog.unknown(entry.base)
    model = _as_shipped(known[0].model, entry)
    like = _recipe(entry, model)
    parts = parts_of(entry, model)
    plain = _bytes(like, model, parts)
    scheme, band = like, None
    if entry.nbytes is None:
        band = _share(GGUF_RECIPE if entry.gguf else OTHER_RECIPE, plain)
    else:
        target = tensor_bytes(entry)
        away = abs(target - plain)
        own = away <= AS_THE_RECIPE * plain or away <= entry.within
        if not own:
            rows = [row for row in stored_rows(like, model) if row.tensor.part in parts]
            factor, everything = scale_to(rows, target)
            scheme = _scaled(entry, like, factor, everything=everything)
        band = _band(entry, model, like, 0 if own else target - plain)
    return Checkpoint(
        id=entry.repo,
        model=model,
        scheme=_called(scheme, entry, like),
        source=_source(entry),
        notes=_notes(entry, plain),
        files=((entry.file, entry.nbytes or plain + GGUF_HEADER),) if entry.file else (),
        band=band,
        published=not entry.named,
    )


def _band(entry: Entry, model: ModelSpec, like: Scheme, more: int) -> Band | None:
    """How far weights on accelerators may be off where the total is known: how it is spread.

    Of a GGUF, the embedding table stays on the host. It is taken as the recipe's; at the other end
    all that the file has more than the recipe is in it, up to a table in Q8_0, or all that it has
    less, down to half a table. Of other files, the MTP module is what may not be loaded: it may be
    quantized, or at 16 bits.

    Args:
        entry: the row; its rounding adds to both ends.
        model: as shipped.
        like: the recipe that is scaled.
        more: bytes that the file has more than the recipe.
    """
    below = above = entry.within
    if more and entry.gguf:
        rows = [row for row in stored_rows(like, model) if row.tensor.component == TABLE]
        table = sum(row.nbytes for row in rows)
        eight = sum(get_format("Q8_0").nbytes(row.tensor.shape) for row in rows)
        below += min(max(more, 0), max(0, eight - table))
        above += min(max(-more, 0), table // 2)
    elif more:
        loose = 2 * sum(row.parameters for row in tensor_table(model) if row.part == "mtp")
        below, above = below + min(abs(more), loose), above + min(abs(more), loose)
    return Band(below=below, above=above) if below or above else None


_PARTS = {"mmproj": "vision tower", "draft": "drafter"}


def parts_of(entry: Entry, model: ModelSpec) -> tuple[Part, ...]:
    """Return the parts of `model` that a row's bytes count."""
    if entry.gguf and entry.vision != "inside":
        return ("text", "mtp")
    return ("text", "vision", "mtp") if model.vision is not None else ("text", "mtp")


def download_bytes(entry: Entry) -> int:
    """Return the bytes to download: published, else of the parts in its files, by its recipe.

    Raises:
        UnsupportedModelError: no recipe describes it.
    """
    if entry.nbytes is not None:
        return entry.nbytes
    checkpoint = checkpoint_of(entry)
    return checkpoint.nbytes(*parts_of(entry, checkpoint.model))


def tensor_bytes(entry: Entry) -> int:
    """Return the published bytes of the tensors: without a GGUF's header.

    Raises:
        InputError: no size is published.
    """
    if entry.nbytes is None:
        raise InputError(f"{entry.name}: no size is published")
    return entry.nbytes - (GGUF_HEADER if entry.gguf else 0)


def recipe_bytes(entry: Entry) -> int:
    """Return the bytes that the nearest recipe gives the parts that a row's bytes count.

    Raises:
        UnsupportedModelError: no recipe describes it.
        UnknownModelError: its model is not bundled.
    """
    known = catalog.find(entry.base)
    if known is None:
        raise catalog.unknown(entry.base)
    model = _as_shipped(known[0].model, entry)
    return _bytes(_recipe(entry, model), model, parts_of(entry, model))


@lru_cache(maxsize=2048)
def effective_bits(entry: Entry) -> float | None:
    """Return bits per weight of the language model, MTP included where it is in the file.

        8 x (published bytes - vision tower at 16 bits) / parameters

    By its recipe where no size is published; None for what is no model, or none that is bundled.
    """
    known = catalog.find(entry.base)
    if known is None or entry.part != "model":
        return None
    model = _as_shipped(known[0].model, entry)
    if entry.nbytes is None:
        try:
            rows = stored_rows(_recipe(entry, model), model)
        except PlannerError:
            return None
        size = sum(row.nbytes for row in rows if row.tensor.part != "vision")
        counted = sum(row.tensor.parameters for row in rows if row.tensor.part != "vision")
        return 8 * size / max(1, counted)
    text, mtp, vision = parameters_of(model)
    if entry.container.startswith("mlx") and not entry.mtp:
        mtp = 0  # MLX conversions leave it out
    inside = "vision" in parts_of(entry, model)
    return 8 * (tensor_bytes(entry) - (2 * vision if inside else 0)) / (text + mtp)


@lru_cache(maxsize=256)
def parameters_of(model: ModelSpec) -> tuple[int, int, int]:
    """Return the parameters of a model's text, MTP and vision parts."""
    sums = {"text": 0, "mtp": 0, "vision": 0}
    for tensor in tensor_table(model):
        sums[tensor.part] += tensor.parameters
    return sums["text"], sums["mtp"], sums["vision"]


class _Recipe(Scheme, Hashable, Protocol):
    """A scheme that answers can be remembered by."""


def stored_rows(scheme: Scheme, model: ModelSpec) -> tuple[Stored, ...]:
    """Return a model's table of tensors in a scheme; many checkpoints share one recipe."""
    return _stored_rows(cast("_Recipe", scheme), model)


@lru_cache(maxsize=512)
def _stored_rows(scheme: _Recipe, model: ModelSpec) -> tuple[Stored, ...]:
    return scheme.store(model)


@lru_cache(maxsize=1024)
def stored_as(base: str, scheme: str) -> Entry | None:
    """Return the row that stores a bundled model in `scheme`, or None; never a derivative.

    Official ones first, then, of files of one type, the one nearest to the recipe, then those whose
    size is known best and the most downloaded.

    Args:
        base: the bundled id.
        scheme: scheme of the planner, ``q4_k_m`` or ``nvfp4``.
    """
    plain = plain_scheme(scheme)
    rows = [row for row in entries_stored_as(base, plain) if row.recommendable]
    rows = [row for row in rows if not (row.ollama or row.made_for) and row.container in _LOADED]

    def rank(row: Entry) -> tuple[bool, bool, bool, int, int, str]:
        return (
            row.maker != "official",
            row.label.lower() not in ("", plain, plain.removeprefix("gguf-")),
            row.nbytes is None,
            _away_in_steps(row),
            -(row.downloads or 0),
            row.name,
        )

    return min(rows, key=rank, default=None)


_LOADED = ("gguf", "safetensors", "mlx")
"""Containers that engines load as they are, without a fork."""


def plain_scheme(scheme: str) -> str:
    """Return a scheme's name without what a file may leave out or how it was made."""
    return scheme.removesuffix("-nomtp").removesuffix("-imatrix")


def _away_in_steps(row: Entry) -> int:
    """How far a row is from its recipe, in steps of `AS_THE_RECIPE`."""
    if row.nbytes is None:
        return 0
    try:
        plain = recipe_bytes(row)
    except PlannerError:
        return 0
    return int(abs(tensor_bytes(row) - plain) / (AS_THE_RECIPE * plain))


@lru_cache(maxsize=1024)
def spread_of(base: str, scheme: str) -> Band | None:
    """Return how far published files of one type are from llama.cpp's plain recipe, at most.

    None where none is published, or where all are as the recipe says.

    Args:
        base: the bundled id.
        scheme: a GGUF scheme: ``q4_k_m``.
    """
    plain = plain_scheme(scheme)
    below = above = 0
    for row in entries_stored_as(base, plain):
        if row.nbytes is None or not row.gguf or not row.recommendable:
            continue
        if row.label.lower() != plain.removeprefix("gguf-"):
            continue  # another mix of the same author's own
        try:
            away = tensor_bytes(row) - recipe_bytes(row)
        except PlannerError:
            continue
        below, above = max(below, -away), max(above, away)
    return Band(below=below, above=above) if below or above else None


def _as_shipped(model: ModelSpec, entry: Entry) -> ModelSpec:
    """The model with its experts and its MTP module as the row has them."""
    return _with_parts(model, entry.experts, entry.mtp)


@lru_cache(maxsize=256)
def _with_parts(model: ModelSpec, experts: int | None, mtp: bool | None) -> ModelSpec:
    if experts is not None and model.moe is not None:
        model = model.with_layers(mlp=replace(model.moe, num_experts=experts))
    if model.mtp is None or mtp is None or model.mtp.shipped == mtp:
        return model
    return replace(model, mtp=replace(model.mtp, shipped=mtp))


def _recipe(entry: Entry, model: ModelSpec) -> Scheme:
    try:
        found = get_scheme(entry.recipe)
        if isinstance(found, GgufScheme):
            mtp = model.mtp is not None and model.mtp.shipped and entry.mtp is not False
            imatrix = get_mix(found.mix).needs_imatrix
            return replace(found, mtp=mtp, imatrix=imatrix)
        stored_rows(found, model)
    except PlannerError as error:
        raise UnsupportedModelError(f"{entry.name}: {error}") from None
    return found


def _bytes(scheme: Scheme, model: ModelSpec, parts: tuple[Part, ...]) -> int:
    return _bytes_of(cast("_Recipe", scheme), model, parts)


@lru_cache(maxsize=512)
def _bytes_of(scheme: _Recipe, model: ModelSpec, parts: tuple[Part, ...]) -> int:
    return sum(row.nbytes for row in _stored_rows(scheme, model) if row.tensor.part in parts)


def _scaled(entry: Entry, like: Scheme, factor: Fraction, *, everything: bool) -> ScaledScheme:
    return ScaledScheme(
        name=like.name,
        title=like.title,
        source=entry.source,
        like=like,
        factor=factor,
        everything=everything,
    )


def _called(scheme: Scheme, entry: Entry, like: Scheme) -> Scheme:
    """The scheme under the name of the file, where its label is another one."""
    label = entry.label.lower()
    if not label or not entry.gguf or label == like.name:
        return scheme
    factor = scheme.factor if isinstance(scheme, ScaledScheme) else Fraction(1)
    everything = isinstance(scheme, ScaledScheme) and scheme.everything
    return ScaledScheme(
        name=label,
        title=f"GGUF {entry.label}" + (" (without MTP)" if entry.mtp is False else ""),
        source=entry.source,
        like=like,
        factor=factor,
        everything=everything,
    )


def _share(shares: tuple[Fraction, Fraction], nbytes: int) -> Band:
    below, above = shares
    return Band(below=round(below * nbytes), above=round(above * nbytes))


def _source(entry: Entry) -> str:
    if entry.named:
        return entry.source
    return f"registry, {entry.date}: {entry.source}"


def _decimal(nbytes: int) -> str:
    """Bytes as those round them who publish sizes: 50 MB."""
    return f"{nbytes / 1e6:,.0f} MB" if nbytes >= 10**6 else f"{nbytes / 1e3:,.0f} kB"


def _notes(entry: Entry, plain: int) -> tuple[str, ...]:
    notes = []
    if entry.named:
        notes.append(f"{entry.name}: what it holds follows from its name alone; it was not read")
    elif entry.nbytes is None:
        notes.append(f"{entry.name}: no size is published; bytes follow the recipe {entry.recipe}")
    elif entry.within:
        notes.append(
            f"{entry.name}: its size is published to about {_decimal(entry.within)}:"
            f" {format_gib(entry.nbytes)}"
        )
    if entry.experts is not None:
        notes.append(
            f"{entry.name} is {entry.base} with {entry.experts} experts per layer left: another model"
        )
    elif entry.derivative:
        notes.append(f"{entry.name} is a fine-tune of {entry.base}: same size, another model")
    return tuple(notes)
