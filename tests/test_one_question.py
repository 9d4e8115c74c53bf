"""Every door asks the same question: the same engine, layouts and words, whatever is not said."""

import contextlib
import io
import json
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import planner
from planner import observed
from planner.asking import left_open
from planner.cli.main import run
from planner.engines import ENGINES
from planner.errors import InputError, PlannerError
from planner.planning import Outcome
from planner.recommending import nearest_to, recommend
from planner.throughput import SpeedEstimate
from tests.present import some

# model, hardware, precision: what people ask, on hardware of every kind of engine
WHERE = [
    ("Qwen3.5-9B", "rtx-4090", "fp8"),
    ("Qwen3.5-27B", "2x rtx-3090", "q4_k_m"),
    ("Qwen3.5-35B-A3B", "8x h100", "fp8"),
    ("Qwen3.5-35B-A3B", "3x h100", "bf16"),
    ("Qwen3.5-9B", "m4-max-128", "bf16"),
    ("Qwen3.5-122B-A10B", "2x dgx-spark", "fp8"),
    ("Qwen3.5-397B-A17B", "2x dgx-h100", "fp8"),
]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(WHERE),
    st.sampled_from([None, *ENGINES]),
    st.sampled_from([4096, 32_768, 131_072]),
    st.sampled_from([1, 16, 550]),
)
def test_the_plan_is_the_first_of_the_layouts(
    where: tuple[str, str, str], engine: str | None, context: int, concurrency: int
) -> None:
    model, on, precision = where
    asked: dict[str, Any] = {
        "engine": engine,
        "precision": precision,
        "context": context,
        "concurrency": concurrency,
    }
    try:
        plan = planner.plan(model, on=on, **asked)
    except PlannerError:
        assume(False)
    first = planner.layouts(model, on=on, **asked)[0]
    assert first.plan.deployment == plan.deployment
    assert first.plan.verdict == plan.verdict


OPEN = [
    ("Qwen3.5-4B", "rtx-4060"),
    ("Qwen3.5-27B", "rtx-3090"),
    ("Qwen3.8-27B", "2x rtx-3090"),
    ("Qwen3.6-35B-A3B", "rtx-3060 12GB + 32GB RAM"),
    ("Qwen3.5-9B", "m4 max 64GB"),
    ("Qwen3.5-27B", "h100"),
    ("Qwen3.5-122B-A10B", "strix halo 128GB"),
    ("Qwen3.5-397B-A17B", "rtx-4090"),  # nothing holds it: judged by what comes nearest
]
SAID: list[dict[str, Any]] = [
    {},
    {"engine": "vllm"},
    {"engine": "llamacpp"},
    {"precision": "fp8"},
    {"precision": "q4_k_m"},
    {"kv_cache_dtype": "fp8"},
    {"layout": planner.Layout(pipeline_parallel=2)},
    {"words": ("--max-num-seqs", "8")},
    {"words": ("--port", "9000")},
]


@settings(max_examples=8, deadline=None)
@given(
    where=st.sampled_from(OPEN),
    said=st.sampled_from(SAID),
    context=st.sampled_from([4096, 32_768, 131_072]),
    users=st.sampled_from([1, 3]),
)
def test_every_door_picks_the_same(
    where: tuple[str, str], said: dict[str, Any], context: int, users: int
) -> None:
    """What is not said is chosen once, whichever way it is asked."""
    model, on = where
    asked: dict[str, Any] = {**said, "context": context, "concurrency": users}
    try:
        plan = planner.plan(model, on=on, **asked)
    except InputError:
        assume(False)
    wanted = left_open(model, on=on, **asked)
    assert wanted is not None
    pick = recommend(wanted).pick
    if pick is None:
        near = nearest_to(wanted)
        stored = planner.load_checkpoint(model, precision=said.get("precision"))
        if near is not None and "precision" not in said:
            stored = near.plan.deployment.checkpoint
        assert plan.deployment.checkpoint == stored
    else:
        assert plan.deployment == pick.plan.deployment
        assert any(f"{pick.entry.name} taken" in warning for warning in plan.warnings)
    assert planner.ask(model, on=on, **asked).plan().deployment == plan.deployment
    if "layout" not in said:  # the list is of all layouts, whichever was said
        assert planner.layouts(model, on=on, **asked)[0].plan.deployment == plan.deployment
    if "words" not in said:
        listed = {
            **({"engines": said["engine"]} if "engine" in said else {}),
            **({"precisions": said["precision"]} if "precision" in said else {}),
            **({"kv_cache_dtypes": said["kv_cache_dtype"]} if "kv_cache_dtype" in said else {}),
            **({"layouts": said["layout"]} if "layout" in said else {}),
        }
        row = planner.sweep(model, on=on, contexts=context, concurrencies=users, **listed).iloc[0]
        assert row["checkpoint"] == plan.deployment.checkpoint.id
        assert row["precision"] == plan.deployment.checkpoint.scheme.name
        assert row["engine"] == plan.engine
        if plan.unheld is None:
            assert row["verdict"] == plan.verdict
        else:  # a row is of the weights that it names
            assert not row["fits"]
            assert any(row["verdict"] in warning for warning in plan.warnings)
    document = _printed(model, on, asked)
    if document is not None:
        assert document["verdict"] == plan.verdict
        command = plan.launch.command if plan.launch is not None else None
        assert (document["launch"] or {}).get("command") == command


