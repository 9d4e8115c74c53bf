"""A dozen questions of people who use such tools, asked on the page as a newcomer asks: typing and clicking.

    python -m benchmarks.newcomer [--size desktop phone] [--only WORDS] [--pictures FOLDER]

Nothing is asked through the address: pages are reached by the menu, fields by their names, as fast as
a hand types. Each answer is what can be read on the page, and is looked up in the document that
`qwenplan ... --json` prints for the same question. Asked: each within a minute, and every answer there.

Source of the questions: public threads about tools of this kind (llmfit, LM Studio, vLLM, llama.cpp,
gguf-parser), what they ask for most.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.person import Person
from benchmarks.screens import SIZES
from benchmarks.web_server import PATIENCE, browsing, complete, served
from planner.throughput.answer import two_digits
from planner.units import format_gib

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MOST = 60.0
"""Seconds that an answer may take from the first page on."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One question.

    Attributes:
        words: as its asker would say it.
        act: what is done on the page; returns what is read there.
        command: words of the command line that ask the same; of `plan` where none is named.
        answers: of its document what has to be read on the page.
    """

    words: str
    act: Callable[[Person], str]
    command: tuple[str, ...]
    answers: Callable[[Document], list[str]]


def _spare(document: Document) -> str:
    headroom = min(rank["headroom"] for rank in document["ranks"])
    return format_gib(abs(headroom)) + (" to spare" if headroom >= 0 else " over")


def _rate(document: Document) -> str:
    return f"about {two_digits(document['speed']['decode_per_user']['value'])} tok/s"


def _command(document: Document) -> str:
    return " ".join(document["launch"]["command"].split())


def _held(document: Document) -> str:
    return f"Room for {document['capacity']['sequences']:,} at once"


def _term(document: Document, kind: str) -> str:
    held = sum(term["bytes"] for term in document["ranks"][0]["terms"] if term["kind"] == kind)
    return format_gib(held).removesuffix(" GiB")


def _cache_alone(person: Person) -> str:
    person.pick("Machine", "5090")
    person.pick("Model", "3.6-27b")
    person.pick("With", "llama")
    person.pick("Context", "256k")
    return person.read()


def _as_vllm_prints(person: Person) -> str:
    person.pick("Machine", "h20 ", "H20")
    person.pick("Model", "3.5-27b")
    person.pick("With", "vllm")
    person.count("Users", 16)
    person.go("Trust")
    return person.read()


def _whole_memory(person: Person) -> str:
    person.pick("Machine", "5060 ti 16")
    person.count("How many", 3)
    person.pick("Model", "3.6-27b")
    person.pick("With", "llama")
    person.pick("Context", "256k")
    return person.read()


def _spark(person: Person) -> str:
    person.pick("Machine", "dgx spark")
    person.pick("Model", "122b")
    person.pick("With", "vllm")
    return person.read()


def _how_many(person: Person) -> str:
    person.pick("Machine", "h100", "H100 SXM")
    person.count("How many", 8)
    person.pick("Model", "397b")
    person.count("Users", 200)
    return person.read()


def _drafting(person: Person) -> str:
    person.pick("Machine", "4090")
    person.pick("Model", "3.6-27b")
    person.pick("With", "llama")
    person.switch_in_more("Speculative decoding (MTP)")
    return person.read()


def _layouts(person: Person) -> str:
    person.pick("Machine", "4x 3090")
    person.pick("Model", "3.5-35b")
    person.pick("With", "vllm")
    person.go("Explore", "Layouts")
    return person.read()


def _pictures(person: Person) -> str:
    person.pick("Machine", "3090")
    person.pick("Model", "3.5-9b")
    person.pick("With", "llama")
    person.switch_in_more("Pictures as input")
    return person.read()


def _experts(person: Person) -> str:
    person.pick("Machine", "3090 + 96GB RAM")
    person.pick("Model", "122b")
    return person.read()


def _mac(person: Person) -> str:
    person.pick("Machine", "m4 max 64")
    return person.read()


def _where_from(person: Person) -> str:
    person.pick("Machine", "rtx pro 6000")
    person.pick("Model", "3.5-122b")
    person.go("Trust")
    return person.read(below=True)


def _own_card(person: Person) -> str:
    person.pick("Machine", "custom")
    person.count("GiB of each", 20)
    person.pick("Model", "3.6-35b")
    person.pick("With", "llama")
    return person.read()


ASKINGS = (
    Asking(
        words="How much is the KV cache of the hybrid 27B at 256k on my 5090, and does it run?",
        act=_cache_alone,
        command=("Qwen3.6-27B", "--on", "rtx-5090", "--with", "llama.cpp", "--context", "256k"),
        answers=lambda said: [f"KV cache {_term(said, 'KV cache')} ·", _spare(said), _rate(said)],
    ),
    Asking(
        words="What will vLLM print as its KV cache size on an H20, 32k, 16 requests?",
        act=_as_vllm_prints,
        command=("Qwen3.5-27B", "--on", "h20", "--with", "vllm", "--users", "16"),
        answers=lambda said: [str(line) for line in said["expected_log"]],
    ),
    Asking(
        words="What takes the memory of three 16 GB cards, all of it, not just weights and KV?",
        act=_whole_memory,
        command=(
            *("Qwen3.6-27B", "--on", "3x rtx-5060-ti-16"),
            *("--with", "llama.cpp", "--context", "256k"),
        ),
        answers=lambda said: (
            [
                f"{label} {_term(said, kind)}"
                for label, kind in (("eights", "weights"), ("KV cache", "KV cache"))
            ]
            + [_spare(said)]
        ),
    ),
    Asking(
        words="Which gpu-memory-utilization boots on a DGX Spark?",
        act=_spark,
        command=("Qwen3.5-122B-A10B", "--on", "dgx-spark", "--with", "vllm"),
        answers=lambda said: [_command(said), _spare(said)],
    ),
    Asking(
        words="How many users at 32k do eight H100 hold with the 397B?",
        act=_how_many,
        command=("Qwen3.5-397B-A17B", "--on", "8x h100", "--users", "200"),
        answers=lambda said: [_held(said), _rate(said), _command(said)],
    ),
    Asking(
        words="What does MTP take, and what does it give, on my 4090?",
        act=_drafting,
        command=(
            *("Qwen3.6-27B", "--on", "rtx-4090", "--with", "llama.cpp"),
            *("--spec-type", "draft-mtp"),
        ),
        answers=lambda said: [_spare(said), _rate(said), _command(said)],
    ),
    Asking(
        words="Which tensor parallel sizes are legal on four 3090, and which is best?",
        act=_layouts,
        command=("Qwen3.5-35B-A3B", "--on", "4x rtx-3090", "--with", "vllm"),
        answers=lambda said: [f"TP {said['layout']['tensor_parallel']}", _spare(said)],
    ),
    Asking(
        words="Do pictures cost me 10 GiB?",
        act=_pictures,
        command=("Qwen3.5-9B", "--on", "rtx-3090", "--with", "llama.cpp", "--mmproj"),
        answers=lambda said: [_spare(said), _command(said)],
    ),
    Asking(
        words="Does the 122B run on a 3090 with 96 GB of RAM, and how fast?",
        act=_experts,
        command=("Qwen3.5-122B-A10B", "--on", "3090 + 96GB RAM"),
        answers=lambda said: [_rate(said), _command(said)],
    ),
    Asking(
        words="What is the best that my Mac of 64 GB runs?",
        act=_mac,
        command=("recommend", "--on", "apple-m4-max-64"),
        answers=lambda said: [
            f"{format_gib(said['pick']['spare_bytes'])} to spare",
            f"about {two_digits(said['pick']['tokens_per_second'])} tok/s",
            said["pick"]["command"],
        ],
    ),
    Asking(
        words="Where do these GiB come from?",
        act=_where_from,
        command=("Qwen3.5-122B-A10B", "--on", "rtx-pro-6000"),
        answers=lambda said: [
            term["substituted"] for term in said["ranks"][0]["terms"] if term.get("substituted")
        ][:3],
    ),
    Asking(
        words="My card of 20 GiB is in no list.",
        act=_own_card,
        command=("Qwen3.6-35B-A3B", "--on", "custom:20GiB", "--with", "llama.cpp"),
        answers=lambda said: [_spare(said), _command(said)],
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How one question went.

    Attributes:
        seconds: from the first page to the answer.
        answers: what had to be read.
        missing: what of it was not on the page.
    """

    seconds: float
    answers: tuple[str, ...]
    missing: tuple[str, ...]


