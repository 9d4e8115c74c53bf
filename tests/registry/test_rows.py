"""The shipped rows: whole, plausible, each with source and date; and what the user's cache does to them."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.model import catalog
from planner.registry import entries, entries_of, store
from planner.registry.renewing import forget
from planner.registry.sizing import parts_of, recipe_bytes, tensor_bytes
from planner.registry.user_cache import cache_folder, read_document, write_document

BUNDLED = {entry.id for entry in catalog.catalog()}


@pytest.fixture
def fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def test_every_row_says_who_listed_it_and_when() -> None:
    assert len(entries()) > 1000
    for row in entries():
        assert row.source, row.name
        assert re.fullmatch(r"2026(-\d\d){0,2}", row.date), row.name
        assert row.within >= 0
        assert row.nbytes is None or row.nbytes > row.within, row.name
        assert not row.named


def test_a_name_stands_for_one_row() -> None:
    names = [(row.name.lower(), row.part) for row in entries()]
    assert len(names) == len(set(names))


def test_rows_are_of_bundled_models() -> None:
    assert {row.base for row in entries()} <= BUNDLED
    for base in BUNDLED - {"Qwen/Qwen3.8-2.4T-A95B"}:
        rows = entries_of(base)
        assert sum(row.recommendable for row in rows) >= 10, base
        assert any(row.gguf for row in rows), base


def test_the_rows_of_a_recipe_are_those_of_its_model_that_it_describes() -> None:
    for base in BUNDLED:
        rows = entries_of(base)
        for recipe in {row.recipe for row in rows} | {"no recipe"}:
            wanted = tuple(row for row in rows if row.recipe == recipe)
            assert store.entries_stored_as(base, recipe) == wanted


def test_fine_tunes_are_never_recommended() -> None:
    tuned = [row for row in entries() if row.derivative]
    assert len(tuned) > 130
    assert not any(row.recommendable for row in tuned)
    assert {row.maker for row in tuned} == {"derivative"}


def test_published_sizes_are_near_a_recipe() -> None:
    """A unit that was read wrong (GB for GiB) would be 7 % off for a whole repository."""
    shares = []
    for row in entries():
        if (
            row.part != "model"
            or row.nbytes is None
            or row.container not in ("gguf", "safetensors")
        ):
            continue
        shares.append(tensor_bytes(row) / recipe_bytes(row))
    assert len(shares) > 850
    assert all(0.45 < share < 1.6 for share in shares)
    assert sum(abs(share - 1) < 0.11 for share in shares) / len(shares) > 0.85


def test_exact_files_of_16_and_8_bits_are_as_the_recipe() -> None:
    exact = [
        row
        for row in entries()
        if row.evidence == "bytes" and row.label in ("Q8_0", "BF16") and row.base in BUNDLED
    ]
    assert len(exact) >= 18
    for row in exact:
        assert abs(tensor_bytes(row) - recipe_bytes(row)) < 60_000, row.name


def test_parts_that_bytes_count() -> None:
    for row in entries():
        if row.base not in BUNDLED or row.part != "model":
            continue
        model = next(e.model for e in catalog.catalog() if e.id == row.base)
        parts = parts_of(row, model)
        assert ("vision" in parts) <= (model.vision is not None)
        if row.gguf and row.vision == "beside":
            assert "vision" not in parts


def test_renewed_rows_take_the_place_of_a_repository(fresh: None) -> None:
    repo = "unsloth/Qwen3.5-27B-GGUF"
    before = {row.label: row.nbytes for row in entries() if row.repo == repo}
    row = {
        "repo": repo,
        "base": "Qwen/Qwen3.5-27B",
        "container": "gguf",
        "date": "2026-12-01",
        "files": [["UD-Q4_K_XL", 17_000_000_000, 0, "q4_k_m", "Qwen3.5-27B-UD-Q4_K_XL.gguf"]],
    }
    store.keep_renewed([row], "the Hub's listing")
    forget()
    after = [row for row in entries() if row.repo == repo]
    assert len(before) > 20
    assert [(row.label, row.nbytes, row.date) for row in after] == [
        ("UD-Q4_K_XL", 17_000_000_000, "2026-12-01")
    ]
    assert after[0].source == "the Hub's listing"
    store.keep_renewed(
        [dict(row, repo="unsloth/Qwen3.5-9B-GGUF", base="Qwen/Qwen3.5-9B")], "another"
    )
    forget()
    sources = {row.repo: row.source for row in entries() if row.date == "2026-12-01"}
    assert sources == {repo: "the Hub's listing", "unsloth/Qwen3.5-9B-GGUF": "another"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"repositories": 3}',
        b'{"repositories": [{}], "sources": []}',
        b'{"repositories": [{"repo": "a/b", "files": [[1]]}], "sources": ["x"]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_cache_counts_as_none(fresh: None, content: bytes) -> None:
    folder = cache_folder()
    assert folder is not None
    (folder / store.RENEWED).write_bytes(content)
    assert len(entries()) > 1000


def test_a_document_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_document("a.json", {"n": 1})

    def fails(*_: object, **__: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fails)
    assert not write_document("a.json", {"n": 2})
    assert read_document("a.json") == {"n": 1}
    folder = cache_folder()
    assert folder is not None
    assert [path.name for path in folder.iterdir()] == ["a.json"]


def test_readers_see_one_of_the_documents_that_were_written() -> None:
    long = {"text": "x" * 200_000}
    write_document("b.json", long)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            write_document("b.json", long)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        assert all(read_document("b.json") == long for _ in range(50))
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_a_cache_that_cannot_be_written_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("QWENPLAN_CACHE", str(blocked))
    assert not write_document("a.json", {})
    assert read_document("a.json") == {}


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QWENPLAN_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("QWENPLAN_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "qwenplan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = cache_folder()
    assert found is not None
    assert found.is_relative_to(tmp_path)
