"""The question as words: what the address holds, what the pickers change, what `answering` reads.

A word is kept as it was written, whether it can be read or not; the typed parts read it when they
are asked, and say what is wrong. Nothing here reads a path, whatever a visitor types. Worker
processes import this (`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import cast

import hardware_db
from hardware_db import HardwareError, System
from hardware_db.records import frozen
from planner.engines import get_engine
from planner.engines.engine import AnyEngine
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.formats import CACHE_FORMATS
from planner.layout import Layout
from planner.recommending import Best, Wish
from planner.systems import with_ram
from planner.units import check_count, shown
from planner.web.option_words import OptionValue, option_values

BEST = "best"
"""Instead of a model, an engine, a checkpoint or a layout: the planner's pick."""

CUSTOM = "custom"
"""Instead of known hardware: an accelerator of which only the memory is given."""

LOCAL = "local"
"""The accelerators of the machine that serves this page; offered to its own user alone."""

MOST_COUNT = 4096
"""Machines or accelerators of one kind."""

MOST_RAM = 1_000_000
"""GB of RAM beside the accelerators."""

_YES, _NO = "yes", "no"


@frozen
class Asked:
    """One question in the visitor's words.

    Attributes:
        on: id of an accelerator or system, an expression of several, `LOCAL` or `CUSTOM`.
        count: how many of it.
        ram: GB of RAM beside the accelerators; empty takes what is known.
        memory: GiB of each accelerator where `on` is `CUSTOM`.
        model: short name of a bundled model, `BEST`, or a repository.
        weights: a checkpoint of the registry, a way to store weights, or `BEST`.
        engine: name of an engine, or of a program that runs one inside, or `BEST`.
        context: tokens per sequence as typed ("128k").
        users: sequences at once.
        kv: format of the KV cache, or "auto".
        layout: degrees as ``tp2-pp2-dp1-ep``, or `BEST`.
        options: the engine's options that differ from its defaults, as (name, value) words.
        yarn: "yes" where contexts beyond the native length are allowed.
        best: what decides between checkpoints: quality, speed or context.
        use: what models are compared by.
        images: "yes" where pictures must be taken.
    """

    on: str
    count: str = "1"
    ram: str = ""
    memory: str = "48"
    model: str = BEST
    weights: str = BEST
    engine: str = BEST
    context: str = "32k"
    users: str = "1"
    kv: str = "auto"
    layout: str = BEST
    options: tuple[tuple[str, str], ...] = ()
    yarn: str = _NO
    best: str = "quality"
    use: str = "general"
    images: str = _NO

    @property
    def number(self) -> int:
        """How many machines or accelerators.

        Raises:
            InputError: no whole number, or out of range.
        """
        return _whole(self.count, "count", MOST_COUNT)

    @property
    def tokens(self) -> int:
        """The context in tokens.

        Raises:
            InputError: it cannot be read.
        """
        return tokens_of(self.context)

    @property
    def concurrency(self) -> int:
        """Sequences at once.

        Raises:
            InputError: no whole number, or out of range.
        """
        return _whole(self.users, "users", 1_000_000)

    @property
    def cache_format(self) -> str:
        """Format of the KV cache.

        Raises:
            InputError: no engine has it.
        """
        if self.kv != "auto" and self.kv not in CACHE_FORMATS:
            known = ", ".join(dict.fromkeys(form.name for form in CACHE_FORMATS.values()))
            raise InputError(f"unknown KV cache format {shown(self.kv)}; known: auto, {known}")
        return self.kv

    @property
    def degrees(self) -> Layout | None:
        """The layout asked for; None leaves it to the planner.

        Raises:
            InputError: it cannot be read, or a degree is out of range.
        """
        if self.layout == BEST:
            return None
        found, experts = {"tp": 1, "pp": 1, "dp": 1}, False
        for part in self.layout.split("-"):
            name, size = part[:2], part[2:]
            if part == "ep":
                experts = True
            elif name in found and size.isdecimal() and len(size) <= 4 and int(size):
                found[name] = int(size)
            else:
                raise InputError(
                    f"layout: cannot read {shown(self.layout)}; write best, or degrees like tp2-pp2"
                )
        return Layout(
            tensor_parallel=found["tp"],
            pipeline_parallel=found["pp"],
            data_parallel=found["dp"],
            expert_parallel=experts,
        )

    @property
    def policy(self) -> AnyEngine | None:
        """The engine that is named; None leaves it to the planner.

        Raises:
            InputError: unknown.
        """
        return None if self.engine == BEST else get_engine(self.engine)

    @property
    def option_values(self) -> dict[str, OptionValue]:
        """The engine's options as values.

        Raises:
            InputError: no engine is named, it has no such option, or a value cannot be read.
        """
        if not self.options:
            return {}
        engine = self.policy
        if engine is None:
            raise InputError(f"options: name the engine that {self.options[0][0]} belongs to")
        return option_values(engine.name, self.options)

    @property
    def beyond_native(self) -> bool:
        """Contexts beyond the native length are allowed.

        Raises:
            InputError: neither yes nor no.
        """
        return _switch(self.yarn, "yarn")

    @property
    def wish(self) -> Wish:
        """What decides between candidates.

        Raises:
            InputError: an unknown word.
        """
        best = cast("Best", self.best)  # which `Wish` checks
        return Wish(best=best, use=self.use, images=_switch(self.images, "images"))

    def system_of(self, machine: System | None) -> System:
        """Return the hardware.

        Args:
            machine: the system itself where it is not in the database (this machine, own devices).

        RAM that its field names is taken in place of what the machine's own name says.

        Raises:
            InputError: unknown, or not a sensible number of them.
        """
        found = machine or system(self.on, self.number, self.memory)
        if not self.ram or found.accelerator.is_unified:
            return found
        if self.ram_gb is None:
            raise InputError(f"RAM must be 1 to {MOST_RAM:,} GB, got {shown(self.ram)}")
        return given_ram(found, self.ram_gb)

    @property
    def names_checkpoint(self) -> bool:
        """Its weights are one checkpoint, a repository's or an Ollama tag, and not a way to store them."""
        return "/" in self.weights or ":" in self.weights

    @property
    def ram_gb(self) -> int | None:
        """GB of RAM in its field; None where it is empty or holds no such number."""
        known = self.ram.isdecimal() and len(self.ram) <= len(str(MOST_RAM))
        return int(self.ram) if known and 1 <= int(self.ram) <= MOST_RAM else None


