"""The generated page is current, and the package is quiet, quick and alone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import hardware_db
from hardware_db import reference
from hardware_db.database import bundled, database

REPOSITORY = Path(hardware_db.__file__).parent.parent
PAGE = REPOSITORY / "docs" / "hardware.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run python -m hardware_db.reference"
    )
    assert reference.main(["--check"]) == 0


def test_check_notices_a_stale_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "_PAGE", tmp_path / "hardware.md")
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "hardware.md").write_text("old", encoding="utf-8")
    assert reference.main(["--check"]) == 1


def test_the_page_lists_every_entry_and_every_conflict() -> None:
    page = reference.page()
    for id_ in [*(a.id for a in bundled().accelerators), *(s.id for s in bundled().systems)]:
        assert f"| `{id_}` |" in page
    conflicts = page.split("## Conflicts")[1]
    for entry in ("gb300-station", "mi300x", "gb10", "b300", "2x-dgx-spark"):
        assert f"`{entry}`" in conflicts


def test_the_page_does_not_depend_on_the_users_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hardware.toml"
    path.write_text(
        '[[system]]\nid = "mine"\nname = "mine"\naccelerator = "l4"\naccelerators_per_node = 1\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(path))
    assert hardware_db.get("mine").id == "mine"
    assert "`mine`" not in reference.page()


def test_every_field_of_the_schema_is_documented() -> None:
    documented = reference.page().split("## Your own hardware")[1]
    for kind in (hardware_db.Accelerator, hardware_db.System, hardware_db.UnifiedMemory):
        for field in kind.__dataclass_fields__:
            assert field in documented, field


def test_the_public_names() -> None:
    assert hardware_db.__all__ == sorted(hardware_db.__all__)
    for name in hardware_db.__all__:
        assert getattr(hardware_db, name).__doc__ or name == "Grade"


def test_import_reads_nothing_and_pulls_in_nothing() -> None:
    code = (
        "import sys, hardware_db; from hardware_db import database as d;"
        "print(d.bundled.cache_info().currsize);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('planner', 'pandas', 'numpy', 'pydantic', 'difflib', 'plotly')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["0", "[]"]
    assert done.stderr == ""


def test_the_data_are_read_once_and_quickly() -> None:
    database()
    start = time.perf_counter()
    for _ in range(100):
        hardware_db.resolve("2x rtx-4090")
    assert time.perf_counter() - start < 1.0
    assert bundled() is bundled()
    bundled.__wrapped__()  # reading anew works, and takes far less than this bound
    assert time.perf_counter() - start < 3.0
