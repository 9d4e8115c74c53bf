"""The door: how fast does this checkpoint run there?

A first-order law with measured constants. It answers with a band, names what binds, and says where
it is rough; it is no simulation of a scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from hardware_db import System
from hardware_db.records import frozen
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.throughput.answer import Banded, NoEstimate, PrefillEstimate, SpeedEstimate
from planner.throughput.bands import (
    Rule,
    band,
    gain_band,
    kind_of,
    prefill_kind,
    rough_prompts,
    rough_rules,
    unknown_engine,
)
from planner.throughput.consistent import Settled, settled
from planner.throughput.constants import (
    ACCEPTANCE_SOURCE,
    DRAFTER_SOURCE,
    Calibration,
    Preset,
    acceptance,
    calibration,
    family,
    table,
    under_backend,
)
from planner.throughput.decode import Serving, cycle_parts
from planner.throughput.host import HostMemory, host_memory
from planner.throughput.measured import (
    Prompts,
    hardly_decoded,
    narrow_prompts,
    prompts_basis,
    unmeasured_prompts,
)
from planner.throughput.part import (
    Part,
    UnknownFigureError,
    least_seconds,
    seconds_of,
)
from planner.throughput.prefill import PROMPT_OVERHEAD, prefill_parts
from planner.throughput.remarks import cores, fast_ram, replicas
from planner.throughput.serving import chunk_of, resolve_serving
from planner.throughput.traffic import width_of
from planner.throughput.unequal import slowed
from planner.throughput.workload import Speculation, Workload
from planner.units import ceil_div

WAITING = "other users' prefill"
"""The time of a step in which prompts of other users are computed."""


def estimate_speed(
    checkpoint: Checkpoint,
    system: System,
    layout: Layout,
    *,
    engine: str,
    workload: Workload,
    kv_cache_dtype: str = "auto",
    ssm_dtype: str = "auto",
    speculation: Speculation | None = None,
    preset: Preset = "serving",
    chunk: int | None = None,
    placement: Placement | None = None,
    ram_bandwidth: float | None = None,
    briefly: bool = False,
) -> SpeedEstimate | NoEstimate:
    """Estimate how fast `checkpoint` decodes and prefills on `system`.

    Args:
        checkpoint: what is served.
        system: where; only the accelerators that `layout` uses count.
        layout: how it is spread.
        engine: what serves it; picks the constants.
        workload: prompts, answers and how many at once.
        kv_cache_dtype: "auto" (16 bits) or the name of a cache format.
        ssm_dtype: "auto" (what the config asks for, else 16 bits), "float32" or "bfloat16".
        speculation: drafting by the MTP module.
        preset: "serving", or "kernel" for sums of kernel times without scheduler and CPU.
        chunk: tokens of a prompt computed at a time; None takes the placement's or the engine's.
        placement: where the weights lie; None: all on the accelerators.
        ram_bandwidth: nominal GB/s of the host's memory; None takes what is known or assumed.
        briefly: only the rates of decoding are wanted, to compare; what is said with them and what
            prompts take may be left out.

    Returns:
        The estimate, or why there is none (a figure of the device is unknown).

    Raises:
        InputError: a value out of range, an unknown dtype, or drafting without an MTP module.
    """
    if reason := unknown_engine(engine):
        return NoEstimate(reason=reason)
    if placement is not None and placement.disk:
        return NoEstimate(reason="weights are read from disk for every token: expect seconds each")
    engine = under_backend(engine, system)
    host = host_memory(system, bandwidth=ram_bandwidth)
    serving = resolve_serving(
        checkpoint,
        system,
        layout,
        engine=engine,
        workload=workload,
        host=host,
        kv_cache_dtype=kv_cache_dtype,
        ssm_dtype=ssm_dtype,
        speculation=speculation,
        placement=placement,
    )
    precision = checkpoint.scheme.name
    found = calibration(serving.system, engine, preset=preset, width=width_of(checkpoint))
    inside = serving.where.on_accelerators
    # No prompt is among the rates, and it asks for no figure of the device that decoding does not.
    brief = briefly and inside and workload.output_tokens is None
    said = _Said(rough=rough_rules(serving, found, engine=engine, precision=precision))
    if not brief:
        said = replace(
            said,
            rough_prompt=rough_prompts(serving, found, engine=engine, precision=precision),
            thin=hardly_decoded(found, engine, width_of(checkpoint)) if inside else (),
            slowed=slowed(system, placement),
        )
    asked = _Asked(serving, workload, found, chunk_of(engine, chunk, placement), speculation, said)
    try:
        return asked.rates() if brief else asked.answer(host)
    except UnknownFigureError as unknown:
        return NoEstimate(reason=str(unknown))


def output_token_parts(
    serving: Serving, workload: Workload, *, prompt: Sequence[Part], accepted: float = 1.0
) -> tuple[Part, ...]:
    """Return what the time between a user's tokens is made of; `prompt`: one prompt alone."""
    return (*cycle_parts(serving, accepted=accepted), *_waiting(serving, workload, prompt))


