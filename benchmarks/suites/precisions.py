"""What the cases' words for a precision mean: part of `words`, with the one table of recipes."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from planner.errors import InputError
from planner.model.catalog import find
from planner.model.gguf_mix import GgufScheme
from planner.model.quantization import Scheme, get_scheme
from planner.registry import entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How weights are stored, as far as the words tell.

    Attributes:
        scheme: the planner's scheme.
        nearest: why it is only the nearest one; None where the words say it.
    """

    scheme: Scheme
    nearest: str | None = None


_OWN_MIX = "somebody's own mix of formats, asked as the nearest scheme"
_BITS_ONLY = "only the bits are told, not the method or what is left in 16 bits"
_REGISTERED = "the layers are not told: the planner's registry says how that repository is stored"

# (pattern on the words, scheme, why it is only the nearest); the first match counts.
_RECIPES: tuple[tuple[str, str, str | None], ...] = (
    (r"hybrid|int4 experts \+ fp8", "autoround-int4", _OWN_MIX),
    (r"torchao", "w8a8-int8", _OWN_MIX),
    (r"extra bf16", "awq-int4-g32", _OWN_MIX),
    (r"^(mlx )?(f16/)?(bf16|fp16|f16)\b(?!.*(int|fp)[48])", "bf16", None),
    (r"mlx.*(mxfp4|nvfp4)", "mlx-4bit", "as many bits per weight as MLX's own 4-bit"),
    (r"w8a8.*fp8|fp8.*(per.channel|dynamic|static|compressed.tensors)", "fp8-dynamic", None),
    (r"fp8.*expert", "fp8-experts", None),
    (r"modelopt.*mixed|mixed.*nvfp4|nvfp4.*\bmixed", "nvfp4-mixed", None),
    (r"^fp8", "fp8", None),
    (r"gptq.{0,8}(int8|8.?bit)|gptq8", "gptq-int8-all", None),
    (r"gptq.*(mlp|expert).*only", "gptq-int4", None),
    (r"gptq.*(g32|btbtyler09)|btbtyler09.*gptq", "gptq-int4-g32-all", None),
    (r"gptq.*g128", "gptq-int4-all", None),
    (r"gptq", "gptq-int4-all", "GPTQ, but not which layers and groups"),
    (r"awq.*(g32|compressed.tensors)", "awq-int4-g32", None),
    (r"awq.*expert", "awq-int4-experts", None),
    (r"awq.*g128", "awq-int4", None),
    (r"awq", "awq-int4", "AWQ, but not which layers and groups"),
    (r"autoround.*mtp quantized", "autoround-int4-mtp", None),
    (r"autoround", "autoround-int4", "AutoRound, but not which layers"),
    (r"nvfp4.*routed experts incl", "nvfp4-experts-mtp", None),
    (r"nvfp4.*(routed )?experts( only)?", "nvfp4-experts", None),
    (r"nvfp4.*(llm-compressor|compressed)|compressed.*nvfp4", "nvfp4-ct", None),
    (r"nvfp4.*out_proj", "nvfp4-out-proj", None),
    (r"nvfp4.*unsloth", "nvfp4-all", None),
    (r"nvfp4.*(nvidia|modelopt)", "nvfp4", None),
    (r"nvfp4|^fp4", "nvfp4", "NVFP4, but not which layers"),
    (r"mxfp4.*expert|mxfp4-amd", "mxfp4-experts", None),
    (r"mxfp4", "mxfp4", "MXFP4, but not which layers"),
    (r"mxfp6", "mxfp6", "MXFP6, but not which layers"),
    (r"mxfp8", "mxfp8", "MXFP8, but not which layers"),
    (r"w4a16", "w4a16", None),
    (r"w8a16", "w8a16", None),
    (r"w8a8", "w8a8-int8", None),
    (r"int8", "w8a8-int8", _BITS_ONLY),
    (r"(bnb|bitsandbytes|nf4).*double", "bnb-nf4-double", None),
    (r"(bnb|bitsandbytes).*(int8|8.?bit)", "bnb-int8", None),
    (r"bnb|bitsandbytes|nf4", "bnb-nf4", None),
    (r"int4", "awq-int4", _BITS_ONLY),
)
_GENERIC = ("nvfp4", "mxfp4", "mxfp6", "mxfp8", "awq-int4", "gptq-int4", "autoround-int4")
"""Schemes whose names sources also use where they tell the method and no more."""
_MLX = re.compile(r"mlx\W*(?:affine )?(\d)")
_GGUF = re.compile(
    r"(?:gguf[\s_-]*)?(ud-)?(?:smol-|mtp-)?"
    r"((?:i?q|tq)\d[a-z0-9]*(?:_[a-z0-9]+)*|mxfp4_moe|bf16|f16|f32)\b(.*)"
)
# As many bits per weight as a type of llama-quantize has.
_GGUF_LIKE = {"gguf-int4": "q4_0", "gguf-nvfp4": "q4_0"}
# They choose types by their own measurements also where a file bears llama-quantize's name; their
# files of one single type are what they say.
_OWN_MIXERS = ("unsloth", "bartowski")
_SINGLE_TYPES = ("f32", "f16", "bf16", "q8_0")


