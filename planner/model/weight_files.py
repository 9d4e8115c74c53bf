"""Which of a folder's or repository's files are the model's weights.

Works on a listing (paths and sizes) alone, so that a folder and a repository follow one rule. What
is not a checkpoint of a model (an adapter, a pipeline) is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any, Literal

from hardware_db.records import frozen
from planner.errors import InputError, UnsupportedModelError, clip
from planner.model.headers import MAX_FILES, Kind
from planner.units import format_gib

Part = Literal["model", "mmproj", "mtp", "draft", "imatrix"]
"""What a GGUF file holds: the model, its vision tower, an MTP head, another draft model, or the
importance matrix that was used to quantize it (which no engine loads)."""

Listing = Mapping[str, int | None]
"""Path within the folder or repository -> bytes (None where the source does not say)."""

INDEX_FILE = "model.safetensors.index.json"
"""The file that says which shard holds which tensor."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5,6})-of-(?P<count>\d{5,6})\.(safetensors|gguf)")
# llama.cpp common/download.cpp, gguf_filename_is_model: what marks files beside the model's own.
_COMPANIONS: tuple[tuple[str, Part], ...] = (
    ("mmproj", "mmproj"),
    ("imatrix", "imatrix"),
    ("mtp-", "mtp"),
    ("eagle3-", "draft"),
    ("dflash-", "draft"),
    ("dspark-", "draft"),
)
_QUANTIZATION = re.compile(
    r"(?:^|[-._/])(?P<label>(?:UD-|i1-)?(?:"
    r"I?Q\d+_[0-9A-Z]+(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP\d+(?:_MOE)?|NVFP\d+|BF16|F16|F32|FP16|FP32"
    r"))(?=$|[-._/])",
    re.IGNORECASE,
)
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".npz")


