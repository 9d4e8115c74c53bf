"""The page's address: the whole question in it, and what any address may hold when it arrives.

Names in the address are ids; every value is kept as it was written, readable or not. The version is
that of the words: links of version 1 (without `v`) are spelled anew, and what they left out is said.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import hardware_db
from hardware_db import HardwareError
from planner.engines import ENGINES, front_name, get_engine
from planner.errors import InputError, printable
from planner.layout import Layout
from planner.model import catalog
from planner.model.quantization import get_scheme
from planner.registry import find
from planner.units import shown
from planner.web.asked import BEST, CUSTOM, LOCAL, Asked, layout_word, switch_word
from planner.web.bounds import cut
from planner.web.devices import PREFIX
from planner.web.option_words import option_fields
from planner.web.places import SEVERAL, by_id

VERSION = "2"

_PLAIN = {
    "on": "on",
    "count": "count",
    "model": "model",
    "weights": "weights",
    "with": "engine",
    "context": "context",
    "users": "users",
}
"""Name in the address -> field, for what is always written."""

_FURTHER = {
    "ram": "ram",
    "memory": "memory",
    "kv": "kv",
    "layout": "layout",
    "yarn": "yarn",
    "best": "best",
    "use": "use",
    "images": "images",
}
"""The same for what is written once it is not left to the engine or the machine."""

_OPTION = "o-"
"""What names of the engine's options begin with in the address."""

_OLD = {
    "engine": "with",
    "precision": "weights",
    "concurrency": "users",
    "kv_cache_dtype": "kv",
    "memory_gib": "memory",
}
"""Names of version 1 -> names of today."""

_OLD_LAYOUT = ("tp", "pp", "dp", "ep")
_OLD_OTHER = "other"
"""Version 1's model where a repository stood in a field of its own."""

_SPOKEN = {
    "on": "the machine",
    "model": "the model",
    "weights": "the precision",
    "with": "the engine",
    "context": "the context",
    "users": "the users",
}


def words_of(asked: Asked) -> dict[str, str]:
    """Return the question as names and values of an address."""
    start = Asked(on=asked.on)
    found = {"v": VERSION} | {name: getattr(asked, field) for name, field in _PLAIN.items()}
    for name, field in _FURTHER.items():
        value = getattr(asked, field)
        if value != getattr(start, field) or (name == "memory" and asked.on == CUSTOM):
            found[name] = value
    return found | {f"{_OPTION}{name}": value for name, value in asked.options}


def is_question(name: str) -> bool:
    """Whether a name of an address is one of the question's, today's or of version 1."""
    known = {"v", *_PLAIN, *_FURTHER, *_OLD, *_OLD_LAYOUT, "repository"}
    return name in known or name.startswith((_OPTION, *(f"{engine}-" for engine in ENGINES)))


def read(query: dict[str, str], start: Asked) -> tuple[Asked, tuple[str, ...]]:
    """Return the question that an address asks, and what the visitor should know about it.

    Args:
        query: names and values of the address.
        start: the question of a first visitor, for what the address leaves out.
    """
    query = {name: clean(value) for name, value in query.items() if is_question(name)}
    notes: list[str] = []
    empty = [name for name, value in query.items() if not value]
    query = {name: value for name, value in query.items() if value}
    version = query.get("v")
    if version not in (None, "1", VERSION):
        notes.append(
            f"This link is of version {shown(version)}, which is not known here: it is read as one of"
            f" version {VERSION}."
        )
    query = _of_today(query) if version in (None, "1") else _in_todays_names(query)
    if version in (None, "1"):
        left = [words for name, words in _SPOKEN.items() if name not in query]
    else:
        left = [words for name, words in _SPOKEN.items() if name in empty]
    if left and len(left) < len(_SPOKEN):
        notes.append(f"This link leaves out {_listed(left)}: what a first visitor sees was taken.")
    if "memory" in query and query.get("on", start.on) != CUSTOM:
        notes.append(
            f"memory={query.pop('memory')} in this link is for hardware of your own (on={CUSTOM}): it"
            " is left aside."
        )
    fields = {field: query[name] for name, field in (_PLAIN | _FURTHER).items() if name in query}
    options = tuple(
        (name.removeprefix(_OPTION), value)
        for name, value in query.items()
        if name.startswith(_OPTION)
    )
    values = {name: getattr(start, name) for name in _PLAIN.values()} | fields
    asked = Asked(**{**values, "options": options})
    if asked.on.startswith(PREFIX):
        notes.append(
            "This link names a device that somebody added for a session of their own; it is not"
            " known here."
        )
    return spelled(asked), (*notes, *assumed_of(asked.on))


