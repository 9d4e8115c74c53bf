"""Weights outside the accelerators: no speed that its slowest part forbids."""

from dataclasses import replace
from typing import Any

import pytest

import hardware_db
import planner
from planner.errors import InputError
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.catalog import bundled_checkpoint
from planner.model.checkpoint import Checkpoint
from planner.report.text import plan_text
from planner.speed import larger_chunk, speed_of
from planner.throughput import NoEstimate, Speculation, SpeedEstimate, Workload, estimate_speed

SPARSE, LARGE, DENSE = "Qwen/Qwen3.5-35B-A3B", "Qwen/Qwen3.5-122B-A10B", "Qwen/Qwen3.5-27B"
SHORT = Workload(prompt_tokens=2048, depth=2048)


def sizes(checkpoint: Checkpoint) -> tuple[int, int]:
    """Bytes of what a step reads whole, and of the routed experts."""
    tied = checkpoint.model.tie_word_embeddings
    rows = [
        row
        for row in checkpoint.rows("text")
        if row.tensor.component != ("lm_head" if tied else "embed_tokens")
    ]
    experts = sum(r.nbytes for r in rows if r.tensor.component == "moe.routed_experts")
    return sum(r.nbytes for r in rows) - experts, experts


def experts_in_ram(checkpoint: Checkpoint, share: float) -> Placement:
    """What --n-cpu-moe leaves in RAM."""
    dense, experts = sizes(checkpoint)
    moved = round(share * experts)
    return Placement(
        device=dense + experts - moved, host_computed=moved, host_computed_experts=moved
    )


def layers_in_ram(checkpoint: Checkpoint, share: float) -> Placement:
    """What -ngl leaves in RAM."""
    dense, experts = sizes(checkpoint)
    layers = checkpoint.model.num_hidden_layers
    return Placement(
        device=round((1 - share) * (dense + experts)),
        host_computed=round(share * (dense + experts)),
        host_computed_experts=round(share * experts),
        host_layers=round(share * layers),
    )


def ask(
    model: str = SPARSE, on: str = "rtx-4090", precision: str = "q4_k_m", **asked: Any
) -> SpeedEstimate:
    """An estimate that must be there."""
    found = estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        Layout(),
        engine=asked.pop("engine", "llamacpp"),
        workload=asked.pop("workload", SHORT),
        **asked,
    )
    assert isinstance(found, SpeedEstimate)
    return found


