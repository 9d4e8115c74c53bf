"""Trust: every term with its source, a pasted log against its plan, secrets never shown."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import hardware_db
import planner
from planner import observed
from planner.errors import InputError
from planner.provenance import Confidence
from planner.registry.bundled import bundled_checkpoint
from planner.secrets import without_secrets
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.units import capital
from planner.web import fidelity
from planner.web.pasted import Checked, checked, table, verdict
from planner.web.views import log_check, trust
from planner.web.views.trust_speed import scaled
from tests.cli.test_check import LOG
from tests.present import some
from tests.test_failed_starts import VLLM as CAPTURING
from tests.web.conftest import APP

FAST = {"v": "2", "model": "Qwen3.5-9B", "on": "rtx-5090", "with": "vllm", "weights": "bf16"}
SPARK = hardware_db.resolve("dgx-spark")


def opened(open_app: Callable[..., AppTest], tab: str, **more: str) -> Any:
    return open_app("trust", **(FAST | more), trust__tab=tab)


def pasted(open_app: Callable[..., AppTest], text: str, **more: str) -> Any:
    app = opened(open_app, "Check a log", **more)
    app.text_area(key="trust-log").set_value(text)
    next(button for button in app.button if button.label == "Compare with the plan").click()
    return app.run()


def compared(text: str, **beside: Any) -> Checked:
    found = checked(text, **beside)
    assert isinstance(found, Checked)
    return found


def everything(app: Any) -> str:
    """All that the page says, its fields apart."""
    kinds = (app.markdown, app.code, app.success, app.info, app.warning, app.error)
    words = [str(element.value) for kind in kinds for element in kind]
    return "\n".join([*words, *(frame.value.to_string() for frame in app.dataframe)])


def test_a_log_of_powershell_is_read_and_what_is_no_text_refused() -> None:
    """'no engine is recognised', of a log that `>` of PowerShell 5 had written."""
    assert log_check.text_of_file("a.log", "ready\n".encode("utf-16")) == "ready\n"
    assert log_check.text_of_file("a.log", b"ready\n") == "ready\n"
    with pytest.raises(InputError, match="not a text file"):
        log_check.text_of_file("a.pdf", b"%PDF\x00\x00")


def test_a_log_that_nothing_can_be_judged_by_is_not_said_to_agree(
    open_app: Callable[..., AppTest],
) -> None:
    app = pasted(open_app, "Maximum concurrency for 32,768 tokens per request: 33.04x")
    assert not app.success
    assert "could contradict the plan" in app.info[0].value


def test_a_speed_says_what_it_is_made_of(open_app: Callable[..., AppTest]) -> None:
    """Trust had a line for every byte and none for tok/s."""
    app = opened(open_app, "This answer")
    speed = speed_of(planner.plan("Qwen3.5-9B", on="rtx-5090", engine="vllm", precision="bf16"))
    assert isinstance(speed, SpeedEstimate)
    labels = [box.label for box in app.expander]
    assert f"A token: {speed.time_per_output_token.scaled(1000).words('ms')}" in labels
    tables = [table.value for table in app.table if "Time" in table.value]
    assert [list(table.index) for table in tables] == [
        [capital(term.name) for term in terms] for terms in (speed.terms, some(speed.prefill).terms)
    ]
    assert "Constants of vllm" in everything(app)
    assert "bandwidth 0." in tables[0]["Rule and its numbers"].iloc[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [(16894973605.0, "16.9 G"), (64, "64"), (32768, "32,768"), (0.794, "0.794"), (6e-06, "6 µ")],
)
def test_numbers_of_a_rule_are_read_with_a_prefix(value: float, said: str) -> None:
    assert scaled(value) == said


def test_every_term_is_explained(open_app: Callable[..., AppTest]) -> None:
    app = opened(open_app, "This answer")
    assert not app.exception
    plan = planner.plan("Qwen3.5-9B", on="rtx-5090", engine="vllm", precision="bf16")
    labels = [expander.label for expander in app.expander]
    for term in plan.ranks[0].terms:
        assert any(label.lower().startswith(f"{term.name.lower()}:") for label in labels)
        assert any(f"= {term.nbytes:,} bytes" in code.value for code in app.code)
    assert set(trust.MEANING) == set(trust.ICONS) == set(Confidence)
    assert plan.expected_log[0] in app.code[-1].value


def test_a_refusal_shows_the_rule_and_its_source(open_app: Callable[..., AppTest]) -> None:
    app = opened(open_app, "This answer", layout="tp3", count="3")
    assert "The rule that forbids it" in [element.value for element in app.subheader]


def test_a_log_that_agrees(open_app: Callable[..., AppTest]) -> None:
    app = pasted(open_app, LOG, on="dgx-spark")
    assert not app.exception
    assert "All 3 figures" in app.success[0].value
    frame = app.dataframe[0].value
    assert "623,040" in frame["In the log"].to_string()
    assert "Qwen/Qwen3.6-35B-A3B" in everything(app)


def test_a_log_that_contradicts_the_plan(open_app: Callable[..., AppTest]) -> None:
    app = pasted(open_app, LOG.replace("623,040", "587,504"), on="dgx-spark")
    assert "1 of 3 figures contradicts the plan" in app.warning[0].value
    first = app.dataframe[0].value.iloc[0]
    assert first[""] == "✘"
    assert first["Difference"].startswith("−35,536")
    assert "What explains a difference" in everything(app)


def test_the_page_and_the_command_line_say_the_same() -> None:
    mine = compared(LOG, system=SPARK, checkpoint=None).check
    theirs = observed.check_log(None, LOG, on="dgx-spark")
    assert mine.rows == theirs.rows
    assert verdict(mine)[0] is theirs.agrees
    assert len(table(mine.rows)) == len(theirs.rows)


def test_a_refusal_alone_is_compared_with_what_the_page_asks(
    open_app: Callable[..., AppTest],
) -> None:
    text = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"
    app = pasted(open_app, text, model="Qwen3.5-27B", on="rtx-4090")
    assert not app.exception
    assert "so does the plan" in app.error[0].value
    assert "What to change" in everything(app)


def test_a_log_without_figures_shows_no_empty_table(
    open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_check, "table", lambda rows: [])
    app = pasted(open_app, CAPTURING, on="l40s")
    assert not app.exception
    assert not app.dataframe


def test_a_start_that_the_plan_holds_gets_the_changes_of_the_command_line(
    open_app: Callable[..., AppTest],
) -> None:
    """The page advised from the plan alone, which holds the workload: nothing."""
    app = pasted(open_app, CAPTURING, on="l40s")
    assert not app.exception
    (change,) = observed.remedies(observed.check_log(None, CAPTURING, on="l40s"))
    assert change.command in [code.value for code in app.code]
    assert "captured CUDA graphs" in app.error[0].value


TOO_LITTLE_FREE = (
    "ValueError: Free memory on device (21.3/23.64 GiB) on startup is less than desired GPU memory"
    " utilization (0.92, 21.75 GiB). Decrease GPU memory utilization or reduce GPU memory used by"
    " other processes."
)


@pytest.mark.parametrize(
    ("arguments", "engine"),
    [
        ("", "llamacpp"),
        ("", "vllm"),
        ("non-default args: {'model': 'Qwen/Qwen3.5-9B'}", "llamacpp"),
    ],
)
def test_a_start_that_failed_is_said_whatever_the_page_asks(
    open_app: Callable[..., AppTest], arguments: str, engine: str
) -> None:
    """The page refused vLLM's error for the GGUF file of its own pick, or called it an agreement."""
    asked = {"on": "rtx-4090", "with": engine, "weights": "best"}
    app = pasted(open_app, f"{arguments}\n{TOO_LITTLE_FREE}", **asked)
    assert not app.exception
    assert not app.success
    (error,) = app.error
    assert error.proto.title == "vLLM did not start"
    assert "--gpu-memory-utilization 0.9" in error.value.replace("\\", "")


