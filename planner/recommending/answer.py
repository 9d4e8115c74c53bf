"""The answer to "what should I run?": the pick, the front, the nearest misses, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field
from typing import TYPE_CHECKING, Any

from hardware_db import RaisableLimit
from hardware_db.records import frozen
from planner.costing import Cost, CostDocument, cost_document
from planner.engines.tool_calls import tool_flags
from planner.recommending.choice import Choice
from planner.recommending.wanted import Wanted
from planner.registry import checkpoint_of
from planner.throughput import SpeedEstimate

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


@frozen
class Miss:
    """What would have to change for the workload to be held.

    Attributes:
        change: what, in the imperative or as a condition.
        choice: the candidate with it, planned.
        limit: what the owner raises, where that is the change.
    """

    change: str
    choice: Choice
    limit: RaisableLimit | None = None

    @property
    def command(self) -> str | None:
        """The line that makes the change, where there is one; the server's is the plan's."""
        return self.limit.line if self.limit is not None else None

    @property
    def after(self) -> str | None:
        """What has to follow the command before the change holds; None where nothing has."""
        return self.limit.after if self.limit is not None else None


@frozen
class ChoiceDocument:
    """One candidate as plain data; bytes, tokens, tokens per second.

    `quality_basis`: "file" where that very file was measured, "kind" where files like it were.
    `needs_ram_gib` is null where nothing was assumed about RAM. `tool_flags`: what agents need beside
    the command so that they can call tools; null where nothing is known to be needed.
    """

    checkpoint: str
    model: str
    engine: str
    engine_version: str
    official: bool
    layout: str
    kv_cache: str
    weights: str
    quality: str
    quality_class: str
    quality_basis: str
    loss: float | None
    tokens_per_second: float | None
    tokens_per_second_low: float | None
    tokens_per_second_high: float | None
    prefill_seconds: float | None
    longest_context: int
    users: int
    spare_bytes: int | None
    download_bytes: int
    fits: bool
    outcome: str
    needs_ram_gib: int | None
    better: str
    command: str | None
    tool_flags: str | None


@frozen
class MissDocument:
    """A change and the candidate with it; `after` says what has to follow `command`."""

    change: str
    command: str | None
    after: str | None
    choice: ChoiceDocument


@frozen
class RecommendationDocument:
    """The whole answer. `schema_version` grows when a field changes its meaning.

    `cost` is that of the pick; null unless it was asked for.
    """

    schema_version: int
    hardware: str
    model: str | None
    context: int
    concurrency: int
    best: str
    use: str
    pick: ChoiceDocument | None
    front: list[ChoiceDocument] = field(default_factory=list)
    misses: list[MissDocument] = field(default_factory=list)
    cost: CostDocument | None = None


@frozen
class Recommendation:
    """What to run.

    Attributes:
        wanted: the question.
        pick: what is recommended; None where nothing holds the workload.
        front: at most six alternatives, each better in something.
        misses: where nothing holds it: what would have to change, the least change first. Beside a
            pick: drafts, a limit raised, or slower accelerators left out, where that is better.
    """

    wanted: Wanted
    pick: Choice | None
    front: tuple[Choice, ...] = ()
    misses: tuple[Miss, ...] = ()

    @property
    def answers_plan(self) -> bool:
        """Say whether this is the answer to "does it run there?" where only a model was named.

        Not where nothing holds the workload and a part was said, or nothing would do it: what was
        asked is then planned as it is said. A named engine is such a part unless it would do it, too:
        where it cannot run at all, its own refusal is the answer.
        """
        fixed = self.wanted.fixed
        would = self.misses
        if fixed.engine is not None:
            would = tuple(
                miss
                for miss in self.misses
                if miss.choice.plan.engine == fixed.engine
                and miss.choice.entry.base == self.wanted.base
            )
        said = (fixed.precision, self.wanted.layout) != (None, None)
        said |= self.wanted.tells_options
        return self.pick is not None or bool(would and not said)

    def __iter__(self) -> Iterator[Choice]:
        """Yield the pick and the front."""
        if self.pick is not None:
            yield self.pick
        yield from self.front

    def __repr__(self) -> str:
        """Return the pick in one sentence."""
        from planner.recommending.text import headline

        return f"<Recommendation: {headline(self)}>"

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it."""
        from planner.recommending.html import recommendation_html

        return recommendation_html(self)

    def frame(self) -> pd.DataFrame:
        """Return the pick and the front as a table, the pick first."""
        import pandas as pd

        return pd.DataFrame([asdict(choice_document(choice)) for choice in self])

    def to_dict(self, *, cost: Cost | None = None) -> dict[str, Any]:
        """Return the answer as plain data; its shape is `planner.recommending.schema()`.

        Args:
            cost: what the pick costs, to stand in it.
        """
        wanted = self.wanted
        return asdict(
            RecommendationDocument(
                schema_version=SCHEMA_VERSION,
                hardware=wanted.system.id,
                model=wanted.base,
                context=wanted.context,
                concurrency=wanted.concurrency,
                best=wanted.wish.best,
                use=wanted.wish.use,
                pick=choice_document(self.pick) if self.pick is not None else None,
                front=[choice_document(choice) for choice in self.front],
                misses=[
                    MissDocument(
                        change=miss.change,
                        command=miss.command,
                        after=miss.after,
                        choice=choice_document(miss.choice),
                    )
                    for miss in self.misses
                ],
                cost=cost_document(cost) if cost is not None else None,
            )
        )


def choice_document(choice: Choice) -> ChoiceDocument:
    """Return one candidate as plain data."""
    plan, speed, loss = choice.plan, choice.speed, choice.loss
    rate = speed.per_user if isinstance(speed, SpeedEstimate) else None
    prefill = speed.prefill if isinstance(speed, SpeedEstimate) else None
    return ChoiceDocument(
        checkpoint=choice.entry.name,
        model=choice.entry.base,
        engine=plan.engine,
        engine_version=plan.release,
        official=choice.entry.maker == "official",
        layout=str(plan.deployment.layout),
        kv_cache=plan.allocation.kv_cache_dtype if plan.allocation is not None else "auto",
        weights=where_weights_lie(choice),
        quality=loss.text,
        quality_class=choice.said.text,
        quality_basis=loss.basis,
        loss=loss.value,
        tokens_per_second=rate.value if rate is not None else None,
        tokens_per_second_low=rate.low if rate is not None else None,
        tokens_per_second_high=rate.high if rate is not None else None,
        prefill_seconds=prefill.seconds.value if prefill is not None else None,
        longest_context=choice.longest,
        users=choice.users,
        spare_bytes=plan.headroom,
        download_bytes=download_bytes(choice),
        fits=plan.fits,
        outcome=plan.outcome.value,
        needs_ram_gib=choice.needs_ram,
        better=choice.better,
        command=plan.launch.command if plan.launch is not None else None,
        tool_flags=tool_flags(plan.engine, choice.entry.base),
    )


def download_bytes(choice: Choice) -> int:
    """Return the bytes to download: published, else by the recipe."""
    entry = choice.entry
    return entry.nbytes if entry.nbytes is not None else checkpoint_of(entry).nbytes()


def where_weights_lie(choice: Choice) -> str:
    """Return where the weights lie: "GPU", "GPU and RAM", "RAM"."""
    if choice.plan.deployment.system.is_cpu_only:
        return "RAM"
    if not choice.in_ram:
        return "GPU"
    allocation = choice.plan.allocation
    assert allocation is not None
    return "GPU and RAM" if allocation.placement.device else "RAM"
