"""A Streamlit server on a free port of this machine, and the Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000
"""Milliseconds for what takes a tenth of it on a quiet machine."""

_DRAWN = """() => !document.querySelector('[data-testid=stSkeleton]')
  && [...document.querySelectorAll('.stPlotlyChart')].every(one => one.querySelector('.main-svg'))
  && [...document.querySelectorAll('[data-testid=stDataFrame]')]
    .every(one => one.querySelector('canvas')?.clientWidth > 200)"""


def chromium() -> str | None:
    """Path of the browser, or None where there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def browsing() -> Iterator[Browser]:
    """The browser; it ends with the block.

    Raises:
        SystemExit: there is no Chromium here.
    """
    from playwright.sync_api import sync_playwright

    found = chromium()
    if found is None:
        raise SystemExit("no Chromium here: set CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


def complete(page: Page) -> None:
    """Wait until nothing of a page is still to come: what is pressed before may move away."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_function(_DRAWN)


@contextmanager
def served(
    script: Path = ROOT / "app.py", *, log: Path | None = None, **environment: str
) -> Iterator[str]:
    """The app's address; the server ends with the block.

    Args:
        script: what Streamlit runs.
        log: file for what the server prints.
        environment: variables on top of this process's.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with open(log or os.devnull, "wb") as out:
        server = subprocess.Popen(
            [*command, "--server.fileWatcherType", "none", "--server.headless", "true"],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers.

    Raises:
        RuntimeError: it ended, or two minutes passed.
    """
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                if answer.read() == b"ok":
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the web app did not start")
        time.sleep(0.05)  # a process of its own: there is nothing to wait on
