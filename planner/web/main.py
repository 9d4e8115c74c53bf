"""What Streamlit runs for `qwenplan web`; in a clone `app.py` does the same."""

from planner.web.shell import show

show()
