"""The precisions of one model side by side: size, bits per weight, what each leaves unquantized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

from hardware_db.records import frozen
from planner.model.catalog import CatalogEntry, find
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import (
    Evidence,
    RoleScheme,
    Scheme,
    Stored,
    get_scheme,
    scheme_notes,
)
from planner.model.spec import ModelSpec

PRECISIONS: tuple[str, ...] = (
    "bf16",
    "fp8",
    "fp8-dynamic",
    "w8a8-int8",
    "mxfp8",
    "bnb-int8",
    "mlx-8bit",
    "q8_0",
    "mxfp6",
    "mlx-6bit",
    "q6_k",
    "mlx-5bit",
    "q5_k_m",
    "nvfp4",
    "mxfp4",
    "gptq-int4",
    "awq-int4",
    "autoround-int4",
    "w4a16",
    "bnb-nf4",
    "mlx-4bit",
    "q4_k_m",
    "iq4_xs",
    "mlx-3bit",
    "q3_k_m",
    "q2_k",
)
"""What is compared where nothing else is asked for, widest first; published variants join them."""


@frozen
class PrecisionRow:
    """One precision of a model.

    Attributes:
        name: the scheme, as users type it.
        title: what it does to this model.
        id: the best known checkpoint of it; None: there is none.
        evidence: official, published (by others), the rule of a tool that anyone may run, or a
            hypothesis: sizes as if the model were quantized like what `source` names.
        source: where the recipe was read.
        nbytes: all tensors.
        bytes_by_part: part -> bytes (vision and MTP are loaded only when wanted).
        bits_per_weight: over all stored parameters, scales and all; exact.
        unquantized: ``part.component`` of the matrices that stay 16-bit or wider -> bytes, largest
            first.
        kernels: families of kernels that an engine needs.
        notes: what a user should know, one sentence each.
    """

    name: str
    title: str
    id: str | None
    evidence: Evidence
    source: str
    nbytes: int
    bytes_by_part: Mapping[str, int]
    bits_per_weight: Fraction
    unquantized: Mapping[str, int]
    kernels: tuple[str, ...]
    notes: tuple[str, ...]


def compare_precisions(
    model: ModelSpec, precisions: Sequence[str] | None = None
) -> tuple[PrecisionRow, ...]:
    """The precisions of `model`, largest first.

    Args:
        model: the architecture; checkpoints are known for bundled models, by the model's name.
        precisions: names of schemes; None takes `PRECISIONS` and every published variant.

    Raises:
        InputError: a precision that is not known.
    """
    found = find(model.name)
    entry = found[0] if found is not None else None
    names = list(PRECISIONS if precisions is None else precisions)
    if precisions is None and entry is not None:
        names += [name for name in entry.checkpoints.values() if name not in names]
    schemes = {scheme.name: scheme for scheme in map(get_scheme, names)}
    rows = [_row(model, scheme, entry) for scheme in schemes.values()]
    return tuple(sorted(rows, key=lambda row: (-row.nbytes, row.name)))


def _row(model: ModelSpec, scheme: Scheme, entry: CatalogEntry | None) -> PrecisionRow:
    id_, evidence = _known(scheme.name, entry)
    checkpoint = Checkpoint(id=id_ or model.name, model=model, scheme=scheme, source="scheme")
    chosen = checkpoint.recipe
    if id_ is None and (not isinstance(chosen, RoleScheme) or chosen.evidence == "tool rule"):
        evidence = "tool rule"
    return PrecisionRow(
        name=scheme.name,
        title=chosen.title,
        id=id_,
        evidence=evidence,
        source=chosen.source,
        nbytes=checkpoint.nbytes(),
        bytes_by_part=MappingProxyType(checkpoint.bytes_by_part),
        bits_per_weight=checkpoint.bits_per_weight,
        unquantized=MappingProxyType(_unquantized(checkpoint.stored)),
        kernels=checkpoint.kernels,
        notes=scheme_notes(scheme, model),
    )


def _known(scheme: str, entry: CatalogEntry | None) -> tuple[str | None, Evidence]:
    """The checkpoint of a scheme that is known, the maker's own first."""
    if entry is None:
        return None, "hypothesis"
    if scheme == "bf16":
        return entry.id, "official"
    maker = entry.id.partition("/")[0]
    ids = [id_ for id_, name in entry.checkpoints.items() if name == scheme]
    own = [id_ for id_ in ids if id_.partition("/")[0] == maker]
    if own:
        return own[0], "official"
    return (ids[0], "published") if ids else (None, "hypothesis")


def _unquantized(rows: Sequence[Stored]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for row in rows:
        if row.tensor.is_matrix and row.format.bits_per_weight >= 16:
            role = f"{row.tensor.part}.{row.tensor.component}"
            sizes[role] = sizes.get(role, 0) + row.nbytes
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
