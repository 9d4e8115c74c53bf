"""`qwenplan measure` without a GPU: programs written by the test stand in for those that are installed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import planner
from benchmarks.suites.field import run as field_suite
from planner.cli.main import run
from planner.engines import FACES, get_engine
from planner.engines.bench import Bench, Output, Printed, Task
from planner.engines.llamacpp.tensor_file import file_tensors, gguf_scheme
from planner.errors import InputError
from planner.measuring import Ended, Ran, compare, prepare
from planner.measuring.finding import is_installed
from planner.question import Question, question_of
from planner.registry.bundled import bundled_checkpoint
from planner.speed import speed_at
from planner.throughput import SpeedEstimate, Workload
from tests.model import builders

MODEL = "Qwen/Qwen3.5-0.8B"
CARD = "rtx-3090"


def write_gguf(path: Path) -> Path:
    """A Q8_0 file of the model's shapes; its data are a hole."""
    checkpoint = bundled_checkpoint(MODEL, precision="q8_0")
    model = checkpoint.model
    pairs: dict[str, object] = {
        "general.architecture": "qwen35",
        "qwen35.block_count": model.num_hidden_layers,
        "qwen35.embedding_length": model.hidden_size,
        "qwen35.feed_forward_length": 3584,
        "qwen35.context_length": 262_144,
        "qwen35.attention.head_count": 8,
        "qwen35.attention.head_count_kv": 2,
        "qwen35.attention.key_length": 256,
        "qwen35.rope.dimension_count": 64,
        "qwen35.ssm.conv_kernel": 4,
        "qwen35.ssm.state_size": 128,
        "qwen35.ssm.group_count": 16,
        "qwen35.ssm.time_step_rank": 16,
        "qwen35.ssm.inner_size": 2048,
        "qwen35.full_attention_interval": 4,
    }
    tensors = {
        tensor.name: (tensor.type.upper(), tuple(reversed(tensor.ne)))
        for tensor in file_tensors(model, gguf_scheme(checkpoint)).values()
        if not tensor.mtp
    }
    stub = builders.gguf(pairs, tensors)
    with path.open("wb") as file:
        file.write(stub.head)
        file.truncate(stub.size)
    return path


def row(phase: str, rate: float, *, tokens: int, depth: int = 0) -> dict[str, Any]:
    """A line of `llama-bench -o jsonl`; the fields that are read, as 0c1e570 names them."""
    prompt, generated = (tokens, 0) if phase == "prefill" else (0, tokens)
    return {
        "build_commit": "0c1e570", "build_number": 11151, "gpu_info": "NVIDIA GeForce RTX 3090",
        "backends": "CUDA", "model_type": "qwen35 0.8B Q8_0", "n_prompt": prompt,
        "n_gen": generated, "n_depth": depth, "avg_ts": rate, "stddev_ts": 0.5,
    }  # fmt: skip


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An executable on PATH, before all others."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(path.parent))


def planned_log(model: Path, context: int) -> list[str]:
    """What llama.cpp would print of a context of so many tokens, and where it says what it was told."""
    options = {"parallel": 1, "all_logits": True}
    plan = planner.plan(str(model), on=CARD, context=context, options=options)
    return [
        f"llama_model_loader: loaded meta data with 20 key-value pairs and 300 tensors from {model}",
        "llama_context: n_seq_max     = 1",
        f"llama_context: n_ctx         = {context}",
        "llama_context: n_batch       = 2048",
        "llama_context: n_outputs_max = 2048",
        *plan.expected_log,
    ]


