"""What a name alone says of a checkpoint that no row describes: a few rules, labelled "not read".

An organisation in front of a bundled name; ``-GGUF`` with a quant; a known ending (``-FP8-dynamic``,
``-AWQ-4bit``, ``-NVFP4``, ``-4bit`` of MLX). Other words in a GGUF's name are those of a fine-tune,
whose shapes are the model's; ``REAP-48`` prunes 48 % of the experts. A word that says another size
(``40B``, ``merged``, ``draft``), and any other name with words of its own, is another model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from hardware_db.regex import pattern
from planner.errors import InputError
from planner.model import catalog
from planner.model.gguf_mix import mixes
from planner.model.quantization import get_scheme
from planner.registry.entry import Container, Entry, Vision
from planner.shipped import read_toml

SOURCE = "by its name, not read"
"""What an answer is labelled with that no row and no header backs."""

_ENDINGS: tuple[tuple[str, str, Container], ...] = (
    (r"fp8-dynamic", "fp8-dynamic", "safetensors"),
    (r"fp8(?:-block)?", "fp8", "safetensors"),
    (r"nvfp4", "nvfp4", "safetensors"),
    (r"mxfp4", "mxfp4", "safetensors"),
    (r"mxfp8", "mxfp8", "safetensors"),
    (r"(?:awq(?:-int4|-4bit)?|int4-awq)", "awq-int4-g32", "safetensors"),
    (r"(?:int4-)?autoround(?:-int4|-4bit)?|int4-mixed-autoround", "autoround-int4", "safetensors"),
    (r"gptq(?:-int4|-4bit)?", "gptq-int4", "safetensors"),
    (r"quantized\.w8a8|(?:int8-)?w8a8(?:-int8)?", "w8a8-int8", "safetensors"),
    (r"quantized\.w4a16|w4a16(?:-g128)?", "w4a16", "safetensors"),
    (r"quantized\.w8a16|w8a16", "w8a16", "safetensors"),
    (r"bnb-4bit|unsloth-bnb-4bit", "bnb-nf4", "safetensors"),
    (r"bf16", "bf16", "safetensors"),
    (r"(?:mlx-)?([34568])bit(?:-mlx|-dwq)?", "mlx-{}bit", "mlx"),
)
_QUANT = pattern(
    r"(?:I?Q[1-8]_(?:[01]|K|K[SLTV]S?|NL|X{0,2}S|[SML])(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4_MOE|MXFP4|NVFP4|BF16|F16|F32)",
    re.IGNORECASE,
)
_BEFORE_QUANT = pattern(
    r"(?:-(?:MTP|GGUF))*(?P<sep>[-.])(?P<label>(?:(?:UD|i1)-)?(?P<quant>.+))", re.I
)
_PREFIX = pattern(
    r"^(?:[A-Za-z]+_(?=[A-Za-z]+\d)|(?:(?!mmproj|draft|dflash|dspark|eagle)[A-Za-z]{2,}-)+(?=qwen\d))",
    re.I,
)
"""The maker in front of the model: ``Qwen_Qwen3.8-27B`` as bartowski writes it, ``Huihui-Qwen3.5-9B``."""
_PRUNED = pattern(r"[-_.]?reap[-_.]?(?P<share>\d{1,2})(?:p|pct)?(?=[-_.]|$)", re.I)
_RESIZED = pattern(
    r"(?:^|[-_.])(?:\d+(?:\.\d+)?b|reap|prun\w*|slim|lite|merg\w*|experts?|moe|upscal\w*|draft\w*"
    r"|dspark|dflash|eagle\d?|mmproj|embed\w*|rerank\w*|vl|omni|asr|tts|coder|next|flash)(?=[-_.]|$)",
    re.I,
)
_FORMAT = pattern(
    r"(?:^|[-_.])(?:mlx|gguf|ggml|exl[23]|awq|gptq|quant\w*|bnb|nf4|[a-z]*int[1-8]|[mn]x?v?fp\d+|fp\d+|q[a-z]?\d\w*"
    r"|w\d+a\d+|\d+(?:\.\d+)?-?bit|\d+(?:\.\d+)?bpw)(?=[-_.]|$)",
    re.I,
)
_MIXED = pattern(r"[-_.](?:mixed|mix|imat|imatrix|hifi|dwq)$", re.I)
_BY_BITS = {"1": "IQ1_M", "2": "Q2_K", "3": "Q3_K_M", "4": "Q4_K_M", "5": "Q5_K_M", "6": "Q6_K"}
_DEFAULT_QUANT = "Q4_K_M"
"""What llama.cpp's -hf takes of a repository where nothing is said."""
_LIBRARY_QUANT = "Q4_K_M"
"""What a tag of Ollama's library stands for where it names no quant."""
_LIBRARY_ENDINGS: tuple[tuple[str, str, Container], ...] = (
    ("mlx", "mlx-4bit", "mlx"),
    ("nvfp4", "mlx-4bit", "mlx"),
    ("mxfp8", "mlx-8bit", "mlx"),
    ("int4", "mlx-4bit", "mlx"),
    ("int8", "mlx-8bit", "mlx"),
    ("fp16", "gguf-f16", "gguf"),
)


