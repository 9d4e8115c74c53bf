"""The bundled models, so that everything works without a network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import cache, cached_property, lru_cache
from math import log
from typing import Any

from hardware_db.records import frozen_with_cache
from hardware_db.regex import pattern
from planner.errors import InputError, UnknownModelError
from planner.model.checkpoint import Checkpoint
from planner.model.hf_config import read_config
from planner.model.quantization import get_scheme
from planner.model.spec import ModelSpec
from planner.shipped import read_toml

COLLECTED = "2026-11-21"


@frozen_with_cache
class CatalogEntry:
    """One bundled model.

    Attributes:
        id: repository id of the 16-bit checkpoint.
        mtp_shipped: the checkpoint holds the MTP module; None where its config tells.
        float32_components: components that are stored in float32.
        released: ISO date, if known.
        verified: how its counts were checked.
        sources: where the facts were read.
        checkpoints: official quantized checkpoints: repository id -> scheme name.
        aliases: other repository ids of the same shapes (Base variants and the like).
        config: the `config.json` facts as bundled.
    """

    id: str
    mtp_shipped: bool | None
    float32_components: tuple[str, ...]
    released: str | None
    verified: str
    sources: tuple[str, ...]
    checkpoints: Mapping[str, str]
    aliases: tuple[str, ...]
    config: Mapping[str, Any]

    @cached_property
    def model(self) -> ModelSpec:
        """Its architecture, read from the config when it is asked for."""
        return read_config(
            self.config,
            name=self.id,
            mtp_shipped=self.mtp_shipped,
            float32_components=self.float32_components,
        )

    def checkpoint_id(self, scheme: str, *, of: str | None = None) -> str | None:
        """The known checkpoint stored in `scheme`, or None.

        Args:
            scheme: name of a scheme.
            of: the 16-bit repository that is asked for; of a variant (Thinking, Base) only its own
                checkpoints count.
        """
        asked = of or self.id
        if scheme == "bf16":
            return asked
        named = [id_ for id_, name in self.checkpoints.items() if name == scheme]
        short = asked.rpartition("/")[2]
        own = [id_ for id_ in named if id_.rpartition("/")[2].startswith(f"{short}-")]
        if asked != self.id:
            return own[0] if own else None
        return next(iter(own or named), None)


@cache
def catalog() -> tuple[CatalogEntry, ...]:
    """All bundled models, smallest generation first, as authored in data/models.toml."""
    entries: dict[str, CatalogEntry] = {}
    for row in read_toml("model", "data", "models.toml")["model"]:
        config = entries[row["like"]].config if "like" in row else row["config"]
        entries[row["id"]] = CatalogEntry(
            id=row["id"],
            mtp_shipped=row.get("mtp_shipped"),
            float32_components=tuple(row.get("float32_components", ())),
            released=str(row["released"]) if "released" in row else None,
            verified=row["verified"],
            sources=tuple(row["sources"]),
            checkpoints={c["id"]: c["scheme"] for c in row.get("checkpoints", ())},
            aliases=tuple(row.get("aliases", ())),
            config=config,
        )
    return tuple(entries.values())


@cache
def _index() -> dict[str, tuple[CatalogEntry, str, str]]:
    """Every known id, with and without its organisation -> (entry, scheme name, the id itself)."""
    index: dict[str, tuple[CatalogEntry, str, str]] = {}
    for entry in catalog():
        named = {entry.id: "bf16", **dict.fromkeys(entry.aliases, "bf16"), **entry.checkpoints}
        for id_, scheme in named.items():
            index[id_.lower()] = (entry, scheme, id_)
            index.setdefault(id_.rpartition("/")[2].lower(), (entry, scheme, id_))
    return index


def find(name: str) -> tuple[CatalogEntry, str] | None:
    """The bundled entry that `name` means and the scheme it is stored in, or None.

    `name` is a repository id, with or without the organisation, a tag such as "qwen3.5:27b", or as
    much of a name as tells one model from the others ("Qwen3.5 397B", "flash next"); case does not
    matter.
    """
    found = _found(name)
    return found[:2] if found is not None else None


def entry_for(checkpoint: Checkpoint) -> CatalogEntry | None:
    """Return the bundled entry of a checkpoint's model, or of its own name; None if not bundled."""
    found = find(checkpoint.model.name) or find(checkpoint.id)
    return found[0] if found is not None else None


def _found(name: str) -> tuple[CatalogEntry, str, str] | None:
    if len(name) > LONGEST:
        return None
    wanted = name.strip().lower()
    found = _index().get(wanted)
    if found is not None or "/" in wanted:
        return found
    wanted = hyphened(wanted)
    exact = _index().get(wanted)
    if exact is not None or _hosted_as(wanted) is not None:
        return exact
    return _meant(wanted) or _only_one(wanted)


def hyphened(name: str) -> str:
    """A name as repositories spell it: "qwen 3.5 27b", "qwen35_27b" and "qwen3.5:27b" alike."""
    words = re.sub(r"[\s_:]+", "-", name.strip().lower())
    return re.sub(r"^qwen-?3[.-]?([5-9])(?=-|$)", r"qwen3.\1", words)