@pytest.mark.parametrize(
    "text", ["hello", "x" * 10_000, "<script>alert(1)</script>", "\x00\x1b[31m"]
)
def test_what_is_no_log_is_one_sentence(open_app: Callable[..., AppTest], text: str) -> None:
    app = pasted(open_app, text)
    assert not app.exception
    assert "no engine is recognised" in app.error[0].value.lower()
    assert "llama.cpp" in app.error[0].value
    assert "<script>" not in everything(app)


OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.19 GiB."


def test_a_line_of_pytorch_alone_is_told_whose_it_may_be(open_app: Callable[..., AppTest]) -> None:
    app = pasted(open_app, OUT_OF_MEMORY, **{"with": "llamacpp", "weights": "best"})
    assert not app.exception
    (told,) = (error.value.replace("\\", "") for error in app.error)
    assert "as vLLM, SGLang and" in told
    assert "the answer above is for llama.cpp: choose the engine" in told


def test_a_line_that_several_print_is_read_as_the_engines_on_the_page() -> None:
    weights = bundled_checkpoint("Qwen3.5-27B")
    for engine in ("vllm", "sglang"):
        system = hardware_db.resolve("rtx-4090")
        found = compared(OUT_OF_MEMORY, system=system, checkpoint=weights, engine=engine)
        assert found.check.engine == engine