def from_repository(repo: str, label: str | None = None) -> Entry | None:
    """Return what a repository's name says; None if it holds anything that is not understood.

    Args:
        repo: with or without an organisation.
        label: which GGUF of it.
    """
    base, rest = _base(repo.rpartition("/")[2])
    if base is None:
        return None
    rest, experts = _pruned(base, rest)
    found = _repository(repo, base, rest.strip("-"), label)
    if found is None and (experts is not None or "gguf" in rest.split("-")):
        tries = (_repository(repo, base, tail, label) for tail in _behind_words(rest))
        found = next(filter(None, tries), None)
        found = None if found is None else replace(found, derivative=True)
    return found if found is None or experts is None else _with_experts(found, experts)


def _repository(repo: str, base: str, rest: str, label: str | None) -> Entry | None:
    """Return the entry where `rest`, what comes after the model, is understood to the end."""
    mtp = True if re.search(r"(?:^|-)mtp(?:-|$)", rest) else None
    rest = re.sub(r"(?:^|-)(?:mtp|text|instruct)(?=-|$)", "", rest).strip("-")
    gguf = re.sub(r"(?:^|-)(?:i1-)?gguf(?=-|$)", "", rest) if "gguf" in rest.split("-") else None
    if gguf is not None:
        quant = label or _MIXED.sub("", gguf.strip("-")) or _DEFAULT_QUANT
        recipe = gguf_recipe(quant) if quant else None
        if recipe is None:
            return None
        return _entry(repo, base, "gguf", recipe, label=label or quant.upper(), mtp=mtp)
    if label is not None and rest == "" and "/" in repo:
        recipe = gguf_recipe(label)
        return _entry(repo, base, "gguf", recipe, label=label) if recipe else None
    if not rest:
        return _entry(repo, base, "safetensors", "bf16") if "/" in repo else None
    for ending, recipe, container in _ENDINGS:
        match = re.fullmatch(ending, rest)
        if match is not None:
            return _entry(repo, base, container, recipe.format(*match.groups()), mtp=mtp)
    return None


def beside(row: Entry, label: str) -> Entry | None:
    """Return another GGUF of a repository that has rows; None if `label` names no type."""
    recipe = gguf_recipe(label) if row.gguf else None
    if recipe is None:
        return None
    return replace(
        row,
        label=label,
        file=None,
        nbytes=None,
        within=0,
        recipe=recipe,
        part="model",
        source=SOURCE,
        named=True,
    )


def from_file(file: str, repo: str | None = None) -> Entry | None:
    """Return what a GGUF file's name says: ``Qwen_Qwen3.8-27B-Q4_K_M.gguf``; None if not understood."""
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", file.rpartition("/")[2][: -len(".gguf")])
    base, rest = _base(stem, keep_case=True)
    if base is None:
        return None
    rest, experts = _pruned(base, rest)
    mtp = True if "-mtp" in rest.lower() else None
    plain = _MIXED.sub("", rest)
    for tail in (plain, *_behind_words(plain)):
        match = _BEFORE_QUANT.fullmatch(tail if tail.startswith((".", "-")) else f"-{tail}")
        recipe = gguf_recipe(match["label"]) if match else None
        if match is None or recipe is None:
            continue
        label = match["label"] if repo else ""
        found = _entry(repo or file, base, "gguf", recipe, label=label, file=file, mtp=mtp)
        found = replace(found, derivative=tail is not plain)
        return found if experts is None else _with_experts(found, experts)
    return None


def _pruned(base: str, rest: str) -> tuple[str, int | None]:
    """Return what is left of a name without ``REAP-48``, and how many experts that leaves a layer."""
    match, known = _PRUNED.search(rest), catalog.find(base)
    moe = known[0].model.moe if known is not None else None
    if match is None or moe is None:
        return rest, None
    left = round(moe.num_experts * (100 - int(match["share"])) / 100)
    return rest[: match.start()] + rest[match.end() :], max(left, moe.num_experts_per_tok)


def _with_experts(entry: Entry, experts: int) -> Entry:
    return replace(entry, derivative=True, experts=experts)


def _behind_words(rest: str) -> Iterator[str]:
    """Yield what is left behind one, two and more words of a fine-tune's name."""
    for match in re.finditer(r"[-_.]", rest):
        words = rest[: match.start()]
        if words and not _RESIZED.search(words):
            yield rest[match.end() :]
    if rest and not _RESIZED.search(rest) and not _FORMAT.search(rest):
        yield ""


@cache
def _latest() -> Mapping[str, str]:
    """What ``:latest`` stands for in Ollama's library: family -> tag."""
    found: Mapping[str, str] = read_toml("registry", "data", "ollama_latest.toml")["latest"]
    return found


def definite(tag: str) -> str:
    """Return the tag that ``qwen3.5:latest`` stands for; any other as it is."""
    family, _, rest = tag.lower().partition(":")
    meant = _latest().get(family) if rest == "latest" else None
    return tag if meant is None else f"{family}:{meant}"