@frozen
class WeightSet:
    """Files that are one set of weights.

    Attributes:
        kind: container format.
        part: what they hold.
        label: the quantization a GGUF file's name tells ("Q4_K_M", "UD-Q4_K_XL"), else its stem;
            for safetensors the kind.
        files: path and size, in the order of the shards.
    """

    kind: Kind
    part: Part
    label: str
    files: tuple[tuple[str, int | None], ...]

    @property
    def nbytes(self) -> int | None:
        """Bytes of all files; None where the source does not say."""
        sizes = [size for _, size in self.files if size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


def refuse_other_kinds(listing: Iterable[str], where: str, base_models: Sequence[str] = ()) -> None:
    """Refuse what has weights but is no language model of its own.

    Args:
        listing: the files there are.
        where: the folder or repository, for the error line.
        base_models: what an adapter's card names as its base.

    Raises:
        UnsupportedModelError: an adapter or a pipeline, by name.
    """
    names = set(listing)
    weights = [name for name in names if name.endswith((".safetensors", ".gguf"))]
    only_adapter = all("adapter" in name.rpartition("/")[2] for name in weights)
    if "model_index.json" in names:
        raise UnsupportedModelError(
            f"{where} is a diffusers pipeline (it has model_index.json), not a language model"
        )
    if "adapter_config.json" in names and only_adapter:
        raise UnsupportedModelError(
            f"{where} is an adapter (it has adapter_config.json), not a whole model; plan its base "
            f"model{': ' + clip(', '.join(base_models), 200) if base_models else ''}"
        )


def choose(
    listing: Listing,
    where: str,
    *,
    pattern: str | None = None,
    part: Part = "model",
    beside: str | None = None,
    index: Mapping[str, str] | None = None,
) -> WeightSet:
    """The set of weight files to read.

    Args:
        listing: the files there are.
        where: the folder or repository, for error lines.
        pattern: which set, where there are several: a quantization ("Q4_K_M"), a file name, part
            of one, or a glob.
        part: which part of a GGUF repository.
        beside: a file of the model that a companion (mmproj, MTP) is wanted for: of several, and
            without a pattern, the one that llama.cpp would take.
        index: tensor -> file, from `INDEX_FILE`, if there is one.

    Raises:
        InputError: no weights, shards missing, or several sets to choose from (they are listed).
        UnsupportedModelError: an adapter, a pipeline, or weights in another container only.
    """
    refuse_other_kinds(listing, where)
    sets = gguf_sets(listing)
    if part == "model" and not names_gguf(listing, pattern):
        found = _safetensors(listing, where, index)
        if found is not None:
            if pattern is not None and "safetensors" not in pattern.lower():
                raise InputError(_no_match(where, pattern, sets))
            return found
    if not sets:
        others = sorted({name for name in listing if name.lower().endswith(_OTHER_WEIGHTS)})
        if others:
            raise UnsupportedModelError(
                f"{where}: there are no weights in safetensors or GGUF, only "
                f"{clip(others[0])}" + (f" and {len(others) - 1} more" if len(others) > 1 else "")
            )
        raise InputError(f"{where}: there are no weights (no .safetensors and no .gguf file)")
    if beside is not None and pattern is None:
        nearest = closest_companion(sets, part, set_of(listing, beside, where))
        if nearest is not None:
            return _checked(nearest, where)
    return _checked(_choose_gguf(sets, where, pattern, part), where)


def names_gguf(listing: Listing, pattern: str | None) -> bool:
    """Whether `pattern` is about GGUF files of the listing, safetensors beside them or not."""
    return pattern is not None and bool(_matching(gguf_sets(listing), pattern))


def set_of(listing: Listing, name: str, where: str) -> WeightSet:
    """The set that the file `name` belongs to: itself, or all shards of a split.

    Args:
        listing: the files beside it, itself included.
        name: its path within the listing.
        where: the folder or repository, for error lines.

    Raises:
        InputError: there is no such file, or shards of its set are missing.
    """
    if name not in listing:
        raise InputError(f"{where}: there is no file {clip(name)} in it")
    if name.lower().endswith(".gguf"):
        found = next(s for s in gguf_sets(listing) if any(name == path for path, _ in s.files))
        return _checked(found, where)
    shard = _SHARD.fullmatch(name)
    names = [name]
    if shard:
        whole = (shard["stem"], shard["count"])
        matches = {
            path: _SHARD.fullmatch(path) for path in listing if path.endswith(".safetensors")
        }
        names = sorted(p for p, m in matches.items() if m and (m["stem"], m["count"]) == whole)
    files = tuple((path, listing[path]) for path in names)
    return _checked(
        WeightSet(kind="safetensors", part="model", label="safetensors", files=files), where
    )


def gguf_sets(listing: Listing) -> tuple[WeightSet, ...]:
    """Every set of GGUF files, a split set as one, smallest first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for path in listing:
        if path.lower().endswith(".gguf"):
            match = _SHARD.fullmatch(path)
            key = (match["stem"], match["count"]) if match else (path[: -len(".gguf")], "")
            groups.setdefault(key, []).append(path)
    sets = [
        WeightSet(
            kind="gguf",
            part=_part(stem),
            label=_label(stem),
            files=tuple((path, listing[path]) for path in sorted(paths)),
        )
        for (stem, _), paths in groups.items()
    ]
    return tuple(sorted(sets, key=lambda found: (found.nbytes or 0, found.files)))


def closest_companion(sets: Sequence[WeightSet], part: Part, model: WeightSet) -> WeightSet | None:
    """The mmproj or MTP file that llama.cpp would take for `model` when told none.

    Rule: the deepest folder shared with the model, then the nearest number of bits, then the first
    by name, as the Hub lists them (llama.cpp common/download.cpp, find_best_sibling).
    """
    folder = model.files[0][0].split("/")[:-1]

    def rank(found: WeightSet) -> tuple[int, int, str]:
        path = found.files[0][0]
        return -path.count("/"), abs(_bits(found.label) - _bits(model.label)), path

    fitting = [
        found
        for found in sets
        if found.part == part
        and folder[: len(theirs := found.files[0][0].split("/")[:-1])] == theirs
    ]
    return min(fitting, key=rank, default=None)


def _bits(label: str) -> int:
    match = re.search(r"\d+", label)
    return int(match[0]) if match else 0


def _part(stem: str) -> Part:
    # Case counts: "mtp-X-Q8_0.gguf" is a head, "X-MTP-Q8_0.gguf" a whole model with one in it.
    name = stem.rpartition("/")[2]
    return next((part for mark, part in _COMPANIONS if mark in name), "model")


def _label(stem: str) -> str:
    folder, _, name = stem.rpartition("/")
    for text in (name, folder):
        matches = list(_QUANTIZATION.finditer(text))
        if matches:
            return matches[-1]["label"]
    return name


def _matching(sets: Sequence[WeightSet], pattern: str) -> tuple[WeightSet, ...]:
    """The sets that `pattern` names, by the first reading that names any."""
    wanted = pattern.lower()
    stem = wanted.removesuffix(".gguf")

    def bare(label: str) -> str:
        return label.lower().removeprefix("ud-").removeprefix("i1-")

    def paths(found: WeightSet) -> list[str]:
        return [path.lower() for path, _ in found.files]

    readings = (
        lambda found: wanted in paths(found),
        lambda found: any(path.rpartition("/")[2] == wanted for path in paths(found)),
        lambda found: found.label.lower() == stem,
        lambda found: bare(found.label) == stem,
        lambda found: any(fnmatch(path, wanted) for path in paths(found)),
        lambda found: any(stem in path for path in paths(found)),
    )
    for reading in readings:
        named = tuple(found for found in sets if reading(found))
        if named:
            return named
    return ()


def _choose_gguf(
    sets: Sequence[WeightSet], where: str, pattern: str | None, part: Part
) -> WeightSet:
    candidates = tuple(found for found in sets if found.part == part)
    if not candidates:
        there = ", ".join(sorted({found.part for found in sets}))
        raise InputError(f"{where}: no GGUF file holds the {part} (there is: {there})")
    if pattern is not None:
        # A file may be asked for by its full name whatever it holds.
        named = _matching(candidates, pattern) or tuple(
            found for found in sets if pattern in (path for path, _ in found.files)
        )
        if not named:
            raise InputError(_no_match(where, pattern, candidates))
        candidates = named
    if len(candidates) > 1:
        raise InputError(
            f"{where} holds {len(candidates)} GGUF sets"
            + (f" that match {clip(repr(pattern))}" if pattern else "")
            + f"; name one of {_choices(candidates)}"
        )
    return candidates[0]


def _no_match(where: str, pattern: str, sets: Sequence[WeightSet]) -> str:
    if not sets:
        return f"{where} has no GGUF files, so none matches {clip(repr(pattern))}"
    return f"{where} has no GGUF file that matches {clip(repr(pattern))}; it has {_choices(sets)}"


def _choices(sets: Sequence[WeightSet]) -> str:
    labels = [found.label for found in sets]
    shown = []
    for found in sets[:40]:
        unique = labels.count(found.label) == 1
        name = found.label if unique else found.files[0][0]
        size = f" ({format_gib(found.nbytes)})" if found.nbytes else ""
        shown.append(clip(name) + size)
    return ", ".join(shown) + (f" and {len(sets) - 40} more" if len(sets) > 40 else "")


def _safetensors(listing: Listing, where: str, index: Mapping[str, str] | None) -> WeightSet | None:
    if index is not None:
        names = sorted(set(index.values()))
        for name in names:
            if not _is_plain_path(name):
                raise InputError(f"{where}: {INDEX_FILE} names a file outside: {clip(repr(name))}")
        if len(names) > MAX_FILES:
            raise InputError(f"{where}: {INDEX_FILE} names {len(names):,} files")
        missing = [name for name in names if name not in listing]
        if missing:
            raise InputError(_missing(where, missing, len(names), f"named by {INDEX_FILE}"))
    else:
        root = [path for path in listing if path.endswith(".safetensors") and "/" not in path]
        if not root:
            return None
        names = ["model.safetensors"] if "model.safetensors" in root else _own_format(root)
    files = tuple((name, listing[name]) for name in names)
    found = WeightSet(kind="safetensors", part="model", label="safetensors", files=files)
    return found if index is not None else _checked(found, where)


def _own_format(root: list[str]) -> list[str]:
    """Without an index and a single model.safetensors: all, but not a second copy."""
    # Mistral's own layout beside Hugging Face's holds the same weights once more.
    first = [path for path in root if not path.startswith(("consolidated", "adapter_"))]
    return sorted(first or root)


def _checked(found: WeightSet, where: str) -> WeightSet:
    """The set, if none of its shards is missing."""
    numbers: dict[tuple[str, str], set[int]] = {}
    ends: dict[tuple[str, str], str] = {}
    for path, _ in found.files:
        if match := _SHARD.fullmatch(path):
            key = (match["stem"], match["count"])
            numbers.setdefault(key, set()).add(int(match["number"]))
            ends[key] = path.rpartition(".")[2]
    for (stem, count), present in numbers.items():
        width, total = len(count), int(count)
        if not 1 <= total <= MAX_FILES:
            raise InputError(f"{where}: {clip(stem)} claims {total:,} shards")
        missing = [
            f"{stem}-{number:0{width}d}-of-{count}.{ends[stem, count]}"
            for number in range(1, total + 1)
            if number not in present
        ]
        if missing:
            raise InputError(_missing(where, missing, total, "of its set"))
    return found


def _missing(where: str, missing: list[str], total: int, whose: str) -> str:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return (
        f"{where}: {len(missing)} of {total} shards {whose} are missing: {clip(missing[0])}{more}; "
        "finish the download"
    )


def _is_plain_path(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(parts)


def weight_map(document: Mapping[str, Any], file: str) -> dict[str, str]:
    """The map from tensors to files in a parsed `INDEX_FILE`.

    Raises:
        InputError: it is not such a map.
    """
    found = document.get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise InputError(f"{file}: there is no weight_map from tensors to files in it")
    if not found:
        raise InputError(f"{file}: its weight_map is empty")
    return found
