"""The web app from a clone: `streamlit run app.py`; `qwenplan web` opens the same one."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

if get_script_run_ctx(suppress_warning=True) is None:  # the server starts
    from planner.web.guard import GUARDED, opened

    app = st.App("planner/web/main.py", middleware=GUARDED, lifespan=opened)
else:
    from planner.web.shell import show

    show()