def system(on: str, count: int, memory: str = "48") -> System:
    """Return `count` times the hardware called `on`.

    Args:
        on: id, alias, expression, or `CUSTOM`.
        count: how many.
        memory: GiB of each where it is `CUSTOM`.

    Raises:
        InputError: unknown, or not a sensible number of them.
    """
    if on == LOCAL:
        raise InputError("hardware: nothing on this machine can be planned for; name another")
    name = f"custom:{memory}GiB" if on == CUSTOM else on
    if count == 1:
        return _resolved(name)
    one = _resolved(name)
    if says_number(name):
        raise InputError(
            f"{shown(name)} says how many there are, and so does the field beside it ({count});"
            f" leave that at 1 for {one.short_name}"
        )
    return _resolved(f"{count} x {name}")


def _resolved(name: str) -> System:
    try:
        return hardware_db.resolve(name)
    except HardwareError as error:
        raise InputError(str(error)) from error


def says_number(on: str) -> bool:
    """Return whether a machine's name, as typed, says how many there are: ``2x 3090``, ``3090 + 3060``."""
    with suppress(HardwareError):
        hardware_db.get(on)
        return False  # an entry of its own
    with suppress(HardwareError):
        if (one := hardware_db.resolve(on)).count > 1 or one.is_mixed:
            return True
        hardware_db.resolve(f"2 x {on}")  # as "1x 3090" cannot be
        return False
    return True


def given_ram(machine: System, gigabytes: int) -> System:
    """Return a machine with so much RAM beside its accelerators, whatever it had before."""
    if says_ram(machine):
        machine = replace(machine, host_memory_gib=None)
    return with_ram(machine, f"{gigabytes}GB")


def says_ram(machine: System) -> bool:
    """Return whether what was typed for a machine named the RAM beside its accelerators."""
    known = machine.host_memory_gib
    beside = not (machine.accelerator.is_unified or machine.is_cpu_only)
    return beside and known is not None and known.is_given


def _whole(text: str, what: str, most: int) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"{what} must be a whole number from 1 to {most:,}, got {shown(text)}")
    return check_count(int(text), what=what, most=most)


def _switch(text: str, what: str) -> bool:
    if text not in (_YES, _NO):
        raise InputError(f"{what} must be yes or no, got {shown(text)}")
    return text == _YES


def switch_word(value: object) -> str:
    """Return the word for a switch."""
    return _YES if value else _NO


def layout_word(layout: Layout | None) -> str:
    """Return the word for a layout; None is `BEST`."""
    if layout is None:
        return BEST
    parts = (
        ("tp", layout.tensor_parallel),
        ("pp", layout.pipeline_parallel),
        ("dp", layout.data_parallel),
    )
    words = [f"{name}{size}" for name, size in parts if size > 1] or ["tp1"]
    return "-".join([*words, *(["ep"] if layout.expert_parallel else [])])