def _printed(model: str, on: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The command line's document; None where it has no such flag or refuses."""
    flags = {"engine": "--engine", "precision": "--precision", "kv_cache_dtype": "--kv-cache"}
    words = ["plan", model, "--on", on, "--json"]
    words += ["--context", str(asked["context"]), "--users", str(asked["concurrency"])]
    words += [word for name, flag in flags.items() if name in asked for word in (flag, asked[name])]
    words += ["--pp", "2"] if "layout" in asked else []
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        run([*words, *asked.get("words", ())])
    return json.loads(out.getvalue()) if out.getvalue() else None


@pytest.mark.parametrize("on", ["rtx-3090", "h100", "m4 max 64GB"])
def test_how_far_it_goes_and_where_it_fits_are_asked_of_the_pick(on: str) -> None:
    pick = planner.recommend("Qwen3.5-27B", on=on).pick
    assert pick is not None
    limits = planner.solve("Qwen3.5-27B", on=on)
    for solution in (limits.context, limits.sequences):
        assert solution.plan.deployment.checkpoint == pick.plan.deployment.checkpoint
        assert solution.plan.engine == pick.plan.engine
    (fit,) = planner.fits("Qwen3.5-27B", on=on)
    assert fit.count == 1
    assert fit.plan.deployment == pick.plan.deployment


def test_a_sweep_picks_once_for_its_first_row() -> None:
    frame = planner.sweep("Qwen3.5-27B", on="rtx-3090", contexts=["32k", "256k"])
    first = planner.plan("Qwen3.5-27B", on="rtx-3090", context="32k")
    assert set(frame["checkpoint"]) == {first.deployment.checkpoint.id}
    assert frame["fits"].tolist() == [True, False]


def test_weights_that_are_loaded_are_planned_as_they_are() -> None:
    whole = planner.load_checkpoint("Qwen3.5-27B")
    plan = planner.plan(whole, on="rtx-3090")
    assert plan.deployment.checkpoint is whole
    assert not plan.fits
    said = planner.plan("Qwen3.5-27B", on="rtx-3090", precision="bf16", engine="vllm")
    assert said.deployment.checkpoint == whole


@pytest.mark.parametrize(("model", "on", "precision"), WHERE)
def test_every_door_takes_the_same_engine(model: str, on: str, precision: str) -> None:
    plan = planner.plan(model, on=on, precision=precision)
    limits = planner.solve(model, on=on, precision=precision)
    frame = planner.sweep(model, on=on, precisions=precision)
    assert limits.context.plan.engine == plan.engine
    assert planner.layouts(model, on=on, precision=precision)[0].plan.engine == plan.engine
    assert frame["engine"].tolist() == [plan.engine]
    assert frame["verdict"].tolist() == [plan.verdict]


def test_gguf_is_looked_for_in_llamacpp() -> None:
    """W3: `fits` and `solve` of a GGUF asked vLLM, which cannot read it."""
    found = planner.fits("Qwen3.5-35B-A3B", precision="q4_k_m", on=["rtx-3090", "rtx-3060-12"])
    assert [fit.plan.engine for fit in found] == ["llamacpp", "llamacpp"]
    assert found[0].count == 1
    longest = planner.solve("Qwen3.5-27B", on="rtx-3090", precision="q4_k_m").context.value
    plan = planner.plan("Qwen3.5-27B", on="rtx-3090", precision="q4_k_m")
    assert longest == some(plan.capacity).longest_context


def test_layouts_with_replicas_are_tried() -> None:
    """W4: 550 sequences fit with data and expert parallelism, which `plan` never tried."""
    plan = planner.plan(
        "Qwen/Qwen3.5-35B-A3B",
        on="8x h100",
        precision="fp8",
        concurrency=550,
        context="32k",
        engine="vllm",
    )
    assert plan.fits
    assert plan.deployment.layout.data_parallel > 1


@pytest.mark.parametrize(
    ("model", "on", "asked"),
    [
        ("qwen3.5-122b-a10b", "rtx-pro-6000", {"precision": "q4_k_m", "words": ("--n-cpu-moe", "30", "--host-memory-gib", "128")}),
        ("qwen3.5-27b", "rtx-3090", {"precision": "q4_k_m", "words": ("-ngl", "20", "--host-memory-gib", "64")}),
        ("qwen3.5-27b", "rtx-3090", {"precision": "fp8", "words": ("--cpu-offload-gb", "20")}),
        ("qwen3.5-35b-a3b", "rtx-4090", {"precision": "q8_0", "words": ("--host-memory-gib", "64")}),
    ],
)  # fmt: skip
def test_no_speed_of_the_accelerator_is_claimed_for_weights_in_ram(
    model: str, on: str, asked: dict[str, Any]
) -> None:
    """W1: with a part of the weights in RAM the answer was that of a GPU that holds them all."""
    plan = planner.plan(model, on=on, **asked)
    assert plan.allocation is not None
    placement = plan.allocation.placement
    assert placement.outside > 0
    speed = plan.speed
    if isinstance(speed, SpeedEstimate):
        slowest = placement.outside - placement.host_computed_experts * 0.95
        assert speed.per_user.high < 400e9 / slowest  # no host memory of one socket is faster


def test_the_engines_own_spellings_are_understood() -> None:
    """M8: flags as the engine spells them, behind a model as in a command."""
    plain = planner.plan("Qwen3.5-27B", on="rtx-3090", precision="q4_k_m", context=8192)
    spelled = planner.plan("Qwen3.5-27B", on="rtx-3090", precision="q4_k_m", words=("-c", "8192"))
    assert spelled.deployment == plain.deployment
    vllm = planner.plan(
        "Qwen3.5-9B",
        on="h100",
        words=(
            "--max-model-len", "8192", "--limit-mm-per-prompt", '{"image": 0, "video": 0}',
            "--quantization", "fp8", "--max-num-seqs", "16", "--port", "9000",
        ),
    )  # fmt: skip
    assert vllm.deployment.context == 8192
    assert vllm.deployment.checkpoint.scheme.name == "fp8"
    assert vllm.deployment.options.limit_images == 0
    assert vllm.launch is not None
    assert {"--port", "9000"} <= set(vllm.launch.argv)


@pytest.mark.parametrize("flag", ["--users", "--concurrency"])
def test_what_people_call_it(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "Qwen3.5-4B", "--on", "h100", flag, "2", "--ctx", "8k"]) == 0
    assert "2 users at 8k" in capsys.readouterr().out


