"""Tell an engine's options from their declarations: for a terminal, and as a page of the docs."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from planner.engines import ENGINES
from planner.engines.options import Option, declared

WIDTH = 90
"""Columns of an explanation."""


def options_text(engine: str) -> str:
    """Return the options of `engine`: flags, values, default, meaning and what they do to memory."""
    lines = [f"Options of {ENGINES[engine].title}:"]
    for option in declared(ENGINES[engine].options_type).values():
        lines += [f"  {_spelled(option)}"]
        lines += [f"      {line}" for line in wrap(_meaning(option), WIDTH)]
    return "\n".join(lines)


def options_markdown() -> str:
    """Return the options of every engine as a Markdown page."""
    lines = [
        "# Options of the engines",
        "",
        "Made from the declarations in `planner/engines/*/options.py` by"
        " `python -m planner.report.options`.",
    ]
    for engine in ENGINES.values():
        lines += ["", f"## {engine.title} (`--engine {engine.name}`)", ""]
        lines += ["| option | default | meaning | memory |", "|---|---|---|---|"]
        lines += [_row(option) for option in declared(engine.options_type).values()]
    return "\n".join(lines) + "\n"


def _row(option: Option) -> str:
    flags = ", ".join(f"`{flag}`" for flag in _flags(option))
    cells = (flags, _default(option), _values(option), option.memory)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _values(option: Option) -> str:
    known = ", ".join(option.kind.choices)
    return f"{option.meaning} ({known})" if known else option.meaning


def _spelled(option: Option) -> str:
    word = "" if option.is_switch else f" {option.kind.word}"
    return f"{', '.join(_flags(option))}{word}"


def _flags(option: Option) -> tuple[str, ...]:
    """Return the spellings; an option without a flag of the engine's own is typed by its name."""
    return (*option.flags, *option.off) or (f"--{option.name.replace('_', '-')}",)


def _default(option: Option) -> str:
    if option.default_words:
        return option.default_words
    if option.default is None or option.default == ():
        return ""
    if option.is_switch:
        return "on" if option.default else "off"
    return str(option.default)


def _meaning(option: Option) -> str:
    def parts() -> Iterator[str]:
        yield _values(option)
        if option.memory:
            yield f"memory: {option.memory}"
        if default := _default(option):
            yield f"default: {default}"

    return "; ".join(parts())


if __name__ == "__main__":
    print(options_markdown(), end="")  # noqa: T201 (a program that writes its page)
