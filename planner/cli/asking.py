"""Declare the question's parameters once, for every command that asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from shlex import join, quote
from typing import Annotated, Any

import typer

from hardware_db.records import frozen
from planner.asking import as_held, as_said, ask
from planner.cli import terminal
from planner.cli.spellings import SPELLINGS
from planner.engines import ENGINES, FRONTS
from planner.engines.option_kinds import decimal_number
from planner.errors import InputError
from planner.layout import Layout
from planner.question import Question
from planner.secrets import words_without_secrets
from planner.units import shown, ungrouped

_TEXT: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "engine": (
        SPELLINGS["engine"],
        "ENGINE",
        f"Who serves: {', '.join((*ENGINES, *FRONTS))}. Without it: what suits the hardware.",
    ),
    "precision": (
        SPELLINGS["precision"],
        "NAME",
        "How weights are stored: bf16, fp8, nvfp4, gptq-int4, q4_k_m, ...",
    ),
    "revision": (("--revision",), "NAME", "Branch, tag or commit on the Hub."),
    "kv_cache_dtype": (
        SPELLINGS["kv_cache_dtype"],
        "NAME",
        "KV cache: auto, fp8, q8_0, ...",
    ),
    "context": (
        SPELLINGS["context"],
        "TOKENS",
        "Prompt and output of one sequence: 32768, 128k, 1M. Without it: 32k.",
    ),
    "concurrency": (
        SPELLINGS["concurrency"],
        "N",
        "Requests served at once, each at full context. Without it: 1.",
    ),
    "tp": (("--tp",), "N", "Tensor parallel size."),
    "pp": (("--pp",), "N", "Pipeline parallel size."),
    "dp": (("--dp",), "N", "Data parallel size."),
    "dcp": (("--dcp",), "N", "Decode context parallel size."),
    "ram": (("--ram",), "SIZE", "RAM beside the GPUs: 64GB, 128GB DDR5-6000."),
    "ram_bandwidth": (("--ram-bandwidth",), "GB/S", "Nominal bandwidth of that RAM."),
}
_SWITCHES: Mapping[str, tuple[str, str]] = {
    "ep": ("--ep", "Share experts out over ranks."),
    "yarn": ("--yarn", "Allow more than the native context."),
    "free": ("--free", "With --on local: plan with the memory free now."),
}
KEPT = (
    "engine",
    "kv_cache_dtype",
    "context",
    "concurrency",
    "tp",
    "pp",
    "dp",
    "dcp",
    "ep",
    "ram",
    "ram_bandwidth",
    "yarn",
    "free",
)
"""Parameters that a line of the answer is planned with; its checkpoint says the precision."""

_HARDWARE = '"2x rtx-4090", "dgx-spark", "custom:48GiB", "local".'


@frozen
class Typed:
    """What somebody typed of the question; None is what he did not say.

    Attributes:
        model: bundled id, repository, folder or file.
        on: hardware.
        said: the other parameters, by name.
        words: further words: flags as the engine itself spells them.
    """

    model: str | None
    on: str | None
    said: Mapping[str, Any]
    words: tuple[str, ...]

    @property
    def layout(self) -> Layout | None:
        """The layout that the flags ask for; None if they ask for none.

        Raises:
            InputError: a degree is no whole number, or out of range.
        """
        typed = {name: self.number(name) for name in ("tp", "pp", "dp", "dcp")}
        if not self.said["ep"] and all(size is None for size in typed.values()):
            return None
        sizes = {name: 1 if size is None else size for name, size in typed.items()}
        return Layout(
            tensor_parallel=sizes["tp"],
            pipeline_parallel=sizes["pp"],
            data_parallel=sizes["dp"],
            context_parallel=sizes["dcp"],
            expert_parallel=self.said["ep"],
        )

    def number(self, name: str) -> int | None:
        """Return the whole number that was typed for a parameter.

        Raises:
            InputError: it is none.
        """
        text = self.said[name]
        return None if text is None else whole(text, _TEXT[name][0][0])

    @property
    def concurrency(self) -> int:
        """Requests at once; 1 where nobody said.

        Raises:
            InputError: no whole number.
        """
        typed = self.number("concurrency")
        return 1 if typed is None else typed

    @property
    def bandwidth(self) -> float | None:
        """GB/s of the RAM, as typed; None if not.

        Raises:
            InputError: no number.
        """
        text = self.said["ram_bandwidth"]
        return None if text is None else decimal_number(text, "--ram-bandwidth")

    def given(self, *names: str) -> tuple[str, ...]:
        """Return the flags of those parameters that somebody typed."""
        flags = {name: spellings[0] for name, (spellings, _, _) in _TEXT.items()}
        flags |= {name: flag for name, (flag, _) in _SWITCHES.items()}
        return tuple(flags[name] for name in names if self.said[name] not in (None, False))

    @property
    def where(self) -> str:
        """The machine and the workload as they were typed, for a command that takes an alternative."""
        words = ["--on", self.on or ""]
        for name in KEPT:
            for flag in self.given(name):
                value = self.said[name]
                words += [flag] if value is True else [flag, str(value)]
        return " " + join(words_without_secrets([*words, *self.words]))

    @property
    def words_said(self) -> dict[str, Any]:
        """The arguments of `planner.asking.ask`, as far as they were typed.

        Raises:
            PlannerError: a number cannot be read, or a flag is a slip of the hand.
        """
        if self.model is None:
            flag = (
                f" first, then {self.words[0]} and other flags of the engine" if self.words else ""
            )
            on = f" --on {quote(self.on)}" if self.on else ""
            raise InputError(f"name a MODEL{flag}; or let it be chosen: qwenplan recommend{on}")
        if self.words:
            from planner.cli.slips import refuse_slips

            own = [flag for spellings, _, _ in _TEXT.values() for flag in spellings]
            refuse_slips(
                self.words, [*own, "--on", *(flag for flag, _ in _SWITCHES.values())], on=self.on
            )
        named = (
            "engine",
            "precision",
            "revision",
            "kv_cache_dtype",
            "context",
            "yarn",
            "free",
            "ram",
        )
        return {
            "model": self.model,
            "on": self.on or "",
            **{name: self.said[name] for name in named},
            "concurrency": self.concurrency,
            "layout": self.layout,
            "words": self.words,
            "ram_bandwidth": self.bandwidth,
        }

    def searched(self, **more: Any) -> Question:
        """Return the question of a command that prints no launch command.

        Words that would only come back in one are refused.

        Raises:
            PlannerError: as `question`.
        """
        return self.plain(self.question(**more))

    def plain(self, question: Question) -> Question:
        """Return a question none of whose words would only come back in a launch command.

        Raises:
            InputError: such a word.
        """
        from planner.engines import commands

        for flag in commands.strange_flags(question.settled_engine.name, self.words):
            raise InputError(f"unknown flag {flag}")
        return question

    def question(self, **more: Any) -> Question:
        """Return the question, chosen where it is open; `more` are further arguments of `ask`.

        Raises:
            PlannerError: one line that says what is wrong and what would work.
        """
        return self._asked(ask, more)

    def as_said(self) -> Question:
        """Return the question of the very weights that are named.

        Raises:
            PlannerError: one line that says what is wrong and what would work.
        """
        return self._asked(as_said, {})

    def as_held(self) -> Question:
        """Return the question of the weights that are named, or that the named engine holds.

        Raises:
            PlannerError: one line that says what is wrong and what would work.
        """
        return self._asked(as_held, {})

    def _asked(self, door: Callable[..., Question], more: Mapping[str, Any]) -> Question:
        said = self.words_said
        with terminal.progress() as progress:
            return door(**said, progress=progress, **more)


def asks(
    *,
    on: bool = True,
    model: bool = True,
    hardware: str = _HARDWARE,
    leave_out: tuple[str, ...] = (),
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that gives a command the question's parameters before its own.

    Args:
        on: hardware must be named.
        model: a model must be named.
        hardware: help of ``--on``.
        leave_out: parameters that this command does not have.

    The command is called with a `Typed` first.
    """
    unsaid_of_all = [*((name, None) for name in _TEXT), *((name, False) for name in _SWITCHES)]

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        own = list(signature(command, eval_str=True).parameters.values())[1:]

        def run(typer_context: typer.Context, **typed: Any) -> int:
            words = tuple(typer_context.args)
            name = typed.pop("model")
            if on and typed["on"] is None:
                raise InputError(
                    "name the hardware with --on, such as --on rtx-4090 or --on '2x h100'"
                    " (list all: qwenplan hardware)"
                )
            if name is not None and name.startswith("-"):
                words, name = (name, *words), None
            if words and not words[0].startswith("-"):
                raise InputError(
                    f"{shown(words[0])} belongs to no flag; a name of several words stands in quotes"
                    " (--on 'm4 pro'), a format behind --precision"
                )
            asked = Typed(
                model=name,
                on=typed.pop("on"),
                said={key: typed.pop(key, unsaid) for key, unsaid in unsaid_of_all},
                words=words,
            )
            return command(asked, **typed)

        leading = [parameter for parameter in own if _is_argument(parameter)]
        shared = _parameters(on=on, model=model, hardware=hardware)
        parameters = [
            shared[0],
            *leading,
            *(parameter for parameter in shared[1:] if parameter.name not in leave_out),
            *(parameter for parameter in own if parameter not in leading),
        ]
        parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate


def _is_argument(parameter: Parameter) -> bool:
    """Say whether a parameter is a positional argument of the command line."""
    kinds = getattr(parameter.annotation, "__metadata__", ())
    return any(isinstance(kind, type(typer.Argument())) for kind in kinds)


def _parameters(*, on: bool, model: bool, hardware: str) -> list[Parameter]:
    """Return the parameters as typer reads them from a signature."""

    def named(name: str, annotation: Any, default: Any) -> Parameter:
        return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)

    place = typer.Argument(metavar="MODEL", help="Bundled id, repository, folder or file.")
    needed = f"{hardware}  [required]" if on else hardware  # said by `run`, with an example
    where = typer.Option("--on", metavar="HARDWARE", help=needed)
    found = [
        Parameter("typer_context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        named(
            "model",
            Annotated[str, place] if model else Annotated[str | None, place],
            Parameter.empty if model else None,
        ),
        named("on", Annotated[str | None, where], None),
    ]
    for name, (flags, metavar, words) in _TEXT.items():
        option = typer.Option(*flags, metavar=metavar, help=words)
        found.append(named(name, Annotated[str | None, option], None))
    for name, (flag, words) in _SWITCHES.items():
        found.append(named(name, Annotated[bool, typer.Option(flag, help=words)], False))
    return found


def whole(text: str, what: str) -> int:
    """Return the whole number that somebody wrote.

    Raises:
        InputError: it is none.
    """
    try:
        return int(ungrouped(text))
    except ValueError:
        several = "; several are for qwenplan sweep" if "," in text else ""
        raise InputError(f"{what} must be a whole number, got {text!r}{several}") from None