def test_what_is_said_twice_is_refused() -> None:
    with pytest.raises(InputError, match="context is given twice: 4,096 and 8,192"):
        planner.plan("Qwen3.5-4B", on="h100", context=4096, words=("--max-model-len", "8192"))


def test_words_of_a_command_come_back() -> None:
    """W10: flags that change nothing in memory were dropped, unknown ones too."""
    words = (
        "--host 0.0.0.0 --port 9000 --api-key *** --served-model-name qwen"
        " --reasoning-parser qwen3 --enable-auto-tool-choice --tool-call-parser qwen3_coder"
    )
    command = f"vllm serve Qwen/Qwen3.5-9B --max-model-len 8192 {words} --brand-new 7"
    plan = observed.plan_command(command, on="h100")
    assert plan.launch is not None
    for word in [*words.split(), "--brand-new", "7"]:
        assert word in plan.launch.argv
    assert any("--brand-new" in warning for warning in plan.warnings)
    for form in ("shell", "compose", "kubernetes"):
        text = planner.emit(plan, form)
        assert "--tool-call-parser" in text
        assert "--brand-new" in text


@pytest.mark.parametrize("value", [math.nan, 1, "yes", None])
def test_nonsense_for_a_switch_is_refused(value: Any) -> None:
    """W22: yarn=nan counted as true."""
    with pytest.raises(InputError, match="yarn must be true or false"):
        planner.plan("Qwen3.5-4B", on="h100", yarn=value)


def test_one_name_is_a_list_of_one() -> None:
    """W22: a string in place of a list was read letter by letter."""
    frame = planner.sweep("Qwen/Qwen3.5-27B", on="h100", precisions="fp8", contexts="8k")
    assert frame["model"].tolist() == ["Qwen/Qwen3.5-27B"]
    assert frame["fits"].tolist() == [True]


