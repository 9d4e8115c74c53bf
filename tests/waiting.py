"""Wait for what another process or thread brings about."""

import threading
from collections.abc import Callable


def until(held: Callable[[], bool]) -> None:
    """Return once `held`; fail where it has not come about within 30 s."""
    waited = threading.Event()
    for _ in range(600):
        if held():
            return
        waited.wait(0.05)
    raise AssertionError("it did not come about within 30 s")
