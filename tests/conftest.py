"""What holds for every test: no network, no cache or token of the person who runs them, no time limits that a busy machine breaks."""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from hypothesis import settings

# Read by huggingface_hub when it is first imported, hence before any test module is.
_HF_HOME = tempfile.TemporaryDirectory(prefix="qwenplan-tests-")
os.environ["HF_HOME"] = _HF_HOME.name
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
    os.environ.pop(_name, None)
import_module(
    "huggingface_hub.constants"
)  # else a test that is offline by the environment imports it

# hypothesis has its own "ci" profile (same examples every time) and takes it where CI is set.
if not os.environ.get("CI"):
    settings.register_profile("local", deadline=None)
    settings.load_profile("local")


class NetworkUsedError(RuntimeError):
    """Not an OSError: code that answers a broken network politely must not hide that a test used one."""


def _is_this_machine(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback or str(host) in ("0.0.0.0", "::")
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Connections and name look-ups beyond this machine raise; servers on the loopback address work."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any, /) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_this_machine(address[0]):
            raise NetworkUsedError(f"a test tried to connect to {address}")
        return connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_this_machine(host):
            raise NetworkUsedError(f"a test tried to look up {host!r}")
        return look_up(host, *args, **kwargs)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test's planner remembers or learns is remembered for that test alone."""
    monkeypatch.setenv("QWENPLAN_CACHE", str(tmp_path_factory.mktemp("qwenplan-cache")))
    monkeypatch.setenv("QWENPLAN_DATA", str(tmp_path_factory.mktemp("qwenplan-data")))
