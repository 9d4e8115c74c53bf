"""Hold recommendations against what experienced people run, row by row.

``python -m benchmarks.expert_picks ../shared/facts/expert_picks.json`` prints every row that can be
asked, whether the pick or one of the front is the recommended one, and where not, what is
recommended instead with its figures. Releases of one size count as one model (a 27B is a 27B),
quants as one where they differ by one bit at most, servers as one where one is built on the other.

The picks are evidence. Nothing is fitted to them and nothing of them is shipped.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hardware_db
from planner.model import catalog
from planner.recommending import Choice, Recommendation, Wanted, recommend
from planner.recommending.choosing import Search
from planner.recommending.text import headline
from planner.registry import effective_bits

RELIABLE = ("good", "medium")
LEAST = 0.8
"""Share of the reliable rows that must agree."""

SERVERS = {
    "llama.cpp": "llamacpp",
    "ollama": "llamacpp",
    "lm studio": "llamacpp",
    "vllm": "vllm",
    "sglang": "sglang",
    "mlx": "mlx",
    "ktransformers": "ktransformers",
}
ALIKE = {"vllm": ("vllm", "sglang"), "sglang": ("vllm", "sglang")}
"""Servers of the same checkpoints: which of the two is taste."""

CARDS = {
    6: "rtx-2060-6",
    8: "rtx-4060",
    12: "rtx-3060-12",
    16: "rtx-5060-ti-16",
    24: "rtx-3090",
    32: "rtx-5090",
}
"""A card that stands for "a GPU with so much memory"."""

_SIZE = re.compile(r"\b(\d+(?:\.\d+)?)B(?:-A(\d+)B)?", re.IGNORECASE)
_BITS = (
    (re.compile(r"(\d(?:\.\d+)?) ?-?(?:bpw|bit)", re.IGNORECASE), None),
    (re.compile(r"bf16|fp16", re.IGNORECASE), 16.0),
    (re.compile(r"fp8|int8|w8a8|q8_|mxfp8", re.IGNORECASE), 8.0),
    (re.compile(r"(?:\b|_|-|:)(?:UD-|AD-)?I?Q(\d)", re.IGNORECASE), None),
    (re.compile(r"nvfp4|int4|awq|gptq|4bit|autoround", re.IGNORECASE), 4.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One row as far as it can be asked.

    Attributes:
        row: as it was collected.
        machine: hardware expression.
        sizes: (billions, active billions or None) of every model that it names.
        bits: nominal bits of the weights; None: not said.
        engine: who serves; None: not said.
        against: it says what does not run.
    """

    row: dict[str, Any]
    machine: str
    sizes: tuple[tuple[float, int | None], ...]
    bits: float | None
    engine: str | None
    against: bool

    @property
    def reliable(self) -> bool:
        """Whether the row counts."""
        return self.row["reliability"] in RELIABLE

    def agrees(self, choice: Choice) -> bool:
        """Say whether a candidate is what the row recommends."""
        if size_of(choice.entry.base) not in self.sizes:
            return False
        engines = ALIKE.get(self.engine or "", (self.engine,))
        if self.engine is not None and choice.plan.engine not in engines:
            return False
        mine = bits_of(choice.entry.label or choice.entry.repo)
        if "bpw" in self.row["recommended"]:
            mine = effective_bits(choice.entry)
        if mine is None:
            mine = 16.0 if choice.entry.recipe == "bf16" else bits_of(choice.entry.recipe)
        return self.bits is None or mine is None or abs(mine - self.bits) <= 1


def size_of(name: str) -> tuple[float, int | None] | None:
    """Return (billions, active billions) that a name says."""
    match = _SIZE.search(name)
    return (float(match[1]), int(match[2]) if match[2] else None) if match else None


def bits_of(name: str) -> float | None:
    """Return the nominal bits of the weights that a name says first."""
    found = [
        (match.start(), bits if bits is not None else float(match[1]))
        for pattern, bits in _BITS
        if (match := pattern.search(name))
    ]
    return min(found)[1] if found else None


def machine_of(text: str) -> str | None:
    """Return the hardware expression of a row's words; None where they name no machine."""
    words = text.partition("(")[0].strip()
    inside = text[len(words) :].strip(" ()")
    ram = re.search(r"(\d+) ?GB RAM", text)
    plus = f" + {ram[1]}GB RAM" if ram else ""
    if words.startswith("Mac"):
        chip = re.search(r"M\d(?: (?:Pro|Max|Ultra))?", inside)
        memory = [int(found) for found in re.findall(r"(\d+) ?GB", words)]
        named = f"{chip[0]} {memory[-1]}GB" if chip and memory else None
        return _known(named) or _known(f"M4 Max {memory[-1]}GB" if memory else None)
    spark = re.match(r"(\d)x DGX Spark", words)
    if spark:
        return _known(f"{spark[1]}x dgx-spark")
    halo = re.match(r"Strix Halo .*?(\d+) ?GB", words)
    if halo:
        return _known(f"strix halo {halo[1]}GB-gtt") or _known(f"strix-halo-{halo[1]}")
    card = re.match(r"((?:\d+x )?(?:RTX |H|B|A)\d{3,4}(?: Ti| SUPER)?)", words)
    if card:
        return _known(card[1].lower() + plus)
    memory_only = re.match(r"(\d+) ?GB", words)
    if memory_only and int(memory_only[1]) in CARDS:
        return CARDS[int(memory_only[1])] + plus
    return None


