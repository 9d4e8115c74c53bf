"""One deployment in one line, for lists of them and for the address.

Qwen3.5-27B fp8 on 2x rtx-4090 with vllm 64k x4 kv=fp8 tp=2 gpu_memory_utilization=0.9
"""

from __future__ import annotations

import re
from typing import Any

from planner.engines import ENGINES
from planner.errors import InputError
from planner.units import check_count, parse_tokens
from planner.web import choices
from planner.web.asked import Asked, OptionValue
from planner.web.engine_options import option_fields

LONGEST = 300
_LINE = re.compile(
    r"(?P<model>\S+)(?: (?P<precision>\S+))? on (?P<count>\d{1,6})x (?P<on>\S+)"
    r" with (?P<engine>\S+) (?P<context>\S+) x(?P<concurrency>\d{1,7})(?P<more>(?: \S+)*)"
)
_DEGREES = ("tp", "pp", "dp")


def line_of(question: Asked) -> str:
    """`question` in one line; hardware of the visitor's own machine is not carried."""
    on = question.on
    if on == choices.CUSTOM and question.memory_gib:
        on = f"custom:{question.memory_gib:g}GiB"
    words = [question.model, *([question.precision] if question.precision else [])]
    words += ["on", f"{question.count}x", on, "with", question.engine]
    words += [question.context.strip().replace(" ", ""), f"x{question.concurrency}"]
    if question.kv_cache_dtype != "auto":
        words.append(f"kv={question.kv_cache_dtype}")
    pairs = zip(_DEGREES, question.degrees, strict=True)
    words += [f"{name}={degree}" for name, degree in pairs if degree]
    words += ["ep"] if question.experts else []
    words += ["yarn"] if question.yarn else []
    words += [f"{name}={value}" for name, value in question.options]
    return " ".join(words)


def question_of_line(line: str, *, hub: bool = False) -> Asked:
    """The question that `line_of` wrote, or that somebody typed.

    Raises:
        InputError: it cannot be read; the text says how it is written.
    """
    match = _LINE.fullmatch(" ".join(line.split())) if len(line) <= LONGEST else None
    if match is None:
        raise InputError(
            "a deployment is written like: Qwen3.5-27B fp8 on 2x rtx-4090 with vllm 64k x4"
        )
    engine = match["engine"].lower()
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    parse_tokens(match["context"])
    on, memory = match["on"], None
    size = re.fullmatch(r"custom:(\d{1,5}(?:\.\d{1,3})?)GiB", on, re.IGNORECASE)
    if size:
        on, memory = choices.CUSTOM, float(size[1])
    rest = _more(match["more"].split(), engine)
    return Asked(
        model=match["model"],
        precision=match["precision"],
        on=on,
        count=check_count(int(match["count"]), what="count"),
        memory_gib=memory,
        engine=engine,
        context=match["context"],
        concurrency=check_count(int(match["concurrency"]), what="concurrency"),
        hub=hub,
        **rest,
    )


def _more(words: list[str], engine: str) -> dict[str, Any]:
    known = {field.name: field for field in option_fields(engine)}
    found: dict[str, Any] = {}
    degrees = dict.fromkeys(_DEGREES, 0)
    options: list[tuple[str, OptionValue]] = []
    for word in words:
        name, _, value = word.partition("=")
        if word in ("ep", "yarn"):
            found["experts" if word == "ep" else "yarn"] = True
        elif name == "kv":
            found["kv_cache_dtype"] = value
        elif name in degrees:
            degrees[name] = _number(name, value, int)
        elif name in known:
            options.append((name, _value(name, value, known[name].kind)))
        else:
            raise InputError(f"{word}: not understood; see the options of {engine}")
    tp, pp, dp = (degrees[name] for name in _DEGREES)
    return found | {"degrees": (tp, pp, dp), "options": tuple(options)}


def _value(name: str, text: str, kind: type) -> OptionValue:
    if kind is bool:
        if text not in ("True", "False"):
            raise InputError(f"{name} must be True or False, got {text!r}")
        return text == "True"
    return text if kind is str else _number(name, text, kind)


def _number(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except (ValueError, OverflowError):
        raise InputError(f"{name} must be a number, got {text!r}") from None