def speeds(model: Path, *, prompt: int = 512, generate: int = 128) -> tuple[float, float]:
    """The rates that the plan expects."""
    plan = planner.plan(str(model), on=CARD, context=prompt + generate)
    first = speed_at(plan, Workload(prompt_tokens=prompt))
    then = speed_at(plan, Workload(prompt_tokens=0, depth=generate // 2))
    assert isinstance(first, SpeedEstimate)
    assert first.prefill is not None
    assert isinstance(then, SpeedEstimate)
    return first.prefill.tokens_per_second.value, then.per_user.value


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "model.gguf")


def fake(lines: list[str], rows: list[dict[str, Any]], ending: str = "") -> str:
    return (
        "import json, sys\n"
        f"print({chr(10).join(lines)!r}, file=sys.stderr)\n"
        "print('warming up', sys.argv)\n"
        f"for row in {rows!r}: print(json.dumps(row), flush=True)\n{ending}"
    )


def test_a_bench_that_agrees_is_reported_as_a_case(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prefill, decode = speeds(model)
    rows = [row("prefill", prefill, tokens=512), row("decode", decode, tokens=128)]
    program(tmp_path, "llama-bench", fake(planned_log(model, 512), rows), monkeypatch)
    case, log = tmp_path / "cases.json", tmp_path / "start.log"
    words = ["measure", str(model), "--on", CARD, "--report", str(case), "--log", str(log)]
    assert run(words) == 0
    said = capsys.readouterr()
    assert "llama-bench -m" in said.err  # shown before it runs
    assert "✔ All" in said.out
    assert "prefill, 512 tokens" in said.out
    assert "KV cache" in said.out
    written = case.read_text("utf-8")
    assert str(tmp_path) not in written
    document = json.loads(written)["cases"][0]
    assert [each["phase"] for each in document["throughput"]] == ["prefill", "decode"]
    assert document["source"] == "qwenplan measure"
    assert run(["check", str(log), "--on", CARD]) == 0
    results = [each for each in field_suite(tmp_path) if each.group == "llama.cpp KV and state"]
    assert results
    assert all(result.agrees for result in results)


@pytest.mark.parametrize("what", ["speed", "memory"])
def test_a_figure_outside_the_plan_is_told(
    what: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    prefill, decode = speeds(model)
    lines = planned_log(model, 512)
    if what == "speed":
        decode /= 100
    else:
        lines = [line.replace("6.00 MiB", "7.00 MiB") for line in lines]
    rows = [row("prefill", prefill, tokens=512), row("decode", decode, tokens=128)]
    program(tmp_path, "llama-bench", fake(lines, rows), monkeypatch)
    assert run(["measure", str(model), "--on", CARD]) == 3
    assert "✘" in capsys.readouterr().out


def test_as_json_nothing_else_is_on_standard_output(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prefill, _ = speeds(model)
    program(tmp_path, "llama-bench", fake([], [row("prefill", prefill, tokens=512)]), monkeypatch)
    assert run(["measure", str(model), "--on", CARD, "--generate", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agrees"] is True
    assert found["version"] == "b11151"
    assert found["commands"][0][0] == "llama-bench"


STOPPED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from planner.cli import main
main(sys.argv[1:])
"""
PARENT_IS_TOLD_TO_STOP = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.kill(os.getppid(), signal.SIGINT)
while True: signal.pause()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_what_was_measured(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill, _ = speeds(model)
    rows = [row("prefill", prefill, tokens=512)]
    text = fake(planned_log(model, 512), rows, PARENT_IS_TOLD_TO_STOP)
    program(tmp_path, "llama-bench", text, monkeypatch)
    case = tmp_path / "case.json"
    words = ["measure", str(model), "--on", CARD, "--report", str(case)]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "stopped: what it printed before is compared" in done.stdout
    assert json.loads(case.read_text("utf-8"))["cases"][0]["throughput"][0]["phase"] == "prefill"


def test_a_bench_that_takes_too_long_is_ended(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nwhile True: signal.pause()"
    program(tmp_path, "llama-bench", text, monkeypatch)  # a job in the background ignores Ctrl-C
    assert run(["measure", str(model), "--on", CARD, "--limit", "1"]) == 2
    assert "time limit before it printed a figure" in capsys.readouterr().err


def test_a_bench_that_fails_is_quoted_without_secrets(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "import sys\nsys.exit('error: no such device, HF_TOKEN=hf_SECRETabcdefgh1234 given')"
    program(tmp_path, "llama-bench", text, monkeypatch)
    assert run(["measure", str(model), "--on", CARD]) == 2
    said = capsys.readouterr().err
    assert "ended with status 1: error: no such device" in said
    assert "SECRET" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--users", "4"], "one sequence at a time"),
        (["--prompt", "0", "--generate", "0"], "nothing to measure"),
        (["--repeat", "0"], "repetitions"),
        (["--limit", "0"], "--limit"),
        (["--prompt", "many"], "--prompt"),
    ],
)
def test_slips_are_one_line(
    words: list[str], said: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    program(tmp_path, "llama-bench", "raise SystemExit('it was started')", monkeypatch)
    assert run(["measure", str(model), "--on", CARD, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_without_a_bench_or_a_gpu_one_line_says_what_to_do(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run(["measure", str(model), "--on", CARD, "--engine", "llamacpp"]) == 2
    assert "no bench is installed here; install one of: llama-bench" in capsys.readouterr().err
    assert run(["measure", str(model), "--on", CARD, "--engine", "sglang"]) == 2
    assert "no bench of SGLang is known" in capsys.readouterr().err
    assert run(["measure", str(model)]) == 2
    assert "no GPU to measure" in capsys.readouterr().err


def test_a_dry_run_starts_nothing_and_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, "vllm", "raise SystemExit('it was started')", monkeypatch)
    words = ["measure", MODEL, "--on", CARD, "--engine", "vllm", "--dry-run", "--users", "4"]
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("HF_HUB_OFFLINE=1 vllm bench latency --model") for line in lines)
    assert all("--batch-size 4" in line for line in lines)
    assert run([*words, "--download"]) == 0
    assert "HF_HUB_OFFLINE" not in capsys.readouterr().out


def asked(engine: str, name: str = MODEL, **more: Any) -> Question:
    return question_of(planner.plan(name, on=CARD, engine=engine, **more))


def test_a_download_is_asked_for(tmp_path: Path) -> None:
    question = asked("llamacpp", "unsloth/Qwen3.5-4B-GGUF:Q4_K_M")
    with pytest.raises(InputError, match=r"--download"):
        prepare(question, Task(), tmp_path, installed=lambda _: True)
    found = prepare(question, Task(), tmp_path, download=True, installed=lambda _: True)
    assert found.steps[0].argv[1:3] == ("-hf", "unsloth/Qwen3.5-4B-GGUF:Q4_K_M")


def test_flags_of_the_server_become_those_of_llama_bench(model: Path, tmp_path: Path) -> None:
    options = {
        "n_gpu_layers": 10, "tensor_split": (3.0, 1.0), "ubatch_size": 1024, "batch_size": 4096,
        "override_tensor": ("blk.1.ffn_up.weight=CPU", "blk.2.ffn_up.weight=CPU"),
    }  # fmt: skip
    plan = planner.plan(str(model), on=f"2x {CARD}", kv_cache_dtype="q8_0", options=options)
    found = prepare(question_of(plan), Task(depth=64), tmp_path, installed=lambda _: True)
    line = " ".join(found.steps[0].argv)
    for words in (
        "-ngl 10", "-ts 3/1", "-ub 1024", "-b 4096", "-ctk q8_0", "-ctv q8_0", "-d 64",
        "-ot blk.1.ffn_up.weight=CPU;blk.2.ffn_up.weight=CPU",
    ):  # fmt: skip
        assert words in line
    assert "-np" not in line
    assert found.plan.deployment.context == 64 + 512 + 128


VLLM_LOG = """\
INFO [utils.py:233] non-default args: {'model': 'Qwen/Qwen3.5-0.8B', 'max_model_len': 640, 'enable_prefix_caching': False}
INFO [core.py:107] Initializing a V1 LLM engine (v0.33.0) with config: x=1
INFO [gpu_model_runner.py:4837] Model loading took 1.72 GiB memory and 2 seconds
"""


def test_two_lengths_of_vllm_tell_prefill_and_decoding(tmp_path: Path) -> None:
    found = prepare(asked("vllm"), Task(batch=4), tmp_path, installed=lambda _: True)
    outputs = tuple(
        Output(stderr=VLLM_LOG, result=json.dumps({"avg_latency": seconds}))
        for seconds in (0.25, 1.52)
    )
    answer = compare(found, Ran(outputs=outputs, ended=Ended.DONE, status=0))
    rates = {point.phase: point.rate for point in answer.printed.points}
    assert rates == {"prefill": pytest.approx(4 * 512 / 0.25), "decode": pytest.approx(400.0)}
    assert answer.check is not None
    assert any(each.figure == "weights" for each in answer.rows)


def test_the_refusal_of_a_start_is_compared(tmp_path: Path) -> None:
    found = prepare(asked("vllm"), Task(), tmp_path, installed=lambda _: True)
    log = VLLM_LOG + "ValueError: No available memory for the cache blocks. Try increasing it\n"
    ran = Ran(outputs=(Output(stderr=log),), ended=Ended.FAILED, status=1)
    answer = compare(found, ran)
    assert answer.agrees is False  # the plan starts
    assert answer.case()["verdict"] == "does_not_start"


TORCH_RUN = {
    "model": MODEL,
    "device": "NVIDIA GeForce RTX 3090",
    "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
    "weight_bytes": 1_705_971_840,
    "cases": [
        {
            "batch": 2,
            "tokens": 300,
            "kv_bytes": 7_372_800,
            "state_bytes": 39_518_208,
            "peak_bytes": None,
            "seconds_per_step": 0.01,
        }
    ],
    "left_out": [],
}
"""torch 2.13.0, transformers 5.23.0: the bytes are those of tests/test_measure_pytorch.py."""


def test_what_pytorch_holds_is_the_plan_to_the_byte(tmp_path: Path) -> None:
    task = Task(prompt=172, generate=128, batch=2)
    found = prepare(asked("transformers"), task, tmp_path, installed=lambda _: True)
    assert "--lengths 300 --batches 2" in " ".join(found.steps[0].argv)
    ran = Ran(outputs=(Output(stdout=f"x\n{json.dumps(TORCH_RUN)}\n"),), ended=Ended.DONE, status=0)
    answer = compare(found, ran)
    sizes = {each.figure: each.agrees for each in answer.rows if each.unit == "GiB"}
    assert sizes == {"weights": True, "KV cache": True, "recurrent state": True}
    assert answer.printed.points[0].rate == 200
    wrong = TORCH_RUN | {"weight_bytes": 1_805_971_840}
    ran = Ran(outputs=(Output(stdout=json.dumps(wrong)),), ended=Ended.DONE, status=0)
    assert not compare(found, ran).agrees


@pytest.mark.parametrize("stopped", [False, True])
def test_averages_of_mlx_are_read(stopped: bool) -> None:
    last = "Averages: prompt_tps=1200.5, generation_tps=61.25, peak_memory=9.876"
    trial = last.replace("Averages", "Trial 2")
    text = f"Running warmup..\nTrial 1:  prompt_tps=1.0, generation_tps=2.0, peak_memory=3.0\n{trial}\n"
    bench = bench_of("mlx")
    found = bench.read(Task(), (Output(stdout=text if stopped else text + last),))
    assert [point.rate for point in found.points] == [1200.5, 61.25]
    assert found.sizes[0].nbytes == 9_876_000_000
    assert found.notes == (("stopped after trial 2",) if stopped else ())


def test_mlx_beside_apples_is_measured_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mlx_lm.benchmark` names no device; mlx-lm 0.32.2 printed this on a Linux processor."""
    line = "Averages: prompt_tps=2.080, generation_tps=0.502, peak_memory=1.621"
    question = question_of(planner.plan(MODEL, on="apple-m4-pro", engine="mlx"))
    found = prepare(question, Task(prompt=64, generate=8), tmp_path, installed=lambda _: True)
    ran = Ran(outputs=(Output(stdout=line),), ended=Ended.DONE, status=0)
    for platform, elsewhere in (("linux", True), ("darwin", False)):
        monkeypatch.setattr(sys, "platform", platform)
        answer = compare(found, ran)
        assert bool(answer.elsewhere) is elsewhere
        assert ("on the processor" in answer.elsewhere) is elsewhere


def bench_of(engine: str) -> Bench:
    bench = FACES[engine].bench
    assert bench is not None
    return bench


@pytest.mark.parametrize("engine", [name for name in FACES if FACES[name].bench is not None])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"avg_latency": "soon"}', "\x00" * 10, "{}" * 100]
)
def test_what_is_no_output_says_nothing(engine: str, text: str) -> None:
    found = bench_of(engine).read(Task(), (Output(stdout=text, result=text),))
    assert found.points == ()
    assert found.sizes == Printed().sizes
    assert get_engine(engine).title


def test_a_bench_is_looked_for_on_the_path_or_among_packages() -> None:
    assert is_installed(bench_of("llamacpp"), which=lambda name: f"bin/{name}")
    assert not is_installed(bench_of("llamacpp"), which=lambda _: None)
    assert not is_installed(bench_of("transformers"), which=lambda name: name)


def test_a_bench_on_another_card_is_no_verdict_and_no_case(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prefill, decode = speeds(model)
    rows = [row("prefill", prefill, tokens=512), row("decode", decode, tokens=128)]
    program(tmp_path, "llama-bench", fake([], rows), monkeypatch)
    case = tmp_path / "cases.json"
    assert run(["measure", str(model), "--on", "rtx-4090", "--report", str(case)]) == 3
    said = capsys.readouterr()
    assert "the bench ran on NVIDIA GeForce RTX 3090, not on the RTX 4090" in said.out
    assert "--on" in said.out
    assert "✔" not in said.out
    assert "not written" in said.err
    assert not case.exists()
    assert run(["measure", str(model), "--on", "rtx-4090", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert not found["agrees"]
    assert "RTX 3090" in found["ran_elsewhere"]


@pytest.mark.parametrize(
    ("on", "device", "elsewhere"),
    [
        ("rtx-3090", "NVIDIA GeForce RTX 3090, NVIDIA GeForce RTX 3090", False),
        ("2x rtx-3090", "NVIDIA GeForce RTX 3090 (NVK GA102)", False),
        ("rtx-3090", "NVIDIA GeForce RTX 3090, NVIDIA GeForce RTX 4090", True),
        ("rtx-3090", "a card of next year", False),
        ("24GB", "NVIDIA GeForce RTX 3090", False),
        ("rtx-3090", "", True),
        ("cpu, 64GB", "", False),
        ("cpu, 64GB", "NVIDIA GeForce RTX 3090", True),
    ],
)
def test_what_the_bench_ran_on_is_held_against_the_plan(
    on: str, device: str, elsewhere: bool, model: Path, tmp_path: Path
) -> None:
    question = question_of(planner.plan(str(model), on=on, engine="llamacpp"))
    found = prepare(question, Task(), tmp_path, installed=lambda _: True)
    line = json.dumps(row("decode", 50.0, tokens=128) | {"gpu_info": device})
    answer = compare(found, Ran(outputs=(Output(stdout=line),), ended=Ended.DONE, status=0))
    assert bool(answer.elsewhere) is elsewhere


def test_a_bench_of_the_processor_is_kept_off_the_gpu(model: Path, tmp_path: Path) -> None:
    question = question_of(planner.plan(str(model), on="cpu, 64GB", engine="llamacpp"))
    found = prepare(question, Task(), tmp_path, installed=lambda _: True)
    assert found.steps[0].argv[-4:] == ("-ngl", "0", "-dev", "none")
    # It lists the machine's GPU all the same.
    line = json.dumps(row("decode", 5.0, tokens=128) | {"devices": "none"})
    answer = compare(found, Ran(outputs=(Output(stdout=line),), ended=Ended.DONE, status=0))
    assert answer.printed.processor
    assert not answer.elsewhere


def test_a_dry_run_needs_no_leave_to_download(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    words = ["measure", "unsloth/Qwen3.5-4B-GGUF:Q4_K_M", "--on", CARD, "--engine", "llamacpp"]
    assert run([*words, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("llama-bench -hf unsloth/Qwen3.5-4B-GGUF:Q4_K_M")
    assert "--download" in said.err


REAL_ROWS = [
    {
        "build_commit": "0c1e570", "build_number": 1, "gpu_info": "", "backends": "CPU",
        "devices": "none", "n_prompt": 128, "n_gen": 0, "n_depth": 0, "avg_ts": 19.69082,
        "stddev_ts": 4.757661,
    },
    {
        "build_commit": "0c1e570", "build_number": 1, "gpu_info": "", "backends": "CPU",
        "devices": "none", "n_prompt": 0, "n_gen": 16, "n_depth": 0, "avg_ts": 1.420416,
        "stddev_ts": 1.155001,
    },
]  # fmt: skip
REAL_LOG = """\
llama_model_loader: loaded meta data with 23 key-value pairs and 320 tensors from {model} (version GGUF V3 (latest))
load_tensors:   CPU_Mapped model buffer size =   763.78 MiB
llama_context: n_seq_max             = 1
llama_context: n_ctx                 = 256
llama_context: n_batch               = 128
llama_context: n_ubatch              = 128
llama_context: flash_attn            = auto
llama_context: kv_unified            = false
llama_context: n_outputs_max         = 128
llama_context:        CPU  output buffer size =     0.95 MiB
llama_kv_cache:        CPU KV buffer size =     3.00 MiB
llama_memory_recurrent:        CPU RS buffer size =    19.27 MiB
sched_reserve:        CPU compute buffer size =   122.82 MiB
"""
"""What llama-bench of llama.cpp 0c1e570, built for the CPU, printed of a file of these shapes."""


def test_what_a_real_llama_bench_printed_on_a_busy_processor(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = REAL_LOG.format(model=model).splitlines()
    program(tmp_path, "llama-bench", fake(log, REAL_ROWS), monkeypatch)
    words = ["measure", str(model), "--on", "cpu, 24GB", "--prompt", "128", "--generate", "16"]
    assert run([*words, "--json"]) == 3  # the processor was busy
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == "0c1e570"
    rows = {each["figure"]: each for each in found["rows"]}
    compute = rows["compute buffer, host"]
    assert compute["planned"][0] <= 122.82 <= compute["planned"][1]
    assert rows["output buffer, host"]["agrees"]
    assert [each for each in rows if rows[each]["agrees"] is False] == [
        "prefill, 128 tokens", "decode, 16 tokens",
    ]  # fmt: skip
    assert any("decode: its runs differ by 81%" in note for note in found["notes"])