def test_a_log_that_was_compared_is_there_after_another_page(
    open_app: Callable[..., AppTest],
) -> None:
    app = pasted(open_app, LOG, on="dgx-spark")
    kept = app.session_state["trust-log-kept"]
    again = AppTest.from_file(str(APP), default_timeout=60)
    again._page_hash = calc_hash("trust")
    again.session_state["trust-log-kept"] = kept
    again.session_state["trust-tab-kept"] = "Check a log"
    for name, value in {**FAST, "on": "dgx-spark"}.items():
        again.query_params[name] = value
    again.run()
    assert not again.exception
    assert again.text_area(key="trust-log").value == LOG
    assert "All 3 figures" in again.success[0].value


SECRETS = (
    "'api_key': ['sk-abcDEF1234567890']",
    "--api-key verysecretvalue",
    "HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.payload.signature",
    '"password": "hunter2hunter2"',
    "https://alice:s3cretpass@hub.example/x",
)
HIDDEN = (
    "sk-abcDEF1234567890",
    "verysecretvalue",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "eyJhbGciOiJIUzI1NiJ9",
    "hunter2hunter2",
    "s3cretpass",
)


def test_secrets_are_blotted_out() -> None:
    for text, secret in zip(SECRETS, HIDDEN, strict=True):
        assert secret not in without_secrets(text)
    assert without_secrets(LOG) == LOG


def test_secrets_are_never_shown_again(open_app: Callable[..., AppTest]) -> None:
    telling = LOG.replace("'max_model_len'", "'api_key': ['sk-abcDEF1234567890'], 'max_model_len'")
    app = pasted(open_app, "\n".join((*SECRETS, telling)), on="dgx-spark")
    assert not app.exception
    assert "figures" in everything(app)
    for secret in HIDDEN:
        assert secret not in everything(app)


def test_without_a_machine_the_log_is_not_compared() -> None:
    with pytest.raises(InputError, match="choose one above"):
        checked(LOG, system=None, checkpoint=bundled_checkpoint("Qwen3.5-9B"))


def test_the_shipped_fidelity_run_is_shown(open_app: Callable[..., AppTest]) -> None:
    shipped = fidelity.shipped()
    assert shipped is not None
    app = opened(open_app, "How close it comes")
    assert not app.dataframe  # whose first column would fill a phone
    frame, answers, counts = (table.value for table in app.table)
    assert len(frame) == len(shipped.suites)
    for suite in shipped.suites:
        assert suite.about
        row = frame.loc[suite.about[:1].upper() + suite.about[1:]]
        assert str(suite.cases) in row["Agree"]
        assert (suite.band.partition(",")[0] or suite.exact) in row["Agree"]
        assert suite.largest == "0" or suite.largest in row["Error"]
    peers = fidelity.peers()
    assert peers is not None
    assert [len(answers), len(counts)] == [len(peers["answers"]), len(peers["capacity"])]
    assert all(head.endswith(("GiB", "MiB")) for head in answers)
    assert "KV cache, 1 × 256k, GiB" in answers
    assert "Qwen3.5-27B, 256k, DGX Spark" in counts
    rights = {row["Tool"]: row["Right"] for row in peers["verdicts"]}
    assert counts.loc["qwenplan", "Verdicts right"] == rights["qwenplan"]


def test_every_column_of_how_close_it_comes_is_seen_on_a_phone() -> None:
    """Few enough that each has room: the rest is folded below."""
    peers = fidelity.peers()
    assert peers is not None
    told = " ".join(words for _, words in fidelity.notes_of_peers(peers))
    assert all(row["Note"] in told and row["Time"] in told for row in peers["answers"])
    assert len(fidelity.answers_of_peers(peers)[0]) <= 5