def test_a_server_that_holds_fewer_has_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """M6: one status stood for "never starts" and for "holds 1 of 4"."""
    asked = ["plan", "Qwen3.5-27B", "--on", "2x rtx-4090", "--precision", "fp8"]
    assert run([*asked, "--context", "128k", "--concurrency", "4"]) == 5
    assert run([*asked, "--context", "128k", "--concurrency", "1"]) == 0
    assert run(["plan", "Qwen3.5-27B", "--on", "rtx-4090", "--precision", "bf16"]) == 3
    capsys.readouterr()


def test_nothing_runnable_stands_under_a_verdict_that_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """M5: a plan that does not fit ended in a command, and `--emit` wrote it."""
    asked = ["plan", "Qwen3.5-27B", "--on", "rtx-4090", "--precision", "bf16"]
    plan = planner.plan("Qwen3.5-27B", on="rtx-4090", precision="bf16")
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert plan.launch is None
    run(asked)
    assert f"\n{some(plan.written).command}\n" not in capsys.readouterr().out
    assert run([*asked, "--emit", "shell"]) == 3
    assert capsys.readouterr().out == ""
    run([*asked, "--json"])
    assert '"advice"' in capsys.readouterr().out


def test_a_drafter_that_does_not_fit_is_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """W6: the advice put the tokens to 0 and kept the method, which is an error."""
    status = run(
        [
            "plan",
            "Qwen/Qwen3.5-27B-FP8",
            "--on",
            "rtx-4090",
            "--num-speculative-tokens",
            "4",
            "--speculative-method",
            "dflash",
            "--draft-model",
            "z-lab/Qwen3.5-27B-DFlash",
            "--context",
            "32k",
        ]
    )
    assert status == 3
    assert "It fits with" in capsys.readouterr().out


def test_prefix_caching_follows_the_release() -> None:
    """W5: off for hybrids up to 0.27.1."""
    asked: dict[str, Any] = {"on": "h100", "precision": "fp8", "context": 8192, "engine": "vllm"}
    plan = planner.plan("Qwen/Qwen3.5-35B-A3B", **asked, options={"version": "0.26.0"})
    assert plan.capacity is not None
    assert plan.capacity.sequences == 159
    assert plan.settings["enable_prefix_caching"] is False


def test_ram_is_said_like_a_colleague_would() -> None:
    """M4: memory beside the GPU was an option that nobody knows; its bandwidth decides the speed."""
    asked: dict[str, Any] = {"precision": "q4_k_m", "context": 8192}
    said = planner.plan("Qwen3.5-122B-A10B", on="rtx-4090", ram="128GB DDR5-5600", **asked)
    beside = planner.plan("Qwen3.5-122B-A10B", on="4090 + 128GB DDR5-5600", **asked)
    assert said.fits
    assert said.ranks == beside.ranks
    slow = planner.plan("Qwen3.5-122B-A10B", on="4090 + 128GB", ram_bandwidth=40, **asked).speed
    fast = planner.plan("Qwen3.5-122B-A10B", on="4090 + 128GB", ram_bandwidth=400, **asked).speed
    assert isinstance(slow, SpeedEstimate)
    assert isinstance(fast, SpeedEstimate)
    assert slow.per_user.value < fast.per_user.value


@pytest.mark.parametrize("bad", [{"ram": "much"}, {"ram": "-3GB"}, {"ram_bandwidth": 0}])
def test_ram_that_cannot_be_read_is_one_line(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="RAM"):
        planner.plan("Qwen3.5-4B", on="rtx-4090", **bad)


@pytest.mark.parametrize(
    ("model", "on", "engine", "precision", "word"),
    [
        ("Qwen3.5-122B-A10B", "strix halo", None, "q4_k_m", "ttm pages_limit="),
        ("Qwen3.5-122B-A10B", "m4 max 64", "llamacpp", "q3_k_m", "iogpu.wired_limit_mb="),
        ("Qwen3.5-27B", "m4 max 64", "mlx", "bf16", "iogpu.wired_limit_mb="),
        ("Qwen3.5-397B-A17B-GPTQ-Int4", "3x strix halo", "vllm", None, "ttm pages_limit="),
    ],
)
def test_a_limit_that_the_owner_can_raise_is_raised_first(
    model: str, on: str, engine: str | None, precision: str | None, word: str
) -> None:
    """W11: the first advice was another machine, although this one has the memory."""
    plan = planner.plan(model, on=on, engine=engine, precision=precision, context=32_768)
    assert not plan.fits
    first = plan.advice[0]
    assert first.enough
    assert word in first.title


