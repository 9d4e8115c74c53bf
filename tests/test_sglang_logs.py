"""Pools that SGLang printed on real machines, in releases that budget their states differently.

Sources: Ciender/CMP-170HX-SGLang-Qwen3.6-Benchmarks 579d6e9, environment/expanded-250w-v2-20260731.txt
and (b86cd3c) scripts/serve-qwen36-27b.sh; a start of Qwen3.5-397B-A17B over two GPUs, experts on the
CPU, of 2026-02-27. How many slots are allocated stands in mem_cache/memory_pool.py, how many are
budgeted in model_executor/model_runner_kv_cache_mixin.py (0.5.9, 0.5.15) and
mem_cache/kv_cache_configurator.py (0.5.16, 0.5.17) of each release's wheel.
"""

from __future__ import annotations

import pytest

import planner
from planner import observed
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.releases import RULES, Rules
from planner.engines.sglang.tables import PADDING
from planner.logs import LogCheck

HYBRID = """\
[2026-02-27 17:10:27 TP0] Load weight end. elapsed=653.47 s, avail mem=19.08 GB, mem usage=3.76 GB.
[2026-02-27 17:10:28 TP0] Mamba Cache is allocated. max_mamba_cache_size: 82, conv_state size: 0.13GB, ssm_state size: 7.29GB
[2026-02-27 17:10:28 TP0] KV Cache is allocated. #tokens: 580364, K size: 4.15 GB, V size: 4.15 GB
[2026-02-27 17:10:29 TP0] max_total_num_tokens=580364, chunked_prefill_size=2048, max_prefill_tokens=16384, max_running_requests=1, context_len=8192, available_gpu_mem=3.63 GB
"""
ARGUMENTS = (
    "server_args=ServerArgs(model_path='Avesed/Qwen3.6-27B-INT8-W8A8', context_length=24576,"
    " mem_fraction_static=0.88, max_running_requests={requests}, max_total_tokens={tokens},"
    " chunked_prefill_size=2048, max_prefill_tokens=4096, page_size=64, disable_radix_cache=True,"
    " mamba_radix_cache_strategy='extra_buffer', disable_prefill_cuda_graph=True)\n"
)
POOLS = """\
Load weight end. elapsed=10.00 s, avail mem=10.80 GB, mem usage=28.48 GB.
Mamba Cache is allocated. max_mamba_cache_size: {requests}, conv_state size: 0.01GB, ssm_state size: {ssm:.2f}GB
KV Cache is allocated. dtype: torch.bfloat16, #tokens: {tokens}, K size: {k:.2f} GB, V size: {k:.2f} GB
max_total_num_tokens={tokens}, chunked_prefill_size=2048, max_prefill_tokens=4096, max_running_requests={requests}, context_len=24576
"""
STARTS = [
    {"requests": 1, "tokens": 24576, "ssm": 0.28, "k": 0.75},
    {"requests": 4, "tokens": 20480, "ssm": 0.70, "k": 0.63},
]


def _agrees(found: LogCheck, *figures: str) -> None:
    verdicts = {row.figure: row.agrees for row in found.rows}
    assert {name: verdicts[name] for name in figures} == dict.fromkeys(figures, True)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"{start['requests']} requests")
@pytest.mark.parametrize("arguments", [ARGUMENTS, ""], ids=["told", "inferred"])
def test_states_of_a_release_that_does_not_budget_the_padding_slot(
    start: dict[str, float], arguments: str
) -> None:
    found = observed.check_log(
        None,
        (arguments + POOLS).format(**start),
        on="custom:48GiB",
        model="Qwen3.6-27B",
        precision="int8",
        options={"version": "0.5.16", "page_size": 64},
    )
    _agrees(found, "conv state", "SSM state", "keys", "values", "requests at once")
    assert found.plan.deployment.options.disable_radix_cache


def test_a_given_number_of_requests_is_read_off_the_pools() -> None:
    found = observed.check_log(
        None,
        HYBRID,
        on="2x custom:400GiB",
        model="Qwen3.5-397B-A17B",
        layout=planner.Layout(tensor_parallel=2),
        options={"version": "0.5.9"},
    )
    _agrees(found, "conv state", "SSM state", "keys", "values", "requests at once")
    assert found.plan.deployment.options.max_running_requests == 1
    assert not found.plan.deployment.options.disable_radix_cache


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.version)
@pytest.mark.parametrize("drafting", [False, True], ids=["plain", "MTP"])
def test_the_padding_slot_is_counted_once(rules: Rules, drafting: bool) -> None:
    plan = planner.plan(
        "Qwen3.5-9B",
        on="h100",
        engine="sglang",
        options=SGLangOptions(
            version=rules.version,
            disable_radix_cache=True,
            max_running_requests=4,
            speculative_algorithm="NEXTN" if drafting else None,
        ),
    )
    terms = {term.name: term for term in plan.ranks[0].terms}
    outside = not rules.budgets_padding_slot
    assert (PADDING in terms) is outside
    if outside:
        slot = int(terms[PADDING].values["bytes per slot"])
        drafted = int(terms[PADDING].values["draft tokens"])
        assert (drafted > 0) is drafting
        assert terms[PADDING].nbytes == slot * (1 + drafted)


def test_prefill_graphs_came_to_the_vision_models_before_the_padding_slot_was_budgeted() -> None:
    ladder = [(rules.version, rules.prefill_graphs, rules.budgets_padding_slot) for rules in RULES]
    assert ladder[2:5] == [
        ("0.5.15", "text-only", False),
        ("0.5.16", "on", False),
        ("0.5.17", "on", True),
    ]
