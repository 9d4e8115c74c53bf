"""What a worker process is asked to do in tests of how large it may become."""

import os

from planner.memo import Key, remembered

_HELD: list[bytes] = []


def hold(nbytes: int) -> int:
    """Hold so many bytes for good; return the number of the process."""
    _HELD.append(b"x" * nbytes)
    return os.getpid()


def _of(count: int) -> Key:
    return (), count


@remembered(_of)
def _floats(count: int) -> list[float]:
    return [number / 7 for number in range(count)]


def remember(count: int) -> tuple[int, int]:
    """Remember so many objects; return the number of the process and how many answers it remembers."""
    if count:
        _floats(count)
    return os.getpid(), len(_floats)
