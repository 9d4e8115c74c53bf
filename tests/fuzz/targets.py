"""What strangers hand over, and what reads it: each kind as bytes made by dice and a reader of them.

`test_fuzz.py` lets hypothesis throw the dice, `many.py` throws them a million times or lets atheris
choose the bytes; what once broke a reader is kept in `corpus/` and read in every run of the tests.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import hardware_db
import planner
from hardware_db.building import load_file
from planner.document import plan_document
from planner.engines import ENGINES
from planner.engines.commands import read_command
from planner.logs import read_log
from planner.model import gguf, safetensors
from planner.model.headers import parse_json
from planner.model.hf_config import read_config
from planner.model.parameters import count_parameters
from planner.model.quantization_config import read_quantization
from planner.patterns import read_glob, read_pattern
from planner.units import parse_bytes, parse_tokens
from planner.web import address
from planner.web.asked import Asked
from tests.fuzz import valid
from tests.fuzz.given import own_errors_only
from tests.fuzz.mutation import mutated, mutated_bytes, mutated_json, mutated_text, odd
from tests.model.builders import DTYPE_BYTES, GGML, Stub, Tensors
from tests.model.builders import gguf as gguf_file
from tests.model.builders import safetensors as safetensors_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of input.

    Attributes:
        make: an input, by dice.
        read: hands it over; raises where something else comes out than an answer or a refusal.
        share: inputs in relation to other kinds: parsers get more, whole plans less.
    """

    make: Callable[[Random], bytes]
    read: Callable[[bytes], None]
    share: float = 1.0


# ---------------------------------------------------------------- readers of bytes and texts


def _header(reader: Any, stub: Stub) -> Callable[[bytes], None]:
    """Return what reads a file of the stub's data that begins otherwise."""

    def read_whole(content: bytes) -> None:
        size = stub.size - len(stub.head) + len(content)

        def read(offset: int, length: int) -> bytes:
            assert offset + length <= size
            return Stub(content, size).slice(offset, offset + length)

        own_errors_only(lambda: reader.read_header(read, size, "x"))

    return read_whole


def _read_config(content: bytes) -> None:
    def counted() -> object:
        document = parse_json(content, "config.json")
        model = read_config(document, name="x")
        scheme = read_quantization(document, name="x")
        return count_parameters(model), scheme.store(model) if scheme is not None else None

    own_errors_only(counted)


def _read_hardware(content: bytes) -> None:
    path = Path(_folder().name) / "hardware.toml"
    path.write_bytes(content)
    own_errors_only(lambda: load_file(path))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """One for the whole run: making and removing a folder takes longer than most readings."""
    return tempfile.TemporaryDirectory()


def _texts(*readers: Callable[[str], object]) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        text = content.decode("utf-8", "replace")
        for reader in readers:
            own_errors_only(lambda reader=reader: reader(text))  # type: ignore[misc]

    return read


def _read_address(text: str) -> object:
    """Read a page's address down to what each field says; written again, it says the same."""
    asked, _ = address.read(dict(parse_qsl(text)), Asked(on="h100-sxm"))
    for part in ("number", "tokens", "concurrency", "degrees", "policy", "option_values", "wish"):
        own_errors_only(partial(getattr, asked, part))
    own_errors_only(lambda: asked.system_of(None))
    again, _ = address.read(address.words_of(asked), Asked(on="h100-sxm"))
    assert again == asked
    return asked


_MODULE = "model.language_model.layers.17.mlp.experts.103.gate_up_proj"
_LETTERS = "ab.*+?{}()[]|\\^$,1d<=!:P-"


def _pattern(dice: Random) -> bytes:
    if dice.randrange(3) == 0:
        return mutated_text(dice, dice.choice(valid.HOSTILE)).encode("utf-8", "replace")
    return "".join(dice.choice(_LETTERS) for _ in range(dice.randrange(40))).encode()


def _text_of(*texts: str) -> Callable[[Random], bytes]:
    return lambda dice: mutated_text(dice, dice.choice(texts)).encode("utf-8", "replace")


def _address(dice: Random) -> bytes:
    words = dice.choice(valid.ADDRESSES).replace("&", " ")
    return mutated_text(dice, words).replace(" ", "&").encode("utf-8", "replace")


def _config(dice: Random) -> bytes:
    return mutated_json(dice, dice.choice(tuple(valid.CONFIGS.values())))


def _quantized(dice: Random) -> bytes:
    """A config whose quantization is changed and carries patterns that keep `re` busy for hours."""
    found = mutated(dice, dice.choice(valid.QUANTIZED))
    hostile = [dice.choice(valid.HOSTILE) for _ in range(dice.randrange(4))]
    for key, value in found.items():
        if isinstance(value, list) and "block" not in key:
            value += hostile
        elif isinstance(value, dict) and key in ("dynamic", "extra_config"):
            value |= {text.removeprefix("re:"): {"bits": 8} for text in hostile}
    return json.dumps({**valid.FOUR_LAYERS, "quantization_config": found}).encode()


# ---------------------------------------------------------------- down to a whole plan


def _planned(folder: Path, content: bytes) -> None:
    """Plan a folder's model on an engine that the content itself chooses."""
    names = sorted(ENGINES)
    engine = names[zlib.crc32(content) % len(names)]
    plan = planner.plan(str(folder), on="2x h100-sxm", engine=engine, context="8k")
    json.dumps(plan_document(plan), allow_nan=False)


