"""Keep the bundled database as it is once built, so that a start does not read every TOML file.

TOML stays the source. `python -m hardware_db` writes the compiled form, as the build of a wheel
and `make setup` do; it carries a digest of this package's code and data, and whatever changes
them turns it off. A clone without it, or with an older one, reads TOML.
"""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardware_db.database import Database

HERE = Path(__file__).parent
FILE = HERE / "data" / "compiled.bin"


def digest() -> bytes:
    """Return what tells whether code or data have changed since the compiled form was written."""
    found = length = 0
    for path in (*sorted(HERE.glob("*.py")), *sorted((HERE / "data").glob("*.toml"))):
        content = path.read_bytes()
        found = zlib.crc32(content, zlib.crc32(path.name.encode(), found))
        length += len(content)
    return f"{found:08x}{length:012x}".encode()


def read(file: Path = FILE) -> Database | None:
    """Return the compiled database; None where there is none that belongs to code and data.

    Args:
        file: where it was written; our own, as trusted as the code beside it.
    """
    try:
        content = file.read_bytes()
    except OSError:
        return None
    wanted = digest()
    if not content.startswith(wanted):
        return None
    found: Database = pickle.loads(content[len(wanted) :])
    return found


def write(file: Path = FILE) -> int:
    """Write the compiled form of the TOML files; return its bytes."""
    from hardware_db.database import from_sources

    return file.write_bytes(digest() + pickle.dumps(from_sources(), protocol=5))