def request_seconds(workload: Workload, time: float, prompt: float) -> float:
    """Seconds per output token of one user over whole requests, the own prompt included.

    time per output token + prompt / output tokens
    """
    return time + (prompt / workload.output_tokens if workload.output_tokens else 0.0)


def prompt_parts(
    serving: Serving, workload: Workload, chunk: int, *, plain: bool = False
) -> tuple[Part, ...]:
    """Return what the prefill of the workload's prompts is made of; nothing without a prompt."""
    return prefill_parts(
        serving,
        tokens=workload.prompt_tokens,
        chunk=chunk,
        prompts=workload.prompts_together,
        cached=workload.cached,
        plain=plain,
    )


def _waiting(serving: Serving, workload: Workload, prompt: Sequence[Part]) -> tuple[Part, ...]:
    """Per output token, the prefill of the users that come while one answer is decoded.

    s x (B - 1) x prefill / output tokens; where prompts share the steps of those who decode, their
    launches are those of the step.
    """
    mixed = family(serving.engine) in table("rules")["mixed"]["engines"]
    others = ceil_div(workload.concurrency, serving.layout.data_parallel) - 1
    if workload.output_tokens is None or not others:
        return ()
    share = others / workload.output_tokens / workload.prompts_together
    return tuple(
        replace(
            part.scaled(share, "interference"),
            name=WAITING,
            formula=f"interference x (B - 1) x ({part.formula}) / output tokens",
            bound=False,
        )
        for part in prompt
        if not (mixed and part.name == PROMPT_OVERHEAD)
    )


@frozen
class _Said:
    """What is said beside the figures: rules by which they are rough, what little was measured."""

    rough: tuple[Rule, ...]
    rough_prompt: tuple[Rule, ...] = ()
    thin: tuple[str, ...] = ()
    slowed: tuple[str, ...] = ()


