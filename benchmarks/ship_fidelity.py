"""Write the fidelity run that the web app shows beside its explanations.

python -m benchmarks.ship_fidelity --cases DIR
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.fidelity import SUITES, run
from planner.version import package_version

TARGET = Path(__file__).resolve().parent.parent / "planner" / "web" / "fidelity.json"
KEPT = (
    "cases",
    "exact",
    "agree",
    "failed",
    "unasked",
    "median_error",
    "p90_error",
    "max_error",
    "within_band",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run every suite and keep the summaries."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship_fidelity", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(argv)
    report = run(options.cases, SUITES)
    document = {
        "version": package_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "suites": {
            name: {key: summary[key] for key in KEPT if key in summary}
            for name, summary in report.items()
        },
    }
    TARGET.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {', '.join(report)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
