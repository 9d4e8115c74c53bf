"""Compute vLLM's cache pool for hybrids: equal pages, block alignment, layer groups, blocks.

Every layer, attention or DeltaNet, gets pages of the same size. A block id belongs to one group of
layers at a time, so a block costs one page for each layer of the widest group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any

from hardware_db.records import frozen, frozen_with_cache
from planner.bisection import largest_holding
from planner.columns import larger, smaller
from planner.units import ceil_div, round_up

KERNEL_BLOCK = 16
"""Smallest block of the attention kernels (FLASH_ATTN, FLASHINFER, TRITON_ATTN)."""

CHECKPOINT_BLOCK = 64
"""Block multiple of DeltaNet prefill checkpoints (vLLM 0.33.0)."""


@frozen
class Page:
    """The common page of one layer on one rank.

    Attributes:
        block_size: tokens of attention per block.
        nbytes: bytes of the page, the same for every layer.
        attention_bytes_per_token: bytes that a token takes in it.
        state_bytes: bytes of the largest state (of DeltaNet, of an n-gram embedding's window);
            the rest of its page is padding.
        draft_block_size: tokens per block of a separate drafter's layers; zero without one.
        index_bytes: bytes of an indexer's keys beside each attention page.
    """

    block_size: int
    nbytes: int
    attention_bytes_per_token: int
    state_bytes: int
    draft_block_size: int = 0
    index_bytes: int = 0


def align_page(
    *,
    attention_bytes_per_token: int,
    state_bytes: int,
    block_size: int | None,
    prefill_checkpoints: bool,
    kernel_block: int = KERNEL_BLOCK,
) -> Page:
    """Return the page whose block of attention holds a DeltaNet state.

        g     = max(kernel block, --block-size);  lcm(g, 64) with prefill checkpoints
        block = 16 * ceil(max(--block-size, g * ceil(state / (g * A))) / 16)
        page  = block * A

    Source: vLLM 0.33.0 platforms/interface.py (_align_hybrid_block_size).
    """
    least = block_size or KERNEL_BLOCK
    unit = max(kernel_block, least)
    if prefill_checkpoints:
        unit = lcm(unit, CHECKPOINT_BLOCK)
    needed = unit * ceil_div(state_bytes, unit * attention_bytes_per_token) if state_bytes else 0
    block = round_up(max(least, needed), KERNEL_BLOCK)
    return Page(
        block_size=block,
        nbytes=block * attention_bytes_per_token,
        attention_bytes_per_token=attention_bytes_per_token,
        state_bytes=state_bytes,
    )


def widen_page(page: Page, *, draft_bytes_per_token: int) -> Page:
    """Return the page where a drafter's layers share the pool: all pages become the largest.

    A layer whose own page is smaller gets as many more tokens per block; a DeltaNet state just
    leaves the rest of its page empty.

    Source: vLLM 0.20 to 0.33.0 v1/core/kv_cache_utils.py (unify_kv_cache_spec_page_size); start-up
    logs with DFlash drafters agree to the token.
    """
    draft_page = page.block_size * draft_bytes_per_token
    nbytes = max(page.nbytes, draft_page)
    return Page(
        block_size=page.block_size * (nbytes // page.nbytes),
        nbytes=nbytes,
        attention_bytes_per_token=page.attention_bytes_per_token,
        state_bytes=page.state_bytes,
        draft_block_size=page.block_size * (nbytes // draft_page),
    )


@frozen
class Group:
    """Layers that share block ids.

    Attributes:
        kind: "state", "attention", "draft" (layers of a separate drafter that attend to everything),
            "sliding" (those that attend to a sliding window), "window" (windows of n-gram
            embeddings) or "ring" (raw keys of indexers).
        layers: trunk indices; MTP and drafter layers count on from the last.
    """

    kind: str
    layers: tuple[int, ...]


def group_layers(
    *,
    attention: Sequence[int],
    state: Sequence[int],
    draft: Sequence[int] = (),
    sliding: Sequence[int] = (),
    window: Sequence[int] = (),
    ring: Sequence[int] = (),
    factor: Fraction,
) -> tuple[Group, ...]:
    """Split the layers of each kind into groups of about equal size.

    Windows and rings are groups of their own: they are kept beside the pages of the layers.

        size   = largest kind if it is < factor * smallest kind, else the smallest kind
        groups = ceil(layers of a kind / size);  group i of a kind = its layers [i::groups]

    Source: vLLM 0.33.0 v1/core/kv_cache_utils.py (_get_kv_cache_groups_uniform_page_size).
    """
    named = (("state", state), ("attention", attention), ("draft", draft), ("sliding", sliding))
    kinds = [(name, tuple(layers)) for name, layers in named if layers]
    counts = [len(layers) for _, layers in kinds]
    small, large = min(counts), max(counts)
    size = large if large < factor * small else small
    groups = [
        Group(kind=name, layers=layers[i :: ceil_div(len(layers), size)])
        for name, layers in kinds
        for i in range(ceil_div(len(layers), size))
    ]
    states = sum(group.kind == "state" for group in groups)
    beside = [
        Group(kind=name, layers=tuple(layers))
        for name, layers in (("window", window), ("ring", ring))
        if layers
    ]
    return (*groups[:states], *beside, *groups[states:])


_COUNTS = (
    "attention_groups",
    "draft_groups",
    "sliding_groups",
    "state_groups",
    "window_groups",
    "ring_groups",
    "state_blocks_per_request",
)


@frozen_with_cache
class Pool:
    """The cache pool of a deployment: what a block costs and how many there are.

    Tokens may be a column (`planner.columns`) wherever a method counts blocks, bytes or sequences.

    Attributes:
        page: the common page.
        groups: groups of layers.
        layers_per_group: pipeline stage -> layers of each group on it.
        bytes_per_block: pipeline stage -> bytes of one block id.
        available: pipeline stage -> bytes for the pool on its tightest rank.
        state_blocks: blocks that a request holds in each state group.
        null_block: one block is set aside before a request is admitted.
        context_parallel: ranks that share a request's tokens (state is not shared).
        sliding_tokens: tokens that a request keeps in layers with a sliding window.
    """

    page: Page
    groups: tuple[Group, ...]
    layers_per_group: tuple[tuple[int, ...], ...]
    bytes_per_block: tuple[int, ...]
    available: tuple[int, ...]
    state_blocks: int
    null_block: bool
    context_parallel: int = 1
    sliding_tokens: int = 0

    def _groups_of(self, kind: str) -> int:
        return sum(group.kind == kind for group in self.groups)

    def holding(self, available: tuple[int, ...]) -> Pool:
        """Return the pool with so many bytes per stage; what is counted of its groups is kept."""
        made = object.__new__(type(self))
        made.__dict__.update(self._counted, available=available)
        return made

    @cached_property
    def _counted(self) -> dict[str, Any]:
        """The fields with the counts that every pool of these groups shares."""
        for name in _COUNTS:
            getattr(self, name)
        return {name: value for name, value in self.__dict__.items() if name != "num_blocks"}

    @cached_property
    def attention_groups(self) -> int:
        """Groups that hold the served model's KV (MTP layer included)."""
        return self._groups_of("attention")

    @cached_property
    def draft_groups(self) -> int:
        """Groups that hold a separate drafter's KV."""
        return self._groups_of("draft")

    @cached_property
    def sliding_groups(self) -> int:
        """Groups that hold the KV of a drafter's sliding windows."""
        return self._groups_of("sliding")

    @cached_property
    def state_groups(self) -> int:
        """Groups that hold recurrent state."""
        return self._groups_of("state")

    @cached_property
    def window_groups(self) -> int:
        """Groups that hold windows of n-gram embeddings, kept like recurrent state."""
        return self._groups_of("window")

    @cached_property
    def ring_groups(self) -> int:
        """Groups that hold raw keys of indexers: one block per request, whatever its length."""
        return self._groups_of("ring")

    @cached_property
    def num_blocks(self) -> int:
        """Blocks of the pool."""
        return self.blocks_in(self.available)

    def blocks_in(self, available: Iterable[int]) -> int:
        """Return the blocks that so many bytes per stage make: the tightest decides for all."""
        pairs = zip(available, self.bytes_per_block, strict=True)
        return max(0, min([nbytes // size for nbytes, size in pairs]))

    @cached_property
    def state_blocks_per_request(self) -> int:
        """Blocks that a request holds whatever its length."""
        return (self.state_groups + self.window_groups) * self.state_blocks + self.ring_groups

    def attention_blocks(self, tokens: int) -> int:
        """Return the blocks that `tokens` take in the attention groups, a drafter's included."""
        tokens = ceil_div(tokens, self.context_parallel)
        blocks = self.attention_groups * ceil_div(tokens, self.page.block_size)
        if self.draft_groups:
            blocks += self.draft_groups * ceil_div(tokens, self.page.draft_block_size)
        return blocks + self.sliding_groups * self.sliding_blocks(tokens)

    def sliding_blocks(self, tokens: int) -> int:
        """Return the blocks of one group of sliding windows: their tokens, and one begun before.

        Source: vLLM 0.33.0 v1/kv_cache_interface.py (SlidingWindowSpec).
        """
        if not self.sliding_groups:
            return 0
        held: int = smaller(self.sliding_tokens, tokens)
        return ceil_div(held, self.page.draft_block_size) + 1

    def blocks_per_request(self, tokens: int) -> int:
        """Return the blocks that one request of `tokens` holds."""
        return self.attention_blocks(tokens) + self.state_blocks_per_request

    def shortfall(self, tokens: int) -> int:
        """Return the bytes missing to serve one request of `tokens`; zero if it can be served.

        Source: vLLM 0.33.0 v1/core/kv_cache_utils.py (check_enough_kv_cache_memory).
        """
        need = self.blocks_per_request(tokens) + int(self.null_block)
        missing = 0
        for available, size in zip(self.available, self.bytes_per_block, strict=True):
            missing = larger(missing, need * size - available)
        return missing

    def max_concurrency(self, tokens: int) -> float:
        """Return how many requests of `tokens` the pool holds, as the log prints it."""
        return self.num_blocks / self.blocks_per_request(tokens)

    def sequences(self, tokens: int) -> int:
        """Return how many whole requests of `tokens` are resident (the null block is never theirs)."""
        return max(0, self.num_blocks - 1) // self.blocks_per_request(tokens)

    def longest_context(self, sequences: int = 1, *, served: bool = False) -> int:
        """Return the tokens of the longest request of which `sequences` fit.

            block * ((blocks - null block) / sequences - state blocks) / attention groups

        Args:
            sequences: so many at once.
            served: really served; releases that forget the null block start with one block more
                than a request can get.

        Source: vLLM 0.33.0 v1/core/kv_cache_utils.py (estimate_max_model_len).
        """
        pairs = zip(self.available, self.bytes_per_block, strict=True)
        reserved = int(self.null_block or served or sequences > 1)
        usable = min(available // size - reserved for available, size in pairs)
        blocks = usable // sequences - self.state_blocks_per_request
        if blocks <= 0 or not self.attention_groups:
            return 0
        if not (self.draft_groups or self.sliding_groups):
            held = self.page.block_size * (blocks // self.attention_groups)
            return held * self.context_parallel
        # Two block sizes: count in the smaller one, which the other is a multiple of.
        unit = min(self.page.block_size, self.page.draft_block_size) * self.context_parallel
        held = largest_holding(lambda units: self.attention_blocks(units * unit) <= blocks, blocks)
        return held * unit
