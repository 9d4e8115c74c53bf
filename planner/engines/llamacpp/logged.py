"""Read what llama-server was told and loaded, from what it says of its first context."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.engines.command import Command
from planner.engines.llamacpp.told_sizes import MODEL
from planner.engines.log_figure import LogFigure, LoggedWeights, read_figures
from planner.units import GIB, MIB

_HEADER = (
    ("-np", r"(?:llama_context: n_seq_max\s+= |\bParallel:)(?P<value>\d+)"),
    (
        "-b",
        r"(?:llama_context: n_batch\s+= |llama-server.* (?:-b|--batch-size)[ =])(?P<value>\d+)",
    ),
    (
        "-ub",
        r"(?:llama_context: n_ubatch\s+= |llama-server.* (?:-ub|--ubatch-size)[ =]|\bBatchSize:)(?P<value>\d+)",
    ),
    ("-ctk", r"(?:\bK \(|\bKvCacheType:)(?P<value>[a-z]\w+)"),
    ("-ctv", r"(?:\bV \(|\bKvCacheType:)(?P<value>[a-z]\w+)"),
)
_CELLS = re.compile(
    r"llama_kv_cache(?:_\w{1,40})?: size =[^(]*\(\s*(?P<cells>\d{1,12}) cells,[^()/]*/\s*"
    r"(?P<streams>\d{1,9}) seqs\)"
)
"""Cells of each stream, and streams: their product is the length that was asked for. No part
runs over a bracket or a stroke, so that no line takes long."""

_CONTEXT = re.compile(
    r"(?:llama_context: n_ctx(?:_seq)?\s+(?:= |\()|\bKvSize:|context size reduced from \d+ to "
    r"|and context length ')(?P<value>\d+)"
)
"""What llama.cpp, Ollama, llama.cpp's --fit and LM Studio's estimate say of it."""
_BUILD = re.compile(r"(?:build(?:_info)?\s*[:=]|print_info: build)\s*(?P<value>b?\d{3,6})\b")
_FILE = re.compile(
    r"loaded meta data with \d+ key-value pairs and \d+ tensors from (?P<value>.+?\.gguf)"
)
_LOADED_FILE = re.compile(
    r"(?:loading model|failed to load model,?|failed to create context with model)"
    r" '(?P<value>[^']{1,4096}\.gguf)'"
)
"""What the server says before it reads the file, and after it could not load it."""
_NAME = re.compile(r"print_info: general\.name\s+= (?P<value>\S.{0,120})$")
_OLLAMA = re.compile(
    r"\brunner\.name=(?:registry\.ollama\.ai/library/)?(?P<value>[\w./-]{1,100}:[\w.-]+)"
)
"""What Ollama calls the model that it has loaded."""
_TOLD_FILE = re.compile(r"llama-server.* (?:-m|--model)[ =](?P<value>\S+\.gguf)")
_TYPE = re.compile(
    r"print_info: file type\s+= (?P<value>\w+(?: - (?:Small|Medium|Large))?)(?: - [\d.]+ bpw)?(?: \(guessed\))?$"
)
METAL = "ggml_metal_init: found device"
ROUNDED = MIB
"""Bytes by which the buffers of a file may differ from its tensors: they are padded."""
_OFFLOADED = re.compile(r"(?:load_tensors: |msg=\")offloaded (?P<value>\d+/\d+) layers to GPU")
_LAYERS = re.compile(r"layers\.model=(?P<all>\d+) layers\.offload=(?P<value>\d+)")
"""The same as Ollama estimated it before it started the model."""
_PLACED = re.compile(r"Operation:commit .{0,300}?\bGPULayers:(?P<value>\d+)\[")
"""Layers that Ollama's own engine has put onto GPUs in the end."""
_ROLLBACK = re.compile(r"(?<!\d)\d+ seqs\s+(?P<value>\d+) rs_seq")
_FLASH = re.compile(r"(?:llama_context: flash_attn\s+= |\bFlashAttention:)(?P<value>\w+)")
_OFF = ("0", "disabled", "off", "false")
_OUTPUTS = re.compile(r"llama_context: n_outputs_max\s+= (?P<value>\d+)")
_BATCH = re.compile(r"llama_context: n_batch\s+= (?P<value>\d+)")
_UNIFIED = re.compile(r"llama_context: kv_unified\s+= (?P<value>true|false)")


