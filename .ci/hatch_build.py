"""Write the compiled hardware database before a wheel or an editable installation is made."""

from __future__ import annotations

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledData(BuildHookInterface[Any]):
    """Put `hardware_db/data/compiled.bin` beside the TOML files that it is made of."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file and say that it belongs to the package, although git ignores it."""
        sys.path.insert(0, self.root)
        from hardware_db import compiled

        compiled.write()
        build_data["artifacts"].append("/hardware_db/data/compiled.bin")
