"""What an engine must answer, and the words of the answer.

An engine is a frozen policy: it knows how one version of one server allocates memory. It is asked
with a `Deployment` and answers with an `Allocation`; it never searches and never prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from hardware_db import System
from planner.layout import Layout
from planner.memory.breakdown import Rank
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.provenance import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One question: this checkpoint, there, laid out so, for that workload.

    Attributes:
        checkpoint: what is loaded.
        system: where it runs.
        layout: how it is spread.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        kv_cache_dtype: "auto" or the name of a cache format.
        options: the engine's own options object.
        yarn: the context may go beyond `max_position_embeddings` by scaling RoPE.
    """

    checkpoint: Checkpoint
    system: System
    layout: Layout
    context: int
    concurrency: int
    kv_cache_dtype: str
    options: Any
    yarn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an engine cannot run a deployment at all.

    Attributes:
        reason: one sentence, in plain words.
        engine_message: what the engine itself raises, where that was seen.
        source: where the rule was read.
        remedy: what would be accepted instead, if anything is known to be.
    """

    reason: str
    source: Source
    engine_message: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How far the memory goes.

    Attributes:
        sequences: sequences that fit at the asked context at once (zero: the engine would not
            serve even one).
        tokens: tokens of context that fit at that concurrency's mix, as the engine counts them.
        longest_context: tokens of the longest single sequence that fits.
        limited_by: what stops `sequences` from growing ("KV cache", "state pool", "slots", ...).
        blocks: blocks of the cache pool, where the engine has blocks.
        block_size: tokens per block, likewise.
    """

    sequences: int
    tokens: int
    longest_context: int
    limited_by: str
    blocks: int | None = None
    block_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """An engine's answer to a deployment that it can run.

    Attributes:
        ranks: accelerators (and the host where it matters), tightest first. Their terms include
            the cache that the asked workload needs, so a negative headroom means it does not fit.
        capacity: how far the memory goes.
        starts: the engine starts and can serve one sequence of the asked context.
        shortfall: bytes missing on the tightest rank to start and serve one sequence (zero if it
            starts).
        refusal: what the engine raises at start, where it does not start.
        resolved: every option as the engine resolves it, defaults included, by flag name.
        details: the engine's own figures (block sizes, groups, pools), JSON-ready.
        warnings: what a user should know, one sentence each.
        first_boot: bytes that a first start may take beyond the plan (low, high), if known.
        kv_cache_dtype: what "auto" became.
        at_worst: what goes wrong at the far end of the estimates' bands although the ranks'
            headroom does not tell, as a clause; empty if nothing does.
        placement: where the weights lie; None where the engine does not say.
    """

    ranks: tuple[Rank, ...]
    capacity: Capacity
    starts: bool
    shortfall: int
    kv_cache_dtype: str
    refusal: str | None = None
    resolved: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    first_boot: tuple[int, int] | None = None
    at_worst: str = ""
    placement: Placement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to type.

    Attributes:
        argv: the command, one word per entry.
        environment: variables that must be set.
        per_node: commands for further nodes, where one command is not enough.
        notes: what to do before or beside it.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    per_node: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command as one shell line, quoted where the shell needs it."""
        return self._line(self.argv)

    @property
    def further_commands(self) -> tuple[str, ...]:
        """The commands of the further nodes, likewise."""
        return tuple(self._line(argv) for argv in self.per_node)

    def _line(self, argv: tuple[str, ...]) -> str:
        from shlex import join, quote

        variables = "".join(f"{key}={quote(value)} " for key, value in self.environment.items())
        return variables + join(argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelfile:
    """An Ollama Modelfile's contents.

    Attributes:
        source: what FROM names.
        parameters: PARAMETER name -> value.
        environment: what Ollama's server takes from its environment.
    """

    source: str
    parameters: Mapping[str, str]
    environment: Mapping[str, str]


class Engine(Protocol):
    """A server whose memory is planned."""

    @property
    def name(self) -> str:
        """What users type: ``vllm``."""

    @property
    def title(self) -> str:
        """What users read: ``vLLM``."""

    @property
    def options_type(self) -> type[Any]:
        """The dataclass of its options; every field has a default.

        Options of an engine that drafts have a property ``draft_tokens``: tokens that the model's
        own MTP module drafts per step; None where a separate drafter does.
        """

    def version(self, options: Any) -> str:
        """The version whose rules are used."""

    def layouts(self, checkpoint: Checkpoint, system: System) -> tuple[Layout, ...]:
        """Layouts worth trying that use the whole system, best first."""

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Why it cannot run at all; empty if it can."""

    def allocate(self, deployment: Deployment) -> Allocation:
        """What it would allocate. Only for deployments without refusals."""

    def launch(self, deployment: Deployment, allocation: Allocation) -> Launch:
        """The command that the allocation is a plan for."""

    def expected_log(self, deployment: Deployment, allocation: Allocation) -> tuple[str, ...]:
        """Lines that it would print at start-up, as far as they are known."""