def _known(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        hardware_db.resolve(text)
    except hardware_db.HardwareError:
        return None
    return text


def read(path: Path) -> Iterator[Pick | dict[str, Any]]:
    """Yield the rows of a collection: those that can be asked as `Pick`."""
    for row in json.loads(path.read_text(encoding="utf-8"))["picks"]:
        machine = machine_of(row["hardware"])
        text = row["recommended"]
        known = {size_of(entry.id) for entry in catalog.catalog()}
        sizes = tuple(
            (float(size), int(active) if active else None) for size, active in _SIZE.findall(text)
        )
        sizes = tuple(size for size in sizes if size in known)
        if row["kind"] == "rule" or machine is None or not sizes:
            yield row
            continue
        server = row["engine"].lower()
        engine = next((ours for theirs, ours in SERVERS.items() if theirs in server), None)
        stored = _SIZE.sub(" ", re.sub(r"Qwen\d(?:\.\d)?", " ", text.partition(", KV")[0]))
        yield Pick(
            row=row,
            machine=machine,
            sizes=sizes,
            bits=bits_of(stored),
            engine=engine,
            against=text.startswith("not "),
        )


def answers(pick: Pick) -> Iterator[Recommendation]:
    """Yield the answers to the row's machine: with no model named, then with the row's own."""
    system = hardware_db.resolve(pick.machine)
    yield recommend(Wanted(system=system))
    for entry in sorted(catalog.catalog(), key=lambda entry: entry.released or "", reverse=True):
        if size_of(entry.id) in pick.sizes:
            yield recommend(Wanted(system=system, base=entry.id))
            return


def reason(pick: Pick, answer: Recommendation) -> str:
    """Return why the answer to a row's machine is another one."""
    listed = [choice for choice in answer if size_of(choice.entry.base) in pick.sizes]
    if listed:
        choice = listed[0]
        rate = f", about {choice.per_user:.0f} tok/s" if choice.per_user is not None else ""
        return f"{choice.entry.name} in {choice.plan.engine_title}: {choice.loss.text}{rate}"
    chosen = headline(answer)
    for entry in sorted(catalog.catalog(), key=lambda entry: entry.released or "", reverse=True):
        if size_of(entry.id) not in pick.sizes:
            continue
        search = Search(replace(answer.wanted, base=entry.id))
        held = [choice for choice in search.of_model(entry.id) if choice.holds]
        if not held:
            return f"no known checkpoint of {entry.id} holds {answer.wanted.context:,} tokens"
        if not any(choice.is_above_floor for choice in held):
            return f"{held[0].entry.name} holds it, but is below its floor of bits"
        mine = answer.pick
        if mine is not None and held[0].tier > mine.tier:
            return f"{entry.id} is in a lower tier of scores; {chosen}"
        break
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison; the status says whether enough rows agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picks", type=Path, help="the collection: expert_picks.json")
    rows = list(read(parser.parse_args(argv).picks))
    right = {True: 0, False: 0}
    by_machine = 0
    for pick in rows:
        if not isinstance(pick, Pick):
            print(f"not asked  {pick['hardware']}: {pick['recommended']} ({pick['reliability']})")
            continue
        found = list(answers(pick))
        agreed = [any(pick.agrees(choice) for choice in answer) != pick.against for answer in found]
        same = all(agreed) if pick.against else any(agreed)
        if pick.reliable:
            right[same] += 1
            by_machine += agreed[0]
        mark = "agrees   " if same else "DISAGREES"
        counted = "" if pick.reliable else f" (not counted: {pick.row['reliability']})"
        print(
            f"{mark}  {pick.row['hardware']}: {pick.row['recommended']}, {pick.row['engine']}{counted}"
        )
        if not same or not agreed[0]:
            about = "" if same else " (nor with the model named)"
            print(f"           with no model named{about}: {reason(pick, found[0])}")
        if not same:
            for answer in found:
                print(f"           {headline(answer)}")
                for choice in answer.front:
                    print(f"             or {choice.entry.name} in {choice.plan.engine_title}")
    total = sum(right.values())
    share = right[True] / total if total else 0.0
    print(
        f"\n{right[True]} of {total} reliable rows agree ({share:.0%}); with no model named {by_machine}"
    )
    return 0 if share >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