def told(command: Sequence[str]) -> Document:
    """Return the document that the command line prints."""
    asked = command if command[0] == "recommend" else ("plan", *command)
    ran = subprocess.run(
        [sys.executable, "-m", "planner", *asked, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not ran.stdout:
        raise SystemExit(ran.stderr)
    document: Document = json.loads(ran.stdout)
    return document


def ask(browser: Browser, address: str, one: Asking, size: str, picture: Path | None) -> Asked:
    """Ask a question in a fresh browser."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=size == "phone"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    begun = time.monotonic()
    page.goto(address)
    page.locator(".st-key-answer").first.wait_for()
    complete(page)
    seen = one.act(Person(page, phone=size == "phone"))
    seconds = time.monotonic() - begun
    if picture is not None:
        page.screenshot(path=picture)
    context.close()
    answers = one.answers(told(one.command))
    flat = re.sub(r"\s+", " ", seen)
    missing = tuple(words for words in answers if re.sub(r"\s+", " ", words) not in flat)
    return Asked(seconds=seconds, answers=tuple(answers), missing=missing)


def main(argv: Sequence[str] | None = None) -> int:
    """Ask and print; 3 if an answer took too long or is not the command line's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.newcomer", description=__doc__)
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--only", default="", help="questions with these words in them")
    parser.add_argument("--pictures", type=Path, help="where a picture of each answer goes")
    options = parser.parse_args(argv)
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    bad = 0
    with browsing() as browser, served() as address:
        for size in options.size:
            for number, one in enumerate(ASKINGS, 1):
                if options.only not in one.words:
                    continue
                folder = options.pictures
                picture = folder / f"{number:02}-{size}.png" if folder is not None else None
                found = ask(browser, address, one, size, picture)
                bad += bool(found.missing) or found.seconds > MOST
                print(f"{size:8} {found.seconds:5.1f} s  {one.words}", flush=True)
                for words in found.answers:
                    mark = "NOT SEEN" if words in found.missing else "        "
                    print(f"           {mark} {words}", flush=True)
    return 3 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
