"""`python -m planner.probing`: this machine as one JSON document on standard output."""

from __future__ import annotations

import json
import sys

from planner.probing.detect import probe


def main() -> int:
    """Print the document; always 0, because no GPU is an answer."""
    sys.stdout.write(json.dumps(probe().to_dict(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