def from_ollama(tag: str) -> Entry | None:
    """Return what a tag of Ollama's library says: ``qwen3.5:27b-q8_0``; None if not understood."""
    family, _, rest = tag.lower().partition(":")
    base, after = _base(f"{family}-{rest}")
    if base is None or not rest or rest == "latest":
        return None
    after = re.sub(r"^(?:a\d+b-?|instruct-?|thinking-?|it-?)+", "", after.strip("-"))
    if not after:
        return _entry(tag, base, "gguf", _LIBRARY_QUANT.lower(), packed=True)
    for ending, recipe, container in _LIBRARY_ENDINGS:
        if after == ending:
            return _entry(tag, base, container, recipe, packed=True)
    named = gguf_recipe(after)
    return _entry(tag, base, "gguf", named, packed=True) if named else None


def said_with(name: str) -> tuple[str, str] | None:
    """Return the model and the precision that a name says in one: "qwen3.6 27b q4", "qwen3.5-9b-mlx".

    None where it is no bundled model, or what stands behind it names no precision.
    """
    base, rest = _base(catalog.hyphened(name))
    said = _SAID.get(rest) or rest
    if base is None or not said:
        return None
    kind = re.match(r"(?:ud|i1)-", said)
    quant = said[kind.end() :] if kind is not None else said
    label = f"{kind[0] if kind is not None else ''}{quant.replace('-', '_')}"
    if gguf_recipe(label) is not None:
        return base, label
    try:
        return base, get_scheme(said).name
    except InputError:
        return None


_SAID = {"q2": "q2_k", "q3": "q3_k_m"}
"""What people shorten in a name, beside the words that `get_scheme` knows."""


def gguf_recipe(label: str) -> str | None:
    """Return the scheme nearest to a GGUF label (``UD-Q4_K_XL`` -> ``q4_k_m``); None if it names none."""
    quant = re.sub(r"^(?:ud|i1|mtp|smol|ad)-", "", label, flags=re.I).upper()
    quant = re.sub(r"^(I?Q\d)_?K_?(XXL|XL|L|M|S)?$", _spelled, quant)
    if not _QUANT.fullmatch(quant):
        return None
    tries = (quant, f"{quant.rpartition('_')[0]}_M", quant.rpartition("_")[0])
    own = next((mix for mix in tries if mix in mixes()), None)
    if own is None and quant.startswith("Q8"):
        own = "Q8_0"
    if own is None:
        digit = re.search(r"\d", quant)
        own = _BY_BITS.get(digit[0]) if digit else None
    if own is None:
        return None
    return f"gguf-{own.lower()}" if own in ("F32", "F16", "BF16") else own.lower()


def _spelled(match: re.Match[str]) -> str:
    """Return a quant as llama.cpp spells it: ``Q4KXL`` is ``Q4_K_XL``."""
    return "_".join(filter(None, (match[1], "K", match[2])))


def _entry(
    repo: str,
    base: str,
    container: Container,
    recipe: str,
    *,
    label: str = "",
    file: str | None = None,
    mtp: bool | None = None,
    packed: bool = False,
) -> Entry:
    known = catalog.find(base)
    vision: Vision | None = None
    if container == "gguf" and known is not None and known[0].model.vision is not None:
        vision = "inside" if packed else "beside"
    return Entry(
        repo=repo,
        base=base,
        container=container,
        label=label,
        file=file,
        nbytes=None,
        within=0,
        recipe=recipe,
        kept="",
        mtp=mtp,
        vision=vision,
        derivative=False,
        part="model",
        downloads=None,
        date=catalog.COLLECTED,
        source=SOURCE,
        named=True,
    )


@cache
def _bases() -> Mapping[str, str]:
    """A model's name in lower case, as people shorten it -> its bundled id; longest first."""
    found: dict[str, str] = {}
    for entry in catalog.catalog():
        for id_ in (entry.id, *entry.aliases):
            found.setdefault(id_.rpartition("/")[2].lower(), entry.id)
    for name, id_ in list(found.items()):
        # "35B-A3B" is called "35b", too, where only one model has that size.
        found.setdefault(re.sub(r"-a\d+b(?=-|$)", "", name), id_)
        found.setdefault(
            re.sub(r"-(?:instruct|base)$", "", re.sub(r"-a\d+b(?=-|$)", "", name)), id_
        )
    return MappingProxyType(dict(sorted(found.items(), key=lambda pair: -len(pair[0]))))


def _base(name: str, *, keep_case: bool = False) -> tuple[str | None, str]:
    """The bundled model that `name` begins with, and what comes after it."""
    name = _PREFIX.sub("", name)
    low = name.lower()
    for short, id_ in _bases().items():
        if low == short or (low.startswith(short) and low[len(short)] in "-.:_"):
            rest = name[len(short) :]
            return id_, rest if keep_case else rest.lower().strip("-")
    return None, ""


def base_of(name: str) -> str | None:
    """Return the bundled id of the model that a name begins with (``qwen3.5-35b``), or None."""
    base, rest = _base(name.strip().rpartition("/")[2].replace(":", "-"))
    return base if not rest else None
