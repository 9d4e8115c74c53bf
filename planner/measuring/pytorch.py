"""Measure transformers on this machine's GPU with random weights, and compare with the plan.

    python -m planner.measuring.pytorch --model Qwen3.5-35B-A3B --out measured.json

Nothing is downloaded: the model is built from its config with random weights. Needs torch (with
CUDA) and transformers 5.2 or newer; without a transformers that knows the architecture, tensors of
the exact shapes are allocated instead, which still measures weights and cache, but no peak.

Weights, cache and peak are bytes of PyTorch's allocator. The file written is a list of runs in the
form of the suite `transformers_gpu`; a run is appended if the file exists. `qwenplan measure` runs
this in a process of its own and reads a line of JSON per case from its standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import planner
from planner.engines.transformers.cache import state_shapes
from planner.errors import PlannerError
from planner.measuring.meter import Meter, held_bytes
from planner.measuring.torch_runs import planned, summary_lines
from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.model.spec import FULL
from planner.units import GIB

LENGTHS = (1024, 4096, 16_384, 32_768)
BATCHES = (1, 4)
TIMED_TOKENS = 8192
"""Decoding is timed for cases up to so many tokens in all."""
TIMED_STEPS = 16
LEAVE = 2 * GIB
"""A case is left out if the plan comes closer than this to the memory that is free."""

BUNDLED_CLASSES = {True: "AutoModelForImageTextToText", False: "AutoModelForCausalLM"}


class MeasurementError(Exception):
    """What is missing, in one line."""


@dataclass
class Run:
    """What was measured, as it is written."""

    model: str
    method: str
    auto_class: str
    device: str
    total_bytes: int
    versions: dict[str, str]
    flash_linear_attention: bool = False
    weight_bytes: int = 0
    outside_bytes: int | None = None
    cases: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def package(name: str) -> ModuleType | None:
    """An installed package, or None. Imported here alone: neither is a dependency."""
    try:
        return import_module(name)
    except ImportError:
        return None


def config_document(name: str) -> dict[str, Any]:
    """The config.json of a bundled model or of a file."""
    path = Path(name) / "config.json" if Path(name).is_dir() else Path(name)
    if path.suffix == ".json" and path.is_file():
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return document
    found = find(name)
    if found is None:
        raise MeasurementError(f"{name} is neither bundled nor a config.json")
    return dict(found[0].config)


def build(torch: ModuleType, transformers: ModuleType, arguments: argparse.Namespace) -> Any:
    """The model on the device, random weights, evaluation mode; None if it is not known there."""
    document = config_document(arguments.model)
    try:
        config = transformers.AutoConfig.for_model(**document)
    except (KeyError, ValueError):
        return None
    if arguments.text_only:
        config = config.get_text_config()
    maker = getattr(transformers, BUNDLED_CLASSES[has_vision(arguments)])
    dtype = getattr(torch, planner.load_checkpoint(arguments.model).model.dtype)
    torch.manual_seed(0)
    with torch.device(arguments.device):
        model = maker.from_config(config, dtype=dtype)
    model.generation_config.pad_token_id = 0
    return model.eval()


def has_vision(arguments: argparse.Namespace) -> bool:
    """The class with the vision tower is measured."""
    spec = planner.load_checkpoint(arguments.model).model
    return spec.vision is not None and not arguments.text_only


def allocate(torch: ModuleType, checkpoint: Checkpoint, device: str, *, vision: bool) -> list[Any]:
    """Tensors of the exact shapes of the checkpoint's table, without a model around them."""
    dtype = getattr(torch, checkpoint.model.dtype)
    held = []
    for row in checkpoint.rows("text", "vision") if vision else checkpoint.rows("text"):
        tensor = row.tensor
        for _ in range(max(1, len(tensor.layers))):
            shape = (tensor.experts, *tensor.shape) if tensor.experts > 1 else tensor.shape
            held.append(torch.empty(shape, dtype=dtype, device=device))
    return held


def allocate_cache(
    torch: ModuleType, checkpoint: Checkpoint, device: str, *, batch: int, tokens: int
) -> tuple[list[Any], list[Any]]:
    """(K and V, states) of the exact shapes."""
    model = checkpoint.model
    dtype, attention = getattr(torch, model.dtype), model.attention
    conv, recurrent = state_shapes(model, batch)
    heads = (batch, attention.num_key_value_heads, tokens, attention.head_dim)
    kv, states = [], []
    for kind in model.layer_types:
        if kind == FULL:
            kv += [torch.empty(heads, dtype=dtype, device=device) for _ in range(2)]
        else:
            states.append(torch.empty(conv, dtype=dtype, device=device))
            states.append(torch.empty(recurrent, dtype=torch.float32, device=device))
    return kv, states


