"""What of a deployment can be changed to take less memory, as the engines themselves say.

An engine that knows names its `economies` (changes that save memory, and what they cost the user)
and its `knobs` (settings with an order, along which a deployment starts to fit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Any

from hardware_db.records import frozen
from planner.engines.engine import AnyEngine, Deployment


@frozen
class Economy:
    """One change that saves memory.

    Attributes:
        title: the change in words, in the imperative: "leave the vision tower out".
        loses: what the user gives up: "no images or videos".
        cost: how much that is, for sorting: 1 nothing that the workload uses, 2 some speed,
            3 some accuracy or much speed, 4 a feature that the workload may use.
        options: new values of the engine's options.
        kv_cache_dtype: new format of the KV cache; None leaves it.
        group: changes with the same group exclude each other.
        without_pictures: pictures and videos are no longer taken.
    """

    title: str
    loses: str
    cost: int
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    kv_cache_dtype: str | None = None
    group: str = ""
    without_pictures: bool = False

    @property
    def flags(self) -> str:
        """The flags that make it, which its title names in parentheses."""
        return self.title.rpartition("(")[2].rstrip(")")


@frozen
class Knob:
    """A setting whose values have an order: from some value on, the deployment fits.

    Attributes:
        question: what is asked, in words: "smallest utilization".
        option: name of the engine's option.
        values: what to try, the value that a user would like best first.
        unit: what the values count, in words; empty for a share.
    """

    question: str
    option: str
    values: Sequence[Any]
    unit: str = ""


def economies_of(engine: AnyEngine, deployment: Deployment) -> tuple[Economy, ...]:
    """Return what `engine` says could be changed, the cheapest for the user first."""
    return tuple(sorted(engine.economies(deployment), key=lambda economy: economy.cost))
