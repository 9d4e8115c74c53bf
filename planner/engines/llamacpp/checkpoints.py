"""Say how many copies of its recurrent state a slot keeps, and what they take.

A copy lets a slot go back in its prompt: a state cannot be cut short as a cache can. llama-server makes
them as prompts grow, so that a server that started may run out of memory later; what nobody said is
chosen so that it does not.

Source: llama.cpp 0c1e570 tools/server/server-context.cpp (create_checkpoint).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.columns import choose, is_zero, larger, smaller
from planner.engines.llamacpp.options import CHECKPOINTS
from planner.engines.llamacpp.releases import source
from planner.engines.llamacpp.server import Server
from planner.memory.breakdown import Kind, Rank, Term
from planner.provenance import Band, Confidence
from planner.units import ceil_div, format_gib

CHECKPOINTS_KEPT = "context checkpoints"
PROGRAM = "llama-server itself"
"""The term that every memory has in which checkpoints lie."""

CHECKPOINT_STEP = 8192
"""Tokens between checkpoints of the recurrent state (checkpoint_min_step)."""


def likely_checkpoints(server: Server, most: int) -> int:
    """Return how many of `most` a slot has once its context is full."""
    likely: int = smaller(most, ceil_div(server.context, CHECKPOINT_STEP))
    return likely


def within_room(server: Server, terms: tuple[Term, ...], usable: int) -> tuple[Term, ...]:
    """Return terms whose checkpoints take no more than there is, where nobody said how many.

    As many as fit at the far end of all other estimates; where those alone are too much there, as many
    as are likely and fit by the estimates themselves. In a memory that a GPU shares, the server's own
    number stands: there the verdict says what grows (`growing`).
    """
    if server.options.ctx_checkpoints is not None or server.full is not None:
        return terms
    kept = _copies(terms)
    if kept is None or kept.band is None:
        return terms
    one = checkpoint_bytes(server) * server.slots
    others = [term for term in terms if term is not kept]
    left = usable - sum(term.nbytes for term in others)
    surely = left - sum(term.band.above for term in others if term.band)
    at_most = choose(surely < 0, likely_checkpoints(server, CHECKPOINTS), CHECKPOINTS)
    most = smaller(larger(choose(surely < 0, left, surely) // one, 0), at_most)
    if is_zero(most):
        return tuple(others)
    likely = smaller(kept.nbytes, most * one)
    held = replace(
        kept,
        nbytes=likely,
        values={**kept.values, "ctx-checkpoints": most},
        band=Band(below=likely, above=most * one - likely),
    )
    return tuple(held if term is kept else term for term in terms)


def checkpoints_kept(server: Server, ranks: tuple[Rank, ...]) -> int:
    """Return `--ctx-checkpoints`: what was asked, else the server's own or as many as fit."""
    if server.options.ctx_checkpoints is not None:
        return server.options.ctx_checkpoints
    here = _beside_them(ranks)
    if here is None or server.model.linear is None:
        return CHECKPOINTS
    kept = _copies(here.terms)
    return 0 if kept is None else int(kept.values["ctx-checkpoints"])


def curbed(server: Server, ranks: tuple[Rank, ...]) -> str:
    """Return the flag that keeps fewer copies than a slot would have; empty where none must go."""
    if server.options.ctx_checkpoints is not None:
        return ""
    kept = checkpoints_kept(server, ranks)
    return f"--ctx-checkpoints {kept}" if kept < likely_checkpoints(server, CHECKPOINTS) else ""


def growing(server: Server, ranks: tuple[Rank, ...]) -> str:
    """Return what grows until memory runs out and what to set, as a sentence; empty where it does not."""
    here = _beside_them(ranks)
    kept = None if here is None else _copies(here.terms)
    if here is None or kept is None or here.headroom >= 0:
        return ""
    each = checkpoint_bytes(server) * server.full_slots
    most = max(0, (here.headroom + kept.nbytes) // each)
    return (
        f"Copies of the state that each slot keeps of its prompt grow to {format_gib(kept.nbytes)}: set"
        f" --ctx-checkpoints {most}."
    )


def ram_of(host: tuple[Term, ...], ranks: tuple[Rank, ...]) -> int:
    """Return the bytes of RAM of `terms.host_terms`, with as many checkpoints as there is room for."""
    here = _beside_them(ranks)
    if here is None:
        return sum(term.nbytes for term in host)
    kept = sum(term.nbytes for term in here.terms if term.name == CHECKPOINTS_KEPT)
    return kept + sum(term.nbytes for term in host if term.name != CHECKPOINTS_KEPT)


def _copies(terms: tuple[Term, ...]) -> Term | None:
    """Return the term of the checkpoints; None where there are none."""
    return next((term for term in terms if term.name == CHECKPOINTS_KEPT), None)


def _beside_them(ranks: tuple[Rank, ...]) -> Rank | None:
    """Return the memory in which checkpoints lie; None where it is not known."""
    return next((r for r in ranks if any(term.name == PROGRAM for term in r.terms)), None)


def checkpoint_bytes(server: Server) -> int:
    """Return the bytes of one checkpoint: a sequence's state, and with MTP the draft's cache."""
    one = replace(server, slots=1)
    caches = one.cache_of_blocks()
    states = sum(caches.get(block, 0) for block in server.model.linear_attention_layers)
    states //= 1 + one.trunk.rollback(server.model)
    drafts = one.draft.attention_blocks(server.model) if one.draft is not None else ()
    return states + sum(caches[block] for block in drafts)


def checkpoint_terms(server: Server) -> Iterator[Term]:
    """Yield the copies of the recurrent state that let a slot go back in its prompt."""
    asked = server.options.ctx_checkpoints
    most = CHECKPOINTS if asked is None else asked
    if not most or server.model.linear is None:
        return
    each = checkpoint_bytes(server)
    likely = likely_checkpoints(server, most)
    slots = server.full_slots
    in_all = most * slots if server.full is None else likely * slots + server.slots
    yield Term(
        name=CHECKPOINTS_KEPT,
        kind=Kind.RECURRENT_STATE,
        nbytes=each * likely * slots,
        confidence=Confidence.ASSUMED,
        formula="slots x min(ctx-checkpoints, context / 8192) x state of one sequence",
        source=source("tools/server/server-context.cpp (create_checkpoint)"),
        values={
            "slots": slots,
            "ctx-checkpoints": most,
            "context": server.context,
            "state of one sequence": each,
        },
        band=Band(below=each * likely * slots, above=each * (in_all - likely * slots)),
    )