def recipe_of(words: str | None, *, repo: str = "") -> Recipe:
    """Return how weights are stored, as the words of a source and the repository's name tell.

    Raises:
        LookupError: they do not tell.
    """
    repo = re.sub(r" \(loaded\)$", "", repo or "")
    text = (words or "").strip().lower()
    if text.startswith("gguf") or "gguf" in repo.lower():
        return _gguf_recipe(text, repo.lower())
    if (own := _scheme_called(text)) is not None and text.count("-"):
        return Recipe(scheme=own)
    known = find(repo)
    if known is not None and known[1] != "bf16":
        return Recipe(scheme=get_scheme(known[1]))
    if (match := _MLX.search(text)) and "mxfp4" not in text and "nvfp4" not in text:
        return Recipe(scheme=get_scheme(f"mlx-{match[1]}bit"))
    first = _first_recipe(text)
    bits = first is not None and (first.nearest == _BITS_ONLY or first.scheme.name == "w8a8-int8")
    if bits and known is None and (stored := _as_stored(repo)) is not None:
        return Recipe(scheme=stored, nearest=_REGISTERED)
    if first is not None and first.nearest is None:
        return first
    both = _first_recipe(f"{text} {repo.lower()}")
    if both is not None and (both.nearest is None or first is None):
        return both
    if first is not None:
        return first
    if (found := _gguf_type(text)) is not None:
        return found
    return Recipe(scheme=_by_own_name(text, words))


def _as_stored(repo: str) -> Scheme | None:
    """How the registry says that a repository of one checkpoint is stored, if its size is known.

    A source may leave the organisation out.
    """
    whole = "/" in repo
    rows = [
        row
        for row in entries()
        if row.nbytes is not None
        and (row.repo if whole else row.repo.rpartition("/")[2]).lower() == repo.lower()
    ]
    return get_scheme(rows[0].recipe) if len(rows) == 1 and not rows[0].gguf else None


def _first_recipe(text: str) -> Recipe | None:
    if text and (own := _scheme_called(text)) is not None:
        return Recipe(scheme=own)
    for pattern, name, nearest in _RECIPES:
        if re.search(pattern, text):
            return Recipe(scheme=get_scheme(name), nearest=nearest)
    return None


def _scheme_called(text: str) -> Scheme | None:
    """The scheme that bears exactly this name, unless sources use it for any of its kind."""
    if text in _GENERIC:
        return None
    try:
        found = get_scheme(text)
    except InputError:
        return None
    return found if found.name == text and not isinstance(found, GgufScheme) else None


def _by_own_name(text: str, words: str | None) -> Scheme:
    parts = [part for part in re.split(r"[\s_/,]+", text) if part]
    for name in (text, "-".join(parts), "-".join(reversed(parts)), *parts):
        try:
            return get_scheme(name)
        except InputError:
            continue
    raise LookupError(f"precision {words!r} of the source cannot be told")


def _gguf_type(text: str) -> Recipe | None:
    """The GGUF type that `text` starts with ("UD-Q4_K_XL": Q4_K_M), or None."""
    match = _GGUF.match(text)
    if match is None:
        return None
    dynamic, name, rest = match.groups()
    stem, bits = name.rpartition("_")[0], name.partition("_")[0]
    for wanted in (name, f"{name}_m", f"{stem}_m", stem, f"{bits}_0", f"{bits}_xs", f"{bits}_s"):
        try:
            found = get_scheme(f"gguf-{wanted}")
        except InputError:
            continue
        if isinstance(found, GgufScheme):
            own = dynamic is not None or found.mix.lower() != name or "-class" in rest
            return Recipe(scheme=found, nearest=_OWN_MIX if own else None)
    return None


def _gguf_recipe(text: str, repo: str) -> Recipe:
    if text in _GGUF_LIKE:
        like = get_scheme(_GGUF_LIKE[text])
        return Recipe(scheme=like, nearest="as many bits per weight as that type")
    found = _gguf_type(text)
    if found is None or not isinstance(found.scheme, GgufScheme):
        raise LookupError(f"format {text!r} names no GGUF type")
    mix = found.scheme.mix.lower()
    own = any(name in repo for name in _OWN_MIXERS) and mix not in _SINGLE_TYPES
    imatrix = "bartowski" in repo or "-i1-" in repo or found.scheme.imatrix
    return Recipe(
        scheme=dataclasses.replace(found.scheme, imatrix=imatrix),
        nearest=found.nearest or (_OWN_MIX if own else None),
    )
