"""What an estimate says, and what it refuses to say."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import hardware_db
from planner.errors import InputError
from planner.layout import Layout
from planner.model.catalog import bundled_checkpoint
from planner.throughput import (
    NoEstimate,
    Speculation,
    SpeedEstimate,
    Workload,
    estimate_speed,
)
from planner.throughput.answer import two_digits
from tests.present import estimated, some

DENSE, SPARSE = "Qwen/Qwen3.5-27B", "Qwen/Qwen3.5-35B-A3B"
LONG = Workload(prompt_tokens=8192, output_tokens=1024)


def ask(
    model: str = DENSE,
    on: str = "h200-sxm",
    precision: str = "fp8",
    layout: Layout | None = None,
    engine: str = "vllm",
    **asked: Any,
) -> NoEstimate | SpeedEstimate:
    """An estimate of a bundled model; by default of 27B FP8 on one H200."""
    return estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        layout or Layout(),
        engine=engine,
        workload=asked.pop("workload", LONG),
        **asked,
    )


def seconds(estimate: SpeedEstimate, name: str) -> float:
    return sum(term.seconds for term in estimate.terms if term.name == name and not term.hidden)


def test_terms_add_up_and_the_longest_binds() -> None:
    found = ask(workload=dataclasses.replace(LONG, concurrency=8))
    shown = [term for term in estimated(found).terms if not term.hidden]
    assert sum(term.seconds for term in shown) == pytest.approx(
        estimated(found).time_per_output_token.value
    )
    assert estimated(found).binding == max(shown, key=lambda term: term.seconds).name
    assert estimated(found).per_user.value == pytest.approx(
        1 / estimated(found).time_per_output_token.value
    )


def test_band_and_basis_follow_what_was_measured() -> None:
    fitted = ask(on="gb10", precision="bf16")
    sibling = ask(on="gb10", precision="bf16", engine="tensorrt-llm")
    unmeasured = ask(on="gaudi3", precision="bf16")
    assert estimated(fitted).calibration.basis == "fitted"
    assert estimated(sibling).calibration.basis == "sibling"
    assert estimated(unmeasured).calibration.basis == "unmeasured"
    rates = [estimated(found).per_user for found in (fitted, sibling, unmeasured)]
    shares = [rate.low / rate.value for rate in rates]
    assert all(less <= more * (1 + 1e-9) for more, less in pairwise(shares))
    assert all(estimated(found).calibration.source for found in (fitted, sibling, unmeasured))


@pytest.mark.parametrize(
    ("on", "figure"),
    [("custom:48GiB", "only the memory of this GPU is known"), ("n1x", "not known")],
)
def test_no_figure_no_estimate(on: str, figure: str) -> None:
    found = ask(on=on)
    assert isinstance(found, NoEstimate)
    assert figure in found.reason
    assert found.words.startswith("no estimate: ")


def test_unknown_link_between_nodes_is_no_estimate() -> None:
    found = ask(on="16x mi300x", precision="bf16", layout=Layout(tensor_parallel=16))
    assert isinstance(found, NoEstimate)
    assert "link" in found.reason


def test_nothing_passes_nine_tenths_of_the_bandwidth() -> None:
    for accelerator in hardware_db.accelerators():
        if accelerator.bandwidth_gb_s is None or not accelerator.tflops:
            continue
        for engine in ("vllm", "sglang", "llamacpp", "mlx", "ollama"):
            found = ask(on=accelerator.id, precision="bf16", engine=engine)
            if isinstance(found, NoEstimate):
                continue
            weights = bundled_checkpoint(DENSE).nbytes("text") - embedding_bytes(DENSE)
            ceiling = 0.9 * accelerator.bandwidth_gb_s.value * 1e9
            assert found.per_user.high * weights <= ceiling * (1 + 1e-9), (accelerator.id, engine)


def embedding_bytes(model: str) -> int:
    """Bytes of the table that a step looks a few rows up in."""
    sizes = bundled_checkpoint(model).bytes_by_component
    return sum(size for (_, component, _), size in sizes.items() if component == "embed_tokens")


def test_other_users_prefill_needs_the_length_of_answers() -> None:
    many = Workload(prompt_tokens=8192, concurrency=16)
    steady = ask(workload=many)
    short = ask(workload=dataclasses.replace(many, output_tokens=128, depth=8192))
    long = ask(workload=dataclasses.replace(many, output_tokens=4096, depth=8192))
    name = "other users' prefill"
    assert seconds(estimated(steady), name) == 0
    assert seconds(estimated(short), name) == pytest.approx(32 * seconds(estimated(long), name))
    assert any("no prompts arrive" in text for text in estimated(steady).assumptions)


def test_experts_are_counted_as_expected_over_routing() -> None:
    one = ask(SPARSE, workload=Workload(prompt_tokens=1, depth=1))
    many = ask(SPARSE, workload=Workload(prompt_tokens=1, depth=1, concurrency=64))
    ratio = seconds(estimated(many), "routed experts") / seconds(estimated(one), "routed experts")
    # 8 of 256 for one token; for 64 tokens 256 (1 - (1 - 8/256)^64) = 222.4 distinct ones if routing
    # were even, 0.84 of them with experts that are chosen more often than others.
    assert ratio == pytest.approx(0.84 * 222.4 / 8, rel=0.01)


def test_tensor_parallelism_divides_bytes_and_adds_all_reduces() -> None:
    one, two = ask(on="2x h200-sxm"), ask(on="2x h200-sxm", layout=Layout(tensor_parallel=2))
    assert seconds(estimated(two), "weights") == pytest.approx(
        seconds(estimated(one), "weights") / 2, rel=0.01
    )
    assert seconds(estimated(one), "all-reduce") == 0 < seconds(estimated(two), "all-reduce")
    assert estimated(two).per_user.value > estimated(one).per_user.value


def test_replicas_share_the_users() -> None:
    many = dataclasses.replace(LONG, concurrency=16)
    half = dataclasses.replace(LONG, concurrency=8)
    two = ask(on="2x h200-sxm", layout=Layout(data_parallel=2), workload=many)
    one = ask(workload=half)
    assert estimated(two).per_user.value == pytest.approx(estimated(one).per_user.value)
    assert estimated(two).total.value == pytest.approx(2 * estimated(one).total.value)


def test_drafting_names_its_acceptance_and_widens_the_band() -> None:
    plain, drafted = ask(), ask(speculation=Speculation(tokens=3))
    known = ask(speculation=Speculation(tokens=3, accepted=3.39))
    assert estimated(drafted).accepted == 3.39
    assert "tokens accepted per step" in " ".join(estimated(drafted).assumptions)
    assert estimated(known).per_user.value == pytest.approx(estimated(drafted).per_user.value)
    assert estimated(known).assumptions == ()
    assert (
        estimated(drafted).per_user.low / estimated(drafted).per_user.value
        <= estimated(plain).per_user.low / estimated(plain).per_user.value
    )
    assert estimated(drafted).per_user.value > estimated(plain).per_user.value
    assert seconds(estimated(drafted), "drafts") > 0


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            {
                "model": SPARSE,
                "on": "2x h200-sxm",
                "layout": Layout(tensor_parallel=2, expert_parallel=True),
            },
            "expert parallelism",
        ),
        (
            {
                "on": "apple-m3-max",
                "precision": "mlx-4bit",
                "engine": "mlx",
                "workload": dataclasses.replace(LONG, concurrency=4),
            },
            "MLX",
        ),
        (
            {
                "on": "rtx-3090",
                "precision": "w4a16",
                "workload": dataclasses.replace(LONG, concurrency=16),
            },
            "16-bit activations",
        ),
        ({"on": "2x h200-sxm", "layout": Layout(pipeline_parallel=2)}, "pipeline"),
    ],
)
def test_rough_where_a_roofline_fails(asked: dict[str, Any], reason: str) -> None:
    found = ask(**asked)
    assert any(reason in text for text in estimated(found).rough)
    assert "rough: " in found.words
    smooth = ask()
    assert estimated(smooth).rough == ()


def test_words(snapshot: SnapshotAssertion) -> None:
    many = dataclasses.replace(LONG, concurrency=8)
    estimates = {
        "one user": ask(on="gb10"),
        "eight users": ask(
            on="4x rtx-pro-6000-server", layout=Layout(tensor_parallel=4), workload=many
        ),
        "drafted": ask(
            on="8x b200",
            engine="sglang",
            layout=Layout(tensor_parallel=8),
            workload=many,
            speculation=Speculation(tokens=3),
        ),
        "rough": ask(on="apple-m3-max", precision="mlx-4bit", engine="mlx", workload=many),
        "unmeasured": ask(on="a100-sxm-80", precision="bf16"),
    }
    said = {
        name: (found.words, estimated(found).prefill_words) for name, found in estimates.items()
    }
    assert said == snapshot


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (84.6, "85"),
        (105.2, "110"),
        (1234.0, "1,200"),
        (9.96, "10"),
        (9.94, "9.9"),
        (5.0, "5"),
        (0.0456, "0.046"),
        (0.0, "0"),
    ],
)
def test_two_digits(value: float, text: str) -> None:
    assert two_digits(value) == text


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_words_never_claim_more_than_two_digits(value: Any) -> None:
    said = two_digits(value)
    assert math.isclose(float(said.replace(",", "")), value, rel_tol=0.051)
    assert len(said.replace(",", "").replace(".", "").strip("0")) <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_tokens": -1},
        {"prompt_tokens": 10**18},
        {"prompt_tokens": 8, "output_tokens": 0},
        {"prompt_tokens": 8, "concurrency": 0},
        {"prompt_tokens": 8, "depth": float("nan")},
        {"prompt_tokens": "abc"},
        {"prompt_tokens": 8, "depth": 8, "shared_prefix": 9},
    ],
)
def test_workloads_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"out of range|whole number|more than"):
        Workload(**wrong)


@pytest.mark.parametrize("accepted", [0.5, 4.1, float("nan"), float("inf"), "abc", True])
def test_acceptance_out_of_range(accepted: Any) -> None:
    with pytest.raises(InputError, match="out of range"):
        Speculation(tokens=3, accepted=accepted)


def test_questions_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="no MTP module"):
        ask(precision="mlx-4bit", speculation=Speculation(tokens=2))
    with pytest.raises(InputError, match="SSM state dtype"):
        ask(ssm_dtype="int3")
    with pytest.raises(InputError, match="KV cache dtype"):
        ask(kv_cache_dtype="int3")


def test_block_formats_serve_as_cache() -> None:
    half = ask(on="rtx-4090", precision="q4_k_m", engine="llamacpp", kv_cache_dtype="q8_0")
    full = ask(on="rtx-4090", precision="q4_k_m", engine="llamacpp")
    assert seconds(estimated(half), "KV cache") == pytest.approx(
        seconds(estimated(full), "KV cache") * 8.5 / 16
    )


WORKLOADS = st.builds(
    Workload,
    prompt_tokens=st.integers(1, 200_000),
    output_tokens=st.integers(1, 8192),
    concurrency=st.integers(1, 256),
)


@given(workload=WORKLOADS, extra=st.integers(1, 256))
def test_more_users_never_make_one_user_faster(workload: Any, extra: Any) -> None:
    more = dataclasses.replace(workload, concurrency=workload.concurrency + extra)
    one, many = ask(SPARSE, workload=workload), ask(SPARSE, workload=more)
    assert estimated(many).per_user.value <= estimated(one).per_user.value * (1 + 1e-9)


@given(workload=WORKLOADS, extra=st.integers(1, 100_000))
def test_longer_contexts_are_never_faster(workload: Any, extra: Any) -> None:
    longer = dataclasses.replace(workload, prompt_tokens=workload.prompt_tokens + extra)
    one, far = ask(workload=workload), ask(workload=longer)
    assert estimated(far).per_user.value <= estimated(one).per_user.value * (1 + 1e-9)
    assert some(estimated(far).prefill).seconds.value >= some(estimated(one).prefill).seconds.value


@given(workload=WORKLOADS)
def test_bands_hold_their_estimate_and_totals_do_not_exceed_users(workload: Any) -> None:
    found = ask(workload=workload)
    assert isinstance(found, SpeedEstimate)
    for banded in (
        found.per_user,
        found.total,
        found.time_per_output_token,
        some(found.prefill).seconds,
    ):
        assert 0 < banded.low <= banded.value <= banded.high < math.inf
    assert found.total.value <= found.per_user.value * workload.concurrency * (1 + 1e-9)
