"""The files of docs/deploy belong together: what one names, the others have."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from planner.cli.web import web

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "deploy"


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))


def pages(compose: Any) -> list[str]:
    return [name for name, service in compose["services"].items() if "build" in service]


def test_the_compose_file_is_one(compose: Any) -> None:
    jsonschema.validate(compose, get_builtin_schema("vendor.compose-spec"))
    assert len(pages(compose)) > 1
    for name in pages(compose):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_proxy_knows_every_instance_and_tells_them_apart_by_a_cookie(compose: Any) -> None:
    said = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
    servers = re.findall(r"^ +server (\w+) (\w+):8501 cookie (\w+)$", said, re.MULTILINE)
    assert [name for name, _, _ in servers] == [host for _, host, _ in servers] == pages(compose)
    assert len({cookie for _, _, cookie in servers}) == len(servers)


def test_the_image_starts_a_public_page() -> None:
    said = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    (words,) = re.findall(r"^ENTRYPOINT \[(.*)\]$", said, re.MULTILINE)
    assert "--public" in words
    flags = re.findall(r'"--(\w+)"', words)
    assert set(flags) <= set(web.__annotations__)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no HAProxy here")
def test_the_proxy_takes_its_settings(tmp_path: Path) -> None:
    said = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
    found = tmp_path / "haproxy.cfg"
    found.write_text(re.sub(r"page\d:8501", "127.0.0.1:8501", said), encoding="utf-8")
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(found)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
