from pathlib import Path

import pytest

from hardware_db import compiled
from hardware_db.database import from_sources


def test_the_compiled_form_is_what_the_toml_files_say(tmp_path: Path) -> None:
    file = tmp_path / "compiled.bin"
    compiled.write(file)
    assert compiled.read(file) == from_sources()


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
