"""Say how transformers is talked to: it is a library, with neither command nor log."""

from __future__ import annotations

from planner.engines.face import Face
from planner.engines.transformers.bench import BENCH

FACE = Face(bench=BENCH)
