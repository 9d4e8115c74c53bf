"""The command line: `qwenplan`."""

from planner.cli.main import main

__all__ = ["main"]
