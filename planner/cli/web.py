"""`qwenplan web`: the web app, from a clone or an installed wheel."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hardware_db import HardwareError
from hardware_db.database import database
from planner.errors import InputError

PROXIES = "QWENPLAN_WEB_PROXIES"
_ANYBODY = ("0.0.0.0/0", "::/0")


def web(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")
    ] = 8501,
    address: Annotated[
        str, typer.Option("--address", help="Address to listen on; 0.0.0.0 for everybody.")
    ] = "127.0.0.1",
    headless: Annotated[
        bool, typer.Option("--headless", help="Do not open a browser window.")
    ] = False,
    public: Annotated[
        bool,
        typer.Option("--public", help="Strangers visit, directly or through a proxy; see below."),
    ] = False,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Address that a proxy serves it under: https://x.example"),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", help="Address or network of a proxy: 10.0.0.2, 10.0.0.0/8"),
    ] = None,
) -> int:
    """Open the web app; stop it with Ctrl-C.

    With --public, or an --address beyond this machine, nobody counts as the machine's own user: no
    look at this machine's devices, no Hub unless QWENPLAN_WEB_HUB=1 allows it, and then within
    limits. What one address may take is limited, too, except by proxies (--proxy): they speak for
    everybody. docs/security.md says what else a public page needs.
    """
    spec = find_spec("planner.web")
    if spec is None or spec.origin is None:
        raise InputError("the web app is not part of this installation")
    _check_hardware()
    _check_free(address, port)
    folder = Path(spec.origin).parent
    environment = dict(os.environ)
    if public or not _is_loopback(address):
        headless = True
        environment["QWENPLAN_WEB_PUBLIC"] = "1"
        proxies = _proxies(proxy, address, environment, has_origin=bool(origin))
        environment[PROXIES] = ",".join(proxies)
        for line in _public_words(environment, proxies):
            typer.echo(line)
    settings: dict[str, object] = {
        "server.port": port,
        "server.address": address,
        "server.headless": headless,
        # Streamlit's greeting goes with its advertisement, which lies over the page, and with its
        # question to the internet for this machine's address: where the page is, is said here.
        "logger.hideWelcomeMessage": True,
        # Said here, so that no setting of a file or of the environment switches them off.
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
    }
    if origin:
        settings["server.corsAllowedOrigins"] = origin
    command = [sys.executable, "-m", "planner.web.served", json.dumps(settings)]
    typer.echo(f"The page is at {_location(address, port)}; Ctrl-C stops it.")
    return _serve(command, _settings(folder), environment)


def _check_hardware() -> None:
    """Refuse a mistake in this machine's hardware file: visitors could do nothing about it."""
    try:
        database()
    except HardwareError as error:
        raise InputError(str(error)) from None


def _check_free(address: str, port: int) -> None:
    """Refuse an address that is not this machine's, and a port that is taken, before a server starts."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, number, _, place = found[0]
        with socket.socket(family, kind, number) as tried:
            if os.name == "posix":  # as the server does: what was closed a moment ago is free
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(place)
    except (socket.gaierror, UnicodeError):
        raise InputError(f"--address {address}: no address is known by this name") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"--port {port}: something else listens there already; name another one"
            ) from None
        raise InputError(f"cannot listen on {address}:{port}: {error.strerror}") from None


def _serve(command: list[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Become the server, so that whoever stops this process stops it; Windows cannot, and waits."""
    if os.name == "posix":
        sys.stdout.flush()
        os.chdir(folder)
        os.execve(command[0], command, environment)
    try:
        finished = subprocess.run(command, cwd=folder, env=environment, check=False)
        return finished.returncode
    except KeyboardInterrupt:
        return 0


def _location(address: str, port: int) -> str:
    """Return what this machine's own browser opens; a server for all addresses listens there, too."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _proxies(
    named: Sequence[str] | None, address: str, environment: Mapping[str, str], *, has_origin: bool
) -> list[str]:
    """Return the proxies that speak for many visitors.

    Where none is named: this machine's own, if nobody else can come, and anybody who may be the one under
    whose address (--origin) the page is served.

    Raises:
        InputError: one is no address.
    """
    said = named or environment.get(PROXIES, "").split(",")
    found = [one.strip() for one in said if one.strip()]
    for one in found:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise InputError(
                f"--proxy {one}: not an address or a network, such as 10.0.0.2 or 10.0.0.0/8"
            ) from None
    if found:
        return found
    if _is_loopback(address):
        return ["127.0.0.0/8", "::1"]
    return list(_ANYBODY) if has_origin else []


def _public_words(environment: Mapping[str, str], proxies: Sequence[str]) -> tuple[str, ...]:
    """What a public page does otherwise."""
    hub = environment.get("QWENPLAN_WEB_HUB", "").strip().lower() in ("1", "true", "yes", "on")
    return (
        "Public page: every visitor is a stranger.",
        "  off: this machine's devices, paths of this machine, the server's Hub token",
        "  Hub: asked as anybody, so many times an hour"
        if hub
        else "  off: the Hub (QWENPLAN_WEB_HUB=1 allows it, so many times an hour)",
        "  off: limits by address, which the proxy has to set; name the proxy with --proxy for this page's"
        if tuple(proxies) == _ANYBODY
        else f"  on: limits by address, except for {', '.join(proxies) or 'nobody'} (--proxy)",
        "  on: refusal of other sites' pages (CORS, XSRF); name a proxy's address with --origin",
    )


def _settings(folder: Path) -> Path:
    """Where Streamlit finds `.streamlit/config.toml`: beside the app, or the clone's top."""
    return folder if (folder / ".streamlit").is_dir() else folder.parent.parent
