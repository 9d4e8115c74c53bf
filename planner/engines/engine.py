"""Say what an engine is asked, what it answers, and which parts every engine has.

An engine is a frozen policy: it knows how one release of one server allocates memory. It is asked
with a `Deployment` and answers with its own kind of `Allocation`; it knows no other engine, chooses
no layout and prints nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from hardware_db import System
from hardware_db.records import frozen, frozen_with_cache
from planner.engines.options import Options
from planner.engines.shell_words import shell_line
from planner.layout import Degrees, Layout
from planner.learning import Lesson
from planner.memo import Key
from planner.memory.breakdown import Rank
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.provenance import Source
from planner.units import GIB, ceil_div

if TYPE_CHECKING:
    from planner.engines.columns import Columns
    from planner.engines.economies import Economy, Knob


@frozen
class Deployment:
    """One deployment, every part of it settled: what an engine is asked.

    Attributes:
        checkpoint: what is loaded.
        system: where it runs.
        layout: how it is spread.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        kv_cache_dtype: "auto" or the name of a cache format.
        options: the engine's own options object.
        yarn: the context may go beyond `max_position_embeddings` by scaling RoPE.
        lesson: what such a start took on this machine beyond the estimates, if it was measured.
    """

    checkpoint: Checkpoint
    system: System
    layout: Layout
    context: int
    concurrency: int
    kv_cache_dtype: str
    options: Any
    yarn: bool = False
    lesson: Lesson | None = None

    def in_layout(self, layout: Layout) -> Deployment:
        """Return the same in another layout."""
        return self if layout is self.layout else replace(self, layout=layout)

    @property
    def nodes(self) -> int:
        """Nodes that the layout takes."""
        return ceil_div(self.layout.accelerators, self.system.accelerators_per_node)

    @property
    def host_memory(self) -> int | None:
        """Bytes of RAM of these nodes together; None where it is not known."""
        each = self.system.host_memory_gib
        return None if each is None else int(each.value * GIB) * self.nodes


def but_workload(deployment: Deployment) -> Key:
    """Return everything of a deployment except context and concurrency, as the key of a memo."""
    held = (deployment.checkpoint, deployment.system, deployment.options)
    said = (deployment.layout, deployment.kv_cache_dtype, deployment.yarn, deployment.lesson)
    return held, said


def but_machine(deployment: Deployment) -> Key:
    """Return what `but_workload` does, but of the system the accelerator alone."""
    held = (deployment.checkpoint, deployment.system.accelerator, deployment.options)
    return held, (deployment.layout, deployment.kv_cache_dtype, deployment.yarn)


@frozen
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


@frozen
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


@frozen_with_cache
class Allocation:
    """An engine's answer to a deployment that it can run.

    Each engine answers with a class of its own that adds its figures (pools, buffers, budgets) as
    typed fields; its launch command, log and report read those. What all engines share is here.
    What an engine finds on the way are fields (`FullAllocation`); what would cost more than the
    answer itself is worked out when it is asked for.

    Attributes:
        ranks: accelerators (and the host where it matters), tightest first. Their terms include
            the cache that the asked workload needs, so a negative headroom means it does not fit.
        starts: the engine starts and can serve one sequence of the asked context.
        starts_shorter: it does not, but starts all the same and serves shorter ones.
        kv_cache_dtype: what "auto" became.
        placement: where the weights lie and who computes with them.
        host_bytes: host memory that the server needs, all in all, where the engine counts it.
        refusal: what the engine raises at start, where it does not start.
        notes: what else is worth knowing, one sentence each.
        first_boot: bytes that a first start may take beyond the plan (low, high), if known.
        at_worst: what goes wrong at the far end of the estimates' bands although the ranks'
            headroom does not tell, as a clause; empty if nothing does.
        curbed: what the command keeps below the default so that it holds ("one prompt at a time").
        grows: what grows with use beyond the memory, and what to set: a sentence.
    """

    ranks: tuple[Rank, ...]
    starts: bool
    kv_cache_dtype: str
    placement: Placement
    host_bytes: int | None = None
    refusal: str | None = None
    notes: tuple[str, ...] = ()
    first_boot: tuple[int, int] | None = None
    at_worst: str = ""
    curbed: str = ""
    grows: str = ""
    starts_shorter: bool = False

    @cached_property
    def capacity(self) -> Capacity:
        """How far the memory goes."""
        raise NotImplementedError(f"{type(self).__name__} does not say how far the memory goes")

    @cached_property
    def shortfall(self) -> int:
        """Bytes missing on the tightest rank to start and serve one sequence; zero if it starts."""
        raise NotImplementedError(f"{type(self).__name__} does not say what is missing")

    @cached_property
    def longest_context(self) -> int:
        """Tokens of the longest single request, where nothing else of `capacity` is asked for."""
        return self.capacity.longest_context

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user can act on, one sentence each."""
        return ()

    @property
    def sequences(self) -> int:
        """Likewise, how many sequences fit at the asked context at once."""
        return self.capacity.sequences

    def holds(self, sequences: int) -> bool:
        """Say whether so many sequences are held at the asked context."""
        return self.sequences >= sequences

    def settings(self) -> dict[str, Any]:
        """Return every option as the engine resolves it, defaults included, as plain data."""
        return {}

    def figures(self) -> dict[str, Any]:
        """Return the engine's own figures (block sizes, groups, pools) as plain data."""
        return {}


@frozen_with_cache
class FullAllocation(Allocation):
    """An answer that was found together with its capacity, its warnings and what is missing.

    Attributes:
        shortfall, capacity, warnings: as in `Allocation`.
    """

    shortfall: int = field()
    capacity: Capacity = field()
    warnings: tuple[str, ...] = ()