def logged_weights(figures: Sequence[LogFigure], lines: Sequence[str]) -> LoggedWeights:
    """Return how the weights are stored: by the file's name, its type, and what its tensors take."""
    kind = _first(_TYPE, lines)
    if kind is not None:
        kind, _, size = kind.partition(" - ")
        kind += f"_{size[0]}" if size else ""
    return LoggedWeights(
        file=_file(lines) or _first(_TOLD_FILE, lines),
        scheme=kind,
        nbytes=_tensors(figures, lines),
    )


def _tensors(figures: Sequence[LogFigure], lines: Sequence[str]) -> tuple[int, int] | None:
    """Return what the tensors take, as it is printed or as the buffers hold them."""
    found = read_figures(lines, figures)
    size = found.get("file size")
    if size is not None:
        return int((size.value - size.step / 2) * GIB), int((size.value + size.step / 2) * GIB) + 1
    by_name = [
        [reading for reading in found.values() if reading.figure.name == name]
        for name in ("weights", MODEL)
    ]
    buffers = next(filter(None, by_name), [])
    if not buffers or any("mapped" in reading.part for reading in buffers):
        return None  # a mapped range holds what lies between, too
    held = int(sum(reading.value for reading in buffers) * MIB)
    rounded = ROUNDED * max(1, sum(reading.step >= 1 for reading in buffers))
    return held - rounded, held + rounded


def logged_command(
    read: Callable[[Sequence[str]], Command], lines: Sequence[str]
) -> Command | None:
    """Return what the server was told, from what it says of its first context."""
    file, context = _file(lines), _context(lines)
    named = _first(_OLLAMA, lines)
    served = None if named is None else read(("ollama", "run", named))
    if file is None and context is None:
        return served
    words = ["-m", file] if file is not None else []
    words += ["-c", context] if context is not None else []
    for flag, pattern in _HEADER:
        value = _first(re.compile(pattern), lines)
        if value is not None:
            words += [flag, value]
    assumed = () if "-np" in words else ("parallel",)
    words += ["-np", "1"] if assumed else []
    if _first(_UNIFIED, lines) == "true":
        words.append("-kvu")
    flash = _first(_FLASH, lines)
    if flash is not None and flash.lower() in _OFF:
        words += ["-fa", "off"]
    estimated = next((match for line in lines if (match := _LAYERS.search(line))), None)
    told = _first(_OFFLOADED, lines) or (estimated and f"{estimated['value']}/{estimated['all']}")
    offloaded, slash, layers = (told or "").partition("/")
    placed = _first(_PLACED, lines)
    if slash:
        words += ["-ngl", "all" if offloaded == layers else offloaded]
    elif placed is not None:
        words += ["-ngl", placed]
    rollback = _first(_ROLLBACK, lines)
    if rollback not in (None, "0"):
        words += ["--spec-type", "draft-mtp", "--spec-draft-n-max", str(rollback)]
    command = read(words)
    if command.model is None and served is not None:
        command = replace(command, model=served.model, precision=served.precision)
    elif command.model is None:
        command = replace(command, model=_first(_NAME, lines))
    options, build = dict(command.options), _first(_BUILD, lines)
    if build is not None:
        options["version"] = build
    outputs = _first(_OUTPUTS, lines)
    if outputs is not None and int(outputs) > 1 and outputs == _first(_BATCH, lines):
        options["all_logits"] = True  # a server of as many slots would be none
    return replace(command, options=options, assumed=assumed)


def _file(lines: Sequence[str]) -> str | None:
    return _first(_FILE, lines) or _first(_LOADED_FILE, lines)


def _context(lines: Sequence[str]) -> str | None:
    """Return the length of the first context, as it says it or as its cache tells it."""
    for line in lines:
        match = _CELLS.search(line)
        if match is not None:
            return str(int(match["cells"]) * int(match["streams"]))
    return _first(_CONTEXT, lines)


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> str | None:
    for line in lines:
        match = pattern.search(line)
        if match is not None:
            return match["value"]
    return None