def _meant(wanted: str) -> tuple[CatalogEntry, str, str] | None:
    """The one model whose name begins or ends with `wanted`, at a hyphen; None if several do."""
    if len(wanted) < _TELLING:
        return None
    meant = [
        entry
        for entry in catalog()
        for short in (entry.id.rpartition("/")[2].lower(),)
        if short.startswith(f"{wanted}-") or short.endswith(f"-{wanted}")
    ]
    return (meant[0], "bf16", meant[0].id) if len(meant) == 1 else None


def _only_one(wanted: str) -> tuple[CatalogEntry, str, str] | None:
    """The one model that has every word of `wanted`: "397b", "qwen coder next"; None if several do."""
    meant = _with_words(wanted)
    return (meant[0], "bf16", meant[0].id) if len(meant) == 1 else None


@lru_cache(maxsize=256)
def _with_words(wanted: str) -> tuple[CatalogEntry, ...]:
    """The models that have every word of `wanted`, newest first; none if its words tell too little."""
    words = {word for word in re.split(r"[-\s]+", wanted) if word not in _FAMILY_WORDS}
    if not any(_TELLS.fullmatch(word) for word in words):
        return ()
    kinds = {word == "moe" for word in words & _KINDS}
    named = words - _KINDS
    return tuple(
        entry
        for entry in reversed(catalog())
        if named <= set(entry.id.rpartition("/")[2].lower().split("-"))
        and all((entry.model.moe is not None) == experts for experts in kinds)
    )


_KINDS = frozenset(("moe", "dense"))
_FAMILY_WORDS = ("", "qwen", "alibaba", "model")
_TELLS = pattern(r"\d+(?:\.\d+)?[bt]|coder|next|flash|moe|dense")
"""Words that tell a model from others; a series alone ("qwen3.5") does not."""


def spelled(name: str) -> str | None:
    """The repository id that `name` means, as the Hub writes it; None if it is not bundled.

    A variant of the same shapes (Thinking, Base) keeps its own id.
    """
    found = _found(name)
    return found[2] if found is not None else None


def known_ids() -> tuple[str, ...]:
    """Repository ids of everything bundled, 16-bit and quantized."""
    ids: list[str] = []
    for entry in catalog():
        ids += [entry.id, *entry.checkpoints]
    return tuple(ids)


def near_names(name: str) -> tuple[str, ...]:
    """Bundled ids that look like `name`, best first; none of another series ("Qwen3-32B")."""
    short = {id_.rpartition("/")[2].lower(): id_ for id_ in known_ids()}
    wanted = hyphened(name[-LONGEST:].rpartition("/")[2].removesuffix(":latest"))
    several = _with_words(wanted)
    if len(several) > 1:
        return tuple(entry.id for entry in several[:_FAMILY])
    hits = [key for key in short if len(wanted) > 4 and key.startswith(wanted)]
    sizes = [key for key in hits if _is_model(short[key])]
    if len(sizes) > 1:  # a family: its models, not the ways in which they are stored
        return tuple(short[key] for key in sizes[:_FAMILY])
    hits = [key for key in short if wanted.startswith(f"{key}-")] + hits
    series = wanted.partition("-")[0]
    hits += [
        key
        for key in get_close_matches(wanted, short, n=6, cutoff=0.5)
        if (key.partition("-")[0] == series and _size(key) == _size(wanted))
        or (_same_digits(key, wanted) and SequenceMatcher(None, wanted, key).ratio() > _ALIKE)
    ]
    if not hits:
        hits = _nearest_sizes(series, _size(wanted))
    hits += [key for key in short if len(wanted) > 2 and wanted in key]
    return tuple(short[hit] for hit in list(dict.fromkeys(hits))[:_FEW_NAMES])


_FAMILY, _FEW_NAMES = 8, 4
"""Names that are offered: models where only the family was named, else so many of a likely kind."""

LONGEST = 300
"""Characters of a name: the Hub's own have at most 193, and what is looked for is remembered."""

_TELLING = 7
"""Letters from which on a part of a name is taken for the whole."""

_ALIKE = 0.88
"""Likeness from which on a name of any series or size is offered: a slip of the pen or two."""


def _is_model(id_: str) -> bool:
    """Say whether a bundled id is a model as its maker stores it, not one way of storing it."""
    known = find(id_)
    return known is not None and known[0].id == id_ and known[1] == "bf16"


