"""How many rows a table of hashed n-grams has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from math import isqrt

from planner.units import round_up


@lru_cache(maxsize=256)
def ngram_rows(base: int, *, heads: int, table: int, multiple: int) -> int:
    """Return the rows of one table, all of its hashes together.

        rows = (sum of `heads` consecutive primes from `base` up) rounded up to `multiple`

    Each hash has a range of its own, the next prime; a further table goes on where the one before
    it ended.

    Args:
        base: least rows of a hash (`ngram_vocab_size_base`).
        heads: hashes of the table.
        table: index of the table.
        multiple: `make_ngram_vocab_size_divisible_by`.

    Source: transformers 5.24 models/qwen4_exp/modeling_qwen4_exp.py (Qwen4ExpTextNGramEmbedding).
    """
    first = table * heads
    return round_up(sum(islice(_primes(base), first, first + heads)), multiple)


def _primes(start: int) -> Iterator[int]:
    number = max(2, start)
    while True:
        if number in (2, 3) or (
            number % 2
            and number % 3
            and all(
                number % divisor and number % (divisor + 2)
                for divisor in range(5, isqrt(number) + 1, 6)
            )
        ):
            yield number
        number += 1