def test_every_layer_of_experts_in_ram_costs_speed() -> None:
    checkpoint = bundled_checkpoint(LARGE, precision="q4_k_m")
    rates = [
        ask(LARGE, "rtx-pro-6000-ws", placement=experts_in_ram(checkpoint, n / 48)).per_user.value
        for n in (0, 10, 20, 30, 40, 48)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 3 * rates[-1]


def test_every_whole_layer_in_ram_costs_speed() -> None:
    checkpoint = bundled_checkpoint(DENSE, precision="q4_k_m")
    rates = [
        ask(DENSE, "rtx-3090", placement=layers_in_ram(checkpoint, n / 64)).per_user.value
        for n in (0, 24, 44, 59, 64)
    ]
    assert rates == sorted(rates, reverse=True)
    # 16 GB of weights in two channels of DDR4-3200 (51 GB/s) cannot make 3.5 tokens per second.
    assert rates[-1] < 3.5


@pytest.mark.parametrize(
    ("model", "precision", "on", "share", "ram", "measured"),
    [
        # All experts on a 9950X with DDR5-4800: 32.8 at 1,000 tokens of context, 33.2 at 4,000.
        (SPARSE, "q8_0", "rtx-5080", 1.0, 76.8, 33.0),
        (LARGE, "q4_k_m", "rtx-4090", 40 / 48, 83.0, 20.0),  # 7950X with DDR5, Q4: 18 to 23
        (SPARSE, "q4_k_m", "rtx-3060-12", 1.0, 51.2, 18.0),  # ten Haswell cores, DDR3: 18.3
    ],
)
def test_measured_speeds_lie_in_the_band(
    model: str, precision: str, on: str, share: float, ram: float, measured: float
) -> None:
    placement = experts_in_ram(bundled_checkpoint(model, precision=precision), share)
    found = ask(model, on, precision, placement=placement, ram_bandwidth=ram)
    assert found.per_user.holds(measured)


def test_what_crosses_the_link_bounds_the_speed() -> None:
    """20 GiB of a dense model over PCIe 4.0 x16 (31.5 GB/s) in every step: 1.5 tok/s at best."""
    dense, _ = sizes(bundled_checkpoint(DENSE, precision="fp8"))
    streamed = 20 << 30
    found = ask(
        DENSE,
        "rtx-3090",
        "fp8",
        engine="vllm",
        placement=Placement(device=dense - streamed, host_streamed=streamed),
    )
    assert found.per_user.high < 31.5e9 / streamed
    assert found.binding == "weights over the link"
    assert any("nobody measured" in reason for reason in found.rough)


@pytest.mark.parametrize(
    ("model", "on", "precision", "engine", "options", "most"),
    [
        (DENSE, "rtx-3090", "fp8", "vllm", {"cpu_offload_gb": 20}, 1.5),
        (DENSE, "rtx-4090", "fp8", "vllm", {"cpu_offload_gb": 16}, 1.9),
        (DENSE, "rtx-3090", "q4_k_m", "llamacpp", {"n_gpu_layers": 0}, 4.0),
        (LARGE, "rtx-pro-6000-ws", "q4_k_m", "llamacpp", {"n_cpu_moe": 48}, 40.0),
    ],
)
def test_plans_say_no_impossible_speed(
    model: str, on: str, precision: str, engine: str, options: dict[str, Any], most: float
) -> None:
    if engine == "llamacpp":
        options = options | {"host_memory_gib": 128}
    plan = planner.plan(
        model, on=on, precision=precision, engine=engine, options=options, context=8192
    )
    found = speed_of(plan, ram_bandwidth=76.8)
    assert isinstance(found, SpeedEstimate)
    assert found.per_user.value < most


def test_weights_on_disk_have_no_speed() -> None:
    found = estimate_speed(
        bundled_checkpoint(DENSE),
        hardware_db.resolve("rtx-3090"),
        Layout(),
        engine="llamacpp",
        workload=SHORT,
        placement=Placement(device=1, disk=1 << 30),
    )
    assert isinstance(found, NoEstimate)
    assert "disk" in found.words


def test_a_larger_chunk_makes_prompts_faster_where_experts_lie_in_ram() -> None:
    """R9700, 122B Q3, -ub 512 / 1024 / 2048: measured 163 / 278 / 464 tok/s."""
    checkpoint = bundled_checkpoint(LARGE, precision="q3_k_m")
    placement = experts_in_ram(checkpoint, 1.0)
    rates = [
        ask(LARGE, "r9700", "q3_k_m", placement=replace(placement, chunk=chunk)).prefill
        for chunk in (512, 1024, 2048)
    ]
    values = [rate.tokens_per_second for rate in rates if rate is not None]
    assert len(values) == 3
    assert 2 < values[2].value / values[0].value < 4
    assert all(value.holds(truth) for value, truth in zip(values, (163, 278, 464), strict=True))


def test_a_larger_chunk_is_named_where_it_makes_prompts_faster() -> None:
    plan = planner.plan(
        LARGE,
        on="rtx-4090",
        precision="q4_k_m",
        engine="llamacpp",
        options={"host_memory_gib": 128},
        context=32768,
    )
    now, larger = plan.speed, larger_chunk(plan)
    assert isinstance(now, SpeedEstimate)
    assert now.prefill is not None
    assert larger is not None
    assert larger.plan.fits
    assert larger.flags.startswith("-b ")
    assert larger.flags in " ".join(larger.plan.launch.argv if larger.plan.launch else ())
    assert larger.seconds.value < now.prefill.seconds.value / 1.8
    assert larger.words in plan_text(plan, speed=now)


def test_no_larger_chunk_where_all_weights_lie_on_the_card() -> None:
    plan = planner.plan(SPARSE, on="rtx-5090", precision="q4_k_m", engine="llamacpp", context=8192)
    assert larger_chunk(plan) is None


def test_the_memory_of_the_host_is_given_or_assumed_and_said() -> None:
    placement = experts_in_ram(bundled_checkpoint(SPARSE, precision="q4_k_m"), 1.0)
    assumed = ask(placement=placement)
    given = ask(placement=placement, ram_bandwidth=76.8)
    faster = ask(placement=placement, ram_bandwidth=100)
    assert any("assumed" in text and "--ram-bandwidth" in text for text in assumed.assumptions)
    assert "RAM assumed to be dual-channel DDR5-5600 (90 GB/s)" in assumed.words
    assert "77 GB/s" in given.words
    assert given.assumptions == ()
    assert faster.per_user.value > given.per_user.value
    assert ask().assumptions == ()


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("nan"), 1e9, "abc", True])
def test_bandwidths_out_of_range(bandwidth: Any) -> None:
    with pytest.raises(InputError, match="out of range"):
        ask(ram_bandwidth=bandwidth)


def test_drafting_harms_with_experts_in_ram_and_that_is_said() -> None:
    """The batch that is verified reads more distinct experts: measured 0.59 to 1.24."""
    checkpoint = bundled_checkpoint(SPARSE, precision="q4_k_m")
    drafts = Speculation(tokens=2)
    here = ask(speculation=drafts)
    there = ask(speculation=drafts, placement=experts_in_ram(checkpoint, 1.0), ram_bandwidth=76.8)
    assert here.gain is not None
    assert there.gain is not None
    assert there.gain.value < here.gain.value
    assert 0.5 < there.gain.value < 0.95
    assert "drafting makes it slower here" in there.words