def _size(name: str) -> str | None:
    """The size in a name: "27b" of "qwen3.5-27b-fp8"."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?[bt])(?![a-z])", name.lower())
    return found[1] if found else None


def _same_digits(name: str, other: str) -> bool:
    """Return whether two names have the same size, a slip of the point aside, or one has none."""
    sizes = [size.replace(".", "") for size in (_size(name), _size(other)) if size]
    return len(set(sizes)) < 2


def _nearest_sizes(series: str, size: str | None) -> list[str]:
    """Return the bundled names of a series nearest to a size that it has not, half to twice it."""
    if size is None:
        return []
    wanted, found = _parameters(size), []
    for entry in catalog():
        short = entry.id.rpartition("/")[2].lower()
        if short.partition("-")[0] == series and (own := _size(short)) is not None:
            off = abs(log(_parameters(own) / wanted))
            found += [(off, short)] if off < log(2) else []
    return [short for _, short in sorted(found)[:2]]


def _parameters(size: str) -> float:
    """Return the parameters that "27b" or "2.4t" means, in billions."""
    return max(float(size[:-1]), 0.1) * (1000 if size.endswith("t") else 1)


@cache
def _hosted() -> tuple[Mapping[str, str], ...]:
    return tuple(read_toml("model", "data", "hosted.toml")["hosted"])


def refuse_hosted(name: str) -> None:
    """Say so if `name` exists as a hosted service only.

    Raises:
        UnknownModelError: it does; the line names the open model that it is, or the nearest.
    """
    row = _hosted_as(name)
    if row is None:
        return
    if "open" in row:
        raise UnknownModelError(
            f"{name} is what {row['open']} is called as a hosted service; plan {row['open']}",
            (row["open"],),
        )
    raise UnknownModelError(
        f"{name} is a hosted service without published weights;"
        f" the nearest open model is {row['nearest']}",
        (row["nearest"],),
    )


def _hosted_as(name: str) -> Mapping[str, str] | None:
    """The row of the hosted service that is called so; None if none is."""
    short = hyphened(name.rpartition("/")[2].partition(":")[0])
    short = re.sub(r"^qwen-?(\d)[.p-](\d)(?=-)", r"qwen\1.\2", short)
    for row in _hosted():
        excepted = "except" in row and short.startswith(row["except"])
        if short.startswith(row["begins"]) and not excepted:
            return row
    return None


@cache
def _others() -> tuple[Mapping[str, list[str]], ...]:
    return tuple(read_toml("model", "data", "others.toml")["other"])


def _is_other(name: str) -> bool:
    """Say whether a name is that of a well-known model of another architecture."""
    short = hyphened(name.rpartition("/")[2].replace(":", "-"))
    return any(
        short.startswith(tuple(row["begins"])) and not short.startswith(tuple(row["except"]))
        for row in _others()
    )


def _of_a_like_size(billions: float) -> tuple[str, ...]:
    """Return the newest model of half to twice so many parameters; empty if there is none."""
    for entry in reversed(catalog()):
        own = _size(entry.id)
        if own is not None and abs(log(_parameters(own) / billions)) < log(2):
            return (entry.id,)
    return ()


def unknown(name: str) -> UnknownModelError:
    """The error for a name nobody knows, with the nearest bundled ids."""
    words = name.split()
    begun = (" ".join(words[:count]) for count in range(len(words), 1, -1))  # "27b 4 bit"
    near = near_names(name) or next(filter(None, map(near_names, begun)), ())
    if not near and _is_other(name):
        size = _size(name)
        near = () if size is None else _of_a_like_size(_parameters(size))
        other = f"; of a like size is {near[0]}" if near else "; `qwenplan models` lists the family"
        said = f"{name!r}: it has another architecture, which is not planned here{other}"
        return UnknownModelError(f"unknown model {said}", ())  # none that was meant
    hint = "`qwenplan models` lists the family; any other is read from its repository (org/name)"
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    if len(near) > _FEW_NAMES:
        hint += " `qwenplan recommend` takes one that suits the machine"
    return UnknownModelError(f"unknown model {name!r}; {hint}", near)


@lru_cache(maxsize=256)
def bundled_checkpoint(name: str, *, precision: str | None = None) -> Checkpoint:
    """A checkpoint from the catalog alone; the same one whenever it is asked for.

    Args:
        name: repository id, with or without the organisation.
        precision: scheme name; None takes what the named checkpoint stores.

    Raises:
        UnknownModelError: not bundled.
        InputError: `precision` is not known, or the named checkpoint is already quantized
            differently.
    """
    found = find(name)
    if found is None:
        refuse_hosted(name)
        raise unknown(name)
    entry, stored_as = found
    if precision is not None:
        wanted = get_scheme(precision).name
        if stored_as not in ("bf16", wanted):
            raise InputError(
                f"{name} is stored as {stored_as}; for {wanted} name its 16-bit model {entry.id}"
            )
        stored_as = wanted
    scheme = get_scheme(stored_as)
    asked = spelled(name) or entry.id
    known = asked in entry.checkpoints
    official = asked if known else entry.checkpoint_id(scheme.name, of=asked)
    return Checkpoint(
        id=official or asked,
        model=entry.model,
        scheme=scheme,
        source=f"bundled catalog, {COLLECTED}",
        hypothetical=official is None,
        notes=()
        if official
        else (
            f"no official {scheme.name} checkpoint of {asked} is known: sizes follow the"
            f" scheme ({scheme.title})",
        ),
    )
