"""ggml's tensors as far as memory goes: shapes, strides, views, and the operations that make them.

A model's graph is built from these exactly as llama.cpp builds it, so that the allocator
(`allocator`) meets the same tensors in the same order. Nothing is computed.

Source: llama.cpp 0c1e570 ggml/src/ggml.c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod
from types import MappingProxyType

from hardware_db.records import frozen
from planner.formats import get_format, ggml_format_name

Shape = tuple[int, int, int, int]

VIEW_OPS = frozenset({"view", "reshape", "permute", "transpose"})
IN_PLACE_OPS = frozenset(
    {"fill", "scale", "add", "mul", "div", "sqrt", "unary", "rope", "rms_norm", "clamp", "soft_max"}
)
"""Operations that may write over an operand that nothing else needs (ggml-alloc.c)."""


MADE_ONCE = "made once"
"""Name of what is made of inputs alone, by the first block that needs it, for all."""

NO_SCRATCH = "no scratch"
"""Name of a flash attention of builds that make its F16 copies outside the compute buffer."""


@frozen
class BlockType:
    """Elements and bytes of one block of a ggml type."""

    elements: int
    nbytes: int


_PLAIN = {"f32": 4, "f16": 2, "bf16": 2, "i32": 4, "i64": 8}


@lru_cache(maxsize=256)
def block_type(name: str) -> BlockType:
    """The block of a ggml type, by the name that the flags use (``f16``, ``q8_0``)."""
    if name in _PLAIN:
        return BlockType(elements=1, nbytes=_PLAIN[name])
    found = get_format(ggml_format_name(name.upper()))
    columns = found.block[1] if found.block else 1
    return BlockType(elements=columns, nbytes=found.nbytes((columns,)))


def row_bytes(type_: str, elements: int) -> int:
    """Bytes of a row of `elements` (``ggml_row_size``)."""
    block = block_type(type_)
    return elements // block.elements * block.nbytes


_PADDED: Mapping[int, Callable[..., Shape]] = MappingProxyType(
    {
        1: lambda a: (a, 1, 1, 1),
        2: lambda a, b: (a, b, 1, 1),
        3: lambda a, b, c: (a, b, c, 1),
    }
)
"""Dimensions -> a shape of four."""


class GgmlTensor:
    """One tensor of a graph.

    Attributes:
        op: operation that makes it; "none" for weights, caches and inputs.
        type: ggml type.
        ne: elements per dimension, innermost first.
        nb: bytes between elements, rows, ….
        src: operands.
        view_src: whose memory it shows, if it has none of its own.
        home: backend in whose buffer it lies already; None: the graph's allocator places it.
        is_weight: lies in a buffer of weights, which pulls the operation to its backend.
        is_input: written before the graph runs.
        is_output: kept to the end.
        pinned: backend that the model's code demands for it.
        backend: backend that the scheduler gave it.
        children: while the allocator runs, uses still to come.
        views: likewise, views of it still in use.
        own: likewise, it holds memory now.
        slot: likewise, number of the memory that it holds or held.
    """

    __slots__ = (
        "backend",
        "children",
        "home",
        "is_input",
        "is_output",
        "is_weight",
        "name",
        "nb",
        "ne",
        "op",
        "own",
        "pinned",
        "slot",
        "src",
        "type",
        "view_src",
        "views",
    )

    def __init__(
        self,
        op: str,
        type_: str,
        ne: tuple[int, ...],
        *,
        src: tuple[GgmlTensor, ...] = (),
        nb: Shape | None = None,
        view_src: GgmlTensor | None = None,
        name: str = "",
    ) -> None:
        self.op, self.type, self.name = op, type_, name
        self.ne: Shape = ne if len(ne) == 4 else _PADDED[len(ne)](*ne)
        self.nb: Shape = nb or contiguous_strides(type_, self.ne)
        self.src = list(src)
        self.view_src: GgmlTensor | None = None
        if view_src is not None:
            self.view_src = view_src.view_src or view_src
        self.home: int | None = None
        self.pinned: int | None = None
        self.backend: int | None = None
        self.children = self.views = self.slot = 0
        self.is_weight = self.is_input = self.is_output = self.own = False

    @property
    def nbytes(self) -> int:
        """Bytes from its first to its last element."""
        (n0, n1, n2, n3), (b0, b1, b2, b3) = self.ne, self.nb
        if n0 <= 0 or n1 <= 0 or n2 <= 0 or n3 <= 0:
            return 0
        block = block_type(self.type)
        row = n0 * b0 // block.elements
        if block.elements == 1:
            row += block.nbytes - b0
        return row + (n1 - 1) * b1 + (n2 - 1) * b2 + (n3 - 1) * b3

    @property
    def elements(self) -> int:
        """How many elements it has."""
        return prod(self.ne)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.ne[1] * self.ne[2] * self.ne[3]

    @property
    def is_contiguous(self) -> bool:
        """Its elements lie without gaps, in order."""
        return self.nb == contiguous_strides(self.type, self.ne)

    def same_layout(self, other: GgmlTensor) -> bool:
        """The same type, shape and strides: one may take the other's place."""
        return self.type == other.type and self.ne == other.ne and self.nb == other.nb


def contiguous_strides(type_: str, ne: Shape) -> Shape:
    """Return the strides of a tensor without gaps."""
    size = _PLAIN.get(type_)
    if size is None:
        block = block_type(type_)
        size, row = block.nbytes, ne[0] // block.elements * block.nbytes
    else:
        row = size * ne[0]
    plane = row * ne[1]
    return (size, row, plane, plane * ne[2])


def dup(op: str, like: GgmlTensor, *src: GgmlTensor) -> GgmlTensor:
    """A new tensor of `like`'s shape, made by `op` from `like` and `src`."""
    return GgmlTensor(op, like.type, like.ne, src=(like, *src))


