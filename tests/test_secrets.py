"""Keys, tokens and passwords never come back, whichever door they came in by."""

from __future__ import annotations

import io
import json
import shlex
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.answer import Plan
from planner.cli.main import run
from planner.document import plan_document
from planner.emitting import emit, kinds
from planner.engines.commands import read_command
from planner.errors import PlannerError
from planner.observed import check_log, plan_command
from planner.report.html import plan_html
from planner.report.markdown import plan_markdown
from planner.report.text import plan_text
from planner.secrets import is_secret, without_secrets

SECRET = "Zq9-planted.S3CR3T"
SETTING = json.dumps({"extra": {"auth_token": SECRET, "list": [{"password": SECRET}]}})
TELLS = (
    "vllm serve Qwen/Qwen3.5-9B --api-key {s}",
    "vllm serve Qwen/Qwen3.5-9B --api-key={s}",
    "vllm serve Qwen/Qwen3.5-9B --api-key first-one {s} --max-model-len 8192",
    "HF_TOKEN={s} VLLM_API_KEY={s} AWS_SECRET_ACCESS_KEY={s} vllm serve Qwen/Qwen3.5-9B",
    "vllm serve Qwen/Qwen3.5-9B --ssl-keyfile-password {s} --unknown-secret {s}",
    "vllm serve Qwen/Qwen3.5-9B --kv-transfer-config {setting}",
    "vllm serve Qwen/Qwen3.5-9B --kv-transfer-config={setting}",
    "vllm serve Qwen/Qwen3.5-9B --kv-transfer-config.extra.password={s}",
    "vllm serve Qwen/Qwen3.5-9B --otlp-traces-endpoint https://me:{s}@traces.internal:4317",
    "docker run --gpus all -e HF_TOKEN={s} vllm/vllm-openai:v0.19.0 Qwen/Qwen3.5-9B --api-key {s}",
    "python3 -m sglang.launch_server --model-path Qwen/Qwen3.5-9B --admin-api-key {s}",
    "llama-server -hf unsloth/Qwen3.5-9B-GGUF:Q4_K_M -hft {s} --api-key {s}",
)
"""Launch commands with a secret in each place that carries one."""


def _typed(text: str) -> str:
    return text.replace("{setting}", shlex.quote(SETTING)).replace("{s}", SECRET)


