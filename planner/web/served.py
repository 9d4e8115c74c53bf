"""The server of the page: what `qwenplan web` starts. In a clone `streamlit run app.py` opens the same.

    python -m planner.web.served SETTINGS

SETTINGS is a JSON object of Streamlit's settings by their names: {"server.port": 8501}.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress

import streamlit as st

from planner.web.guard import GUARDED, opened


def main() -> None:
    """Serve until this process is told to stop, which is no failure."""
    app = st.App("main.py", middleware=GUARDED, lifespan=opened)
    # uvicorn ends what it serves and then raises what it was told by
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(KeyboardInterrupt):
        app.run(config=json.loads(sys.argv[1]))


if __name__ == "__main__":
    main()
