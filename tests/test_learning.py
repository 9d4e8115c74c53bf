"""What starts teach: kept in the user's data, used by plans of that machine and by no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from benchmarks.suites.field import run as field_suite
from planner import learning, observed, registry
from planner.anonymous import case_of, case_of_plan, cases_document
from planner.asking import ask
from planner.cli.main import run
from planner.engines.llamacpp.answer import LlamacppAnswer
from planner.errors import InputError
from planner.logs import LogCheck
from planner.question import question_of
from tests.lessons import lesson

ARGUMENTS = (
    "'model': 'Qwen/Qwen3.5-27B-FP8', 'max_model_len': 32768, 'language_model_only': True,"
    " 'api_key': ['sk-SECRET1'], 'hf_token': 'hf_SECRET2', 'ssl_keyfile': '/srv/SECRET3/key.pem',"
    " 'served_model_name': ['SECRET4'], 'download_dir': '/srv/SECRET5'"
)
LOG = """\
Authorization: Bearer SECRET6
INFO [utils.py:233] non-default args: {{{arguments}}}
INFO [core.py:107] Initializing a V1 LLM engine (v0.33.0) with config: x=1
INFO [gpu_model_runner.py:4837] Model loading took 27.64 GiB memory and 12 seconds
INFO [gpu_worker.py:436] Available KV cache memory: {left:.2f} GiB
INFO HF_TOKEN=hf_SECRET7 OPENAI_API_KEY=sk-SECRET8 at http://user:SECRET9@10.0.0.7:8000
"""
MACHINE = "h100"
GIB = 2**30


def log(left: float) -> str:
    return LOG.format(arguments=ARGUMENTS, left=left)


def checked(left: float) -> LogCheck:
    return observed.check_log(None, log(left), on=MACHINE)


def left_in(on: str, model: str = "Qwen3.5-27B", *, learned: bool = True) -> float:
    question = ask(
        model,
        on=on,
        precision="fp8",
        engine="vllm",
        context=32_768,
        options={"language_model_only": True, "keep_default_seqs": True},
    )
    known = question if learned else question.with_(lessons=())
    allocation = known.plan().allocation
    assert allocation is not None
    return float(min(allocation.figures()["available_bytes"]) / GIB)


@settings(max_examples=8)
@given(left=st.floats(min_value=36.0, max_value=41.0).map(lambda value: round(value, 2)))
def test_what_was_learned_gives_the_log_again_and_leaves_other_machines_alone(left: float) -> None:
    learning.forget()
    elsewhere = {(on, model): left_in(on, model) for on, model in OTHERS}
    lesson = observed.learn(checked(left))
    assert lesson is not None
    assert left_in(MACHINE) == pytest.approx(left, abs=0.006)
    assert left_in(MACHINE, learned=False) == pytest.approx(
        left + lesson.difference / GIB, abs=0.006
    )
    assert {(on, model): left_in(on, model) for on, model in OTHERS} == elsewhere
    assert learning.forget() == 1
    assert left_in(MACHINE) == left_in(MACHINE, learned=False)


OTHERS = (("h200", "Qwen3.5-27B"), ("2x h100", "Qwen3.5-27B"), (MACHINE, "Qwen3.5-35B-A3B"))


def test_plans_say_that_they_use_it_and_checks_do_not() -> None:
    before = checked(41.0)
    observed.learn(before)
    plan = planner.plan("Qwen3.5-27B", on=MACHINE, precision="fp8", engine="vllm")
    assert any(f"from a log for {MACHINE}" in warning for warning in plan.warnings)
    assert plan.written is not None
    assert plan.written.environment["VLLM_ENABLE_STARTUP_PLAN"] == "1"
    assert checked(41.0).measured == before.measured
    older = planner.plan(
        "Qwen3.5-27B", on=MACHINE, precision="fp8", engine="vllm", options={"version": "0.24.0"}
    )
    assert not any("from a log" in warning for warning in older.warnings)
    assert "what was learned under 0.33.0 is not used for 0.24.0" in older.warnings


def test_the_last_start_of_a_kind_counts() -> None:
    observed.learn(checked(41.0))
    observed.learn(checked(40.0))
    assert [each.cache_gib for each in learning.lessons()] == [40.0]
    observed.learn(checked(41.0))
    assert [each.cache_gib for each in learning.lessons()] == [41.0]


@pytest.mark.parametrize("left", [0.0, 79.0])
def test_a_log_that_no_overhead_explains_teaches_nothing(left: float) -> None:
    with pytest.raises(InputError, match=r"nothing to learn|no overhead"):
        observed.learn(checked(left))
    assert learning.lessons() == ()


@given(content=st.binary(max_size=200) | st.just(b'{"engine": 1}'))
def test_a_damaged_file_is_passed_over(content: bytes) -> None:
    path = learning.keep(lesson(1))
    (path.parent / "damaged.json").write_bytes(content)
    assert [each.difference for each in learning.lessons()] == [1]


def test_the_command_learns_reports_forgets_and_tells_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, case = tmp_path / "start.log", tmp_path / "case.json"
    start.write_text(log(41.0), "utf-8")
    words = ["check", str(start), "--on", MACHINE, "--learn", "--report", str(case)]
    assert run(words) == 0
    said = capsys.readouterr()
    assert "from a log for h100" in said.out
    assert "--kv-cache-memory-bytes 44023414784" in said.out
    written = case.read_text("utf-8")
    assert run([*words, "--json"]) == 0
    also = capsys.readouterr()
    for text in (said.out, said.err, also.out, also.err, written):
        assert "SECRET" not in text
    document = json.loads(written)["cases"][0]
    assert (document["model"], document["measured"]["available_kv_gib"]) == ("Qwen3.5-27B", 41.0)
    (tmp_path / "cases.json").write_text(written, "utf-8")
    results = list(field_suite(tmp_path))
    assert results
    assert all(result.unasked is None and result.failure is None for result in results)
    assert run(["check", "--forget"]) == 0
    assert capsys.readouterr().out == "Forgot 1 start.\n"


def test_a_start_that_teaches_nothing_is_reported_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, case = tmp_path / "start.log", tmp_path / "case.json"
    start.write_text(log(79.0), "utf-8")
    assert run(["check", str(start), "--on", MACHINE, "--learn", "--report", str(case)]) == 2
    assert "no overhead" in capsys.readouterr().err
    assert json.loads(case.read_text("utf-8"))["cases"][0]["measured"]["available_kv_gib"] == 79.0


def test_the_size_of_a_cache_that_did_not_do_is_not_called_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.log"
    ended = (
        "ValueError: To serve at least one request with the model's max seq len (32768), (43.00 GiB KV cache is"
        " needed, which is larger than the available KV cache memory (41.00 GiB)."
    )
    start.write_text(f"{log(41.0)}\n{ended}\n", "utf-8")
    run(["check", str(start), "--on", MACHINE, "--learn"])
    said = capsys.readouterr().out
    assert "from a log for h100" in said
    assert "--kv-cache-memory-bytes" not in said


def test_a_report_lies_over_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, other = tmp_path / "start.log", tmp_path / "other.txt"
    start.write_text(log(41.0), "utf-8")
    other.write_text("mine", "utf-8")
    for place in (other, tmp_path, tmp_path / "none" / "case.json"):
        assert run(["check", str(start), "--on", MACHINE, "--report", str(place)]) == 2
        assert str(place) in capsys.readouterr().err
    assert other.read_text("utf-8") == "mine"


OWN = """\
mine@host-of-mine:~$ HF_TOKEN=hf_mine vllm serve /srv/mine/models/Qwen3.5-27B-FP8 --api-key mine
INFO [utils.py:233] non-default args: {'model': '/srv/mine/models/Qwen3.5-27B-FP8', 'host': '192.168.7.23', 'max_model_len': 32768, 'served_model_name': ['mine'], 'chat_template': '/srv/mine/chat.jinja', 'lora_modules': [{'name': 'mine', 'path': '/srv/mine/adapter'}], 'speculative_config': {'method': 'dflash', 'model': '/srv/mine/drafter', 'num_speculative_tokens': 4}}
INFO [core.py:107] Initializing a V1 LLM engine (v0.33.0) with config: model='/srv/mine/models/Qwen3.5-27B-FP8'
INFO GPU-5068c5ff-0f1d-ec77-edbc-85cca4831d5e on host-of-mine.local
INFO [gpu_model_runner.py:4837] Model loading took 30.64 GiB memory and 12 seconds
INFO [gpu_worker.py:436] Available KV cache memory: 37.00 GiB
"""


def test_a_case_tells_no_path_host_user_key_or_card() -> None:
    written = cases_document([case_of(observed.check_log(None, OWN, on=MACHINE))])
    for word in ("mine", "/srv", "192.168", "5068c5ff", "jinja", "hf_"):
        assert word not in written, word
    assert json.loads(written)["cases"][0]["checkpoint"] == "Qwen/Qwen3.5-27B-FP8"


def test_check_without_a_log_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--on", MACHINE]) == 2
    assert "no LOG" in capsys.readouterr().err


SGLANG = """\
[2026-11-20 10:00:00] server_args=ServerArgs(model_path='Qwen/Qwen3.5-27B-FP8', context_length=32768, mem_fraction_static=0.85, mamba_ssm_dtype='float32', api_key='sk-SECRET1')
[2026-11-20 10:00:01] Load weight begin. avail mem={before:.2f} GB
[2026-11-20 10:00:31] Load weight end. elapsed=30.0 s, type=Qwen3_5ForConditionalGeneration, dtype=torch.bfloat16, avail mem={after:.2f} GB, mem usage={usage:.2f} GB.
"""


@settings(max_examples=6)
@given(
    before=st.floats(min_value=74.0, max_value=78.5).map(lambda value: round(value, 2)),
    usage=st.floats(min_value=28.0, max_value=33.0).map(lambda value: round(value, 2)),
)
def test_sglang_teaches_both_ends_of_loading(before: float, usage: float) -> None:
    learning.forget()
    text = SGLANG.format(before=before, after=round(before - usage, 2), usage=usage)
    checked = observed.check_log(None, text, on=MACHINE)
    other = planner.plan("Qwen3.5-27B", on="h200", engine="sglang", precision="fp8").to_dict()
    lesson = observed.learn(checked)
    again = question_of(checked.plan).with_(lessons=(lesson,)).plan()
    line = next(line for line in again.expected_log if "Load weight end" in line)
    assert f"avail mem={round(before - usage, 2):.2f} GB" in line
    assert f"mem usage={usage:.2f} GB" in line
    assert (
        planner.plan("Qwen3.5-27B", on="h200", engine="sglang", precision="fp8").to_dict() == other
    )
    assert learning.forget() == 1


LLAMACPP = """\
llama_prepare_model_devices: using device CUDA0 (NVIDIA GeForce RTX 4090) (0000:01:00.0) - {free} MiB free
llama_model_loader: loaded meta data with 40 key-value pairs and 800 tensors from Qwen3.5-35B-A3B-Q4_K_M.gguf
llama_context: n_ctx         = 32768
llama_kv_cache:      CUDA0 KV buffer size =   640.00 MiB
"""


@settings(max_examples=6)
@given(free=st.integers(min_value=18_000, max_value=24_100))
def test_llamacpp_teaches_what_was_free(free: int) -> None:
    learning.forget()
    checked = observed.check_log(
        None, LLAMACPP.format(free=free), on="rtx-4090", model="Qwen3.5-35B-A3B", precision="q4_k_m"
    )
    lesson = observed.learn(checked)
    again = question_of(checked.plan).with_(lessons=(lesson,)).plan()
    assert again.allocation is not None
    answer = again.allocation
    assert isinstance(answer, LlamacppAnswer)
    machine = answer.machine
    assert (machine.gpu_totals[0] - machine.context) // 2**20 == free
    assert again.figures  # it was placed by what is free
    assert question_of(checked.plan).with_(lessons=()).plan().verdict == checked.plan.verdict


def test_starts_of_every_engine_become_cases(tmp_path: Path) -> None:
    sglang = observed.check_log(
        None, SGLANG.format(before=78.0, after=48.5, usage=29.5), on=MACHINE
    )
    llamacpp = observed.check_log(
        None, LLAMACPP.format(free=23_000), on="rtx-4090", model="Qwen3.5-35B-A3B",
        precision="q4_k_m",
    )  # fmt: skip
    cases = [case_of(each) for each in (sglang, llamacpp)]
    assert cases[0]["measured"]["weights_gib"] == 29.5
    assert cases[1]["model"] == "Qwen3.5-35B-A3B"
    assert "SECRET" not in json.dumps(cases)
    (tmp_path / "cases.json").write_text(cases_document(cases), "utf-8")
    results = list(field_suite(tmp_path))
    assert results
    assert all(result.failure is None for result in results)


@pytest.mark.parametrize(
    "name",
    [
        "/srv/joe/Qwen3.5-0.8B-Q8_0.gguf",
        r"C:\joe\Qwen3.5-9B-Q4_K_M.gguf",
        "joe/Qwen3.5-9B-mine:Q8_0",
    ],
)
def test_the_name_of_somebodys_own_file_is_no_part_of_a_case(name: str) -> None:
    made = registry.bundled_checkpoint("Qwen3.5-9B", precision="q8_0")
    own = planner.plan(replace(made, id=name), on="rtx-4090", engine="llamacpp")
    case = case_of_plan(own, {}, version=None, source="test")
    assert case["checkpoint"] is None
    assert "joe" not in json.dumps(case)
    for known, engine in (("Qwen/Qwen3.5-9B", "vllm"), ("unsloth/Qwen3.5-9B-GGUF", "llamacpp")):
        precision = "bf16" if engine == "vllm" else None
        plan = planner.plan(known, on="rtx-4090", engine=engine, precision=precision)
        assert case_of_plan(plan, {}, version=None, source="test")["checkpoint"] == known


def test_lessons_of_an_earlier_version_are_read() -> None:
    path = learning.keep(lesson(3))
    row = json.loads(path.read_text("utf-8"))
    del row["loading"]
    path.write_text(json.dumps(row), "utf-8")
    assert learning.lessons() == (lesson(3),)


WSL = LOG.replace(
    "INFO [gpu_worker", "WARNING Using 'pin_memory=False' as WSL is detected.\nINFO [gpu_worker", 1
)


def test_a_command_that_does_not_say_wsl_is_planned_as_it_was_measured() -> None:
    check = observed.check_log(None, WSL.format(arguments=ARGUMENTS, left=38.0), on=MACHINE)
    assert check.plan.deployment.options.wsl2
    lesson = observed.learn(check)
    assert lesson is not None
    assert lesson.wsl2
    assert check.plan.written is not None
    again = planner.plan_command(check.plan.written.command, on=MACHINE)
    assert any("Available KV cache memory: 38.00 GiB" in line for line in again.expected_log)
    plain = planner.plan_command(check.plan.written.command, on=MACHINE, learned=False)
    assert again.ranks[0].band.above < plain.ranks[0].band.above


def test_a_case_states_only_what_was_told() -> None:
    text = log(41.0).replace("(v0.33.0) ", "").replace("'language_model_only': True,", "")
    found = case_of(observed.check_log(None, text, on=MACHINE))
    assert found["engine_version"] is None
    assert found["gpu_memory_utilization"] is None
    assert found["max_num_seqs"] is None
    assert found["max_model_len"] == 32_768
    assert found["flags"] == "--max-model-len 32768"
    told = text.replace("'max_model_len'", "'gpu_memory_utilization': 0.86, 'max_model_len'")
    found = case_of(observed.check_log(None, told, on=MACHINE))
    assert found["gpu_memory_utilization"] == 0.86
    assert found["flags"] == "--max-model-len 32768 --gpu-memory-utilization 0.86"


def test_a_case_of_llamacpp_has_the_flags_of_its_command() -> None:
    text = LLAMACPP.format(free=23_000) + "load_tensors: offloaded 41/41 layers to GPU\n"
    asked = {"on": "rtx-4090", "model": "Qwen3.5-35B-A3B", "precision": "q4_k_m"}
    found = case_of(observed.check_log(None, text, **asked))  # type: ignore[arg-type]
    assert found["engine_version"] is None
    assert found["flags"] == "-c 32768 -np 1 -ngl all"  # no word of the plan's own
    checked = observed.check_log(None, text, **asked, options={"n_gpu_layers": 99})  # type: ignore[arg-type]
    assert "-ngl 99" in case_of(checked)["flags"]