def assumed_of(on: str) -> tuple[str, ...]:
    """Return what is assumed where a name of a machine means one of several: ``3060``, ``M4 Max``.

    Nothing where the name stays as it is: its plan says it then.
    """
    name = _machine(Asked(on=on)).get("on", on)
    with suppress(HardwareError):
        known = hardware_db.resolve(name).assumptions if name != on else ()
        found = hardware_db.resolve(on).assumptions if name != on else ()
        return tuple(said for said in found if said not in known)
    return ()


def spelled(asked: Asked) -> Asked:
    """Return the question with names as the pickers spell them; what is unknown stays as it is."""
    found: dict[str, Any] = {**_machine(asked), **_model(asked), **_engine(asked)}
    return replace(asked, **found)


def _machine(asked: Asked) -> dict[str, str]:
    """``2x h100`` as id and count; an alias as its id."""
    if asked.on in (LOCAL, CUSTOM) or asked.on.startswith(PREFIX):
        return {}
    with suppress(HardwareError):
        name = hardware_db.get(asked.on).id
        if not SEVERAL.match(name):
            return {"on": name}
    try:
        found = hardware_db.resolve(asked.on)
        several = hardware_db.resolve(f"{found.count} x {found.accelerator.id}")
    except HardwareError:
        return {}
    same = all(
        getattr(found, part) == getattr(several, part)
        for part in ("accelerator", "count", "nodes", "host_memory_gib", "mixed")
    )
    if same and asked.count == "1" and found.accelerator.id in by_id():
        return {"on": found.accelerator.id, "count": str(found.count)}
    return {}


def _model(asked: Asked) -> dict[str, str]:
    """A bundled model by its short name; one of its checkpoints as model and weights."""
    if asked.model == BEST:
        return {}
    known, entry = catalog.find(asked.model), find(asked.model)
    if entry is not None and entry.recommendable and asked.weights == BEST:
        base = entry.base.rpartition("/")[2]
        if entry.name.lower() != entry.base.lower():
            return {"model": base, "weights": entry.name}
        return {"model": base}
    if known is None:
        return {}
    base = known[0].id.rpartition("/")[2]
    if catalog.spelled(asked.model) != known[0].id and known[1] == "bf16":
        return {}  # a variant of the same shapes, under its own name
    if known[1] != "bf16" and asked.weights == BEST:
        return {"model": base, "weights": known[1]}
    return {"model": base}


def _engine(asked: Asked) -> dict[str, str]:
    """An engine, or a program that runs one inside, by the name of the list: ``LM Studio``."""
    if asked.engine.lower() == BEST:
        return {"engine": BEST}
    with suppress(InputError):
        return {"engine": front_name(asked.engine) or get_engine(asked.engine).name}
    return {}


def _in_todays_names(query: dict[str, str]) -> dict[str, str]:
    """Return the words of an address by today's names; of one that is said by both, today's."""
    old = {_OLD.get(name, name): value for name, value in query.items()}
    found = old | {name: value for name, value in query.items() if name not in _OLD}
    repository = found.pop("repository", None)
    if found.get("model") == _OLD_OTHER:
        found |= {"model": repository} if repository is not None else {}
    degrees = {name: found.pop(name) for name in _OLD_LAYOUT if name in found}
    if degrees and "layout" not in found:
        found["layout"] = _layout(degrees)
    return found


def _of_today(query: dict[str, str]) -> dict[str, str]:
    """Return the words of an address of version 1 as today's."""
    found = _in_todays_names(query)
    engine = found.get("with", "").lower()
    for name in [name for name in found if name.startswith(f"{engine}-")] if engine else ():
        value, option = found.pop(name), name.removeprefix(f"{engine}-")
        field = next((f for f in option_fields(engine) if f.name == option), None)
        value = (
            {"on": "true", "off": "false"}.get(value, value)
            if field and field.kind is bool
            else value
        )
        found[f"{_OPTION}{option}"] = value
    if "yarn" in found:
        found["yarn"] = switch_word(found["yarn"].lower() in ("true", "yes", "1"))
    if (weights := found.get("weights")) is not None:
        with suppress(InputError):
            found["weights"] = get_scheme(weights).name
    return found


def _layout(degrees: dict[str, str]) -> str:
    sizes = {name: degrees.get(name, "0") for name in ("tp", "pp", "dp")}
    experts = degrees.get("ep", "").lower() in ("true", "1", "yes")
    if any(not size.isdecimal() or len(size) > 4 for size in sizes.values()):
        return "-".join(f"{name}{size}" for name, size in sizes.items())
    tensor, pipeline, data = (int(size) for size in sizes.values())
    if not (tensor or pipeline or data or experts):
        return BEST
    return layout_word(
        Layout(
            tensor_parallel=tensor or 1,
            pipeline_parallel=pipeline or 1,
            data_parallel=data or 1,
            expert_parallel=experts,
        )
    )


def clean(value: str) -> str:
    """Return a value of an address as one line that can be shown."""
    return " ".join(printable(cut(value)).split())


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