def test_unequal_gpus_are_named_as_they_are() -> None:
    """M14: "2x RTX 3060" for a 3090 and a 3060."""
    plan = planner.plan("Qwen3.5-27B", on="3090 + 3060", precision="q4_k_m")
    assert plan.fits
    assert "3090" in plan.verdict
    assert "3060" in plan.verdict


def test_a_command_is_judged_as_typed() -> None:
    """A server whose default number of sequences exceeds its cache blocks does not start; what
    the planner would choose in its place is advice."""
    typed = "vllm serve Qwen/Qwen3.8-27B --gpu-memory-utilization 0.90"
    plan = observed.plan_command(typed, on="g7e.4xlarge")
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert "max_num_seqs (1024) exceeds" in plan.verdict
    assert observed.plan_command(f"{typed} --max-num-seqs 256", on="g7e.4xlarge").fits
    assert planner.plan("Qwen/Qwen3.8-27B", on="g7e.4xlarge", context=262_144).fits


def test_weights_that_an_engine_quantizes_itself() -> None:
    typed = "vllm serve Qwen/Qwen3-Coder-Next --quantization fp8 --max-model-len 32768"
    plan = observed.plan_command(typed, on="h200")
    assert plan.fits
    assert plan.deployment.checkpoint.id == "Qwen/Qwen3-Coder-Next"
    assert plan.deployment.checkpoint.scheme.name == "fp8"
    assert plan.launch is not None
    assert plan.launch.command.startswith("vllm serve Qwen/Qwen3-Coder-Next ")
    with pytest.raises(InputError, match="not planned"):
        observed.plan_command(typed.replace("fp8", "torchao"), on="h200")


@pytest.mark.parametrize(
    ("label", "size"),
    [("UD-Q4_K_XL", 17.0), ("ud-q4_k_xl", 17.0), ("UD-IQ4_XS", 14.0)],
)
def test_an_authors_own_label_is_a_precision(label: str, size: float) -> None:
    """M3: `--precision UD-Q4_K_XL` beside a bundled name was unknown."""
    plan = planner.plan("Qwen3.8-27B", on="rtx-3090", precision=label, context=8192)
    assert plan.fits
    assert plan.deployment.checkpoint.id == "unsloth/Qwen3.8-27B-GGUF"
    assert plan.deployment.checkpoint.nbytes("text") / 2**30 == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize("words", [["Qwen3.5-27B", "--on", "rtx-3090"], ["Qwen3.5-9B", "--on", "2x rtx-4090"]])  # fmt: skip
def test_commands_answer_for_the_same_pick(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is said, `plan` picks a checkpoint and an engine; `layouts` and `solve` too."""
    answers = {}
    for command in ("plan", "layouts", "solve"):
        assert run([command, *words, "--json"]) == 0
        answers[command] = json.loads(capsys.readouterr().out)
    plan, first = answers["plan"], answers["layouts"]["layouts"][0]
    assert (first["model"], first["precision"]) == (plan["model"]["id"], plan["model"]["precision"])
    assert first["verdict"] == plan["verdict"]
    longest = answers["solve"]["solutions"][0]
    assert longest["value"] == plan["capacity"]["longest_context"]


@pytest.mark.parametrize(
    "words",
    ["vllm serve Qwen/Qwen3.5-9B", "python -m sglang.launch_server --model-path Qwen/Qwen3.5-9B"],
)
def test_machines_that_only_a_command_names_are_said(words: str) -> None:
    """--nnodes was dropped in silence beside a machine of one node."""
    plan = planner.plan_command(f"{words} --nnodes 2", on="h100")
    assert any("--nnodes 2, but 1 machine of H100 SXM5" in note for note in plan.warnings)
    assert not any("nnodes" in note for note in planner.plan_command(words, on="h100").warnings)


def test_flags_of_one_engine_stay_with_it() -> None:
    """Advice to switch carried SGLang's --disable-radix-cache into llama-server."""
    plan = planner.plan_command(
        "python -m sglang.launch_server --model-path Qwen/Qwen3.5-9B --port 9000"
        " --collect-tokens-histogram --context-length 32768",
        on="rtx-3090",
    )
    assert not plan.fits
    others = [advice for advice in planner.advise(plan) if advice.plan.engine != "sglang"]
    assert others
    commands = [advice.command or "" for advice in others]
    assert not any("--collect-tokens-histogram" in command for command in commands)
