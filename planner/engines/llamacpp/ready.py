"""Compute buffers that were worked out when the package was built: a common start needs no graph.

They are those of bundled models, whole on one GPU with a few slots, or on alike GPUs with one, and
the default settings, as stretches of lengths. `python -m planner.engines.llamacpp` writes them, and a build does. They
carry a digest of the code that graphs follow from: whatever changes it turns them off.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware_db.compiled import digest_of, dumps, files_of, loads
from planner.engines.llamacpp.ggml.architecture import unnamed
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.segment import Peaks, Segment
from planner.engines.llamacpp.ggml.setting import Setting
from planner.engines.llamacpp.placement import Placement
from planner.memo import remembered
from planner.model.spec import ModelSpec

if TYPE_CHECKING:
    from planner.engines.llamacpp.server import Server

HERE = Path(__file__).parent
FILE = HERE / "ready.bin"

SLOTS = 16
"""The most slots that are worked out: most of what a start goes through to tell how many fit."""

SEVERAL = (2, 4, 8)
"""Numbers of alike GPUs on which one slot is worked out: what searches over hardware ask for."""

_FOLLOWS_FROM = ("graphs.py", "placement.py", "tensor_file.py", "whereabouts.py")
"""Modules beside those of `ggml` by which graphs are made."""

_Stretch = tuple[int, int, int, tuple[int, ...], tuple[int, ...]]
"""What a `Segment` says, in the order of its fields."""

_Graph = tuple[int, int, tuple[_Stretch, ...]]
"""Nodes, splits and stretches of lengths."""


def peaks(model: ModelSpec, placement: Placement, setting: Setting, batch: Batch) -> Peaks | None:
    """Return the buffers of a batch's graph; None where they were not worked out.

    Args:
        model: the model.
        placement: what lies where.
        setting: how the graph is made.
        batch: the batch.
    """
    if not _is_plain(placement):
        return None
    kept = _of_model(model).get(_key(placement, setting, batch))
    if kept is None:
        return None
    graph = _unpickled(kept)
    for at, low, high, nbytes, growth in graph[2]:
        if low <= batch.n_kv <= high:
            here = Segment(at=at, low=low, high=high, nbytes=nbytes, growth=growth)
            return Peaks(nbytes=here.nbytes_at(batch.n_kv), nodes=graph[0], splits=graph[1])
    return None


@lru_cache(maxsize=1024)
def _unpickled(kept: bytes) -> _Graph:
    found: _Graph = loads(kept)
    return found


def _is_plain(placement: Placement) -> bool:
    """Say whether all of a model and its caches lie on GPUs."""
    return placement.full and placement.kv_offload and not placement.overrides


def _key(placement: Placement, setting: Setting, batch: Batch) -> Hashable:
    where = placement.homes if placement.devices > 1 else ()
    return (where, *_values(setting), *_values(replace(batch, n_kv=0)))


def _values(record: Any) -> list[object]:
    return [getattr(record, name) for name in record.__record__]


@remembered(lambda model: ((model,), ()))
def _of_model(model: ModelSpec) -> Mapping[Hashable, bytes]:
    """Return what is known of a model; nothing of most."""
    kept = _read(FILE).get(repr(unnamed(model)))
    return {} if kept is None else loads(kept)


@lru_cache(maxsize=4)
def _read(file: Path) -> Mapping[str, bytes]:
    """Return model -> what is known of it, pickled; nothing where code has changed since."""
    try:
        content = file.read_bytes()
    except OSError:
        return {}
    wanted = digest()
    if not content.startswith(wanted):
        return {}
    found: Mapping[str, bytes] = loads(memoryview(content)[len(wanted) :])
    return found


def digest() -> bytes:
    """Return what tells whether code that graphs follow from has changed."""
    return digest_of(*files_of(HERE / "ggml", ".py"), *(f"{HERE}/{name}" for name in _FOLLOWS_FROM))


def write(file: Path = FILE) -> int:
    """Work the buffers out and write them; return the bytes."""
    from planner.model.catalog import catalog

    found: dict[str, bytes] = {}
    for entry in catalog():
        about = repr(unnamed(entry.model))
        # what an indexer leaves out changes with the length within a stretch
        if about not in found and entry.model.attention.indexer is None:
            graphs = {key: dumps(graph, protocol=5) for key, graph in _worked_out(entry.model)}
            found[about] = dumps(graphs, protocol=5)
    return file.write_bytes(digest() + dumps(found, protocol=5))


def plain_server(name: str, *, precision: str, context: int, slots: int) -> Server:
    """Return the server of a bundled model on one GPU, as somebody starts it who says nothing else.

    Args:
        name: bundled id.
        precision: a GGUF scheme: ``q4_k_m``.
        context: tokens per sequence.
        slots: sequences at once.
    """
    from planner.engines.llamacpp.options import LlamacppOptions
    from planner.engines.llamacpp.server import Server
    from planner.engines.llamacpp.tensor_file import gguf_scheme
    from planner.model.catalog import bundled_checkpoint

    checkpoint = bundled_checkpoint(name, precision=precision)
    scheme = gguf_scheme(checkpoint)
    assert scheme is not None
    return Server(
        checkpoint=checkpoint,
        model=checkpoint.model,
        scheme=scheme,
        options=LlamacppOptions(),
        devices=1,
        shares=(1.0,),
        type_k="f16",
        type_v="f16",
        context=context,
        slots=slots,
    )


def _worked_out(model: ModelSpec) -> Iterator[tuple[Hashable, _Graph]]:
    """Yield what is kept of a bundled model."""
    from planner.engines.llamacpp.contexts import CELLS_PADDING
    from planner.engines.llamacpp.ggml.shapes import peaks as built
    from planner.engines.llamacpp.ggml.shapes import stretches_of
    from planner.engines.llamacpp.graphs import asked_of_graph

    longest = model.max_position_embeddings
    servers = [
        plain_server(model.name, precision="q4_k_m", context=context, slots=slots)
        for slots, context in (
            *((slots, longest) for slots in range(1, SLOTS + 1)),
            (1, CELLS_PADDING),
        )
    ]
    for precision in ("q4_k_m", "q4_k_m-nomtp"):  # the MTP block counts where GPUs divide blocks
        one = plain_server(model.name, precision=precision, context=longest, slots=1)
        servers += (replace(one, devices=gpus, shares=(1.0,) * gpus) for gpus in SEVERAL)
    for server, dry_run in product(servers, (True, False)):
        placement = server.placement()
        asked = asked_of_graph(
            server.model, server.scheme, placement, server.trunk, op_offload=True, dry_run=dry_run
        )
        _, setting, batch = asked
        counted = built(*asked)
        stretches = tuple(
            (one.at, one.low, one.high, one.nbytes, one.growth) for one in stretches_of(*asked)
        )
        yield _key(placement, setting, batch), (counted.nodes, counted.splits, stretches)
