"""Hold llama.cpp's short way to compute buffers against the long one, and measure what it saves.

    python -m benchmarks.llamacpp_graphs [--cases 2000] [--seed 1] [--plans 240]

Every case is a random model, file, placement, context and batch; its buffers, nodes and splits are
worked out by shape (`compute_buffers`) and by building the whole graph (`whole_graph`), which must
agree to the byte; so must the events of the allocator, put together from pieces and of every block.
Exit status 1: some do not. `--plans` measures whole plans instead: of new shapes
(model, file, cache type, slots, micro-batch, GPUs; the context is no part of a shape) and repeated.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.asking import ask
from planner.engines.llamacpp.compute import ComputeBuffers, compute_buffers
from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.ggml.structures import structure_of
from planner.engines.llamacpp.graphs import asked_of_graph, whole_graph
from planner.engines.llamacpp.placement import Override, Placement, experts_on_host
from planner.engines.llamacpp.tensor_file import file_blocks
from planner.model.catalog import find
from planner.model.gguf_mix import GgufScheme
from planner.model.spec import ModelSpec

MODELS = (
    "Qwen3.5-0.8B",
    "Qwen3.5-4B",
    "Qwen3.5-9B",
    "Qwen3.5-27B",
    "Qwen3.5-35B-A3B",
    "Qwen3.5-122B-A10B",
    "Qwen3.5-397B-A17B",
    "Qwen3-Next-80B-A3B-Instruct",
    "Qwen3.8-Flash-Next",
)
PLANNED = ("Qwen3.5-4B", "Qwen3.5-9B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B")
MIXES = ("Q4_K_M", "Q8_0", "Q3_K_M", "IQ4_XS", "Q2_K", "BF16", "Q5_K_S")
CACHES = ("f16", "f16", "q8_0", "q4_0", "bf16", "f32")


Case = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of `compute_buffers`, by place and by name."""


def cases(count: int, seed: int) -> Iterator[Case]:
    """Yield the arguments of `compute_buffers`; every third case is an earlier one, stretched."""
    random_ = random.Random(seed)
    before: Case | None = None
    for number in range(count):
        if before is not None and number % 3 == 2:
            (model, scheme, placement, context), flags = before
            yield (model, scheme, placement, _stretched(context, random_)), flags
            continue
        before = _case(random_)
        yield before


def _stretched(context: Context, random_: random.Random) -> Context:
    return replace(context, n_ctx=random_.randrange(context.n_batch, 300_000))


def _case(random_: random.Random) -> Case:
    found = find(random_.choice(MODELS))
    assert found is not None
    model = found[0].model
    mtp_file = model.mtp is not None and random_.random() < 0.8
    scheme = GgufScheme(mix=random_.choice(MIXES), mtp=mtp_file)
    blocks = file_blocks(model, scheme)
    placement = _placement(random_, model, blocks)
    fused = random_.random() < 0.75
    key, value = random_.choice(CACHES), random_.choice(CACHES if fused else ("f16", "bf16", "f32"))
    slots = random_.choice((1, 1, 1, 2, 3, 4, 7, 16, 64))
    context = Context(
        kind="mtp" if blocks > model.num_hidden_layers and random_.random() < 0.1 else "trunk",
        n_ctx=random_.choice((256, 512, 4096, 32_768, 131_072, random_.randrange(256, 262_144))),
        n_seq_max=slots,
        kv_unified=random_.random() < 0.2,
        n_batch=random_.choice((512, 2048, 4096)),
        n_ubatch=random_.choice((16, 64, 128, 512, 512, 1024, 2048)),
        n_outputs_max=random_.choice((0, slots, slots, 4 * slots)),
        n_rs_seq=random_.choice((0, 0, 0, 1, 3)),
        flash_attn=fused,
        type_k=key,
        type_v=value,
        half_mask=random_.random() < 0.8,
        mixed=random_.random() < 0.2,
    )
    flags = {
        "op_offload": random_.random() < 0.9,
        "dry_run": random_.random() < 0.5,
        "generation": random_.random() < 0.1,
    }
    return (model, scheme, placement, context), flags


