"""What a plan lacks on its accelerators, what its cache takes, which RAM it counts on, how far it goes."""

from __future__ import annotations

from hardware_db import with_system
from planner.engines.choice import SMALLER_CACHE
from planner.engines.elsewhere import has_hbm
from planner.memory.breakdown import Kind
from planner.planning import Plan
from planner.question import question_of
from planner.recommending.choice import Choice, cache_word
from planner.registry import Word
from planner.units import GIB

SURE_RAM = 16
"""GiB of RAM that every machine with an accelerator is taken to have to spare (assumed)."""

RAM_PER_MEMORY = 0.5
"""RAM that a machine is taken to have at least, as a share of its accelerators' memory (assumed): who
has two cards of 96 GB has no machine of 16."""


def over(plan: Plan, *, at_worst: bool = False) -> int:
    """Return the bytes that would have to go for a plan to hold its workload on the accelerators.

    Experts in RAM are there by design.

    Args:
        plan: the plan.
        at_worst: even at the far end of its band.
    """
    outside, allocation = 0, plan.allocation
    if plan.fits and allocation is not None and not plan.deployment.system.is_cpu_only:
        experts = plan.deployment.checkpoint.model.moe is not None
        outside = 0 if experts else allocation.placement.outside
    lacking = 0
    for rank in plan.ranks:
        used = rank.used + (rank.band.above if at_worst else 0)
        lacking += max(0, used - rank.usable) * rank.count
    return lacking + outside


def needed_bytes(plan: Plan) -> int:
    """Return what a plan takes of its tightest accelerator, the engine's own margin included."""
    rank = plan.ranks[0]
    return rank.used + rank.total - rank.usable


def cache_bytes(plan: Plan) -> int:
    """Return the bytes of the KV cache on all accelerators."""
    return sum(rank.count * rank.of_kind(Kind.KV_CACHE) for rank in plan.ranks)


def ram_not_known(plan: Plan) -> int | None:
    """Return the GiB of RAM, the system's part included, that a plan counts on though nobody said so.

    Every machine has a little, more beside large cards, and a server with HBM has more than its
    accelerators.
    """
    system, allocation = plan.deployment.system, plan.allocation
    if system.host_memory is not None or system.accelerator.is_unified or allocation is None:
        return None
    needed = -(-(allocation.host_bytes or 0) // GIB)
    sure = max(SURE_RAM, RAM_PER_MEMORY * system.total_bytes / GIB)
    if needed <= sure or has_hbm(system.accelerator):
        return None
    return -(-with_system(allocation.host_bytes or 0) // GIB)


def farthest(choice: Choice) -> int:
    """Return the tokens that one request may take, with more experts in RAM where some lie there.

    A placement is made for what is asked: the reach of a plan is that of its own placement. Longer
    requests are tried from the native length down, by halves.
    """
    longest, plan = choice.plan.longest_context, choice.plan
    tokens = plan.deployment.checkpoint.model.max_position_embeddings
    if not choice.in_ram or not plan.fits:
        return longest
    while tokens > longest:
        other = question_of(plan).with_(context=tokens, concurrency=1).plan()
        if other.fits:
            return other.longest_context
        tokens //= 2
    return longest


def shrinks_free(engine: str) -> bool:
    """Say whether a KV cache of half the size loses next to nothing in an engine."""
    smaller = SMALLER_CACHE.get(engine)
    return smaller is not None and cache_word(smaller) <= Word.NEAR_LOSSLESS
