"""Find engines by name: who allocates memory, each by its own rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TypeVar

from planner.engines.engine import Allocation, AnyEngine, Deployment
from planner.engines.face import Face, InFront
from planner.errors import InputError
from planner.units import check_text, letters, shown

T = TypeVar("T")


_PLACES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "vllm": ("vllm", "VLLM"),
        "sglang": ("sglang", "SGLANG"),
        "llamacpp": ("llamacpp", "LLAMACPP"),
        "transformers": ("transformers", "TRANSFORMERS"),
        "mlx": ("mlx", "MLX"),
        "tensorrt-llm": ("tensorrt_llm", "TENSORRT_LLM"),
        "ktransformers": ("ktransformers", "KTRANSFORMERS"),
    }
)
"""Name -> (package, name of the policy in it)."""


class _Lazily(Mapping[str, T]):
    """Something of every engine by name, loaded when it is first asked for.

    A plan needs one engine; the others stay unloaded.
    """

    def __init__(self, load: Callable[[str, str], T]) -> None:
        self._load = load
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(*_PLACES[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


def _engine(package: str, policy: str) -> AnyEngine:
    engine: AnyEngine = getattr(import_module(f"{__name__}.{package}"), policy)
    return engine


def _face(package: str, policy: str) -> Face:
    face: Face = import_module(f"{__name__}.{package}.talk").FACE
    return face


ENGINES: Mapping[str, AnyEngine] = _Lazily(_engine)
"""Every engine, by the name that users type."""

FACES: Mapping[str, Face] = _Lazily(_face)
"""How every engine is talked to, by the same names."""


FRONTS: Mapping[str, str] = MappingProxyType(
    {"ollama": "llamacpp", "lmstudio": "llamacpp", "jan": "llamacpp", "koboldcpp": "llamacpp"}
)
"""Programs that run one of the engines inside, by their name without spaces -> that engine."""


FRONT_TITLES: Mapping[str, str] = MappingProxyType(
    {"ollama": "Ollama", "lmstudio": "LM Studio", "jan": "Jan", "koboldcpp": "KoboldCpp"}
)
"""The same programs -> their names as people write them."""


def title_of(name: str) -> str:
    """Return what people read for an engine or a program that runs one inside.

    Raises:
        InputError: no such engine.
    """
    return FRONT_TITLES.get(letters(name)) or get_engine(name).title


def get_engine(name: str) -> AnyEngine:
    """Return the engine called `name`; of a program that runs one inside, that one.

    Raises:
        InputError: no such engine; the line lists those that exist by their names, which are understood, too.
    """
    wanted = letters(check_text(name, what="engine"))
    for known in ENGINES:
        if letters(known) == wanted:
            return ENGINES[known]
    if wanted in FRONTS:
        return ENGINES[FRONTS[wanted]]
    titles = ", ".join([*(engine.title for engine in ENGINES.values()), *FRONT_TITLES.values()])
    raise InputError(f"unknown engine {shown(name)}; known: {titles}")


def front_name(name: str | None) -> str | None:
    """Return the key of a program that runs an engine inside, however spelled; None for an engine."""
    plain = "" if name is None else letters(name)
    return plain if plain in FRONTS else None


def front_notes(front: str | None) -> tuple[str, ...]:
    """Return what to tell about a program that runs an engine inside, as notes of a question.

    Args:
        front: its key in `FRONTS`; None where none was named.
    """
    if front is None:
        return ()
    title, server = FRONT_TITLES[front], ENGINES[FRONTS[front]].title
    return (
        f"{title} runs {server} inside: planned as {server}'s own server, which is told where layers"
        f" lie; left alone, {title} places them by rules of its own",
    )


def front_words(
    front: str | None, engine: str, deployment: Deployment, allocation: Allocation | None
) -> InFront:
    """Return what to tell a program that runs an engine inside, and what of a plan is not its own.

    Nothing where no such program was named, or another engine is planned.

    Args:
        front: its key in `FRONTS`.
        engine: name of the engine that is planned.
        deployment: what is planned.
        allocation: what the engine makes of that, if it takes it.
    """
    if front is None or FRONTS.get(front) != engine or allocation is None:
        return InFront()
    return FACES[engine].front(FRONT_TITLES[front], deployment, allocation)
