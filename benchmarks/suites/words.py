"""What the cases' words mean in the planner's words: the one translation, used by every suite.

Names that the planner reads itself (models, schemes, engines, hardware, cache formats, flags) go
to its own readers; the tables hold only words that no user of the planner would type. A word that
says less than the planner needs is a LookupError: the case cannot be asked.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from hardware_db import Figure, HardwareError, System, resolve
from planner.engines import FACES, get_engine
from planner.engines.command import Command
from planner.engines.commands import read_words
from planner.engines.options import build
from planner.errors import InputError, PlannerError
from planner.formats.cache import get_cache_format
from planner.formats.weights import get_format
from planner.model.catalog import catalog, find
from planner.model.checkpoint import Checkpoint
from planner.model.hf_config import read_config
from planner.model.quantization import Scheme, get_scheme
from planner.model.quantization_config import read_quantization
from planner.model.spec import ModelSpec

# ---------------------------------------------------------------- models

_NOTE = re.compile(r"\s*\(.*\)\s*$")
_MODEL = re.compile(
    r"Qwen3(?:\.\d+)?-(?:Coder-Next|Next-80B-A3B(?:-Instruct|-Thinking)?|[\d.]+[BT](?:-A\d+B)?)",
    re.IGNORECASE,
)
# Of a series that the source leaves open ("3.x") the oldest is asked: they are of one shape.
_OPEN_SERIES = re.compile(r"Qwen3\.(?:x|5/3\.6)", re.IGNORECASE)


@cache
def _documents(folder: Path) -> dict[str, dict[str, Any]]:
    for place in (folder, folder.parent / "facts", folder / "facts"):
        path = place / "models.json"
        if path.is_file():
            rows = json.loads(path.read_text("utf-8"))["models"]
            return {row["id"].lower(): row for row in rows}
    return {}


def model_named(name: str, folder: Path) -> ModelSpec:
    """Return the architecture that a case calls `name`: bundled, or of models.json beside it.

    Raises:
        LookupError: it is neither.
    """
    found = find(name) or find(_bare_model(name))
    if found is not None:
        return found[0].model
    row = _documents(folder).get(name.rpartition("/")[2].lower())
    if row is None:
        raise LookupError(f"model {name} is neither bundled nor in models.json")
    stored_as_float32 = str(row.get("fp32_tensors") or "").startswith("A_log")
    return read_config(
        row["hf_config"],
        name=row.get("repo", row["id"]),
        mtp_shipped=row.get("mtp_in_checkpoint"),
        float32_components=("gdn.A_log", "gdn.norm") if stored_as_float32 else (),
    )


def _bare_model(name: str) -> str:
    """The model inside a checkpoint's name; a size alone ("397B") is the one model of that size."""
    match = _MODEL.search(_OPEN_SERIES.sub("Qwen3.5", _NOTE.sub("", name)))
    if match is None or find(match[0]) is not None:
        return match[0] if match else name
    longer = [entry.id for entry in catalog() if entry.id.rpartition("/")[2].startswith(match[0])]
    return longer[0] if len(longer) == 1 else match[0]


def checkpoint_named(name: str, folder: Path, *, scheme: str | Scheme = "bf16") -> Checkpoint:
    """Return a checkpoint of the model that a case calls `name`, stored in `scheme`."""
    stored = get_scheme(scheme) if isinstance(scheme, str) else scheme
    model = model_named(name, folder)
    return Checkpoint(id=model.name, model=model, scheme=stored, source="reference case")


