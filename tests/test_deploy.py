"""The files of docs/deploy belong together: what one names, the others have."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from packaging.requirements import Requirement
from websockets.exceptions import InvalidStatus

from benchmarks.visitor import Visitor
from benchmarks.web_server import free_port, wait_until_healthy
from planner.cli.web import web
from tests.waiting import until

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


def packages(lock: Path) -> dict[str, set[str]]:
    """The lines of a lock with a version, and the hashes of each."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith("    --hash="):
            found[name].add(line.strip(" \\"))
        else:
            name = line.strip(" \\")
            assert re.match(r"[a-z0-9.-]+==", name), "nothing but packages: no address of an index"
            found[name] = set()
    return found


def needed(package: str, found: set[str]) -> set[str]:
    """A package and all that it asks for here."""
    name = re.sub(r"[-_.]+", "-", package).lower()
    if name not in found:
        found.add(name)
        for said in map(Requirement, metadata.requires(package) or ()):
            if said.marker is None or said.marker.evaluate({"extra": ""}):
                needed(said.name, found)
    return found


def test_what_the_image_installs_is_checked_against_a_hash() -> None:
    whole = packages(FOLDER.parents[1] / "requirements.lock")
    part = packages(FOLDER / "requirements.lock")
    assert all(whole[line] == hashes and hashes for line, hashes in part.items())
    names = {line.partition("==")[0] for line in part}
    assert needed("qwenplan", set()) - {"qwenplan"} <= names
    assert not names & {"pytest", "mypy", "hatchling"}
    said = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    (built_by,) = re.findall(r"\^\((.*)\)==", said)
    assert needed("hatchling", set()) == set(built_by.split("|"))
    for words in re.findall(r"pip install (.*)", said):
        assert "--require-hashes" in words or "--no-deps --no-index" in words


PROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
needs_proxy = pytest.mark.skipif(PROXY is None, reason="no HAProxy here")


def proxied(ports: Mapping[str, int], own: int, folder: Path) -> Path:
    """The proxy's settings for this machine: ports instead of the names that compose gives."""
    said = (
        (FOLDER / "haproxy.cfg").read_text(encoding="utf-8").replace("*:8080", f"127.0.0.1:{own}")
    )
    said = re.sub(r"resolvers docker init-addr none$", "", said, flags=re.MULTILINE)
    said = re.sub(r"resolvers docker\n.*", "", said, flags=re.DOTALL)
    for name in re.findall(r"^ +server (\w+) ", said, re.MULTILINE):
        here = rf" 127.0.0.1:{ports[name]} " if name in ports else None
        line = rf"^( +server {name}) {name}:8501 (.*)$"
        said = re.sub(line, rf"\1{here}\2" if here else "", said, flags=re.MULTILINE)
    found = folder / "haproxy.cfg"
    found.write_text(said, encoding="utf-8")
    return found


@needs_proxy
def test_the_proxy_takes_its_settings(compose: Any, tmp_path: Path) -> None:
    found = proxied(dict.fromkeys(pages(compose), 8501), 8080, tmp_path)
    checked = subprocess.run(
        [str(PROXY), "-c", "-f", str(found)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@contextmanager
def started(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out, ExitStack() as left:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | environment
        )
        left.callback(process.wait, timeout=20)
        left.callback(process.terminate)
        yield process


@needs_proxy
@pytest.mark.skipif(os.name == "nt", reason="HAProxy and signals of Unix")
def test_visitors_of_two_instances_stay_where_their_session_is(tmp_path: Path) -> None:
    """The image's own command twice, the shipped proxy before it, pages over websockets."""
    ports, own = {"page1": free_port(), "page2": free_port()}, free_port()
    origin = f"http://127.0.0.1:{own}"
    with ExitStack() as running:
        servers = {}
        for name, port in ports.items():
            command = [sys.executable, "-m", "planner", "web", "--public", "--origin", origin]
            servers[name] = running.enter_context(
                started([*command, "--port", str(port)], tmp_path / name, QWENPLAN_WEB_WORKERS="1")
            )
        for name, port in ports.items():
            wait_until_healthy(f"http://127.0.0.1:{port}", servers[name])
        log = tmp_path / "proxy.log"
        settings = proxied(ports, own, tmp_path)
        proxy = running.enter_context(started([str(PROXY), "-f", str(settings)], log))
        wait_until_healthy(origin, proxy)

        def cookie() -> str:
            """What a browser is given with the page itself."""
            with urlopen(f"{origin}/", timeout=30) as page:
                assert page.status == 200
                return str(page.headers["Set-Cookie"]).partition(";")[0]

        def visit(given: str) -> str:
            """A session that holds this cookie, from the first page to a change; who answered it."""
            before = len(log.read_text("utf-8"))
            visitor = Visitor(address=origin, headers={"Cookie": given, "Origin": origin})
            visitor.open(v=2, model="Qwen3.5-4B", weights="fp8", on="h100-sxm")
            visitor.set("users", 3.0)
            assert "3 users at" in visitor.text
            assert visitor.faults == []
            visitor.close()
            until(lambda: "/_stcore/stream" in log.read_text("utf-8")[before:])
            (who,) = re.findall(r" pages/(\w+) .*/_stcore/stream", log.read_text("utf-8")[before:])
            return str(who)

        found = dict[str, None]()

        def both() -> bool:
            """The proxy has found both healthy, and sends strangers to one after the other."""
            found[cookie()] = None
            return len(found) == 2

        until(both)
        cookies = list(found)
        where = {given: visit(given) for given in cookies}
        assert sorted(where.values()) == ["page1", "page2"], "both serve"
        for given in cookies * 2:
            assert visit(given) == where[given], "and each keeps its visitors"

        stranger = Visitor(address=origin, headers={"Origin": "https://elsewhere.example"})
        with pytest.raises(InvalidStatus, match="403"):
            stranger.open()

        first, second = cookies
        servers[where[first]].terminate()
        assert servers[where[first]].wait(timeout=20) == 0, "whoever stops the command stops it"
        assert visit(first) == where[second], "whose instance has ended goes to another"