def by_cpu(model: str, precision: str, ram: float, **load: int) -> SpeedEstimate:
    """A model that the CPU computes alone."""
    checkpoint = bundled_checkpoint(model, precision=precision)
    dense, experts = sizes(checkpoint)
    placement = Placement(
        device=0,
        host_computed=dense + experts,
        host_computed_experts=experts,
        host_layers=checkpoint.model.num_hidden_layers,
        prompts_stream=False,
    )
    return ask(
        model,
        "custom:768GiB",
        precision,
        placement=placement,
        ram_bandwidth=ram,
        workload=Workload(prompt_tokens=512, depth=512, **load),
    )


def test_a_processor_alone_is_slower_than_with_a_card() -> None:
    checkpoint = bundled_checkpoint(SPARSE, precision="q4_k_m")
    cpu = by_cpu(SPARSE, "q4_k_m", 51.2)
    card = ask(placement=experts_in_ram(checkpoint, 1.0), ram_bandwidth=51.2)
    assert cpu.per_user.value < card.per_user.value
    assert cpu.per_user.holds(10.35)  # ten Haswell cores, DDR3
    assert cpu.prefill is not None
    assert cpu.prefill.tokens_per_second.holds(43.8)


@pytest.mark.parametrize(
    ("ram", "least", "most"),
    [
        (19.2, 0.60, 0.87),  # one channel of DDR4-2400: 16.0 to 16.7 GB/s (host_memory.json)
        (57.6, 0.55, 0.87),  # Ryzen 5950X, llamafile discussion 450: 0.85
        (460.8, 0.35, 0.75),  # EPYC 9554, ahelpme.com: 0.61 in plain transformers of 20 and 40 GB
    ],
)
def test_a_dense_model_on_a_cpu_alone_reads_most_of_what_its_memory_gives(
    ram: float, least: float, most: float
) -> None:
    dense, _ = sizes(bundled_checkpoint(DENSE, precision="q4_k_m"))
    found = by_cpu(DENSE, "q4_k_m", ram)
    assert least < found.per_user.value * dense / (ram * 1e9) < most


def test_experts_on_a_wide_cpu_wait_for_threads_rather_than_memory() -> None:
    """96 cores of an EPYC 9655 read 80B-A3B in IQ2_M at 22.9 tok/s: a twentieth of 576 GB/s."""
    found = by_cpu("Qwen/Qwen3-Next-80B-A3B-Instruct", "iq2_m", 576.0)
    assert found.per_user.holds(22.9)
    assert found.binding in ("layers of the CPU", "routing to experts")


@pytest.mark.parametrize("model", [SPARSE, DENSE])
def test_many_users_of_a_cpu_share_its_products(model: str) -> None:
    """A batch reads the weights once, but every token has its products."""
    one, many = (by_cpu(model, "q4_k_m", 89.6, concurrency=users) for users in (1, 64))
    assert one.total.value < many.total.value < 8 * one.total.value


def test_parts_of_a_placement_do_not_exceed_wholes() -> None:
    with pytest.raises(ValueError, match="parts exceed"):
        Placement(device=1, host_computed=1, host_computed_experts=2)
    with pytest.raises(ValueError, match="negative"):
        Placement(device=-1)


@pytest.mark.parametrize("on", ["cpu", "strix-halo-128-gtt"])
@pytest.mark.parametrize("ram", [25.0, 100.0, 400.0])
def test_faster_modules_bring_no_cores(on: str, ram: float) -> None:
    """A prompt that the CPU computes is bound by its cores, a token by its memory."""
    known = on != "cpu"
    system = hardware_db.resolve("custom:64GiB" if on == "cpu" else on)
    dense, experts = sizes(bundled_checkpoint(SPARSE, precision="q4_k_m"))
    alone = Placement(
        device=0,
        host_computed=dense + experts,
        host_computed_experts=experts,
        host_layers=40,
        prompts_stream=False,
    )
    slow, fast = (
        estimate_speed(
            bundled_checkpoint(SPARSE, precision="q4_k_m"),
            system,
            Layout(),
            engine="llamacpp",
            workload=SHORT,
            placement=alone,
            ram_bandwidth=rate,
        )
        for rate in (ram, 2 * ram)
    )
    assert isinstance(slow, SpeedEstimate)
    assert isinstance(fast, SpeedEstimate)
    assert slow.prefill is not None
    assert fast.prefill is not None
    gained = slow.prefill.seconds.value / fast.prefill.seconds.value
    assert gained == pytest.approx(1.0 if known else 2**0.5)
    assert fast.per_user.value > slow.per_user.value
    assert "faster modules alone do not make prompts faster" in fast.prefill_words
