"""Read sizes that Ollama and llama.cpp tell of whole devices, beside llama.cpp's own buffers.

They are shown and never judged: what lies where is the program's own choice.

Source: lines of Ollama's device.go and memory.go in start-ups of 2025-03-10 to 2026-08-01; llama.cpp
common/ and src/llama-context.cpp (memory_breakdown_print).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from planner.engines.llamacpp.answer import LlamacppAnswer
from planner.engines.log_figure import Basis, LogFigure, Merge
from planner.units import MIB

BREAKDOWN = "memory_breakdown_print: |"
_OFFLOAD = "memory.required.full="
_SIZE = r'"(?P<value>[\d.]+) (?P<unit>[KMG]?i?B)"'
_PARTS = ("model", "context", "compute")
"""What a line of the breakdown adds up, in its order."""
_ESTIMATED = (
    ("weights by Ollama's estimate", "memory.weights.total"),
    ("KV cache and state by Ollama's estimate", "memory.required.kv"),
    ("compute graph by Ollama's estimate", "memory.graph.full"),
    ("memory in all by Ollama's estimate", _OFFLOAD.rstrip("=")),
)
_OF_ENGINE = (
    ("weights by Ollama's engine", "model weights"),
    ("KV cache and state by Ollama's engine", "kv cache"),
    ("compute graph by Ollama's engine", "compute graph"),
)

MODEL = f"{_PARTS[0]} by the breakdown"
"""What the file's tensors take on a device."""

MARKS = (BREAKDOWN, "memory.required.allocations=")
"""Characters that only these programs print."""


def _figure(
    name: str,
    cue: str,
    pattern: str,
    *,
    merge: Merge = Merge.LAST,
    device: Callable[[str], str] = str,
) -> LogFigure:
    return LogFigure(
        name=name,
        cue=cue,
        patterns=(pattern,),
        unit="MiB",
        basis=Basis.ESTIMATE,
        merge=merge,
        parts=device,
    )


def figures(device: Callable[[str], str]) -> Iterator[LogFigure]:
    """Yield the figures; `device` makes the name of a device comparable."""
    for name, what in _OF_ENGINE:
        pattern = rf'msg="{what}" device=(?P<part>\w+) size={_SIZE}'
        yield _figure(name, f'msg="{what}"', pattern, device=device)
    total = "memory in all by Ollama's engine"
    yield _figure(total, 'msg="total memory"', rf'msg="total memory" size={_SIZE}')
    for place, what in enumerate(_PARTS):
        numbers = [r"\d+"] * len(_PARTS)
        numbers[place] = r"(?P<value>\d+)"
        pattern = (
            r"memory_breakdown_print: \|\s+- (?P<part>\w+)[^|]{0,100}\|.{0,120}?\d+ =\s+"
            + r" \+\s+".join(numbers)
        )
        yield _figure(f"{what} by the breakdown", BREAKDOWN, pattern, device=device)
    for what in ("Model", "Context"):
        pattern = rf"^{what}: (?P<value>[\d.]+) (?P<unit>[MG]B)$"
        yield _figure(f"{what.lower()} by LM Studio's estimate", f"{what}: ", pattern)
    for name, what in _ESTIMATED:
        yield _figure(name, _OFFLOAD, rf"{what.replace('.', '[.]')}={_SIZE}")


def lines(answer: LlamacppAnswer) -> Iterator[str]:
    """Yield what these programs would print of a plan."""
    machine, usage = answer.machine, answer.usage
    sums = [0] * len(_PARTS)
    for gpu, name in enumerate([*machine.gpu_names, "CPU"]):
        sizes = (
            usage.weights[gpu] + usage.mtp_weights[gpu],
            usage.kv[gpu] + usage.states[gpu],
            usage.compute[gpu],
        )
        sums = [total + size for total, size in zip(sums, sizes, strict=True)]
        for (_, what), size in zip(_OF_ENGINE, sizes, strict=True):
            if size:
                yield f'msg="{what}" device={name} size="{size / MIB:.2f} MiB"'
        parts = " + ".join(f"{size // MIB}" for size in sizes)
        yield f"{BREAKDOWN} - {name} | {sum(sizes) // MIB} = {parts} |"
    for what, size in zip(("Model", "Context"), (sums[0], sums[1] + sums[2]), strict=True):
        yield f"{what}: {size / 1e6:.2f} MB"
    yield " ".join(_estimated((*sums, sum(sums))))


def _estimated(sizes: Sequence[int]) -> Iterator[str]:
    for (_, what), size in zip(_ESTIMATED, sizes, strict=True):
        yield f'{what}="{size / MIB:.2f} MiB"'