MOST_COMMANDS = 8
"""Commands of further nodes that are shown one by one."""


@frozen
class Launch:
    """What to type.

    Attributes:
        argv: the command, one word per entry.
        environment: variables that must be set.
        per_node: commands for further nodes, where one command is not enough.
        notes: what to do before or beside it.
        model: the words of `argv` that name the model.
        with_model: words that are there only where the model is named in this way.
        program: the words of a program that runs the engine inside, where named; they come first.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    per_node: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    with_model: tuple[str, ...] = ()
    program: tuple[str, ...] = ()

    def naming(self, words: tuple[str, ...]) -> Launch:
        """Return the commands with these words in place of those that name the model."""
        if not self.model or not words or words == self.model:
            return self

        def named(argv: tuple[str, ...]) -> tuple[str, ...]:
            length = len(self.model)
            places = range(len(argv) - length + 1)
            place = next((at for at in places if argv[at : at + length] == self.model), None)
            if place is None:
                return argv
            alike = words[0] == self.model[0]
            behind = argv[place + length :]
            kept = (word for word in behind if alike or word not in self.with_model)
            return (*argv[:place], *words, *kept)

        return replace(
            self,
            argv=named(self.argv),
            per_node=tuple(map(named, self.per_node)),
            notes=tuple(note for note in self.notes if self.model[-1] not in note),
            model=words,
        )

    @property
    def command(self) -> str:
        """The command as one shell line, quoted where the shell needs it."""
        return shell_line(self.environment, self.argv)

    @property
    def further_commands(self) -> tuple[str, ...]:
        """The commands of the further nodes, likewise."""
        return tuple(shell_line(self.environment, argv) for argv in self.per_node)

    @property
    def lines(self) -> tuple[str, ...]:
        """The commands of all nodes; of many the first two and the last, "..." between."""
        if self.program:
            own = replace(self, program=()).lines
            return (*self.program, f"# or with {self.argv[0]}, which this is planned for:", *own)
        if len(self.per_node) <= MOST_COMMANDS:
            return self.command, *self.further_commands
        further = replace(self, per_node=(self.per_node[0], self.per_node[-1]))
        following, last = further.further_commands
        return self.command, following, "...", last

    @property
    def shortened(self) -> str:
        """What `lines` leaves out, in words; empty where that is nothing."""
        if len(self.per_node) <= MOST_COMMANDS:
            return ""
        return f"shown are the first two and the last of {1 + len(self.per_node):,} commands"


OptionsT = TypeVar("OptionsT", bound=Options)
AnswerT = TypeVar("AnswerT", bound=Allocation)


class Engine(ABC, Generic[OptionsT, AnswerT]):
    """A server whose memory is planned.

    Attributes:
        name: what users type: ``vllm``.
        title: what users read: ``vLLM``.
        options_type: the declaration of its options; each has a default.
        degrees: which degrees of parallelism it has.
        verified: its rules were held against its own code or its logs; False: they were only
            read, so that its advice never comes first.
        raises_limit: a limit on the GPU's share of the machine's memory is an option of its own.
        cache_dtypes: what it takes as KV cache dtype beside "auto", as it spells them.
        cache_advice: what to write for a smaller cache where that is no dtype.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    options_type: ClassVar[type[Any]]
    degrees: ClassVar[Degrees]
    verified: ClassVar[bool] = True
    raises_limit: ClassVar[bool] = False
    cache_dtypes: ClassVar[tuple[str, ...]]
    cache_advice: ClassVar[str] = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a name: of each engine there is one object, wherever a plan is read again."""
        return import_module("planner.engines").get_engine, (self.name,)

    @abstractmethod
    def version(self, options: OptionsT) -> str:
        """Return the release whose rules are used."""

    def release(self, version: str) -> str:
        """Return what people call the release that `version` names."""
        return version

    @abstractmethod
    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why it cannot run at all; empty if it can."""

    def takes(self, deployment: Deployment) -> bool:
        """Say whether it can run, where nobody asks why not."""
        return not self.refusals(deployment)

    def may_hold_in(self, deployment: Deployment, layouts: tuple[Layout, ...]) -> Iterable[Layout]:
        """Return, cheaply, all layouts but those that are sure not to hold it; some may be refused."""
        return layouts

    @abstractmethod
    def allocate(self, deployment: Deployment) -> AnswerT:
        """Return what it would allocate. Only for deployments without refusals."""

    @abstractmethod
    def launch(self, deployment: Deployment, answer: AnswerT) -> Launch:
        """Return the command that the answer is a plan for."""

    def expected_log(self, deployment: Deployment, answer: AnswerT) -> tuple[str, ...]:
        """Return the lines that it would print at start-up, as far as they are known."""
        return ()

    def as_started(self, deployment: Deployment) -> Deployment:
        """Return the workload by which a command that names no length is judged.

        `deployment` has the longest context of the model. An engine that sizes its cache to what
        is left starts without holding that; it puts in a context that it does hold.
        """
        return deployment

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts that `columns` answers; empty where the engine has no columns."""
        return range(0)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once; only within `contexts_alike`.

        Args:
            deployment: everything but the workload; the engine does not refuse it.
            contexts: tokens per sequence of each row, a numpy array.
            concurrencies: sequences of each row, likewise.
        """
        raise NotImplementedError(f"{self.title} plans one workload at a time")

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Return changes to `deployment` that save memory, those already made left out."""
        return ()

    def careful(self, deployment: Deployment) -> Economy | None:
        """Return what is set where the engine's own default was seen to fail; None: nothing."""
        return None

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Return settings that have a best value at which `deployment` fits."""
        return ()


AnyEngine = Engine[Any, Any]
"""An engine of which only the shared parts are used."""
