"""`qwenplan models`: what can be downloaded; renewed from a Hub on the loopback address."""

import json
from collections.abc import Iterator

import pytest

from planner import registry
from planner.cli.main import run
from planner.registry.renewing import forget
from tests.hub.conftest import hub
from tests.hub.loopback import LoopbackHub
from tests.model import builders

__all__ = ["hub"]

REPO = "unsloth/Qwen3.5-27B-GGUF"


@pytest.fixture(autouse=True)
def fresh(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    monkeypatch.setenv("QWENPLAN_CACHE", str(tmp_path_factory.mktemp("rows")))
    forget()
    yield
    forget()


def test_a_model_is_listed_with_its_files_and_their_quality(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["models", "Qwen3.5-27B"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if f"{REPO}:UD-Q4_K_XL" in line)
    assert "near-lossless (KLD 0.0051, measured for this file)" in row
    assert "Qwen/Qwen3.5-27B-FP8" in out
    assert run(["models", "Qwen3.5-27B", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["downloads"]
    assert {row["checkpoint"] for row in listed} >= {f"{REPO}:UD-Q4_K_XL", "Qwen/Qwen3.5-27B-FP8"}
    assert all(registry.find(row["checkpoint"]) for row in listed)


def test_one_checkpoint_is_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "Qwen3.5-27B", "--precision", "fp8"]) == 0
    assert "What can be downloaded" not in capsys.readouterr().out


def test_the_list_is_renewed_and_kept(
    hub: LoopbackHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, {"Qwen3.5-27B-UD-Q4_K_XL.gguf": builders.Stub(b"", 17_700_000_000)})
    assert run(["models", "Qwen3.5-27B", "--refresh"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Repositories renewed: 1.")
    assert f"{REPO}:UD-Q4_K_XL: 16.41 GiB -> 16.48 GiB" in out
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run(["models", "Qwen3.5-27B"]) == 0
    assert "16.5 GiB" in capsys.readouterr().out


def test_what_is_no_bundled_model_is_not_renewed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", f"{REPO}:UD-Q4_K_XL", "--refresh"]) == 2
    assert "is not a bundled model" in capsys.readouterr().err