def _plan_config(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_bytes(content)
        own_errors_only(lambda: _planned(Path(folder), content))


def _small_config(dice: Random) -> bytes:
    document = mutated(dice, dice.choice((valid.FOUR_LAYERS, valid.SMALL, valid.MOE)))
    if isinstance(document, dict) and dice.randrange(3) == 0:
        document["quantization_config"] = mutated(dice, dice.choice(valid.QUANTIZED))
    return json.dumps(document).encode()


def _tensors(dice: Random, tensors: Tensors, types: tuple[str, ...]) -> Tensors:
    """Return `tensors` with some renamed, left out, reshaped or stored otherwise."""
    changed = dict(tensors)
    for name in dice.sample(sorted(tensors), dice.randrange(6)):
        kind, shape = changed.pop(name)
        action = dice.randrange(5)
        if action == 0:
            continue
        if action == 1:
            name = mutated_text(dice, name.replace(".", " ")).replace(" ", ".")
        elif action == 2:
            kind = dice.choice(types)
        elif action == 3:
            shape = tuple(size * dice.choice((0, 1, 2, 32)) for size in shape)
        else:
            shape = (*shape, dice.choice((1, 2, 32))) if dice.randrange(2) else shape[:-1]
        changed[name] = (kind, shape)
    return changed


def _file(stub: Stub, dice: Random) -> bytes:
    """The head of a file with its size before it; one of four has its bytes changed, too."""
    head = stub.head if dice.randrange(4) else mutated_bytes(dice, stub.head)
    return stub.size.to_bytes(8, "little") + head


def _safetensors(dice: Random) -> bytes:
    found = _tensors(dice, valid.MODEL_TENSORS, tuple(DTYPE_BYTES))
    return _file(safetensors_file(found, {"format": "pt"}), dice)


def _gguf(dice: Random) -> bytes:
    pairs = dict(valid.GGUF_PAIRS)
    for key in dice.sample(sorted(pairs), dice.randrange(3)):
        value = odd(dice)
        kept = isinstance(value, bool | str) or (type(value) is int and 0 <= value < 2**32)
        pairs[key] = value if kept else dice.randrange(2**32)
        if dice.randrange(3) == 0:
            del pairs[key]
    return _file(gguf_file(pairs, _tensors(dice, valid.GGUF_TENSORS, tuple(GGML))), dice)


def _plan_file(name: str, config: bytes | None) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        size, head = int.from_bytes(content[:8], "little"), content[8:]
        with tempfile.TemporaryDirectory() as folder:
            if config is not None:
                (Path(folder) / "config.json").write_bytes(config)
            with (Path(folder) / name).open("wb") as file:
                file.write(head)
                file.truncate(max(min(size, 2**40), len(head)))
            own_errors_only(lambda: _planned(Path(folder), content))

    return read


_ARGUMENTS: dict[str, Any] = {
    "model": "Qwen3.5-0.8B",
    "on": "2x rtx-4090",
    "engine": "vllm",
    "precision": "bf16",
    "context": "8k",
    "concurrency": 4,
    "kv_cache_dtype": "auto",
    "yarn": False,
    "ram": "64GB DDR5-6000",
    "ram_bandwidth": 90.0,
    "objective": "latency",
    "revision": None,
    "options": {},
}


def _arguments(dice: Random) -> bytes:
    found = {**_ARGUMENTS, "engine": dice.choice(sorted(ENGINES))}
    return json.dumps(mutated(dice, found)).encode()


def _plan_arguments(content: bytes) -> None:
    said = json.loads(content)
    given = {"model": None, "on": None, **(said if isinstance(said, dict) else {})}
    known = {name: value for name, value in given.items() if name in _ARGUMENTS}

    def question() -> object:
        return json.dumps(plan_document(planner.plan(**known)), allow_nan=False)

    own_errors_only(question)


TARGETS: dict[str, Target] = {
    "safetensors": Target(
        make=lambda dice: mutated_bytes(dice, valid.SAFETENSORS.head),
        read=_header(safetensors, valid.SAFETENSORS),
        share=10,
    ),
    "gguf": Target(
        make=lambda dice: mutated_bytes(dice, valid.GGUF.head),
        read=_header(gguf, valid.GGUF),
        share=10,
    ),
    "json": Target(
        make=lambda dice: mutated_json(dice, valid.FOUR_LAYERS),
        read=lambda content: _read_json(content),
        share=10,
    ),
    "config": Target(make=_config, read=_read_config),
    "quantization": Target(make=_quantized, read=_read_config),
    "hardware-file": Target(make=_text_of(valid.TOML), read=_read_hardware),
    "pattern": Target(
        make=_pattern,
        read=_texts(
            lambda text: read_pattern(text).search(_MODULE),
            lambda text: read_glob(text).search(_MODULE),
        ),
    ),
    "command": Target(make=_text_of(*valid.COMMANDS), read=_texts(read_command)),
    "log": Target(make=_text_of(valid.LOG), read=_texts(read_log)),
    "size": Target(
        make=_text_of(*valid.SIZES), read=_texts(parse_tokens, parse_bytes, hardware_db.resolve)
    ),
    "address": Target(make=_address, read=_texts(_read_address)),
    "plan-config": Target(make=_small_config, read=_plan_config, share=0.1),
    "plan-safetensors": Target(
        make=_safetensors,
        read=_plan_file("model.safetensors", json.dumps(valid.FOUR_LAYERS).encode()),
        share=0.1,
    ),
    "plan-gguf": Target(make=_gguf, read=_plan_file("x-Q8_0.gguf", None), share=0.1),
    "plan-arguments": Target(make=_arguments, read=_plan_arguments, share=0.1),
}
"""Name -> what is handed over and read."""


def _read_json(content: bytes) -> None:
    own_errors_only(lambda: parse_json(content, "x.json"))
