"""Plan a column of workloads at once: one deployment, many contexts and concurrencies.

Between the shortest context that fills a step and the native length, weights, overheads and the
pool are the same for every row; what is left is the pool's own arithmetic, done on columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from planner.columns import alike, choose, smaller
from planner.engines.columns import Columns
from planner.engines.engine import Deployment
from planner.engines.vllm.answer import held_at_once, limited_by
from planner.engines.vllm.budget import Budget, budget_of
from planner.engines.vllm.indexed import table_shortage
from planner.engines.vllm.overheads import Step
from planner.engines.vllm.releases import batch_defaults, rules_of
from planner.engines.vllm.weights import stage_weights
from planner.memory.breakdown import Kind
from planner.units import ceil_div


def contexts_alike(deployment: Deployment) -> range:
    """Return the contexts for which everything but the pool's arithmetic is the same."""
    options = deployment.options
    defaults = batch_defaults(deployment.system.accelerator, rules_of(options.version))
    sequences = options.max_num_seqs or defaults.max_num_seqs
    least = ceil_div(defaults.max_num_batched_tokens, sequences)
    return range(least, deployment.checkpoint.model.max_position_embeddings + 1)


def columns_of(deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
    """Return the answers to a column of workloads, all of `contexts_alike`.

    Args:
        deployment: everything but the workload.
        contexts: tokens per sequence of each row.
        concurrencies: sequences of each row.
    """
    from planner.engines.vllm.engine import largest_that_starts, with_sequences

    options = deployment.options
    rules = rules_of(options.version)
    one = replace(deployment, context=int(contexts[0]), concurrency=1)
    step = Step.of(options, batch_defaults(one.system.accelerator, rules), one.context)
    default = budget_of(one, rules, step, stage_weights(one))
    asked = -(-concurrencies // one.layout.data_parallel)
    settled = options.max_num_seqs is not None or options.keep_default_seqs
    largest = None
    if not settled and rules.seqs_check == "refuses":
        largest = largest_that_starts(default)
    if largest is None:
        return _answers(default, contexts, concurrencies)
    wanted = smaller(asked, step.sequences)
    power = 1 << (largest.bit_length() - 1)
    chosen = choose((power < wanted) & (wanted <= largest), wanted, power)
    held = np.zeros_like(contexts)
    for value, rows in alike(chosen):
        held[rows] = with_sequences(default, value).pool.sequences(contexts[rows])
    chosen = choose(chosen < smaller(wanted, held), largest, chosen)
    parts = [
        (rows, _answers(with_sequences(default, value), contexts[rows], concurrencies[rows]))
        for value, rows in alike(chosen)
    ]
    return Columns.joined(len(contexts), parts)


def _answers(budget: Budget, contexts: Any, concurrencies: Any) -> Columns:
    """Return the rows of one budget."""
    deployment, pool = budget.deployment, budget.pool
    starts = (budget.shortfall_of(contexts) == 0) & budget.may_start
    starts &= not table_shortage(deployment)
    sequences, tokens = held_at_once(budget, contexts, starts)
    asked = -(-concurrencies // deployment.layout.data_parallel)
    attention, states = _blocks(budget, contexts, asked)
    fixed = deployment.options.kv_cache_memory_bytes
    stages = []
    spent = budget.spent
    rows = zip(spent.nbytes, spent.terms, spent.above, pool.bytes_per_block, strict=True)
    for taken, terms, above, size in rows:
        kv, state = (attention + 1) * size, states * size
        if fixed is not None:
            kv = kv + np.maximum(0, fixed - kv - state)
        weights = sum(term.nbytes for term in terms if term.kind is Kind.WEIGHTS)
        stages.append((taken + kv + state, kv, state, weights, above))
    headrooms = np.stack([budget.cap - used for used, *_ in stages])
    tightest = np.argmin(headrooms, axis=0)
    risky = np.any(
        np.stack([budget.cap - used - above < 0 for used, _, _, _, above in stages]), axis=0
    )

    def of_tightest(place: int) -> Any:
        columns = [np.broadcast_to(stage[place], contexts.shape) for stage in stages]
        return np.choose(tightest, columns) if len(columns) > 1 else columns[0]

    return Columns(
        starts=starts,
        tight=risky | bool(budget.at_worst),
        sequences=sequences,
        tokens=tokens,
        longest_context=np.full_like(contexts, budget.longest_context),
        limited_by=limited_by(budget, contexts),
        usable=np.full_like(contexts, budget.cap),
        used=of_tightest(0),
        kv_cache=of_tightest(1),
        state=of_tightest(2),
        weights=of_tightest(3),
    )


def _blocks(budget: Budget, contexts: Any, asked: Any) -> tuple[Any, Any]:
    """Return the blocks of KV (rings of indexers, too) and of states that the workload takes."""
    pool = budget.pool
    groups = pool.state_groups + pool.window_groups
    kv = asked * (pool.attention_blocks(contexts) + pool.ring_groups)
    return kv, asked * groups * pool.state_blocks
