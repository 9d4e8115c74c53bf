"""What measured speeds are good for: whose they are, and what their sources do not tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why a source's figure is good for less than a printed table or log.

    Attributes:
        reason: what the source does not tell, or says of itself.
        times: how many times the usual error it is good for.
        holds: whether that is so of a row.
    """

    reason: str
    times: float
    holds: Callable[[Mapping[str, Any]], bool]


UNTOLD = 3.0
"""From this many times the usual error on a source does not tell what its figure is of."""

_LONGER = 8
_TYPED_BY_USERS = ("localmaxxing.com",)
_DEFAULT_CHUNK = 512
_LONG_ANSWER = 4096


def _prompt_in_rate(row: Mapping[str, Any]) -> bool:
    typed = source_of(row["source"]) in _TYPED_BY_USERS
    told = "llama-bench" in (row.get("flags") or "")
    answer = row.get("osl") or 0
    return typed and not told and 0 < _LONGER * answer < (row.get("depth") or 0)


def _of_first_weeks(row: Mapping[str, Any]) -> bool:
    """InferenceX said on 2026-03-27 that it would run answers of 8k tokens no more (its #637)."""
    return "inferencex" in str(row["source"]).lower() and (row.get("osl") or 0) > _LONG_ANSWER


def _copies_untold(row: Mapping[str, Any]) -> bool:
    copied = row["kind"] == "prefill-offload" and row["isl"] > _DEFAULT_CHUNK
    return copied and not row.get("ubatch")


DOUBTS = (
    Doubt(
        reason="its reader was half sure",
        times=1.5,
        holds=lambda row: row.get("confidence") == "medium",
    ),
    Doubt(
        reason="its reader was not sure",
        times=UNTOLD,
        holds=lambda row: row.get("confidence") == "low",
    ),
    Doubt(
        reason="an image of the days when the family was new",
        times=UNTOLD,
        holds=lambda row: "day-0" in str(row.get("engine_version")),
    ),
    Doubt(
        reason="InferenceX with answers of 8k tokens, which it ceased to run in March 2026: a median of"
        " the family's first weeks beside others over six months",
        times=UNTOLD,
        holds=_of_first_weeks,
    ),
    Doubt(
        reason="typed by a user after a prompt much longer than the answer, without a command: the"
        " prompt's time may be in the rate",
        times=4.0,
        holds=_prompt_in_rate,
    ),
    Doubt(
        reason="weights in RAM and a prompt longer than the usual micro-batch, --ubatch-size not"
        " told: how often they cross the link is not known",
        times=UNTOLD,
        holds=_copies_untold,
    ),
)
"""By what a row says of itself, whatever the law makes of it."""


def doubts_of(row: Mapping[str, Any]) -> tuple[Doubt, ...]:
    """Return why a row is to be doubted; empty for printed tables and logs."""
    return tuple(doubt for doubt in DOUBTS if doubt.holds(row))


def source_of(text: str) -> str:
    """Return who published a figure: the repository or site that a source's text begins with."""
    bare = re.sub(r"^https?://|^github\.com/", "", text)
    bare = bare.removeprefix("github.com/")
    found = re.match(r"public [a-zA-Z ]+ \d+|[^ @#]+", bare)
    name = found[0] if found else bare
    return "/".join(name.split("/")[:2]).lower()


def rig_of(source: str, accelerator: str, count: int, cpu: str | None) -> str:
    """Return what is held out together: one publisher's cards of one kind, so many of them."""
    return f"{source_of(source)} | {accelerator} | {count} | {cpu}"
