"""Read the data files that come with the package.

TOML and JSON stay the source. What was parsed once is kept in a compiled form beside the code, written when
the package is built or by `python -m planner.shipped`; each file in it carries the checksum of its
text, and one that was changed since is parsed anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

from hardware_db.compiled import dumps, loads

HERE = Path(__file__).parent
FILE = HERE / "compiled.bin"

_FORM = b"qwenplan tables 2\n"
"""How the compiled form begins; another number where what is behind it is another thing."""


def read_bytes(*place: str) -> bytes:
    """Return a file of the package: its folders below `planner`, then its name."""
    return HERE.joinpath(*place).read_bytes()


def read_toml(*place: str) -> dict[str, Any]:
    """Return a TOML file of the package as plain data; it must not be changed."""
    return _read(place)


def read_json(*place: str) -> dict[str, Any]:
    """Return a JSON file of the package, likewise."""
    return _read(place)


def _read(place: tuple[str, ...]) -> dict[str, Any]:
    content = read_bytes(*place)
    known = _compiled(FILE).get("/".join(place))
    if known is not None and known[0] == crc32(content):
        found: dict[str, Any] = loads(known[1])
        return found
    return _parsed(content)


def _parsed(content: bytes) -> dict[str, Any]:
    if content.startswith(b"{"):  # no table of TOML does
        import json

        found: dict[str, Any] = json.loads(content)
        return found
    import tomllib

    return tomllib.loads(content.decode("utf-8"))


@lru_cache(maxsize=4)
def _compiled(file: Path) -> Mapping[str, tuple[int, bytes]]:
    """Return path -> (checksum, contents as they are pickled); empty where nothing was compiled so."""
    try:
        content = file.read_bytes()
    except OSError:
        return {}
    if not content.startswith(_FORM):  # what a former version wrote
        return {}
    found: Mapping[str, tuple[int, bytes]] = loads(memoryview(content)[len(_FORM) :])
    return found


def write(file: Path = FILE) -> int:
    """Write the compiled form of the package's tables that answers need; return its bytes."""
    found = {}
    for path in sorted((*HERE.rglob("*.toml"), *HERE.rglob("checkpoints.json"))):
        content = path.read_bytes()
        found[path.relative_to(HERE).as_posix()] = (
            crc32(content),
            dumps(_parsed(content), protocol=5),
        )
    return file.write_bytes(_FORM + dumps(found, protocol=5))


if __name__ == "__main__":
    write()
