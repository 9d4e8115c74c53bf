"""Plan SGLang: refusals, allocation, command, log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.engines.columns import Columns
from planner.engines.containers import HEAD_ADDRESS
from planner.engines.economies import Economy, Knob
from planner.engines.engine import Deployment, Engine, Launch, Refusal
from planner.engines.kinds import kind_refusals
from planner.engines.options import written_words
from planner.engines.sglang import advice
from planner.engines.sglang.answer import (
    SglangAnswer,
    capacity_of,
    host_cache_bytes,
    notes_of,
    placement_of,
    pool_with,
    sequences_of,
    serves_one,
    start_error,
)
from planner.engines.sglang.log import log_lines
from planner.engines.sglang.options import LONGER_CONTEXT, SGLangOptions
from planner.engines.sglang.overheads import Budget, budget_of, rank_terms
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.refusals import refusals_of, refused_everywhere
from planner.engines.sglang.server import TAKEN, Server, cache_flag, server_of
from planner.engines.sglang.tables import host_table_bytes, table_shortage
from planner.engines.yarn import yarn_override
from planner.errors import LayoutError, UnsupportedModelError
from planner.layout import Degrees, Layout
from planner.memo import Key, remembered
from planner.memory.breakdown import Rank, device_name
from planner.units import ceil_div

PORT = 50000


class SGLang(Engine[SGLangOptions, SglangAnswer]):
    """The policy of SGLang; the release is an option."""

    name = "sglang"
    title = "SGLang"
    options_type = SGLangOptions
    degrees = Degrees(tensor=True, pipeline=True, data=True, expert=True, data_over_nodes=False)
    cache_dtypes = TAKEN
    """Source: SGLang 0.5.23 managers/data_parallel_controller.py (a replica takes tp x pp GPUs),
    arg_groups/validation_hook.py (replicas stay on one node), parallel_hook.py (attention DP)."""

    def version(self, options: SGLangOptions) -> str:
        """Return the release whose rules are asked for."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why SGLang cannot run it; see `refusals`."""
        unknown = kind_refusals(self, deployment)
        return unknown or tuple(refusals_of(deployment, server_of(deployment)))

    def takes(self, deployment: Deployment) -> bool:
        """Say whether SGLang runs it; the device is asked before a server is set up."""
        return not (refused_everywhere(deployment) or self.refusals(deployment))

    def may_hold_in(self, deployment: Deployment, layouts: tuple[Layout, ...]) -> Iterator[Layout]:
        """Yield the layouts in which weights load and the pools hold the workload."""
        accelerator = deployment.system.accelerator
        if refused_everywhere(deployment):
            return
        layers = deployment.checkpoint.model.num_hidden_layers
        for layout in layouts:
            if layout.pipeline_parallel > layers:
                continue  # it is refused
            server = server_of(deployment, layout)
            if server.load_violations():
                continue
            budget = budget_of(server, accelerator, deployment.lesson)
            if budget.free_after_load < 0:
                continue
            try:
                pool = _pool(server, budget)
            except (LayoutError, UnsupportedModelError):
                continue  # it is refused
            held = sequences_of(server, pool, context=deployment.context)
            if held >= deployment.concurrency and not table_shortage(
                deployment.in_layout(layout), server
            ):
                yield layout

    def allocate(self, deployment: Deployment) -> SglangAnswer:
        """Return the budget, pools and capacity.

            static budget = free after loading - free before x (1 - mem_fraction_static)
            state slots   = budget x q / (1 + q) / bytes per slot
            tokens        = what is left / bytes per token
            requests      = min(max_running_requests, tokens / 2, slots / slots per request)

        Source: SGLang 0.5.23 mem_cache/kv_cache_configurator.py.
        """
        server = server_of(deployment)
        budget = budget_of(server, deployment.system.accelerator, deployment.lesson)
        pool = _pool(server, budget)
        context = deployment.context
        lacking = table_shortage(deployment, server)
        starts = serves_one(pool, context) and not lacking
        sequences = ceil_div(deployment.concurrency, server.parallel.pools)
        ranks = _ranks(server, budget, pool, sequences=sequences, context=context)
        ranks = tuple(sorted(ranks, key=lambda rank: rank.headroom))
        native = deployment.checkpoint.model.max_position_embeddings
        capacity = capacity_of(server, pool, context=context, most=max(native, context))
        return SglangAnswer(
            ranks=ranks,
            capacity=replace(capacity, sequences=0) if lacking else capacity,
            starts=starts,
            starts_shorter=not starts and pool.failure is None and not lacking,
            refusal=start_error(server, pool, context=context) or lacking,
            kv_cache_dtype=server.cache_format.name,
            placement=placement_of(server, budget),
            host_bytes=(host_table_bytes(server) + host_cache_bytes(server, pool)) or None,
            deployment=deployment,
            server=server,
            budget=budget,
            pool=pool,
            notes=notes_of(server),
            at_worst=_at_worst(server, budget, ranks, asked=deployment.concurrency, context=context)
            if starts and capacity.sequences >= deployment.concurrency
            else "",
        )

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts up to the native length, or to --context-length."""
        server, native = server_of(deployment), deployment.checkpoint.model.max_position_embeddings
        if server.resolved.attention_backend == "aiter":
            return range(0)  # another share of the memory beyond a length
        given: int | None = server.options.context_length
        return range(1, (native if given is None else min(native, given)) + 1)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once."""
        one = server_of(deployment)
        server, budget = (
            replace(one, context=contexts),
            budget_of(one, deployment.system.accelerator, deployment.lesson),
        )
        pool, native = (
            pool_with(server, budget),
            deployment.checkpoint.model.max_position_embeddings,
        )
        asked = -(-concurrencies // server.parallel.pools)
        ranks = _ranks(server, budget, pool, sequences=asked, context=contexts)
        found = capacity_of(server, pool, context=contexts, most=native)
        serves = pool.failure is None and not table_shortage(deployment, server)
        worst = _pool_at_worst(server, budget, ranks)
        held = capacity_of(server, worst, context=contexts, most=native).sequences
        ends = (held < concurrencies) | (worst.failure is not None)
        return Columns.of_ranks(
            ranks,
            contexts,
            starts=((pool.max_total_num_tokens or 0) >= contexts) & serves,
            tight=(found.sequences >= concurrencies) & serves & ends,
            sequences=found.sequences * serves,
            tokens=found.tokens,
            longest_context=found.longest_context,
            limited_by=found.limited_by,
        )

    def as_started(self, deployment: Deployment) -> Deployment:
        """Return the workload that its pools hold: it starts whatever length it accepts."""
        if self.refusals(deployment):
            return deployment
        return workload_held(deployment, self.allocate(deployment))

    def launch(self, deployment: Deployment, answer: SglangAnswer) -> Launch:
        """Return the command with exactly the flags that the plan assumed."""
        return launch_of(deployment, answer.server)

    def expected_log(self, deployment: Deployment, answer: SglangAnswer) -> tuple[str, ...]:
        """Return the lines on memory that it would print."""
        return log_lines(answer)

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Return the changes that free memory for the pools."""
        return tuple(advice.economies(deployment, server_of(deployment)))

    def careful(self, deployment: Deployment) -> Economy | None:
        """Return the share that is known to hold on memory that the system shares."""
        return advice.safe_share(server_of(deployment))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Return the settings that can be solved for."""
        return tuple(advice.knobs(deployment))


SGLANG = SGLang()


def _free(server: Server, budget: Budget) -> Key:
    return (server,), (budget.free_before_load, budget.free_after_load)


@remembered(_free, most=4096)
def _pool(server: Server, budget: Budget) -> Pool:
    """Return the pools; of the budget what is free decides."""
    return pool_with(server, budget)


def workload_held(deployment: Deployment, answer: SglangAnswer) -> Deployment:
    """Return `deployment` with the longest context that the pools hold, all sequences at once.

    The server still accepts requests of the context that `deployment` asks for. What the pools
    hold at the far end of the estimates' band counts, if they exist there.
    """
    server = answer.server
    worst = _pool_at_worst(server, answer.budget, answer.ranks)
    tokens = worst.max_total_num_tokens or answer.pool.max_total_num_tokens or 0
    sequences, page = (
        ceil_div(deployment.concurrency, server.parallel.pools),
        server.resolved.page_size,
    )
    context = min(deployment.context, tokens // sequences // page * page)
    if context < 1:
        return deployment
    options = replace(deployment.options, context_length=deployment.context)
    return replace(deployment, context=context, options=options)


def _pool_at_worst(server: Server, budget: Budget, ranks: tuple[Rank, ...]) -> Pool:
    """Return the pools if everything that is loaded takes the most that its band allows."""
    return server.pool(
        free_before_load=max(1, budget.free_before_load - budget.runtime_band.above),
        free_after_load=budget.free_after_load - max(rank.band.above for rank in ranks),
    )


def _at_worst(
    server: Server, budget: Budget, ranks: tuple[Rank, ...], *, asked: int, context: int
) -> str:
    """Return what the pools hold if all that is loaded takes its band's most, if that is less.

    The two pools split what is left: spare bytes of one are of no use to the other, so that the
    ranks' headroom does not tell.
    """
    pool = _pool_at_worst(server, budget, ranks)
    held = sequences_of(server, pool, context=context)
    if pool.failure is None and held >= asked:
        return ""
    what = f"the pools hold {held:,} of them" if held else "not even one of them runs"
    return f"at the far end of the estimates' band {what}"


def _ranks(
    server: Server, budget: Budget, pool: Pool, *, sequences: int, context: int
) -> tuple[Rank, ...]:
    stages, parallel = budget.stages, server.parallel
    count = parallel.tp_size * parallel.replicas
    names = [device_name(alike=count, unified=server.gpu.integrated)]
    if len(stages) > 1:
        names = [f"stage {stage.index + 1} of {len(stages)}" for stage in stages]
    found = rank_terms(server, budget, pool, sequences=sequences, context=context)
    return tuple(
        Rank(name=name, count=count, total=budget.total, usable=budget.usable, terms=terms)
        for name, terms in zip(names, found, strict=True)
    )


def launch_of(deployment: Deployment, server: Server) -> Launch:
    """Return ``sglang.launch_server`` with exactly the flags that the plan assumed."""
    parallel, options, rules = server.parallel, server.options, server.rules
    argv = ["python", "-m", "sglang.launch_server", "--model-path", deployment.checkpoint.id]
    if deployment.checkpoint.revision:
        argv += ["--revision", deployment.checkpoint.revision]
    argv += ["--context-length", str(server.context_length)]
    for flag, degree in (
        ("--tp-size", parallel.tp_size),
        ("--pp-size", parallel.pp_size),
        ("--dp-size", parallel.replicas),
        ("--ep-size", parallel.ep_size),
    ):
        if degree > 1:
            argv += [flag, str(degree)]
    if parallel.attn_dp_size > 1:
        argv += [word.format(n=parallel.attn_dp_size) for word in rules.attn_dp_flags]
    if cache_flag(server.kv_cache_dtype) != "auto":
        argv += ["--kv-cache-dtype", cache_flag(server.kv_cache_dtype)]
    argv += written_words(options)
    if options.disable_prefill_cuda_graph and rules.prefill_off_flag is not None:
        argv.append(rules.prefill_off_flag)
    if options.cuda_graph_max_bs is not None:
        argv += [rules.graph_flag, str(options.cuda_graph_max_bs)]
    if options.mamba_radix_cache_strategy != "auto":
        argv += [rules.strategy_flag, options.mamba_radix_cache_strategy]
    environment = {}
    model = deployment.checkpoint.model
    if server.context_length > model.max_position_embeddings:
        argv += ["--json-model-override-args", yarn_override(model, server.context_length)]
        environment[LONGER_CONTEXT] = "1"
    return _over_nodes(deployment, argv, environment)


def _over_nodes(deployment: Deployment, argv: list[str], environment: dict[str, str]) -> Launch:
    """Return one command, or one per node where the layout leaves the node."""
    nodes, model = deployment.nodes, (deployment.checkpoint.id,)
    if nodes == 1:
        return Launch(argv=tuple(argv), environment=environment, model=model)
    shared = ["--nnodes", str(nodes), "--dist-init-addr", f"{HEAD_ADDRESS}:{PORT}"]
    commands = [(*argv, *shared, "--node-rank", str(rank)) for rank in range(nodes)]
    return Launch(
        argv=commands[0],
        environment=environment,
        model=model,
        per_node=tuple(commands[1:]),
        notes=(
            f"run one command on each of the {nodes} nodes; {HEAD_ADDRESS} is the first node's",
        ),
    )
