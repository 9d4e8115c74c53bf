"""Add up what MLX holds at once: weights, caches, one prefill step.

Tokens and sequences are numbers, or columns of them (`planner.columns`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from hardware_db.records import frozen_with_cache
from planner.bisection import largest_holding
from planner.columns import choose, is_zero, larger, smaller
from planner.engines.engine import Deployment, but_workload
from planner.engines.mlx.activations import (
    PROMPTS_SEEN,
    layer_bytes,
    max_buffer_bytes,
    score_bytes,
)
from planner.engines.mlx.cache import STEP, CacheRule, cache_rule
from planner.engines.mlx.options import MlxOptions, source
from planner.memo import Key, remembered
from planner.memory.breakdown import UNIFIED_RANK, Kind, Rank, Term
from planner.model.spec import ModelSpec
from planner.provenance import Band, Confidence, Source
from planner.units import MIB


@frozen_with_cache
class Memory:
    """The memory of a deployment, whose own workload does not count.

    Attributes:
        deployment: everything but the workload.
        kept: caches of finished requests that are kept.
    """

    deployment: Deployment
    kept: int = 0

    @property
    def _options(self) -> MlxOptions:
        options: MlxOptions = self.deployment.options
        return options

    @property
    def _model(self) -> ModelSpec:
        return self.deployment.checkpoint.model

    @cached_property
    def usable(self) -> int:
        """Bytes that macOS lends the GPU."""
        limit = self._options.iogpu_wired_limit_mb
        accelerator = self.deployment.system.accelerator
        return accelerator.total_bytes if limit is None else int(limit) * MIB

    @cached_property
    def largest_buffer(self) -> int:
        """Bytes of Metal's largest buffer."""
        return max_buffer_bytes(self.deployment.system.accelerator)

    @cached_property
    def weights(self) -> int:
        """Bytes of the text model: mlx-lm drops the vision tower and the MTP module."""
        return self.deployment.checkpoint.nbytes("text")

    @property
    def beyond(self) -> int:
        """Bytes that such a start took on this machine beyond the other terms, if it was measured."""
        lesson = self.deployment.lesson
        return 0 if lesson is None else lesson.difference

    @cached_property
    def caches(self) -> CacheRule:
        """How the cache of a sequence grows."""
        options = self._options
        return cache_rule(
            self._model,
            kv_bits=options.kv_bits,
            group=options.kv_group_size,
            quantized_kv_start=options.quantized_kv_start,
        )

    @cached_property
    def _score(self) -> int:
        return score_bytes(self._model)

    @cached_property
    def _layer(self) -> int:
        return layer_bytes(self._model)

    @property
    def at_once(self) -> int:
        """Requests that are answered together at most."""
        return 1 if self._options.kv_bits is not None else self._options.decode_concurrency

    def _step(self, tokens: Any, sequences: Any) -> Any:
        """Return the tokens of one prefill step, all its prompts together."""
        options = self._options
        return smaller(sequences, options.prompts) * smaller(options.prefill_step_size, tokens)

    def scores(self, tokens: Any, sequences: Any) -> Any:
        """Return the scores of one prefill step, which are one buffer."""
        return self._step(tokens, sequences) * tokens * self._score

    def _peak(self, tokens: Any, sequences: Any) -> Any:
        return self._step(tokens, sequences) * (self._layer + tokens * self._score)

    def needed(self, tokens: Any, sequences: Any) -> Any:
        """Return the bytes of all terms (see `rank`), which a search asks for many times."""
        caches = (sequences + self.kept) * self.caches.total(tokens)
        return self.weights + self.beyond + caches + self._peak(tokens, sequences)

    def holds(self, tokens: Any, sequences: Any) -> Any:
        """Say whether so many sequences of so many tokens are held."""
        fits = self.needed(tokens, sequences) <= self.usable
        return fits & (self.scores(tokens, sequences) <= self.largest_buffer)

    def ends_together(self, tokens: Any, sequences: Any) -> Any:
        """Say whether prompts that the command takes together end the server: none of them waits."""
        told = self._options.prompt_concurrency is not None
        return told & (self.scores(tokens, sequences) > self.largest_buffer)

    def sequences(self, tokens: Any) -> Any:
        """Return how many sequences of so many tokens are held at once (see `holds`).

        Each has a cache, the first of them a prompt in the step besides; their scores are one buffer.
        """
        prompts, free = self._options.prompts, self.usable - self.needed(tokens, 0)
        cache, prompt = self.caches.total(tokens), self._peak(tokens, 1)
        within = free // (cache + prompt)
        held = choose(within < prompts, within, (free - prompts * prompt) // cache)
        together = self.largest_buffer // larger(1, self.scores(tokens, 1))
        held = choose(together < prompts, smaller(held, together), held)
        return larger(0, smaller(held, self.at_once))

    def limited_by(self, tokens: Any, sequences: Any) -> Any:
        """Return what stops `sequences`, the most that are held, from growing."""
        alone = self._options.kv_bits is not None
        too_large = self.scores(tokens, sequences + 1) > self.largest_buffer
        return choose(
            sequences == self.at_once,
            "one request at a time" if alone else "--decode-concurrency",
            choose(too_large, "Metal's largest buffer", "memory lent to the GPU"),
        )

    def at_worst(self, tokens: Any) -> Any:
        """Return the bytes of the largest buffer where other prompts come into the step."""
        return self.prompts_together * self.scores(tokens, 1)

    @property
    def prompts_together(self) -> int:
        """Prompts that may come into one step although one is planned for."""
        return min(self._options.prompts, PROMPTS_SEEN)

    def prompts(self, tokens: Any, sequences: Any) -> Any:
        """Return `--prompt-concurrency`: what was asked, else the server's own where that is safe.

        As many must be safe as are planned for, and as many as were seen to come together; else no
        more than are planned for.
        """
        most, one = self._options.prompts, self.scores(tokens, 1)
        if self._options.prompt_concurrency is not None or is_zero(one):
            return most
        free = self.usable - self.needed(tokens, sequences) + self.scores(tokens, sequences)
        safe = larger(1, smaller(self.largest_buffer, free) // one)
        needed = smaller(most, larger(PROMPTS_SEEN, sequences))
        return choose(safe >= needed, most, smaller(safe, sequences))

    def rank(self, tokens: Any, sequences: Any) -> Rank:
        """Return the machine with everything that lies in its memory."""
        return Rank(
            name=UNIFIED_RANK,
            count=1,
            total=max(self.usable, self.deployment.system.accelerator.total_bytes),
            usable=self.usable,
            terms=tuple(self._terms(tokens, sequences)),
        )

    def _terms(self, tokens: Any, sequences: Any) -> Iterator[Term]:
        checkpoint, weights = self.deployment.checkpoint, self.weights
        rule, cache = self.caches, self.caches.of(tokens)
        yield Term(
            name="weights (text)",
            kind=Kind.WEIGHTS,
            nbytes=weights,
            confidence=checkpoint.confidence(Confidence.ENGINE_RULE),
            formula="bytes of the text tensors",
            values={"bytes of the text tensors": weights},
            source=source("models/qwen3_5.py (sanitize)"),
            band=checkpoint.band_on(weights),
        )
        yield Term(
            name="KV cache",
            kind=Kind.KV_CACHE,
            nbytes=sequences * cache.kv,
            confidence=Confidence.ENGINE_RULE,
            formula=f"sequences x {STEP} x ceil(tokens / {STEP}) x bytes per token",
            values={
                "sequences": sequences,
                "tokens": tokens,
                "bytes per token": cache.kv // larger(1, -(-tokens // STEP) * STEP),
            },
            source=source("models/cache.py (KVCache, QuantizedKVCache)"),
            band=Band(below=0, above=sequences * (STEP - 1) * rule.layers * rule.token),
        )
        if cache.state:
            yield Term(
                name="recurrent state",
                kind=Kind.RECURRENT_STATE,
                nbytes=sequences * cache.state,
                confidence=Confidence.ENGINE_RULE,
                formula="sequences x (convolution + recurrent)",
                values={
                    "sequences": sequences,
                    "convolution": cache.conv,
                    "recurrent": cache.recurrent,
                },
                source=source("models/qwen3_5.py (ArraysCache)"),
            )
        if self.kept:
            yield Term(
                name="kept caches of finished requests",
                kind=Kind.KV_CACHE,
                nbytes=self.kept * cache.total,
                confidence=Confidence.ENGINE_RULE,
                formula="caches x bytes of a sequence",
                values={"caches": self.kept, "bytes of a sequence": cache.total},
                source=source("server.py, models/cache.py (LRUPromptCache)"),
            )
        if self.beyond:
            yield Term(
                name="measured beyond the estimates",
                kind=Kind.RUNTIME,
                nbytes=self.beyond,
                confidence=Confidence.CALIBRATED,
                formula="what the log of a start showed",
                source=Source(where="a start-up log of this machine"),
            )
        layer = self._step(tokens, sequences) * self._layer
        scores = self.scores(tokens, sequences)
        together = smaller(self.prompts(tokens, sequences), PROMPTS_SEEN)
        yield Term(
            name="activation peak (prefill step)",
            kind=Kind.ACTIVATIONS,
            nbytes=layer + scores,
            confidence=Confidence.ASSUMED,
            formula="widest layer + scores",
            values={"widest layer": layer, "scores": scores},
            source=source("models/qwen3_5.py, first-order reading"),
            band=Band(
                below=scores + layer // 2,
                above=larger(0, self.scores(tokens, 1) * together - scores) + layer // 2,
            ),
        )


@remembered(but_workload)
def memory_of(deployment: Deployment) -> Memory:
    """Return the memory of a deployment; the workload does not show in it."""
    return Memory(deployment=deployment, kept=deployment.options.prompt_cache_size or 0)


def _up_to(memory: Memory, most: int) -> Key:
    return (memory,), most


@remembered(_up_to)
def longest_context(memory: Memory, most: int) -> int:
    """Return the tokens of the longest single sequence up to `most`."""
    return largest_holding(lambda tokens: bool(memory.holds(tokens, 1)), most)
