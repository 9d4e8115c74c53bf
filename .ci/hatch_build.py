"""Write the compiled data before a wheel or an editable installation is made."""

from __future__ import annotations

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledData(BuildHookInterface[Any]):
    """Put `compiled.bin` of the hardware database and of the planner, and `ready.bin`, beside their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the files and say that they belong to the package, although git ignores them."""
        sys.path.insert(0, self.root)
        from hardware_db import compiled
        from planner import shipped
        from planner.engines.llamacpp import ready

        for written in (compiled, shipped, ready):
            written.write()
            file = written.FILE.relative_to(self.root).as_posix()
            build_data["artifacts"].append(f"/{file}")
