"""Say what a separate drafter (DFlash) adds to a rank: bundled figures, or the user's."""

from __future__ import annotations

from functools import cache

from hardware_db.records import frozen
from planner.engines.engine import Deployment
from planner.engines.vllm.options import VllmOptions
from planner.formats import get_cache_format
from planner.shipped import read_toml
from planner.units import GIB


@frozen
class Drafter:
    """What a separate drafter (DFlash) adds to one rank: its layers join the pool.

    Attributes:
        model: its repository id, if known.
        num_layers: attention layers that keep KV.
        kv_bytes_per_token: bytes that a token takes in one of them on one rank, in 16 bits.
        nbytes: bytes of its weights.
        source: where that was read.
        assumed: what is assumed about it, in words; empty if nothing is.
        sliding_layers: how many of its layers attend to a sliding window.
        window: tokens of that window.
    """

    model: str | None
    num_layers: int
    kv_bytes_per_token: int
    nbytes: int
    source: str
    assumed: str = ""
    sliding_layers: int = 0
    window: int = 0


@cache
def _known() -> dict[str, Drafter]:
    """Return the bundled drafters by the model they draft for."""
    rows = read_toml("engines", "vllm", "data", "drafters.toml")["drafter"]
    return {
        target: Drafter(
            model=row.get("model"),
            num_layers=row["num_layers"],
            kv_bytes_per_token=row["kv_bytes_per_token"],
            nbytes=int(row.get("gib", 0) * GIB),
            source=row["source"],
            assumed=row.get("assumed", ""),
            sliding_layers=row.get("sliding_layers", 0),
            window=row.get("window", 0),
        )
        for row in rows
        for target in row["targets"]
    }


def drafter_of(deployment: Deployment) -> Drafter | None:
    """Return the separate drafter; None without one, or where its shape is not known.

    The user's figures come first, then those bundled for the target model.
    """
    options: VllmOptions = deployment.options
    if not options.num_speculative_tokens or options.speculative_method != "dflash":
        return None
    known = _known().get(deployment.checkpoint.model.name)
    heads, width = options.draft_num_key_value_heads, options.draft_head_dim
    layers = options.draft_num_layers or (known.num_layers if known else None)
    per_token = known.kv_bytes_per_token if known else None
    given = heads is not None and width is not None
    if heads is not None and width is not None:
        per_token = 2 * heads * get_cache_format("bfloat16").head_bytes(width)
    if layers is None or per_token is None:
        return None
    sliding, window = options.draft_sliding_layers, options.draft_sliding_window
    if known is not None and not given:
        sliding = known.sliding_layers if sliding is None else sliding
        window = known.window if window is None else window
    tp = deployment.layout.tensor_parallel
    whole = int(options.draft_gib * GIB) if options.draft_gib else (known.nbytes if known else 0)
    return Drafter(
        model=options.draft_model or (known.model if known else None),
        num_layers=layers,
        kv_bytes_per_token=max(1, per_token // tp),
        nbytes=whole // tp,
        source=known.source if known and not given else "the user's figures",
        assumed=known.assumed if known and not given else "",
        sliding_layers=min(sliding or 0, layers),
        window=window or 0,
    )
