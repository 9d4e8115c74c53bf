"""The web app from a clone: `streamlit run app.py`; `qwenplan web` opens the same one."""

from planner.web.shell import show

show()
