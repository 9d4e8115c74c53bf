"""`qwenplan web`: the web app, from a clone or an installed wheel."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from planner.errors import InputError


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
) -> int:
    """Open the web app; stop it with Ctrl-C."""
    spec = find_spec("planner.web")
    if spec is None or spec.origin is None:
        raise InputError("the web app is not part of this installation")
    folder = Path(spec.origin).parent
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "main.py")]
    command += ["--server.port", str(port), "--server.address", address]
    command += ["--server.headless", "true" if headless else "false"]
    try:
        return subprocess.run(command, cwd=_settings(folder), check=False).returncode
    except KeyboardInterrupt:
        return 0


def _settings(folder: Path) -> Path:
    """Where Streamlit finds `.streamlit/config.toml`: beside the app, or the clone's top."""
    return folder if (folder / ".streamlit").is_dir() else folder.parent.parent
