"""Write docs/recommendations.md: the first screen for machines that people own.

``python -m benchmarks.recommendations`` prints the page; ``--write`` puts it in its place. A test
holds sections of it against what the planner says now.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import hardware_db
from planner.recommending import Recommendation, Wanted, recommend
from planner.recommending.text import recommendation_text

PAGE = Path(__file__).parents[1] / "docs" / "recommendations.md"

MACHINES: dict[str, str] = {
    "RTX 4070 laptop, 8 GB": "rtx-4070 laptop",
    "RTX 3060 12 GB and 32 GB of RAM": "rtx-3060 12GB + 32GB RAM",
    "T4": "t4",
    "RTX 3090": "rtx-3090",
    "RTX 4090 and 64 GB of RAM": "rtx-4090 + 64GB RAM",
    "RTX 5090": "rtx-5090",
    "Two RTX 3090": "2x rtx-3090",
    "RTX PRO 6000": "rtx-pro-6000",
    "Mac mini M4, 24 GB": "mac mini m4 24GB",
    "M4 Max, 64 GB": "m4 max 64GB",
    "M3 Ultra, 512 GB": "m3 ultra 512GB",
    "Strix Halo, 128 GB": "strix halo 128GB",
    "DGX Spark": "dgx-spark",
    "Two DGX Spark": "2x dgx-spark",
    "Four DGX Spark": "4x dgx-spark",
    "Eight H100": "8x h100",
    "Eight B200": "8x b200",
    "No GPU, 64 GB of RAM": "cpu, 64GB",
}
"""Heading -> hardware as it is typed."""

HEAD = """# What to run on which machine

`qwenplan recommend --on MACHINE`, with nothing else said: any model of the family, 32k tokens of
context, one user, quality first. Written by `python -m benchmarks.recommendations --write`; a test
keeps it current.

How it is chosen: candidates are checkpoints of the registry that exist (official and community, never
fine-tunes), under every engine that loads them there, each asked for its plan.

1. What holds the workload even at the far end of its band comes before what holds it within the band;
   what gives a user 10 tok/s before what does not (`--least-speed`; between models nine tenths of it
   are enough); what is not below its floor of bits ([quality.md](quality.md)) before what is. RAM that
   nobody named is never counted on, except for 16 GiB, and on servers with HBM.
2. Between models: tiers, then classes of published scores for the use (`--for general|coding|vision|
   long-context`), ties by speed, what is about as fast by the uses in which it is ahead. Within a tier
   what has no flaw comes first. Flaws: less than twice the least speed (these models think before they
   answer: 2,000 tokens take 100 s at 20 tok/s), a noticeable loss (a large one counts twice), three
   quarters of the RAM taken. Two flaws cost a tier.
3. Of one model: flaws, then classes of quality, then the order of engines for that hardware, official
   checkpoints, spare memory. A file that spills into RAM gives way to one without a flaw that lies on
   the accelerators and is twice as fast. For more than four users at once servers that batch many
   requests (vLLM, SGLang) come before classes of quality, and before others that fit less tightly;
   where their defaults do not hold so many, their own settings that cost no quality and no feature
   that was asked for are tried, with a KV cache in 8 bits, and named. Over several machines a server
   that is made for one counts half a class worse. Caches of 8 bits are one class (near-lossless):
   nobody measured two by one protocol. Of one class: makers of at least three models
   of the family before others; where next to nothing is lost the smallest file, where little is lost
   the one with most bits up to a fifth larger, where much is lost the one with most bits that fits;
   measured files before others; formats that the hardware computes in before those that it unpacks.
4. Beside it: other models with what they are better in, then another server, then the same model
   faster, with less loss or a longer context. A model one tier below is listed where it is twice as
   fast as everything else, or loses less than a pick that loses noticeably. For more than four users
   a better model that holds at least a quarter of them at once is named below. So is the model's own MTP
   module, where drafting gains even at the lower end of its measured band (never with weights in RAM),
   and so many of several accelerators or machines as hold the pick at the least speed.
5. `--best speed` and `--best context`: between models tiers and flaws, then what is within a fifth of the
   fastest, or reaches within a fifth of the farthest, of that the best class of scores; of one model the
   same, then what loses least. To be half as fast, or to reach half as far, as what loses no more and is
   at most a tier below is a flaw, too. A KV cache of half the size and more experts in RAM come into
   question for the context, a large loss only where nothing else fits.

Speeds are estimates with their bands; sizes are published ones. Nothing here was fitted to anybody's
list: `python -m benchmarks.expert_picks FILE` holds the answers against what experienced people run,
and prints the plan's reason for each that differs.
"""


@cache
def answer(heading: str) -> Recommendation:
    """Return what is recommended for one machine."""
    return recommend(Wanted(system=hardware_db.resolve(MACHINES[heading])))


def section(heading: str) -> str:
    """Return one machine's section."""
    on = MACHINES[heading]
    words = f"'{on}'" if " " in on else on
    text = recommendation_text(answer(heading), command=f" --on {words}")
    return f"## {heading}\n\n```console\n$ qwenplan recommend --on {words}\n{text}\n```\n"


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(heading) for heading in MACHINES)])


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    if parser.parse_args(argv).write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