@pytest.mark.parametrize("text", TELLS)
def test_a_planned_command_comes_back_without_its_secrets(text: str) -> None:
    plan = Plan.of(plan_command(_typed(text), on="rtx-5090", context=8192))
    shown = [plan_text(plan, explain=True, advice=plan.first_advice), plan_markdown(plan)]
    shown.append(json.dumps(plan_document(plan, None, advice=plan.first_advice), default=str))
    shown.append(plan_html(plan))
    shown += [emit(plan, kind) for kind in kinds(plan)]
    assert not [each for each in shown if SECRET in each]
    assert any("***" in each for each in shown)  # the flag itself is kept


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--command", "vllm serve https://me:{s}@hub.internal/x/y --api-key {s}"],
        ["plan", "--command", "no-such-server --api-key {s}"],
        ["plan", "https://me:{s}@hub.internal/Qwen/Qwen3.5-9B"],
        ["plan", "Qwen3.5-9B", "--engine", "vllm", "--api-key", "{s}"],
        ["plan", "Qwen3.5-9B", "--engine", "vllm", "--json", "--hf-token={s}"],
        ["check", "-", "Qwen3.5-9B", "--engine", "vllm", "--api-key", "{s}"],
        ["check", "-", "--command", "HF_TOKEN={s} vllm serve Qwen/Qwen3.5-9B --api-key {s}"],
    ],
)
def test_no_command_of_ours_prints_a_secret(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = "INFO [gpu_worker.py:508] Available KV cache memory: 2.41 GiB\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(log.encode())))
    run([*(word.replace("{s}", SECRET) for word in words), "--on", "rtx-5090"])
    said = capsys.readouterr()
    assert said.out or said.err
    assert SECRET not in said.out + said.err


ARGUMENTS = {
    "model": "Qwen/Qwen3.5-9B",
    "max_model_len": 32768,
    "api_key": ["first-one", SECRET],
    "ssl_keyfile_password": SECRET,
    "kv_transfer_config": {"extra": {"remote_url": f"redis://:{SECRET}@cache:6379"}},
    "hf_overrides": {"auth_token": SECRET},
    "compilation_config": {"cudagraph_mode": "PIECEWISE", "token": SECRET},
    "speculative_config": {"method": "mtp", "num_speculative_tokens": 1, "api_token": SECRET},
}
LOG = (
    "INFO 04-02 11:20:01 [api_server.py:1412] vLLM API server version 0.24.0\n"
    f"INFO 04-02 11:20:01 [utils.py:233] non-default args: {ARGUMENTS!r}\n"
    "INFO [gpu_worker.py:508] Available KV cache memory: 1.41 GiB\n"
)


def test_a_log_is_read_and_told_without_its_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.log"
    path.write_text(LOG)
    for form in ((), ("--json",)):
        run(["check", str(path), "--on", "rtx-4090", *form])
        said = capsys.readouterr()
        assert "32" in said.out
        assert SECRET not in said.out + said.err
    check = check_log(None, LOG, on="rtx-4090")
    assert check.told is not None
    assert check.told.context == 32768
    assert SECRET not in repr(check.told)


def test_a_pasted_log_keeps_what_it_says_beside_its_secrets() -> None:
    plain = without_secrets(LOG)
    assert SECRET not in plain
    check = check_log(None, plain, on="rtx-4090")
    assert check.told is not None
    assert check.told.context == 32768
    assert check.told.options["speculative_method"] == "mtp"


WORD = st.text(string.ascii_letters + string.digits + "-_.!%+=~:#^*", min_size=4).map(
    lambda text: f"Zq9{text}9qZ"
)
CARRIERS = (
    "Authorization: Bearer {s}",
    "HF_TOKEN={s}",
    "export AWS_SECRET_ACCESS_KEY='{s}'",
    "'redis_password': '{s}'",
    '\\"api_key\\": \\"{s}\\"',
    '"api_key": ["first", "{s}"]',
    "--api-key {s} --port 80",
    "https://me:{s}@hub.internal/x",
    "https://{s}@hub.internal/x",
    "client_secret={s}",
    "passphrase: {s}",
)


@given(secret=WORD, carrier=st.sampled_from(CARRIERS), before=st.sampled_from(("", "x ", "{", "(")))
def test_no_planted_secret_stays_in_a_text(secret: str, carrier: str, before: str) -> None:
    text = before + carrier.replace("{s}", secret)
    assert secret not in without_secrets(text)
    assert secret not in str(PlannerError(text))


@given(secret=st.text(min_size=4).map(lambda text: f"Zq9{text}9qZ"))
def test_no_planted_secret_stays_in_a_command(secret: str) -> None:
    """Whatever it is made of: words of a command are known apart."""
    setting = json.dumps({"a": [{"secret_key": secret}], "b": {"hub-token": secret}})
    words = ["vllm", "serve", "Qwen/Qwen3.5-9B", "--api-key", secret, "--port", "80"]
    words += ["--kv-transfer-config", setting, f"--unknown-password={secret}"]
    _, told = read_command([f"HF_TOKEN={secret}", *words])
    assert secret not in repr(told)
    assert json.dumps(secret)[1:-1] not in repr(told)
    assert "--port" in told.kept


@pytest.mark.parametrize(
    "text",
    [
        "8.18 GiB KV cache is needed for 131072 tokens",
        "per token: 20480 bytes",
        "'hf_overrides': {'rope_theta': 1}",
        "--max-num-batched-tokens 2048 --tokenizer Qwen/Qwen3.5-9B",
        "http://127.0.0.1:8080/v1 and https://host:port/",
        "--api-key-file /run/secrets.txt",
        "'eos_token': '<|im_end|>'",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text
    assert not is_secret("--api-key-file")
    assert not is_secret("--speculative-token-map")


KEYED = "HF_TOKEN=abc vllm serve Qwen/Qwen3.5-9B --max-model-len 8192 --api-key first --hf-token=b"


def test_a_command_to_copy_has_a_variable_where_a_secret_stood() -> None:
    """Copied with ``***`` in it, it would set a wrong one."""
    plan = Plan.of(plan_command(KEYED, on="rtx-5090"))
    assert plan.launch is not None
    line = plan.launch.command
    assert line.startswith('HF_TOKEN="$HF_TOKEN" vllm serve')
    assert '--api-key "$API_KEY"' in line
    written = {kind: emit(plan, kind) for kind in ("shell", "compose", "kubernetes")}
    assert not [kind for kind, text in written.items() if "***" in text]
    assert 'export HF_TOKEN="$HF_TOKEN"' in written["shell"]
    assert "- ${API_KEY}" in written["compose"]
    assert "- $(API_KEY)" in written["kubernetes"]
    assert "key: API_KEY" in written["kubernetes"]
