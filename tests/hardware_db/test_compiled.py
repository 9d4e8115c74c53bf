from pathlib import Path
from typing import Any

import pytest

from hardware_db import compiled, database, resolve
from hardware_db.building import from_sources
from hardware_db.database import Database


def test_the_compiled_form_is_what_the_toml_files_say(tmp_path: Path) -> None:
    file = tmp_path / "compiled.bin"
    compiled.write(file)
    kept, said = compiled.read(file), from_sources()
    assert kept is not None
    for name in Database.__annotations__:
        found, wanted = getattr(kept, name), getattr(said, name)
        plain = dict if isinstance(wanted, dict) else tuple if isinstance(wanted, tuple) else None
        assert (found if plain is None else plain(found)) == wanted, name


def test_what_nobody_asks_for_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, read = tmp_path / "compiled.bin", []
    compiled.write(file)

    class Watched(compiled._Reader):
        def load(self) -> Any:
            read.append(super().load())
            return read[-1]

    monkeypatch.setattr(compiled, "_Reader", Watched)
    known = compiled.read(file)
    monkeypatch.setattr(database, "bundled", lambda: known)
    monkeypatch.delenv("QWENPLAN_HARDWARE", raising=False)
    assert resolve("2x rtx-4090").count == 2
    assert [entry.id for entry in read] == ["rtx-4090"]


def test_an_entry_is_one_thing_however_it_is_found(tmp_path: Path) -> None:
    file = tmp_path / "compiled.bin"
    compiled.write(file)
    known = compiled.read(file)
    assert known is not None
    card = known.by_name["rtx4090"]
    assert any(card is one for one in known.accelerators)
    assert any(card is one for one in known.by_stem["rtx4090"])
    assert all(system.accelerator in known.accelerators for system in known.systems)
    machine = known.systems[0]
    assert any(machine.accelerator is one for one in known.accelerators)
    assert list(known.accelerators[:2]) == [known.accelerators[0], known.accelerators[1]]


def test_a_compiled_form_of_other_code_or_data_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "compiled.bin"
    assert compiled.read(file) is None
    compiled.write(file)
    content = file.read_bytes()
    file.write_bytes(content[:3] + b"?" + content[4:])
    assert compiled.read(file) is None


def test_the_digest_sees_code_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(compiled, "HERE", tmp_path)
    seen = [compiled.digest()]
    for name in ("code.py", "data/cards.toml"):
        (tmp_path / name).write_text("a = 1")
        seen.append(compiled.digest())
        (tmp_path / name).write_text("a = 2")
        seen.append(compiled.digest())
    assert len(set(seen)) == len(seen)
