"""The command line: what it prints, and its exit statuses."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

import planner
from planner.cli.main import run
from planner.cli.slips import DRAFTING
from planner.cli.terminal import prepare_streams
from planner.emitting import KINDS
from planner.engines import ENGINES, FRONTS
from planner.engines.options import declared

MAIN = [
    "plan",
    "Qwen/Qwen3.5-27B",
    "--on",
    "2x rtx-4090",
    "--precision",
    "fp8",
    "--context",
    "128k",
    "--concurrency",
    "4",
]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        status = run(words)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


Ask = Callable[..., tuple[int, str, str]]


def test_the_main_question_fits_one_screen(ask: Ask, snapshot: SnapshotAssertion) -> None:
    status, out, err = ask(*MAIN)
    assert status == 5
    assert err == ""
    assert len(out.splitlines()) <= 40
    assert out == snapshot


def test_every_number_can_be_asked_for(ask: Ask, snapshot: SnapshotAssertion) -> None:
    status, out, _ = ask(*MAIN, "--explain")
    assert status == 5
    assert out == snapshot


def outside(*words: str, stdout: int | None = None, env: dict[str, str] | None = None) -> Any:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "planner", *words],
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        env=os.environ | (env or {}),
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", ["--explain", "--json"])
def test_a_full_disk_is_one_line(form: str) -> None:
    with open("/dev/full", "w") as full:
        done = outside(*MAIN, form, stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr.decode() == "qwenplan: cannot write the answer: No space left on device\n"


def test_nobody_who_reads_is_no_success() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = outside("plan", "Qwen3.5-4B", "--on", "h100", stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_missing_stdout_still_has_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    prepare_streams()
    assert run(["plan", "Qwen3.5-4B", "--on", "h100"]) == 0
    sys.stdout.close()


def test_of_a_closed_input_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check - <&-` was a traceback."""
    monkeypatch.setattr(sys, "stdin", None)
    prepare_streams()
    assert run(["check", "-", "--on", "h100"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    sys.stdin.close()


LEFT_TO_THE_END = """
import atexit
from planner.cli import main as start
import planner.cli.main as module
run = module.run
def answered(words):
    atexit.register(print, "put away")
    return run(words)
module.run = answered
start()
"""


@pytest.mark.parametrize(("on", "status"), [("h100", 0), ("rtx-3060", 3), ("nothing", 2)])
def test_a_process_ends_with_the_status_of_its_answer_and_leaves_nothing(
    on: str, status: int
) -> None:
    words = ["plan", "Qwen3.5-27B", "--on", on, "--engine", "vllm", "--precision", "bf16"]
    command = [sys.executable, "-c", LEFT_TO_THE_END, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    plain = outside(*words)
    assert (done.returncode, plain.returncode) == (status, status)
    assert done.stdout == plain.stdout.decode() + "put away\n"
    assert done.stderr == plain.stderr.decode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_encoding_takes_the_answer(encoding: str) -> None:
    for words in (
        MAIN,
        ["models", "Qwen3.5-4B", "--compare"],
        ["plan", "\N{COLLISION SYMBOL}", *MAIN[2:]],
    ):
        done = outside(*words, env={"PYTHONIOENCODING": encoding})
        assert done.returncode in (0, 2, 3, 5)
        assert b"Traceback" not in done.stderr


def test_json_is_one_document(ask: Ask) -> None:
    status, out, err = ask(*MAIN, "--json")
    document = json.loads(out)
    assert (status, err) == (5, "")
    assert document["verdict"].startswith("Starts on")
    assert document["ranks"][0]["terms"][0]["bytes"] > 0


def test_markdown(ask: Ask, snapshot: SnapshotAssertion) -> None:
    assert ask(*MAIN, "--markdown")[1] == snapshot


def test_expected_log(ask: Ask) -> None:
    _, out, _ = ask(*MAIN, "--expect-log")
    assert "GPU KV cache size" in out


def test_engine_options_are_flags(ask: Ask) -> None:
    status, out, _ = ask(*MAIN[:-1], "1", "--max-num-seqs", "8", "--no-enable-prefix-caching")
    assert status in (0, 3)
    assert "--max-num-seqs 8 --no-enable-prefix-caching" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plan", "Qwen3.5-27C", "--on", "h100"], "did you mean"),
        (["plan", "Qwen3.5-27B", "--on", "rtx-4091"], "rtx-4090"),
        (["plan", "Qwen3.5-27B"], "such as --on rtx-4090"),
        (["plan", "Qwen3.5-27B", "--on", "4090", "--ngl", "30"], "did you mean -ngl of llama.cpp"),
        (["plan", "Qwen3.5-27B", "--on", "4090", "--kv", "fp8"], "did you mean --kv-cache-dtype"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--context", "262145"], "--yarn"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--context", "abc"], "abc"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--context", "-1"], "-1"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--concurrency", "0"], "concurrency"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--concurrency", "1e18"], "1e18"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--concurrency", str(10**18)], "concurrency"),
        (["plan", "Qwen3.5-27B", "--on", "8x h100", "--tp", "3"], "16 DeltaNet key heads"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--tp", "two"], "two"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--max-num-sequences", "8"], "--max-num-seqs"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--max-num-seqs"], "needs a value"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "--max-num-seqs", "x"], "whole number"),
        (["plan", "Qwen3.5-27B", "--on", "h100", "extra"], "extra"),
        (["plan", "Qwen3.5-Plus", "--on", "h100"], "hosted"),
        (["hardware", "no-such-thing"], "no-such-thing"),
        (["models", "no-such-thing"], "no-such-thing"),
        (["nonsense"], "nonsense"),
        (["plan", *MAIN[1:4], "--tp", ""], "--tp must be a whole number"),
        (["plan", *MAIN[1:4], "--json", "--emit", "shell"], "--json and --emit: an answer has one"),
        (["plan", *MAIN[1:4], "--free"], "free: what is free now"),
        (["plan", *MAIN[1:4], "--output-tokens", "32k"], "leave no prompt"),
        (["plan", *MAIN[1:4], "--draft-gib", "3"], "draft_gib: only a separate drafter has it"),
        (["plan", *MAIN[1:4], "--speculative-method", "dflash"], "how many tokens dflash"),
        (["plan", *MAIN[1:4], "--context", "9" * 5000], "context: cannot read '999"),
        (["plan", "./config.json", *MAIN[2:4], "--revision", "x"], "has none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_exit_2(ask: Ask, words: list[str], says: str) -> None:
    status, out, err = ask(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert says in err


def test_no_words_at_all_show_what_can_be_asked(ask: Ask) -> None:
    status, out, err = ask()
    assert (status, err) == (2, "")
    assert "\n  plan " in out


def test_a_plan_that_fits_exits_0(ask: Ask) -> None:
    assert ask("plan", "Qwen3.5-4B", "--on", "h100")[0] == 0


def test_models_lists_the_family_and_one_model(ask: Ask, snapshot: SnapshotAssertion) -> None:
    assert ask("models")[1] == snapshot
    assert ask("models", "Qwen3.5-35B-A3B-FP8")[1] == snapshot
    document = json.loads(ask("models", "Qwen3.5-27B", "--json")[1])
    assert document["bytes"]["total"] == 55_562_872_800


def test_hardware_lists_and_searches(ask: Ask) -> None:
    status, out, _ = ask("hardware", "spark")
    assert status == 0
    assert "dgx-spark" in out
    assert len(json.loads(ask("hardware", "--json")[1])) > 90


def test_output_that_is_cut_off_is_no_traceback() -> None:
    code = "from planner.cli.main import run; import sys; sys.exit(run(['hardware']))"
    command = f'{sys.executable} -c "{code}" | head -1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_a_launch_command_in_place_of_the_model(ask: Ask) -> None:
    command = "vllm serve Qwen/Qwen3.5-27B-FP8 -tp 2 --max-model-len 32K --max-num-seqs 8"
    words = ("plan", "--command", command, "--on", "2x rtx-4090", "--concurrency", "2")
    status, out, err = ask(*words)
    assert (status, err) == (0, "")
    assert "--max-model-len 32768 --tensor-parallel-size 2 --max-num-seqs 8" in out
    assert "with vLLM 0.24.0" in ask(*words, "--version", "0.24.0")[1]
    assert "8,192 tokens" in ask(*words, "--context", "8k")[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["plan", "--on", "h100"],
            "name a MODEL; or let it be chosen: qwenplan recommend --on h100",
        ),
        (["plan", "--on", "rtx 3090"], "qwenplan recommend --on 'rtx 3090'"),
        (["plan", "Qwen3.5-9B", "--command", "vllm serve x", "--on", "h100"], "one of them"),
        (["plan", "--command", "vllm serve x", "--on", "h100", "--tp", "2"], "--tp"),
        (["plan", "--command", "echo x", "--on", "h100"], "starts no server"),
        (["plan", "--command", "vllm serve x", "--on", "h100", "--speed", "2"], "--speed"),
        (["plan", "--max-num-seqs", "8", "Qwen3.5-9B", "--on", "h100"], "MODEL first"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_that_cannot_be_planned_is_one_line(
    ask: Ask, words: list[str], says: str
) -> None:
    status, out, err = ask(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert says in err


def test_help_names_what_can_be_asked_for(ask: Ask) -> None:
    status, out, err = ask("plan", "--help")
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    assert f"Who serves: {', '.join((*ENGINES, *FRONTS))}." in words
    assert f"Only what to type: {', '.join(KINDS)}." in words
    assert "Exit status: 0 it fits, 5 it starts but holds fewer" in words
    listed = ask("--help")[1]
    assert "..." not in listed.partition("Commands:")[2]
    assert "Exit status: 0 fits" in listed


@pytest.mark.parametrize("engine", list(ENGINES))
def test_every_option_of_an_engine_is_explained(ask: Ask, engine: str) -> None:
    lines = ask("plan", "--help-engine", engine)[1].splitlines()[1:]
    for place, line in enumerate(lines):
        if line.startswith("  -"):
            assert lines[place + 1].startswith("      "), line
    told = [line.replace(",", " ").split() for line in lines if line.startswith("  -")]
    options = declared(ENGINES[engine].options_type).values()
    for words, option in zip(told, options, strict=True):
        typed = option.flags or (f"--{option.name.replace('_', '-')}",)
        assert {*typed, *option.off} <= set(words), option.name


def test_engines_and_lists_are_read_as_people_write_them(ask: Ask) -> None:
    question = ["plan", "Qwen3.5-4B", "--on", "2x rtx-4090", "--precision", "q4_k_m", "--json"]
    status, out, _ = ask(*question, "--engine", "llama.cpp", "--tensor-split", "3, 1")
    document = json.loads(out)
    assert (status, document["engine"]) == (0, "llamacpp")
    assert "-ts 3,1" in document["launch"]["command"]
    status, _, err = ask(*question, "--engine", "llama.cpp", "--tensor-split", "3,x")
    assert (status, err) == (2, "qwenplan: --tensor-split must be a number, got 'x'\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plan", "Qwen3.5", "--on", "4090"], "`qwenplan recommend` takes one that suits"),
        (["recommend", "27B", "35B-A3B", "--on", "4090"], "models are asked one at a time"),
        (["plan", "Qwen3.5-27B", "--on", "4090", "--mtp"], "MTP is --spec-type draft-mtp"),
    ],
)
def test_what_newcomers_type_first_is_answered_with_what_works(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize("words", DRAFTING)
def test_drafts_are_asked_for_as_the_refusal_says(words: str) -> None:
    flags, _, title = words.rpartition(" (")
    plan = planner.plan("Qwen3.8-27B", on="h100", words=shlex.split(flags))
    assert plan.engine_title == title.rstrip(")")
    assert plan.deployment.options.draft_tokens
