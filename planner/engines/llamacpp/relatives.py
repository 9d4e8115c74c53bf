"""Say what programs that run llama.cpp under flags of their own are told, as llama-server's words.

Source: the code of KoboldCpp 1.117.1 (koboldcpp.py) and RamaLama 0.25.0 (plugins/runtimes/inference);
of the others (llamafile, LM Studio's `lms`, Docker Model Runner, llama-bench) help texts and
documentation, autumn 2026. Their buffers are llama.cpp's where their release is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType

from hardware_db.records import frozen
from planner.engines.words import is_flag

_SINGLE = MappingProxyType({"-p": 512, "-n": 128, "-d": 0})
"""Tokens that llama-bench computes and makes where it is not told."""


@frozen
class Relative:
    """A program that runs llama.cpp.

    Attributes:
        title: its name as users read it.
        verbs: words behind its name that load a model; empty where it has none.
        flags: its flags -> llama-server's; None: known, and nothing in memory.
        switches: those of its flags that take no value.
        context: tokens where it is not told.
        read: where that stands.
        values: values of its flags -> llama-server's, where they have other names.
        passed: switches of its own -> llama-server's words.
        own: it takes llama.cpp's own flags.
    """

    title: str
    verbs: tuple[tuple[str, ...], ...] = ()
    flags: Mapping[str, str | None]
    switches: tuple[str, ...] = ()
    context: int | None = None
    read: str = "its documentation; its code was not read"
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict)
    own: bool = False


RELATIVES: Mapping[str, Relative] = MappingProxyType(
    {
        "koboldcpp": Relative(
            title="KoboldCpp",
            flags={
                "--model": "-m",
                "-m": "-m",
                **dict.fromkeys(("--contextsize", "--ctx-size", "-c"), "-c"),
                **dict.fromkeys(("--gpulayers", "--gpu-layers", "--n-gpu-layers", "-ngl"), "-ngl"),
                **dict.fromkeys(("--moecpu", "--n-cpu-moe", "-ncmoe"), "--n-cpu-moe"),
                **dict.fromkeys(("--blasbatchsize", "--batchsize", "--batch-size", "-b"), "-ub"),
                **dict.fromkeys(
                    ("--tensor_split", "--tensorsplit", "--tensor-split", "-ts"), "-ts"
                ),
                "--quantkv": "-ctk -ctv",
                "--mmproj": "--mmproj",
                "--port": None,
                "--host": None,
                "--threads": None,
            },
            switches=(
                "--usecublas",
                "--usecuda",
                "--usevulkan",
                "--flashattention",
                "--skiplauncher",
                "--quiet",
                "--jinja",
                "--launch",
            ),
            context=12_288,
            read="KoboldCpp 1.117.1",
            values={"--quantkv": {"0": "f16", "1": "q8_0", "2": "q4_0", "3": "bf16"}},
            passed={
                **dict.fromkeys(("--noflashattention", "--no-flash-attn", "-nofa"), "-fa off"),
                **dict.fromkeys(("--lowvram", "--no-kv-offload"), "-nkvo"),
            },
        ),
        "llamafile": Relative(title="llamafile", flags={}, switches=("--server", "--v2"), own=True),
        "lms": Relative(
            title="LM Studio",
            verbs=(("load",),),
            flags={
                "--context-length": "-c",
                "-c": "-c",
                "--parallel": "-np",
                "--gpu": None,
                "--identifier": None,
                "--ttl": None,
            },
            switches=("-y", "--yes", "--exact"),
            context=4096,
        ),
        "docker": Relative(
            title="Docker Model Runner",
            verbs=(("model", "run"), ("model", "pull")),
            flags={"--context-size": "-c"},
            switches=("--debug", "-d", "--detach"),
            context=4096,
        ),
        "ramalama": Relative(
            title="RamaLama",
            verbs=(("serve",), ("run",)),
            flags={
                "--ctx-size": "-c",
                "-c": "-c",
                "--ngl": "-ngl",
                "--ncmoe": "--n-cpu-moe",
                "--port": None,
                "-p": None,
                "--name": None,
                "--temp": None,
                "--threads": None,
            },
            switches=("-d", "--detach"),
        ),
        "llama-bench": Relative(
            title="llama-bench",
            flags={
                "-m": "-m",
                "-hf": "-hf",
                "-ngl": "-ngl",
                "-ub": "-ub",
                "-b": "-b",
                "-fa": "-fa",
            },
        ),
    }
)
"""Name of the program, without its ending -> how it is told what."""

ASSUMED = "q4_k_m"
"""What is downloaded where nobody says which file."""

ASSUMES = ("lms", "docker", "ramalama")
"""Programs that download a file by themselves."""

_ENDINGS = (".exe", ".py", ".llamafile")
_TRANSPORTS = ("ollama://", "hf://", "huggingface://", "docker://")


def relative_of(words: Sequence[str]) -> tuple[str, int] | None:
    """Return the program that `words` begin with, and how many of them name it; None if none does."""
    name = words[0].replace("\\", "/").rpartition("/")[2]
    if name.endswith(".llamafile"):
        return "llamafile", 0
    bare = name
    for ending in _ENDINGS:
        bare = bare.removesuffix(ending)
    known = bare if bare in RELATIVES else bare.partition("-")[0]
    relative = (
        RELATIVES.get(known) if known == bare or known in ("koboldcpp", "llamafile") else None
    )
    if relative is None:
        return None
    if not relative.verbs:
        return known, 1
    found = (verb for verb in relative.verbs if tuple(words[1 : 1 + len(verb)]) == verb)
    verb = next(found, None)
    return None if verb is None else (known, 1 + len(verb))


def as_server(name: str, words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Return llama-server's words, the model where no flag names it, and what to say.

    Args:
        name: the program, as `relative_of` found it.
        words: what stands behind its name.
    """
    relative, queue = RELATIVES[name], list(words)
    found, notes = list[str](), [f"{relative.title}: planned as llama.cpp's llama-server"]
    model: str | None = None
    lengths = dict(_SINGLE)
    if name == "llamafile" and queue and queue[0].endswith(".llamafile"):
        model = queue.pop(0).replace("\\", "/").rpartition("/")[2].replace(".llamafile", ".gguf")
    while queue:
        word, equals, attached = queue.pop(0).partition("=")
        if not is_flag(word):
            if relative.verbs or word.endswith(".gguf"):  # else the value of a switch
                model = model or word
            continue
        if word in relative.switches:
            continue
        if word in relative.passed:
            found += relative.passed[word].split()
            continue
        if relative.own:
            found.append(word + equals + attached)
            if queue and not is_flag(queue[0]) and not equals:
                found.append(queue.pop(0))
            continue
        value = attached if equals else queue.pop(0) if queue and not is_flag(queue[0]) else None
        if name == "llama-bench" and word in lengths and value is not None and value.isdigit():
            lengths[word] = int(value)
        elif word not in relative.flags:
            notes.append(f"{relative.title}'s {word} is not known: it is not planned")
        elif (flags := relative.flags[word]) is not None and value is not None:
            same = relative.values.get(word, {}).get(value, value)
            found += [part for flag in flags.split() for part in (flag, same)]
    if name == "llama-bench":
        found += ["-c", str(max(lengths["-p"], lengths["-n"]) + lengths["-d"]), "-np", "1"]
    elif "-c" not in found and relative.context is not None:
        found += ["-c", str(relative.context)]
        notes.append(
            f"the context is not said: planned with {relative.context:,} tokens ({relative.read})"
        )
    if "-np" not in found:
        found += ["-np", "1"]
    return found, None if model is None else _plain(name, model), notes


def _plain(name: str, model: str) -> str:
    """Return a model without the transport in front; one of Docker's library as a repository's file."""
    for transport in _TRANSPORTS:
        model = model.removeprefix(transport)
    if name != "docker" or not model.startswith("ai/"):
        return model
    family, _, tag = model.removeprefix("ai/").partition(":")
    size, _, quant = tag.partition("-")
    base = f"{family}-{size}" if size and size != "latest" else family
    return f"hf.co/{base}:{quant}" if quant else base
