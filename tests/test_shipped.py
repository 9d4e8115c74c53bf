"""Data that come with the package: the compiled form says what the files say, or is not used."""

import json
import pickle
import tomllib
from pathlib import Path
from zlib import crc32

import pytest

from planner import shipped


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one table, read from a folder of the test."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.toml").write_text('rows = ["a", "b"]\nread = 2026-11-27\n')
    monkeypatch.setattr(shipped, "HERE", tmp_path)
    monkeypatch.setattr(shipped, "FILE", tmp_path / "compiled.bin")
    return tmp_path


def test_every_table_is_compiled_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "compiled.bin"
    shipped.write(file)
    found = shipped._compiled(file)
    tables = [path.relative_to(shipped.HERE).as_posix() for path in shipped.HERE.rglob("*.toml")]
    listed = "registry/data/checkpoints.json"
    assert sorted(found) == sorted((listed, *tables))
    for name, (_, contents) in found.items():
        parsed = json.loads if name == listed else tomllib.loads
        assert pickle.loads(contents) == parsed((shipped.HERE / name).read_text("utf-8"))


def test_a_table_that_was_changed_is_read_anew(package: Path) -> None:
    shipped.write(shipped.FILE)
    before = shipped.read_toml("data", "table.toml")
    (package / "data" / "table.toml").write_text('rows = ["c"]\n')
    assert before["rows"] == ["a", "b"]
    assert shipped.read_toml("data", "table.toml") == {"rows": ["c"]}


def test_what_was_compiled_is_not_parsed_again(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped.write(shipped.FILE)
    monkeypatch.setattr(shipped, "_parsed", lambda _: pytest.fail("parsed again"))
    assert shipped.read_toml("data", "table.toml")["rows"] == ["a", "b"]


def test_nothing_compiled_is_needed(package: Path) -> None:
    assert not shipped.FILE.exists()
    assert shipped.read_toml("data", "table.toml")["rows"] == ["a", "b"]


def test_what_a_former_version_wrote_is_not_read(package: Path) -> None:
    content = (package / "data" / "table.toml").read_bytes()
    shipped.FILE.write_bytes(pickle.dumps({"data/table.toml": (crc32(content), {"rows": []})}))
    assert shipped.read_toml("data", "table.toml")["rows"] == ["a", "b"]
