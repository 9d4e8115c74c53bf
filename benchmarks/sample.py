"""Draw the reference cases that the project keeps: a stratified sample by hash, whatever the outcome.

    python -m benchmarks.sample --cases DIR

Within each stratum (model, release, engine, kind of format) cases are ordered by the hash of what
they ask, and each stratum gives its share. No answer is looked at. The speed suites' files are not
drawn here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fidelity import find_cases

TARGET = Path(__file__).resolve().parent.parent / "tests" / "reference"
Case = dict[str, Any]
Stratum = Callable[[Case], object]

GGUF_FILES, GGUF_TYPES, GGUF_TOWERS, GGUF_MEMORY = 40, 6, 4, 4
"""Files, tables of tensor types, vision files and their memory that are kept of gguf_sizes.json."""


def _asked(case: Case) -> Any:
    """What identifies a case: its id, or its question."""
    if "id" in case:
        return case["id"]
    keys = ["vllm_version", "case", "model", "n_gpu", "repo", "format", "scope", "what", "tp"]
    keys += ["dtype", "batch", "tokens"]
    return [case.get(key) for key in keys]


def _hash(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def draw(cases: Sequence[Case], count: int, stratum: Stratum) -> list[Case]:
    """Return `count` of `cases`, of every stratum its share, by hash; in the order of the source."""
    strata: dict[object, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: _hash(_asked(case))):
        strata[stratum(case)].append(case)
    places = [
        ((rank + 0.5) / len(members), _hash(_asked(case)), case)
        for members in strata.values()
        for rank, case in enumerate(members)
    ]
    kept = {_hash(_asked(case)) for *_, case in sorted(places, key=lambda p: p[:2])[:count]}
    return [case for case in cases if _hash(_asked(case)) in kept]


def _model(case: Case) -> object:
    return case["case"]["model"].partition("@")[0], "error" in case


def _release(case: Case) -> object:
    return case["vllm_version"]


def _tag(case: Case) -> object:
    return case.get("tag")


def _sglang(case: Case) -> object:
    return case["input"]["model"], "error" in case


def _format(case: Case) -> object:
    return case["format"].split()[0].lower(), case["unit"] == "B"


def _field(case: Case) -> object:
    return case["engine"], case["verdict"] is None


def _recipe(case: Case) -> object:
    return case["engine"], case["expected_fits"]


def _all(case: Case) -> object:
    return None


SAMPLES: Mapping[str, tuple[int, Stratum]] = {
    "vllm.json": (44, _model),
    "vllm_extra.json": (12, _model),
    "vllm_more.json": (24, _model),
    "vllm_quant.json": (14, lambda case: case["case"]["model"].partition("@")[2]),
    "vllm_versions.json": (54, _release),
    "sglang.json": (19, _sglang),
    "sglang_more.json": (12, _sglang),
    "sglang_logs.json": (7, _all),
    "llamacpp.json": (41, _tag),
    "llamacpp_more.json": (14, _tag),
    "checkpoints.json": (37, _format),
    "cases.json": (44, _field),
    "recipes.json": (25, _recipe),
    "tp_validity_sglang.json": (8, lambda case: case["model"]),
    "transformers_cache_measured.json": (9, lambda case: case["dtype"]),
}
"""File -> how many cases are kept, and what makes its strata."""


HEAD = ("engine", "version", "llama_cpp_commit")
"""What is kept of a file beside its cases."""


def _drop_rates(case: Case) -> Case:
    """A field case without its rates, which are another suite's, and without what it quotes."""
    left = ("throughput", "quote", "notes")
    return {name: value for name, value in case.items() if name not in left} | {"throughput": []}


def _write(name: str, document: Any) -> None:
    """Write one case per line, so that a change shows which cases it touches."""
    if isinstance(document, list):
        text = "[\n" + ",\n".join(json.dumps(case) for case in document) + "\n]\n"
    else:
        head = {"what": f"a sample of {name} by hash (benchmarks/sample.py)"}
        head |= {key: document[key] for key in HEAD if key in document}
        lines = ",\n".join(json.dumps(case) for case in document["cases"])
        text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
    (TARGET / name).write_text(text, encoding="utf-8")


def _gguf(document: Case, types: Mapping[str, Any]) -> Case:
    """A sample of the nested file: leaves by hash."""
    leaves = [
        {"id": [model, variant, mix], "stratum": (model, variant)}
        for model, variants in document["models"].items()
        for variant, case in variants.items()
        for mix in case["ftypes"]
    ]
    models: dict[str, dict[str, Any]] = {}
    for leaf in draw(leaves, GGUF_FILES, lambda leaf: leaf["stratum"]):
        model, variant, mix = leaf["id"]
        case = document["models"][model][variant]
        head = {key: value for key, value in case.items() if key != "ftypes"}
        kept = models.setdefault(model, {}).setdefault(variant, head | {"ftypes": {}})
        kept["ftypes"][mix] = case["ftypes"][mix]
    tables = [{"id": [name, mix]} for name, mixes in types.items() for mix in mixes]
    tensor_types: dict[str, dict[str, Any]] = {}
    for table in draw(tables, GGUF_TYPES, lambda table: table["id"][0]):
        name, mix = table["id"]
        tensor_types.setdefault(name, {})[mix] = types[name][mix]
    towers = [{"id": label} for label in document["mmproj"]]
    memory = [{"id": row["mmproj"], "row": row} for row in document["mmproj_memory_emulated_cuda"]]
    return {
        "llama_cpp_commit": document["llama_cpp_commit"],
        "mmproj": {
            row["id"]: document["mmproj"][row["id"]] for row in draw(towers, GGUF_TOWERS, _all)
        },
        "mmproj_memory_emulated_cuda": [r["row"] for r in draw(memory, GGUF_MEMORY, _all)],
        "models": models,
        "tensor_types": tensor_types,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every sample and write it to tests/reference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sample", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(argv)
    for name, (count, stratum) in SAMPLES.items():
        place = find_cases(options.cases, (name,))
        if place is None:
            parser.error(f"no {name} in {options.cases} or beside it")
        document = json.loads((place / name).read_text("utf-8"))
        cases = document if isinstance(document, list) else document["cases"]
        kept = draw(cases, count, stratum)
        if name == "cases.json":
            kept = [_drop_rates(case) for case in kept]
        _write(name, kept if isinstance(document, list) else document | {"cases": kept})
    place = find_cases(options.cases, ("gguf_sizes.json", "gguf_quant_mix.json"))
    if place is None:
        parser.error(f"no gguf_sizes.json in {options.cases} or beside it")
    sizes = json.loads((place / "gguf_sizes.json").read_text("utf-8"))
    types = json.loads((place / "gguf_quant_mix.json").read_text("utf-8"))
    text = json.dumps(_gguf(sizes, types), indent=1)
    (TARGET / "gguf_sizes.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