def size_of(tensors: Sequence[Any]) -> int:
    """Bytes of the elements of `tensors`."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def answer(torch: ModuleType, model: Any, prompt: Any, new_tokens: int) -> tuple[Any, float]:
    """(the cache, seconds) of one call of `generate`."""
    started = time.monotonic()
    with torch.no_grad():
        output = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
        )
    return output.past_key_values, time.monotonic() - started


def generate_case(
    torch: ModuleType, model: Any, meter: Meter, *, batch: int, tokens: int, vocab: int
) -> dict[str, Any]:
    """One call of `generate` that ends with `tokens` tokens of each sequence in its cache.

    Short prompts are answered twice more, to time the steps between.
    """
    prompt = torch.randint(1, vocab, (batch, tokens - 1), device=model.device)
    meter.settle()
    before = meter.allocated()
    meter.reset()
    cache, seconds = answer(torch, model, prompt, 2)
    peak, reserved = meter.peak()
    kv, state = held_bytes(torch, cache)
    del cache
    step = None
    if batch * tokens <= TIMED_TOKENS:
        short, long = (answer(torch, model, prompt, 2 + steps)[1] for steps in (0, TIMED_STEPS))
        # A busy machine may turn the difference round: then nothing was measured.
        step = round((long - short) / TIMED_STEPS, 5) if long > short else None
    return {
        "batch": batch,
        "tokens": tokens,
        "kv_bytes": kv,
        "state_bytes": state,
        "peak_bytes": peak - before if peak else None,
        "reserved_bytes": reserved or None,
        "seconds": round(seconds, 2),
        "seconds_per_step": step,
    }


def measure(arguments: argparse.Namespace) -> Run:
    """Everything that was asked for.

    Raises:
        MeasurementError: something is missing.
    """
    config_document(arguments.model)
    torch = package("torch")
    if torch is None:
        raise MeasurementError("torch is needed: pip install torch transformers")
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise MeasurementError("torch sees no CUDA device; --device cpu measures weights and cache")
    transformers = None if arguments.allocation_only else package("transformers")
    checkpoint = planner.load_checkpoint(arguments.model, precision=None)
    vision = has_vision(arguments)
    meter = Meter(torch, arguments.device)
    if arguments.device.startswith("cuda"):
        torch.empty(1, device=arguments.device)
    empty = meter.allocated()
    started = time.monotonic()
    model = build(torch, transformers, arguments) if transformers is not None else None
    held = [] if model else allocate(torch, checkpoint, arguments.device, vision=vision)
    print(f"built in {time.monotonic() - started:.1f} s", file=sys.stderr)
    meter.settle()
    tensors = list(model.parameters()) if model else held
    run = Run(
        model=checkpoint.model.name,
        method="generate" if model else "allocation only",
        auto_class=BUNDLED_CLASSES[vision],
        device=_device_name(torch, arguments.device),
        total_bytes=meter.free_and_total()[1],
        versions=_versions(torch, transformers if model else None),
        flash_linear_attention=_installed("fla"),
        weight_bytes=meter.allocated() - empty if meter.allocated() else size_of(tensors),
    )
    _cases(run, torch, model, meter, arguments, checkpoint, started)
    run.outside_bytes = meter.outside()
    return run


def _cases(
    run: Run,
    torch: ModuleType,
    model: Any,
    meter: Meter,
    arguments: argparse.Namespace,
    checkpoint: Checkpoint,
    started: float,
) -> None:
    questions = sorted(
        ((batch, tokens) for batch in arguments.batches for tokens in arguments.lengths),
        key=lambda pair: pair[0] * pair[1],
    )
    for batch, tokens in questions:
        name = f"batch {batch}, {tokens} tokens"
        need = planned(vars(run), {"batch": batch, "tokens": tokens}).need
        free, total = meter.free_and_total()
        if total and need > free - LEAVE and model:
            run.left_out.append(f"{name}: the plan asks for {need / GIB:.1f} GiB more")
        elif time.monotonic() - started > arguments.deadline:
            run.left_out.append(f"{name}: the deadline of {arguments.deadline} s was over")
        elif model:
            try:
                case = generate_case(
                    torch,
                    model,
                    meter,
                    batch=batch,
                    tokens=tokens,
                    vocab=checkpoint.model.vocab_size,
                )
            except torch.OutOfMemoryError:
                run.left_out.append(f"{name}: out of memory")
                meter.settle()
                continue
            run.cases.append(case)
            print(f"{name}: {case}", file=sys.stderr)
            if arguments.lines:
                _print_run(run)
        else:
            kv, states = allocate_cache(
                torch, checkpoint, arguments.device, batch=batch, tokens=tokens
            )
            run.cases.append(
                {
                    "batch": batch,
                    "tokens": tokens,
                    "kv_bytes": size_of(kv),
                    "state_bytes": size_of(states),
                    "peak_bytes": None,
                    "reserved_bytes": None,
                    "seconds": None,
                    "seconds_per_step": None,
                }
            )
            del kv, states
            meter.settle()


def _print_run(run: Run) -> None:
    print(json.dumps(vars(run)), flush=True)


def _device_name(torch: ModuleType, device: str) -> str:
    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else device


def _versions(torch: ModuleType, transformers: ModuleType | None) -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    if transformers is not None:
        versions["transformers"] = str(transformers.__version__)
    return versions


def _installed(module: str) -> bool:
    return find_spec(module) is not None


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers") from None
    if not all(1 <= number <= 10**7 for number in numbers):
        raise argparse.ArgumentTypeError("numbers from 1 to 10,000,000 are wanted")
    return numbers


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(
        prog="python -m planner.measuring.pytorch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="a bundled model, or a config.json")
    parser.add_argument("--out", type=Path, help="JSON file to write or append to")
    parser.add_argument("--lines", action="store_true", help="print the run after every case")
    parser.add_argument("--lengths", type=_numbers, default=list(LENGTHS), metavar="N,N,...")
    parser.add_argument("--batches", type=_numbers, default=list(BATCHES), metavar="N,N,...")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--text-only", action="store_true", help="leave the vision tower out")
    parser.add_argument("--allocation-only", action="store_true", help="tensors without a model")
    parser.add_argument("--deadline", type=float, default=200, help="seconds; no case starts later")
    arguments = parser.parse_args(argv)
    if min(arguments.lengths) < 2:
        parser.error("--lengths: at least 2 tokens (a prompt and one more)")
    try:
        run = measure(arguments)
    except (MeasurementError, PlannerError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    if arguments.out is not None:
        runs = json.loads(arguments.out.read_text("utf-8")) if arguments.out.is_file() else []
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps([*runs, vars(run)], indent=1) + "\n", "utf-8")
    if arguments.lines:
        _print_run(run)
    else:
        print("\n".join(summary_lines(vars(run))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