class _Asked:
    """A serving on its way to an answer."""

    def __init__(
        self,
        serving: Serving,
        workload: Workload,
        found: Calibration,
        chunk: int,
        speculation: Speculation | None,
        said: _Said,
    ) -> None:
        self.serving, self.workload, self.found = serving, workload, found
        self.chunk, self.speculation, self.said = chunk, speculation, said

    @cached_property
    def prompts(self) -> Calibration:
        """The constants, with what is known of prompts as their basis."""
        if not self.serving.where.on_accelerators:
            return self.found
        basis = prompts_basis(self.found, self.serving.engine, _kind(self.serving))
        return replace(self.found, basis=basis)

    def rates(self) -> SpeedEstimate:
        """Evaluate what decoding takes where no prompt comes in between, and nothing else."""
        return self._decoded((), 0.0, _accepted(self.speculation)[0])[0]

    def _decoded(
        self, prompt: Sequence[Part], alone: float, accepted: float
    ) -> tuple[SpeedEstimate, Settled]:
        """Evaluate decoding, nothing said beside it yet.

        Args:
            prompt: parts of a prompt that comes in between.
            alone: seconds of a prompt of its own.
            accepted: tokens that a step yields.
        """
        parts = output_token_parts(self.serving, self.workload, prompt=prompt, accepted=accepted)
        held = settled(parts, self.found, what=_DECODING)
        rate = self._banded(self.serving, parts, held.seconds)
        whole = request_seconds(self.workload, held.seconds, alone / self.workload.prompts_together)
        estimate = SpeedEstimate(
            workload=self.workload,
            speculation=self.speculation,
            accepted=accepted,
            per_user=rate,
            total=rate.scaled(self.workload.concurrency / whole * held.seconds),
            time_per_output_token=rate.inverse(),
            parts=parts,
            prefill=None,
            gain=None,
            host=None,
            calibration=self.found,
            rough=(),
            assumptions=(),
        )
        return estimate, held

    def answer(self, host: HostMemory) -> SpeedEstimate:
        """Evaluate the parts and put bands around them."""
        serving, workload = self.serving, self.workload
        prompt, alone = self._prompt()
        accepted, assumptions = _accepted(self.speculation)
        decoded, held = self._decoded(prompt, alone.seconds, accepted)
        gain = None
        if serving.drafted:
            bare = replace(serving, drafted=0)
            without = output_token_parts(bare, workload, prompt=prompt)
            plain = settled(without, self.found, what=_DECODING)
            gain = gain_band(plain.seconds / held.seconds)
        if workload.output_tokens is None and workload.concurrency > 1:
            assumptions.append("no prompts arrive while the sequences decode")
        outside = not serving.where.on_accelerators
        if outside and host.assumed:
            assumptions.append(host.words)
        if serving.where.on_host and not serving.where.cpu_alone:
            assumptions += fast_ram(serving, held.constants)
        return replace(
            decoded,
            prefill=self._prefill(prompt, alone),
            gain=gain,
            host=host if outside else None,
            calibration=replace(self.found, constants=held.constants),
            rough=tuple(str(rule["reason"]) for rule in self.said.rough),
            assumptions=tuple(assumptions),
            slower=(*self.said.slowed, *held.notes, *self._than_wide(held, accepted)),
            thin=self.said.thin,
        )

    def _prompt(self) -> tuple[tuple[Part, ...], Settled]:
        """The prompt's parts; where nobody measured narrow products, in 16 bits if that is faster."""
        serving, workload, found = self.serving, self.workload, self.prompts
        parts = prompt_parts(serving, workload, self.chunk)
        held = settled(parts, found, what=_PROMPTS)
        measured = found.basis == "fitted" and narrow_prompts(found, serving.engine, _kind(serving))
        if measured or not any("prefill_narrow" in part.over for part in parts):
            return parts, held
        plain = prompt_parts(serving, workload, self.chunk, plain=True)
        other = settled(plain, found, what=_PROMPTS)
        return (plain, other) if other.seconds < held.seconds else (parts, held)

    def _than_wide(self, held: Settled, accepted: float) -> tuple[str, ...]:
        """Say that the same model in 16 bits is faster, where that was measured or kernels lack."""
        other = self.serving.narrow_slices or self.serving.plain_experts
        constants = self.found.wide or (self.found.constants if other else None)
        if constants is None:
            return ()
        wide = replace(self.serving, weights=self.serving.weights.in_sixteen_bits)
        prompt: tuple[Part, ...] = ()
        if self.workload.output_tokens is not None:
            prompt = prompt_parts(wide, self.workload, self.chunk)
        parts = output_token_parts(wide, self.workload, prompt=prompt, accepted=accepted)
        seconds = seconds_of(parts, constants)
        if held.seconds <= seconds * _ALIKE:
            return ()
        share = f"x{held.seconds / seconds:.2f}"
        if other:
            return (f"16-bit weights are faster here ({share}): no fast kernel for such experts",)
        return (f"16-bit weights were measured faster here ({share})",)

    def _banded(self, serving: Serving, parts: Sequence[Part], time: float) -> Banded:
        """Tokens per second of one user with its band."""
        low, high = band(
            self.found,
            kind_of(serving, self.workload),
            rough=self.said.rough,
            drafted=bool(serving.drafted),
        )
        least = least_seconds(parts)
        most = min(high / time, 1 / least) if least else high / time
        return Banded(value=1 / time, low=low / time, high=max(1 / time, most))

    def _prefill(self, parts: Sequence[Part], held: Settled) -> PrefillEstimate | None:
        if not parts:
            return None
        tokens = self.workload.prompt_tokens * self.workload.prompts_together
        rate = tokens / held.seconds
        rules = (*self.said.rough, *self.said.rough_prompt)
        low, high = band(self.prompts, prefill_kind(self.serving), rough=rules)
        rough = [str(rule["reason"]) for rule in self.said.rough_prompt]
        if self.serving.where.on_accelerators:
            rough += unmeasured_prompts(self.found, self.serving.engine, _kind(self.serving))
        banded = Banded(value=rate, low=rate * low, high=rate * high)
        waiting = ceil_div(self.workload.concurrency, self.serving.layout.data_parallel)
        seconds = banded.inverse().scaled(tokens)
        return PrefillEstimate(
            tokens=tokens,
            chunk=self.chunk,
            seconds=seconds,
            tokens_per_second=banded,
            first_token=(seconds.low, seconds.high * max(1, waiting)),
            parts=tuple(parts),
            constants=held.constants,
            slower=held.notes,
            rough=tuple(rough),
            notes=(*replicas(self.serving.layout), *cores(self.serving, parts)),
        )


def _kind(serving: Serving) -> Prompts:
    """Whose prompts are alike: those of dense models, those of mixtures of experts."""
    return "dense" if serving.model.moe is None else "moe"


_DECODING, _PROMPTS = "decoding was", "prompts were"


_ALIKE = 0.99
"""Below this share of the time in 16 bits narrow weights are surely faster."""


def _accepted(speculation: Speculation | None) -> tuple[float, list[str]]:
    """Tokens per step, and what was assumed about them."""
    if speculation is None:
        return 1.0, []
    if speculation.accepted is not None:
        return speculation.accepted, []
    separate = speculation.drafter is not None
    reference = acceptance(speculation.tokens, separate=separate)
    fewer = reference < acceptance(speculation.tokens)
    source = DRAFTER_SOURCE if fewer else ACCEPTANCE_SOURCE
    return reference, [f"{reference:g} tokens accepted per step, as in {source}"]
