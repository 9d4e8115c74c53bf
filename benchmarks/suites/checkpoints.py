"""Suite `checkpoints`: published sizes of checkpoints against the sizes that their recipes give.

What a case says about its recipe (repository, format in words) is translated into a scheme's name;
nothing else is known of it. Rows that tell of someone's own mix are asked with the nearest recipe
and reported in a group of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.suites.gguf_names import nearest_type
from benchmarks.suites.models import model_named
from benchmarks.suites.result import CaseResult
from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_file import model_file
from planner.model.gguf_mix import GgufScheme
from planner.model.quantization import Scheme, get_scheme

FILES = ("checkpoints.json",)

_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_TO_THE_BYTE = 0.002
# Tokenizer, template and headers lie beside the tensors: 11 MB (GGUF) to 27 MB in the sizes of whole
# repositories that are known to the byte.
_SIDE_FILES = 27 * 10**6

# (pattern on the format's words, scheme, whose own mix it is); the first match counts.
_RECIPES: tuple[tuple[str, str, bool], ...] = (
    (r"hybrid|int4 experts \+ fp8", "autoround-int4", True),
    (r"extra bf16", "awq-int4-g32", True),
    (r"^(mlx )?(f16/)?bf16", "bf16", False),
    (r"w8a8.*fp8", "fp8-dynamic", False),
    (r"mlx.*(mxfp4|nvfp4)", "mlx-4bit", True),
    (r"fp8.*(per.channel|dynamic|compressed.tensors)", "fp8-dynamic", False),
    (r"fp8.*(expert)", "fp8-experts", False),
    (r"(modelopt.*mixed|mixed.*nvfp4|nvfp4.*\bmixed)", "nvfp4-mixed", False),
    (r"^fp8", "fp8", False),
    (r"gptq.*int8|gptq.*8.?bit", "gptq-int8-all", False),
    (r"gptq.*(mlp|expert).*only", "gptq-int4", False),
    (r"gptq.*g32", "gptq-int4-g32-all", False),
    (r"gptq.*g128", "gptq-int4-all", False),
    (r"gptq", "gptq-int4-all", True),
    (r"awq.*g32", "awq-int4-g32", False),
    (r"awq.*expert", "awq-int4-experts", False),
    (r"awq.*g128", "awq-int4", False),
    (r"awq", "awq-int4", True),
    (r"autoround.*mtp quantized", "autoround-int4-mtp", False),
    (r"autoround", "autoround-int4", True),
    (r"nvfp4.*routed experts incl", "nvfp4-experts-mtp", False),
    (r"nvfp4.*(routed )?experts( only)?", "nvfp4-experts", False),
    (r"nvfp4.*(llm-compressor|compressed-tensors)", "nvfp4-ct", False),
    (r"nvfp4.*out_proj", "nvfp4-out-proj", False),
    (r"nvfp4|^fp4", "nvfp4", True),
    (r"mxfp4.*expert", "mxfp4-experts", False),
    (r"mxfp4", "mxfp4", True),
    (r"mxfp6", "mxfp6", True),
    (r"mxfp8", "mxfp8", True),
    (r"w4a16", "w4a16", False),
    (r"w8a16", "w8a16", False),
    (r"w8a8|int8", "w8a8-int8", False),
    (r"(bnb|bitsandbytes|nf4).*double", "bnb-nf4-double", False),
    (r"(bnb|bitsandbytes).*(int8|8.?bit)", "bnb-int8", False),
    (r"(bnb|bitsandbytes|nf4)", "bnb-nf4", False),
    (r"int4|4.?bit", "awq-int4", True),
    (r"8.?bit", "w8a16", True),
)
_MLX = re.compile(r"mlx.*?(\d)[ -]?bit(?!.*gates)")
_MLX_GATES = re.compile(r"mlx.*?(\d)[ -]?bit")
_GGUF = re.compile(
    r"(?:gguf )?(ud-)?(?:smol-)?([a-z]{1,2}\d[a-z0-9]*(?:_[a-z0-9]+)*|mxfp4_moe|bf16)"
)
# They choose types by their own measurements also where a file bears llama-quantize's name; their
# files of one single type are what they say.
_OWN_MIXERS = ("unsloth", "bartowski")
_SINGLE_TYPES = ("f32", "f16", "bf16", "q8_0")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    scheme: Scheme
    private: bool


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per row of checkpoints.json."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        yield _case(case, folder)


def _case(case: dict[str, Any], folder: Path) -> CaseResult:
    name = f"{case['repo']} {case['format']}"
    expected = {"bytes": _published(case)}
    try:
        recipe = _recipe(case)
        checkpoint = _checkpoint(case, recipe, folder)
        answered = {"bytes": _answer(case, checkpoint)}
    except (LookupError, ValueError) as error:
        return CaseResult(name=name, failure=str(error), group=_group(case, private=False))
    return CaseResult(
        name=f"{name} as {recipe.scheme.name}",
        expected=expected,
        answered=answered,
        tolerance=_tolerance(case),
        group=_group(case, private=recipe.private),
    )


def _published(case: dict[str, Any]) -> int:
    return round(float(case["published_size"]) * _UNITS[case["unit"]])


def _checkpoint(case: dict[str, Any], recipe: _Recipe, folder: Path) -> Checkpoint:
    model = model_named(case["model"], folder)
    return Checkpoint(id=case["repo"], model=model, scheme=recipe.scheme, source="reference case")


def _answer(case: dict[str, Any], checkpoint: Checkpoint) -> int:
    scheme, scope = checkpoint.scheme, case["scope"]
    if isinstance(scheme, GgufScheme):
        size = model_file(checkpoint.model, scheme)
        return size.tensor_bytes if scope.startswith("tensor bytes") else size.file_bytes
    if scope.startswith(("text only", "vLLM")):
        return checkpoint.nbytes("text")
    return checkpoint.nbytes()


def _recipe(case: dict[str, Any]) -> _Recipe:
    known = find(re.sub(r" \(loaded\)$", "", case["repo"]))
    words = case["format"].lower()
    if "gguf" in words or "gguf" in case["repo"].lower():
        return _gguf(words, case["repo"].lower())
    if known is not None and known[1] != "bf16":
        return _Recipe(scheme=get_scheme(known[1]), private=False)
    if match := _MLX.search(words) or _MLX_GATES.search(words):
        return _Recipe(scheme=get_scheme(f"mlx-{match[1]}bit"), private=False)
    for pattern, name, private in _RECIPES:
        if re.search(pattern, words):
            publisher = case["repo"].partition("/")[0].lower()
            own = private and not (publisher == "nvidia" and name == "nvfp4")
            return _Recipe(scheme=get_scheme(name), private=own)
    raise LookupError(f"format {case['format']!r} tells of no recipe that the planner knows")


def _gguf(words: str, repo: str) -> _Recipe:
    match = _GGUF.match(words)
    scheme = nearest_type(match[0]) if match else None
    if match is None or scheme is None:
        raise LookupError(f"format {words!r} names no GGUF type")
    dynamic, mix = match.groups()
    own = dynamic is not None or "-class" in words
    own |= any(name in repo for name in _OWN_MIXERS) and mix not in _SINGLE_TYPES
    return _Recipe(
        scheme=GgufScheme(
            mix=scheme.mix,
            imatrix="bartowski" in repo or "-i1-" in repo or scheme.imatrix,
            mtp="mtp" in words or "mtp" in repo,
        ),
        private=own or scheme.mix.lower() != mix,
    )


def _group(case: dict[str, Any], *, private: bool) -> str:
    if private:
        return "private mix"
    if case["scope"].startswith("vLLM"):
        return "resident, flags unknown"
    if case["unit"] != "B":
        return "rounded"
    return "tensor bytes" if case["scope"].startswith("tensor bytes") else "file size"


def _tolerance(case: dict[str, Any]) -> float:
    published = _published(case)
    if case["unit"] == "B":
        return 0.0 if case["scope"].startswith("tensor bytes") else _TO_THE_BYTE
    decimals = len(case["published_size"].partition(".")[2])
    last_digit = _UNITS[case["unit"]] / 10**decimals
    slack = last_digit if "approx" in case["scope"] else last_digit / 2
    if not case["scope"].startswith("tensor bytes"):
        slack += _SIDE_FILES
    return float(slack / published)