def norm(x: GgmlTensor, weight: GgmlTensor, *, pin: int | None = None) -> GgmlTensor:
    """RMSNorm and its weight; `pin` is the backend that the norm is tied to."""
    normed = dup("rms_norm", x)
    normed.pinned = pin
    return dup("mul", normed, weight)


def repeat(a: GgmlTensor, *ne: int) -> GgmlTensor:
    """A copy that fills a larger shape."""
    return GgmlTensor("repeat", a.type, ne, src=(a,))


def in_view(op: str, of: GgmlTensor, *src: GgmlTensor) -> GgmlTensor:
    """An operation that writes into `of`'s memory (cpy, set_rows, in-place ones)."""
    return GgmlTensor(op, of.type, of.ne, nb=of.nb, src=src, view_src=of)


def store_rows(cache: GgmlTensor, x: GgmlTensor, cells: GgmlTensor) -> GgmlTensor:
    """Write [head, heads, tokens] into a cache, a row per token, whatever its streams.

    All streams are one matrix then: indices of cells are global.
    """
    if cache.ne[2] > 1:
        cache = reshape(cache, cache.ne[0], cache.ne[1] * cache.ne[2])
    rows = view(x, (x.ne[0] * x.ne[1], x.ne[2]), x.nb[2])
    return in_view("set_rows", cache, rows, cells, cache)


def mul_mat(a: GgmlTensor, b: GgmlTensor) -> GgmlTensor:
    """Matrix product: weights [k, n], activations [k, m, …] -> [n, m, …] in F32."""
    return GgmlTensor("mul_mat", "f32", (a.ne[1], *b.ne[1:]), src=(a, b))


def mul_mat_id(experts: GgmlTensor, b: GgmlTensor, ids: GgmlTensor) -> GgmlTensor:
    """Product with the experts chosen per token: [n, used, tokens]."""
    ne = (experts.ne[1], ids.ne[0], b.ne[2])
    return GgmlTensor("mul_mat_id", "f32", ne, src=(experts, b, ids))


def get_rows(a: GgmlTensor, ids: GgmlTensor) -> GgmlTensor:
    """Rows of `a` by index, in F32 (I32 stays I32)."""
    type_ = "i32" if a.type == "i32" else "f32"
    return GgmlTensor("get_rows", type_, (a.ne[0], *ids.ne[:3]), src=(a, ids))


def reshape(a: GgmlTensor, *ne: int) -> GgmlTensor:
    """The same memory in another shape."""
    return GgmlTensor("reshape", a.type, ne, src=(a,), view_src=a)


def view(a: GgmlTensor, ne: tuple[int, ...], *strides: int) -> GgmlTensor:
    """Part of a tensor: `strides` are those of dimensions 1 and up, the rest follow."""
    if strides:
        shape = (*ne, 1, 1, 1)[:4]
        given = [block_type(a.type).nbytes, *strides]
        while len(given) < 4:
            given.append(given[-1] * shape[len(given) - 1])
        nb = (given[0], given[1], given[2], given[3])
        return GgmlTensor("view", a.type, ne, nb=nb, src=(a,), view_src=a)
    return GgmlTensor("view", a.type, ne, src=(a,), view_src=a)


def permute(a: GgmlTensor, *axes: int, op: str = "permute") -> GgmlTensor:
    """Dimension i of `a` becomes dimension axes[i]."""
    ne, nb = [0] * 4, [0] * 4
    for i, axis in enumerate(axes):
        ne[axis], nb[axis] = a.ne[i], a.nb[i]
    strides = (nb[0], nb[1], nb[2], nb[3])
    return GgmlTensor(op, a.type, tuple(ne), nb=strides, src=(a,), view_src=a)


def transpose(a: GgmlTensor) -> GgmlTensor:
    """Rows and columns swapped, in place."""
    return permute(a, 1, 0, 2, 3, op="transpose")


def cont(a: GgmlTensor, *ne: int) -> GgmlTensor:
    """A copy without gaps, in another shape if one is given."""
    return GgmlTensor("cont", a.type, ne or a.ne, src=(a,))


def cast(a: GgmlTensor, type_: str) -> GgmlTensor:
    """A copy in another type; ggml lists the result among its own operands."""
    result = GgmlTensor("cpy", type_, a.ne, src=(a,))
    result.src.append(result)
    return result


def concat(a: GgmlTensor, b: GgmlTensor) -> GgmlTensor:
    """Joined along the innermost dimension."""
    return GgmlTensor("concat", a.type, (a.ne[0] + b.ne[0], *a.ne[1:]), src=(a, b))


def top_k(a: GgmlTensor, k: int) -> GgmlTensor:
    """Indices of the k largest of each row: a view of the indices of all, sorted."""
    order = GgmlTensor("argsort", "i32", a.ne, src=(a,))
    return view(order, (k, *a.ne[1:]), *order.nb[1:])


class Graph:
    """Tensors in the order in which they are computed.

    Attributes:
        nodes: what is computed.
        leafs: weights, caches and inputs.
        marks: what enters the first block, and what leaves each block.
    """

    def __init__(self) -> None:
        self.marks: list[GgmlTensor] = []
        self.nodes: list[GgmlTensor] = []
        self.leafs: list[GgmlTensor] = []
        self._seen: set[int] = set()

    def expand(self, tensor: GgmlTensor) -> None:
        """Append `tensor` and whatever it needs that is not there yet, operands first."""
        seen = self._seen
        if id(tensor) in seen:
            return
        seen.add(id(tensor))
        for operand in tensor.src:
            if id(operand) not in seen:
                self.expand(operand)
        (self.leafs if tensor.op == "none" else self.nodes).append(tensor)
