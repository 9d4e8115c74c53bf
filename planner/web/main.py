"""The script of every page."""

from planner.web.shell import show

show()
