"""Rows renewed from the Hub, headers remembered: on a Hub on the loopback address."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import planner
from planner.errors import OfflineError, UnknownModelError
from planner.model.catalog import bundled_checkpoint, catalog
from planner.model.quantization import get_scheme
from planner.model.stored_headers import HeaderScheme
from planner.registry import downloads, entries, find, recall, remember, repositories_of, table
from planner.registry.renewing import forget
from planner.registry.user_cache import cache_folder
from planner.sources import load, refresh
from tests.hub.loopback import LoopbackHub, status
from tests.model import builders
from tests.test_sources import REPO, entry, header

GGUF = "unsloth/Qwen3.5-27B-GGUF"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def sized(nbytes: int) -> builders.Stub:
    return builders.Stub(b"", nbytes)


def test_a_repository_is_renewed_from_the_hub(hub: LoopbackHub) -> None:
    hub.add(
        GGUF,
        {
            "Qwen3.5-27B-UD-Q4_K_XL.gguf": sized(17_700_000_000),
            "Qwen3.5-27B-Q8_0.gguf": sized(28_595_764_064),
            "BF16/Qwen3.5-27B-BF16-00001-of-00002.gguf": sized(40_000_000_000),
            "BF16/Qwen3.5-27B-BF16-00002-of-00002.gguf": sized(13_800_000_000),
            "mmproj-F16.gguf": sized(927_607_488),
            "README.md": sized(10),
        },
    )
    seen: list[tuple[int, int, str]] = []
    renewal = refresh(repositories=[GGUF], told=lambda *step: seen.append(step))
    assert renewal.renewed == (GGUF,)
    assert seen == [(1, 1, GGUF)]
    assert renewal.changed[f"{GGUF}:UD-Q4_K_XL"] == (17_621_125_024, 17_700_000_000)
    assert f"{GGUF}:Q4_K_M" in renewal.gone
    rows = {row.label: row for row in entries() if row.repo == GGUF}
    assert set(rows) == {"UD-Q4_K_XL", "Q8_0", "BF16"}
    assert rows["BF16"].nbytes == 53_800_000_000
    assert rows["UD-Q4_K_XL"].source == "the Hub's listing"
    assert rows["UD-Q4_K_XL"].mtp is False
    assert load(f"{GGUF}:UD-Q4_K_XL").nbytes("text") == pytest.approx(17_689_010_000, abs=1000)


def test_new_rows_outlive_the_process(hub: LoopbackHub) -> None:
    hub.add(GGUF, {"Qwen3.5-27B-Q8_0.gguf": sized(28_595_764_064)})
    refresh(repositories=[GGUF])
    forget()  # as a new process begins
    assert [row.label for row in entries() if row.repo == GGUF] == ["Q8_0"]


def test_a_repository_without_a_row_is_added_by_its_name(hub: LoopbackHub) -> None:
    new = "someone/Qwen3.8-27B-NVFP4"
    hub.add(new, {"model.safetensors": sized(20_000_000_000), "config.json": {}})
    unknown = "someone/Qwen3.8-27B-marvellous"
    hub.add(unknown, {"model.safetensors": sized(20_000_000_000)})
    renewal = refresh(repositories=[new, unknown])
    assert renewal.renewed == (new,)
    assert "does not tell" in renewal.failed[unknown]
    found = find(new)
    assert found is not None
    assert (found.nbytes, found.named) == (20_000_000_000, False)


def test_what_cannot_be_asked_is_reported_and_keeps_its_rows(hub: LoopbackHub) -> None:
    other = "unsloth/Qwen3.5-9B-GGUF"
    hub.add(GGUF, {"Qwen3.5-27B-Q8_0.gguf": sized(28_595_764_064)})
    before = [row for row in entries() if row.repo == other]
    renewal = refresh(repositories=[GGUF, other])
    assert "no repository" in renewal.failed[other]
    assert [row for row in entries() if row.repo == other] == before


def test_nothing_is_written_where_nothing_answers(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match="nothing was renewed"):
        refresh(repositories=[GGUF])
    folder = cache_folder()
    assert folder is not None
    assert list(folder.iterdir()) == []


def test_a_models_repositories_are_asked_the_most_downloaded_first(hub: LoopbackHub) -> None:
    wanted = repositories_of(["Qwen/Qwen3.6-27B"])
    assert GGUF not in wanted
    assert wanted[0] == "unsloth/Qwen3.6-27B-GGUF"
    assert not any("Uncensored" in repo for repo in wanted)
    assert any("Uncensored" in r for r in repositories_of(["Qwen/Qwen3.6-27B"], derivatives=True))
    hub.add(wanted[0], {"Qwen3.6-27B-Q8_0.gguf": sized(28_600_000_000)})
    renewal = refresh(["qwen3.6-27b"])
    assert renewal.renewed == (wanted[0],)
    assert len(renewal.failed) == len(wanted) - 1
    with pytest.raises(UnknownModelError):
        refresh(["Qwen3-32B"])


def test_headers_that_were_read_are_remembered(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = entry()
    hub.add(REPO, {"config.json": config, "model.safetensors": builders.safetensors(header(model))})
    first = load(REPO)
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    second = load(REPO)
    assert len(hub.requests) == asked
    assert second == first
    assert second.stored == first.stored
    assert second.nbytes() == 1_746_882_752
    plans = [planner.plan(found, on="rtx-3060-12", context=8192) for found in (first, second)]
    assert plans[0].headroom == plans[1].headroom


def test_a_file_whose_headers_were_read_is_exact_from_then_on(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = entry()
    repo = "Qwen/Qwen3.5-0.8B-FP8-of-my-own"
    hub.add(repo, {"config.json": config, "model.safetensors": builders.safetensors(header(model))})
    read = load(repo, revision="main")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load(repo).stored == read.stored


def test_an_anonymous_visitor_neither_reads_nor_writes_the_cache(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = entry()
    hub.add(REPO, {"config.json": config, "model.safetensors": builders.safetensors(header(model))})
    load(REPO, anonymous=True, local=False)
    folder = cache_folder()
    assert folder is not None
    assert list(folder.iterdir()) == []
    load(REPO)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError):
        load(REPO, anonymous=True, local=False)


def test_a_revision_is_always_asked_for(hub: LoopbackHub) -> None:
    model, config = entry()
    hub.add(REPO, {"config.json": config, "model.safetensors": builders.safetensors(header(model))})
    load(REPO)
    asked = len(hub.requests)
    load(REPO, revision="main")
    assert len(hub.requests) > asked


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"HeaderScheme"', '"os.system"'),
        lambda text: text.replace('"bits"', '"bytes"'),
        lambda text: text.replace('"name": "VOCAB"', '"name": "NOTHING"'),
        lambda text: '{"checkpoint": 3}',
        lambda text: '{"checkpoint": {"is": "Fraction", "of": [1, 0]}}',
        lambda text: '{"checkpoint": {"is": "Checkpoint"}}',
        lambda text: json.dumps({"checkpoint": {"is": "MTPModule", "num_layers": 1}}),
        lambda text: '{"checkpoint": ' + "[" * 5000 + "]" * 5000 + "}",
    ],
    ids=range(10),
)
def test_a_damaged_memory_is_none(hub: LoopbackHub, change: Callable[[str], str]) -> None:
    model, config = entry()
    hub.add(REPO, {"config.json": config, "model.safetensors": builders.safetensors(header(model))})
    load(REPO)
    folder = cache_folder()
    assert folder is not None
    kept = list((folder / "headers").iterdir())
    assert kept
    for path in kept:
        changed = change(path.read_text("utf-8"))
        assert changed != path.read_text("utf-8")
        path.write_text(changed, "utf-8")
    assert recall(REPO) is None
    asked = len(hub.requests)
    assert load(REPO).nbytes() == 1_746_882_752
    assert len(hub.requests) > asked


def test_what_was_not_read_from_headers_is_not_remembered() -> None:
    assert not remember(planner.load_checkpoint("Qwen3.5-0.8B"), "x")
    assert recall("x") is None


def test_a_hub_that_fails_is_answered_by_the_name(hub: LoopbackHub) -> None:
    hub.fault("/api/models/", status(503), times=100)
    with pytest.raises(planner.PlannerError):
        load("someone/Qwen3.5-27B-of-another-kind")


def test_offline_the_name_answers(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = load("someone/Qwen3.5-27B-FP8-dynamic")
    assert found.id == "someone/Qwen3.5-27B-FP8-dynamic"
    assert found.source == "by its name, not read"
    assert found.band is not None
    with pytest.raises(OfflineError) as error:
        load("Qwen/Qwen3-32B")
    assert "alike" not in str(error.value)


def test_the_list_of_downloads_reads_from_top_to_bottom() -> None:
    lines = downloads("Qwen3.6-27B")
    assert lines == downloads("qwen3.6:27b")
    assert not any(line.entry.derivative for line in lines)
    assert any(line.entry.derivative for line in downloads("Qwen3.6-27B", derivatives=True))
    text = table(lines)
    assert text[0] == "safetensors"
    assert any(
        "unsloth/Qwen3.6-27B-GGUF:UD-Q4_K_XL" in line and "16.4 GiB" in line for line in text
    )
    assert any("measured for this file" in line for line in text)
    assert "GGUF" in text
    only = downloads("Qwen3.6-27B", containers=["mlx"])
    assert only
    assert {line.entry.container for line in only} == {"mlx"}
    assert table(()) == ("Nothing is known to be downloadable.",)
    with pytest.raises(UnknownModelError):
        downloads("Qwen3-32B")


def test_models_of_every_kind_of_layer_are_remembered() -> None:
    for base in catalog():
        read = replace(
            bundled_checkpoint(base.id),
            scheme=HeaderScheme(
                name="bf16",
                title="BF16",
                source="test",
                rows=get_scheme("bf16").store(base.model),
            ),
            revision="a" * 40,
        )
        assert remember(read, base.id)
        assert recall(base.id) == read