def configured(name: str, folder: Path, quantization: Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint whose scheme is what this ``quantization_config`` says."""
    scheme = read_quantization({"quantization_config": dict(quantization)}, name=name)
    if scheme is None:
        raise LookupError(f"the quantization_config of {name} says nothing")
    return checkpoint_named(name, folder, scheme=scheme)


# ---------------------------------------------------------------- engines, releases

_ENGINES = (
    ("ollama (mlx)", "mlx"),
    ("llama*", "llamacpp"),
    ("mlx-vlm", "mlx-vlm"),
    ("*mlx*", "mlx"),
    ("qwisp", "mlx"),
    ("*ktransformers*", "ktransformers"),
    ("*sglang-kt*", "ktransformers"),
    ("*llama.cpp*", "llamacpp"),
    ("koboldcpp*", "llamacpp"),
    ("*vllm*", "vllm"),
    ("*sglang*", "sglang"),
    ("tensorrt-llm*", "tensorrt-llm"),
    ("transformers*", "transformers"),
)
_BUILD = re.compile(r"\bb\d{4,5}\b")
"""A build of llama.cpp."""

_RELEASE = re.compile(r"(?<![\d.-])(\d+)\.(\d+)(?:\.(\d+))?(?!\d)")
_MONTH = re.compile(r"(20\d\d-\d\d)")
_OLDEST = (0, 17, 0)

BUILDS = {"2026-04": "0.19.0", "2026-05": "0.21.0", "2026-06": "0.23.0", "2026-09": "0.27.0"}
"""A build of the main branch, told by its month, -> the release whose rules are nearest: as the
sources that name both month and release say."""


def engine_named(text: str | None) -> str:
    """Return the planner's name of an engine; a name of its own where the planner has none.

    Raises:
        LookupError: none is named.
    """
    if not text:
        raise LookupError("the engine is not told")
    try:
        return get_engine(_NOTE.sub("", text)).name
    except InputError:
        pass
    for pattern, name in _ENGINES:
        if fnmatchcase(text.lower(), pattern):
            return name
    return _NOTE.sub("", text).strip().lower()


def release_of(text: str | None) -> str | None:
    """Return the release whose rules a build follows; None where nothing is told.

    A pre-release, or a build "about" a release, is a build of the main branch before it: it
    follows the release before.
    """
    if text is None:
        return None
    build = _BUILD.search(text)
    if build is not None:
        return build[0]
    found = _RELEASE.search(text)
    if found is None:
        month = _MONTH.search(text)
        return BUILDS.get(month[1]) if month else None
    version = int(found[1]), int(found[2]), int(found[3] or 0)
    early = "~" in text or "rc" in text or "dev" in text
    if early and version < (0, 2, 0):
        return None  # a local build that carries no release's number
    if early and version[2] > 0 and version > _OLDEST:
        version = (version[0], version[1], version[2] - 1)
    return ".".join(str(part) for part in version)


# ---------------------------------------------------------------- machines

_SIZE = re.compile(r"(\d+)\s*(GB|GiB)", re.IGNORECASE)
_PARENTHESES = re.compile(r"\(([^)]*)\)")
_SPLIT = re.compile(r"[,/]| or ")
_AT_END = re.compile(r"([\s-]*\d+\s*(GB|GiB)\+?| class)$", re.IGNORECASE)
_COUNT = re.compile(r"^\d+\s*[x×]\s*")


def system_named(text: str | None, count: int = 1) -> System:
    """Return `count` of the accelerators that a source calls `text`, or of its memory alone.

    Raises:
        LookupError: no name in the text is known, and no memory is told.
    """
    for name in _machine_names(text or ""):
        unequal = count > 1 and "+" in name
        system = _resolved(name if unequal else f"{count}x {name}")
        # A system of several accelerators would be meant as a whole, which `count` contradicts.
        if system is not None and system.count == count:
            return system
    size = _SIZE.search(text or "")
    if size is None:
        raise LookupError(f"hardware {text!r} cannot be told")
    return resolve(f"{count}x custom:{size[1]}{size[2]}")


@cache
def _resolved(name: str) -> System | None:
    """Return the system of that name, None where it is unknown (looking in vain takes long)."""
    try:
        return resolve(name)
    except HardwareError:
        return None


def accelerator_named(text: str | None) -> str:
    """Return the database's id of the accelerator that a source means.

    Raises:
        LookupError: it cannot be told, or only its memory is.
    """
    name = _COUNT.sub("", (text or "").strip())
    accelerator = system_named(name).accelerator if "+" not in name else None
    if accelerator is None or accelerator.vendor == "custom":
        raise LookupError(f"hardware {text!r} of the source cannot be told")
    return accelerator.id


def with_memory(system: System, gib: float, source: str) -> System:
    """Return `system` with the memory per accelerator that a source measured."""
    figure = Figure(value=round(gib * 1024), source=source, grade="A")
    accelerator = dataclasses.replace(
        system.accelerator, memory_cuda_mib=figure, memory_cuda_wddm_mib=figure
    )
    return dataclasses.replace(system, accelerator=accelerator)


def _machine_names(text: str) -> Iterator[str]:
    plain = _PARENTHESES.sub(" ", text).strip()
    inside = [part for p in _PARENTHESES.findall(text) for part in _SPLIT.split(p)]
    for candidate in (text, plain, *inside, plain.partition(": ")[2]):
        name = candidate.strip()
        if not name or _SIZE.fullmatch(name):
            continue
        yield name
        words = _AT_END.sub("", name).split()
        if "+" in words:
            continue  # two kinds at once: no name of one
        yield from (" ".join(words[:count]) for count in range(len(words), 1, -1))


# ---------------------------------------------------------------- caches

_CACHES = {
    "tq4bit": "turboquant_4bit_nc",
    "turboquant_3bit": "turboquant_3bit_nc",
    "kv4": "mlx-4bit-g64",
    "kv2": "mlx-2bit-g64",
    "q8": "q8_0",
    "q4_0/q8_0 (varies)": "q8_0",
    "auto(bf16)": "bfloat16",
    "fp32": "float32",
}


def cache_named(text: str | None) -> str:
    """Return the dtype that a source says of a KV cache or state; unsaid is "auto".

    Raises:
        LookupError: the planner knows none of that name.
    """
    name = (text or "auto").strip().lower()
    name = _CACHES.get(name) or _CACHES.get(_NOTE.sub("", name), _NOTE.sub("", name))
    if name == "auto":
        return name
    for lookup in (get_cache_format, get_format):  # MLX keeps caches in formats of weights
        try:
            return lookup(name).name
        except PlannerError:
            continue
    raise LookupError(f"KV cache dtype {text!r} of the source is not one that the planner knows")


# ---------------------------------------------------------------- flags

_MODEL_FLAGS = {"sglang": "--model-path", "ktransformers": "--model-path", "llamacpp": "-hf"}
"""Engines whose program takes the model behind a flag."""


def flag_words(flags: Mapping[str, Any]) -> list[str]:
    """Return arguments by name as the words of a command line."""
    words: list[str] = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif value is not None:
            words += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def command_of(engine: str, model: str, words: list[str]) -> Command:
    """Return what the words behind `engine`'s program mean, as the planner itself reads them.

    Words of an engine whose commands are not read are left unread.

    Raises:
        PlannerError: a flag or value that it refuses, or an engine that it does not know.
    """
    if FACES[get_engine(engine).name].command is None:
        return Command(model=model)
    front = [_MODEL_FLAGS[engine], model] if engine in _MODEL_FLAGS else [model]
    return read_words(engine, [*front, *words])


def options_of(engine: str, command: Command, *, version: str | None = None, **changes: Any) -> Any:
    """Return the options of a command under a release's rules, with `changes`, checked as a user's.

    Raises:
        LookupError: the planner has no such option.
        PlannerError: a value out of range.
    """
    kind = get_engine(engine).options_type
    names = {field.name for field in dataclasses.fields(kind)}
    if version is not None and "version" in names:
        changes["version"] = version
    if unknown := changes.keys() - names:
        raise LookupError(f"{engine} has no option {', '.join(sorted(unknown))} in the planner")
    return build(engine, kind, {**command.options, **changes})
