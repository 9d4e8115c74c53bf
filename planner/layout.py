"""Describe how a model is spread over accelerators, and list the ways an engine has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

from hardware_db.records import frozen, frozen_with_cache
from planner.errors import InputError
from planner.units import check_count

MEANT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tensor_parallel": ("tp", "tensor", "tp_size", "tensor_parallel_size", "gpus"),
        "pipeline_parallel": ("pp", "pipeline", "pp_size", "pipeline_parallel_size", "stages"),
        "data_parallel": ("dp", "data", "dp_size", "data_parallel_size", "replicas"),
        "expert_parallel": ("ep", "expert", "ep_size", "enable_expert_parallel"),
        "context_parallel": ("dcp", "cp", "context", "decode_context_parallel_size"),
    }
)
"""Degree of a layout -> other words for it."""

_DEGREES: Mapping[str, str] = MappingProxyType(
    {
        "tensor_parallel": "tensor parallel size",
        "pipeline_parallel": "pipeline parallel size",
        "data_parallel": "data parallel size",
        "context_parallel": "context parallel size",
    }
)
"""Degrees that are numbers -> what an error line calls them."""


@frozen_with_cache
class Layout:
    """Degrees of parallelism; their product without experts is the number of accelerators.

    Attributes:
        tensor_parallel: ranks that share every layer.
        pipeline_parallel: stages that share the layers out.
        data_parallel: replicas of everything (of attention only, where experts are parallel too).
        expert_parallel: experts are shared out over tensor x data parallel ranks instead of
            being cut.
        context_parallel: tensor-parallel ranks that hold copies of the same KV heads and share
            their tokens out instead (decode context parallelism); a divisor of `tensor_parallel`.

    Raises:
        InputError: a degree is not a whole number from 1 on.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: bool = False
    context_parallel: int = 1

    def __new__(cls, *places: object, **named: object) -> Layout:
        """Refuse names that are none, with the one that is meant.

        Raises:
            InputError: a degree without a name, or by a name that it does not have.
        """
        if places:
            raise InputError(
                f"Layout: {places[0]!r} must be named: write tensor_parallel={places[0]!r}"
            )
        for name in named:
            if name not in MEANT:
                meant = next((real for real, words in MEANT.items() if name.lower() in words), None)
                known = f"did you mean {meant}?" if meant else f"known: {', '.join(MEANT)}"
                raise InputError(f"Layout: unknown degree {name!r}; {known}")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        """Check the ranges; what a model allows is the engine's business."""
        for name, what in _DEGREES.items():
            given = getattr(self, name)
            degree = check_count(given, what=what)
            if degree is not given:
                object.__setattr__(self, name, degree)

    def __hash__(self) -> int:
        return self._hashed

    @cached_property
    def _hashed(self) -> int:
        """The hash, which most keys of caches ask for."""
        return hash(
            (
                self.tensor_parallel,
                self.pipeline_parallel,
                self.data_parallel,
                self.expert_parallel,
                self.context_parallel,
            )
        )

    @property
    def accelerators(self) -> int:
        """How many accelerators the layout occupies."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def expert_ranks(self) -> int:
        """Over how many ranks the experts are shared out (1 without expert parallelism)."""
        return self.tensor_parallel * self.data_parallel if self.expert_parallel else 1

    def __str__(self) -> str:
        """Return the short form for people: ``TP 2 x PP 2``, ``TP 8 EP``, ``TP 8 x DCP 2``."""
        degrees = (
            ("TP", self.tensor_parallel),
            ("DCP", self.context_parallel),
            ("PP", self.pipeline_parallel),
            ("DP", self.data_parallel),
        )
        words = [f"{name} {degree}" for name, degree in degrees if degree > 1]
        text = " x ".join(words) or "TP 1"
        return f"{text} EP" if self.expert_parallel else text


@frozen
class Degrees:
    """Which degrees of parallelism an engine has, as data.

    Attributes:
        tensor: it cuts layers over ranks.
        pipeline: it shares layers out over stages.
        data: it runs replicas behind one address.
        expert: it shares experts out over ranks.
        context: ranks with copies of a KV head may share its tokens.
        expert_with_data: experts may be shared out beyond one tensor-parallel group.
        data_over_nodes: replicas may lie on several nodes.
        pipeline_with_data: stages and replicas may be combined.
        nodes: it spans several machines.
        idle: it may leave accelerators of a machine unused.
        makers: one process serves on GPUs of several makers.
        automatic: without degrees on its command line it takes every accelerator that it finds.
    """

    tensor: bool = False
    pipeline: bool = False
    data: bool = False
    expert: bool = False
    context: bool = False
    expert_with_data: bool = True
    data_over_nodes: bool = True
    pipeline_with_data: bool = True
    nodes: bool = True
    idle: bool = True
    automatic: bool = False
    makers: bool = False


@lru_cache(maxsize=1024)
def layouts_of(
    degrees: Degrees, *, accelerators: int, per_node: int, experts: bool, kv_heads: int
) -> tuple[Layout, ...]:
    """Return every layout that an engine has for so many accelerators.

    All products of its degrees that use every accelerator. Where their number is no power of two,
    layouts on the largest power of two below come as well: heads of this family divide by powers
    of two, and an idle accelerator may be better than a bad cut. An engine that only cuts layers
    is also asked with fewer.

    Args:
        degrees: what the engine has.
        accelerators: of the whole system.
        per_node: of one machine.
        experts: the model has routed experts.
        kv_heads: KV heads of one attention layer (0: it has none).
    """
    return tuple(_products(degrees, accelerators, per_node, experts, kv_heads))


def _products(
    degrees: Degrees, accelerators: int, per_node: int, experts: bool, kv_heads: int
) -> Iterator[Layout]:
    most = accelerators if degrees.nodes else min(accelerators, per_node)
    for count in _counts(degrees, most, per_node):
        for tensor in _divisors(count) if degrees.tensor else (1,):
            rest = count // tensor
            for pipeline in _divisors(rest) if degrees.pipeline else (1,):
                data = rest // pipeline
                if data > 1 and not _replicates(degrees, data, pipeline, count, per_node):
                    continue
                yield from _variants(degrees, tensor, pipeline, data, experts, kv_heads)


def _counts(degrees: Degrees, most: int, per_node: int) -> tuple[int, ...]:
    """Return the numbers of accelerators to use, the largest first: as many on each node."""
    if not (degrees.tensor or degrees.pipeline or degrees.data):
        return (1,)
    if not degrees.idle:
        return (most,) if most <= per_node else (most, per_node)
    fewer = {1 << (most.bit_length() - 1)}
    if most > per_node and min(fewer) % per_node:  # it would not be as many on each node
        fewer = {per_node, 1 << (per_node.bit_length() - 1)}
    if not (degrees.pipeline or degrees.data):
        fewer.update(_divisors(most))
    even = (count for count in {most, *fewer} if count <= per_node or count % per_node == 0)
    return tuple(sorted(even, reverse=True))


def _replicates(degrees: Degrees, data: int, pipeline: int, count: int, per_node: int) -> bool:
    return (
        degrees.data
        and (pipeline == 1 or degrees.pipeline_with_data)
        and (count <= per_node or degrees.data_over_nodes)
    )


def _variants(
    degrees: Degrees, tensor: int, pipeline: int, data: int, experts: bool, kv_heads: int
) -> Iterator[Layout]:
    """Yield the layout of these degrees, with experts cut and shared out, with and without DCP."""
    copies = tensor // kv_heads if kv_heads and tensor % kv_heads == 0 else 1
    shared = degrees.context and copies > 1
    for context in _divisors(copies)[::-1] if shared else (1,):
        for expert in (False, True) if experts and degrees.expert else (False,):
            if expert and (tensor * data == 1 or (data > 1 and not degrees.expert_with_data)):
                continue
            yield Layout(
                tensor_parallel=tensor,
                pipeline_parallel=pipeline,
                data_parallel=data,
                expert_parallel=expert,
                context_parallel=context,
            )


def _divisors(number: int) -> tuple[int, ...]:
    """Return the divisors of `number`, the largest first."""
    return tuple(part for part in range(number, 0, -1) if number % part == 0)