def _placement(random_: random.Random, model: ModelSpec, blocks: int) -> Placement:
    devices = random_.choice((0, 1, 1, 1, 2, 2, 3, 4, 8))
    overrides: tuple[Override, ...] = ()
    if random_.random() < 0.1:
        pattern = random_.choice(
            (r"ffn_down", r"blk\.[0-9]\.attn", r"_exps", r"attn_qkv", r"output")
        )
        overrides = (Override(pattern=pattern, backend=random_.randint(0, devices)),)
    if model.moe is not None and random_.random() < 0.5:
        overrides += experts_on_host(random_.randint(0, blocks), host=devices)
    whole = random_.random() < 0.6
    shares = tuple(random_.choice((1.0, 1.0, 2.0, 3.5)) for _ in range(devices))
    return Placement(
        devices=devices,
        blocks=blocks,
        n_gpu_layers=(blocks + 1 if whole else random_.randint(0, blocks)) if devices else 0,
        shares=shares,
        overrides=overrides,
        kv_offload=random_.random() < 0.85,
    )


def same_events(arguments: tuple[Any, ...], flags: dict[str, Any]) -> bool:
    """Say whether the events put together from pieces are those of the whole graph, sizes included."""
    asked = asked_of_graph(*arguments, **flags)
    found = []
    for whole in (False, True):
        structure, sizes = structure_of(*asked, whole=whole)
        slots = [sizes[index] for index in structure.slots]
        found.append((structure.events, structure.arenas, slots, structure.nodes, structure.splits))
    return found[0] == found[1]


def plan_rates(count: int, seed: int) -> Iterator[str]:
    """Yield the rates of whole plans, per second of CPU: new shapes, then the same again."""
    random_ = random.Random(seed)
    for machines in (("rtx-3090", "h100", "rtx-pro-6000"), ("2x rtx-3090", "4x rtx-3090")):
        bases = [
            ask(name, on=on, precision=mix, engine="llamacpp")
            for name in PLANNED
            for on in machines
            for mix in ("q4_k_m", "q8_0")
        ]
        questions = [
            random_.choice(bases)
            .with_(
                context=random_.choice((4096, 8192, 16_384, 32_768, 65_536)),
                concurrency=random_.choice((1, 2, 3, 4, 6, 8)),
                kv_cache_dtype=random_.choice(("auto", "q8_0", "q4_0")),
            )
            .with_options(ubatch_size=random_.choice((128, 256, 512, 1024, 2048)))
            for _ in range(count)
        ]
        for what in ("new shapes", "new shapes, later half", "repeated"):
            chosen = {"new shapes": questions[: count // 2], "repeated": questions}
            asked = chosen.get(what, questions[count // 2 :])
            start = time.process_time()
            for question in asked:
                question.plan()
            rate = len(asked) / (time.process_time() - start)
            yield f"{', '.join(machines)}: {what} {rate:,.0f}/s"


def main() -> int:
    """Compare, print the counts and the rates; 1 if some case differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plans", type=int, default=0)
    asked = parser.parse_args()
    if asked.plans:
        print(*plan_rates(asked.plans, asked.seed), sep="\n")
        return 0
    short = long = 0.0
    wrong = 0
    for number, (arguments, flags) in enumerate(cases(asked.cases, asked.seed)):
        start = time.process_time()
        found: ComputeBuffers = compute_buffers(*arguments, **flags)
        middle = time.process_time()
        reference = whole_graph(*arguments, **flags)
        short, long = short + middle - start, long + time.process_time() - middle
        if found != reference or not same_events(arguments, flags):
            wrong += 1
            print(f"case {number}: {arguments[0].name} {arguments[2:]} {flags}")
            print(f"  by shape {found}\n  whole    {reference}")
    print(f"{asked.cases - wrong} of {asked.cases} equal to the byte")
    print(f"by shape {asked.cases / short:.0f}/s, whole graphs {asked.cases / long:.0f}/s of CPU")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
