"""A launch command read back: what the user told the engine, as the planner's own words.

Only what was said is in it. A part that is None (or an option that is missing) was not said, so
that the same reader serves a whole command and the few flags that somebody types behind a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

from hardware_db import System
from hardware_db.records import frozen
from planner.layout import Layout
from planner.secrets import values_without_secrets, without_secrets, words_without_secrets
from planner.units import counted


@frozen
class Command:
    """What a command line asks of an engine.

    Attributes:
        model: what is served, as the command names it: repository, path or file.
        options: the engine's options that were given, by name.
        revision: branch, tag or commit.
        precision: which file of a repository that holds several (GGUF).
        context: tokens of the longest sequence; None for what the model itself allows.
        context_by_memory: what the program takes where no context is said, by the memory of all
            GPUs together: least bytes -> tokens, the largest first; empty where it does not ask.
        own_length: the words that ask for the length that the model itself allows.
        shortens: the program shortens that length to what fits.
        bounds: the program bounds the length of a request somehow; mlx-lm grows the cache of each
            request as it goes on.
        slots: sequences that share that length, where the engine divides it (llama.cpp).
        shared: the slots share one cache, of which a single sequence may take the whole.
        layout: degrees of parallelism; None where no degree is given.
        kv_cache_dtype: the name that the command uses.
        yarn: the context may go beyond the native length.
        quantization: format that the engine is told to load or to make while loading.
        kept: words that change nothing in the accelerators' memory, or that nobody knows; they
            come back in the planned command as they were.
        unplanned: one line per flag that may change memory and that no plan accounts for.
        environment: variables set in front of the command.
        named: the words that name the model, as they were typed; empty where the model's name is all.
        nodes: machines that the one server runs on.
        assumed: names of options that a log did not tell and its reader filled in; what was typed comes
            before them.
    """

    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    revision: str | None = None
    precision: str | None = None
    context: int | None = None
    context_by_memory: tuple[tuple[int, int], ...] = ()
    own_length: str = ""
    shortens: bool = False
    bounds: bool = True
    slots: int = 1
    shared: bool = False
    layout: Layout | None = None
    kv_cache_dtype: str | None = None
    yarn: bool = False
    quantization: str | None = None
    kept: tuple[str, ...] = ()
    unplanned: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    nodes: int | None = None
    named: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Forget the secrets that were told: nothing that is planned or shown needs them."""
        plain = {
            "model": self.model and without_secrets(self.model),
            "options": MappingProxyType(values_without_secrets(self.options)),
            "environment": MappingProxyType(values_without_secrets(self.environment)),
            "kept": words_without_secrets(self.kept),
            "named": words_without_secrets(self.named),
            "unplanned": words_without_secrets(self.unplanned),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def context_on(self, system: System) -> int | None:
        """Return the context that the program takes on a machine where none is said, if it says so."""
        memory = gpu_bytes(system)
        return next((tokens for least, tokens in self.context_by_memory if memory >= least), None)

    def slots_beside(self, users: int) -> tuple[str, ...]:
        """Return what to say where it has more slots than the users, more than one, who are asked for."""
        if not 1 < users < self.slots:
            return ()
        return (f"memory is counted for all {self.slots:,} slots, speed for {users:,} users",)

    def machines_beside(self, system: System) -> tuple[str, ...]:
        """Return what to say where the command is for more or fewer machines than `system` has."""
        if self.nodes in (None, system.nodes):
            return ()
        planned = f"{counted(system.nodes, 'machine')} of {system.short_name} is named and planned"
        return (f"--nnodes {self.nodes}, but {planned}: name all with --on, such as '2x dgx-h100'",)


def gpu_bytes(system: System) -> int:
    """Return the bytes of all GPUs as drivers give them; Metal gives the working set it recommends."""
    if system.is_cpu_only:
        return 0
    if system.accelerator.vendor == "apple":
        return system.count * system.accelerator.usable_bytes
    return system.total_bytes
