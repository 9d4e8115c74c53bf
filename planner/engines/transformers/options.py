"""Declare the parameters of transformers that change memory, and name the release that was read."""

from __future__ import annotations

import re

from hardware_db.records import frozen
from planner.engines.option_kinds import Choice, Count, Number, Switch, Text
from planner.engines.options import Options, option
from planner.errors import InputError
from planner.provenance import Source
from planner.units import MAX_TOKENS

NEWEST = "5.23.0"
OLDEST = "5.2.0"
READ = "2026-11-21"


def source(where: str) -> Source:
    """Return a rule's source: release and file."""
    return Source(where=f"transformers {NEWEST} {where}", when=READ)


def accelerate_source(where: str) -> Source:
    """Return the same for accelerate, which transformers calls for placement."""
    return Source(where=f"transformers {NEWEST}, accelerate 1.15.0 {where}", when=READ)


def parse_version(text: str) -> tuple[int, int]:
    """Return (major, minor) of a release name such as "5.23.0".

    Raises:
        InputError: not a release name, or older than the first release with this family.
    """
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})(?:\.|$)", text)
    if match is None:
        raise InputError(f"transformers version {text!r} is not a release such as {NEWEST}")
    version = (int(match[1]), int(match[2]))
    if version < (5, 2):
        raise InputError(f"transformers {text} does not know this family; {OLDEST} is the first")
    return version


def is_newer_than_read(text: str) -> bool:
    """Say whether the release is newer than the newest whose code was read."""
    return parse_version(text) > parse_version(NEWEST)


def _release(text: str, what: str) -> str:
    parse_version(text)
    return text


@frozen
class TransformersOptions(Options):
    """Parameters of `from_pretrained` and `generate`; there is no command line, hence no flags."""

    version: str = option(
        NEWEST, Text(checked=_release), meaning="release of transformers that is planned for"
    )
    auto_class: str = option(
        "AutoModelForImageTextToText",
        Choice(choices=("AutoModelForImageTextToText", "AutoModelForCausalLM")),
        meaning="class that loads the model",
        memory="AutoModelForCausalLM leaves the vision tower out",
    )
    device_map: str = option(
        "auto",
        Choice(choices=("auto", "sequential", "cuda")),
        meaning='"auto" balances layers over the GPUs, then RAM; "sequential" fills GPU by GPU;'
        ' "cuda" puts everything on the first GPU',
        memory="where weights lie",
    )
    max_memory_gpu: float | None = option(
        None,
        Number(),
        meaning="accelerate's `max_memory` per GPU, GiB of weights",
        memory="bounds the weights on each GPU",
        default_words="what is free",
    )
    max_memory_cpu: float | None = option(
        None,
        Number(),
        meaning="accelerate's `max_memory` of the host, GiB of weights; 0 offloads nothing",
        memory="bounds the weights in RAM",
        default_words="the RAM, where it is known",
    )
    cache_implementation: str = option(
        "dynamic",
        Choice(choices=("dynamic", "static")),
        meaning='"dynamic" grows with every token, "static" is allocated at once',
        memory="a dynamic cache copies one layer's keys or values as it grows",
    )
    prefill_chunk_size: int | None = option(
        None,
        Count(most=MAX_TOKENS),
        meaning="tokens of the prompt per forward pass",
        memory="smaller chunks take a smaller activation peak",
        default_words="the whole prompt in one pass",
    )
    attn_implementation: str = option(
        "sdpa",
        Choice(choices=("sdpa", "flash_attention_2", "eager")),
        meaning="attention kernels",
        memory="eager keeps the whole attention matrix",
    )
    flash_linear_attention: bool = option(
        False,
        Switch(),
        meaning="the package of that name (fla) is installed",
        memory="without it DeltaNet prefill runs in plain PyTorch, slower and with a larger peak",
    )
