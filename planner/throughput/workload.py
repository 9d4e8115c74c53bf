"""What is asked of a server: how long prompts and answers are, how many at once, what is drafted."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.errors import InputError
from planner.memory.placement import Drafter
from planner.units import MAX_TOKENS, check_count

MAX_DRAFTED = 16
"""More drafted tokens per step than this is a slip of the hand."""


@frozen
class Workload:
    """Sequences that a server decodes together.

    Attributes:
        prompt_tokens: tokens of a prompt.
        output_tokens: tokens of an answer; None for a steady window in which no prompt arrives.
            Where prompts arrive, each user waits for the prefill of the others, the more the
            shorter the answers are: a rate at a concurrency means nothing without it.
        concurrency: sequences in flight over the whole deployment.
        depth: mean tokens of context while decoding; None: all of the prompt and half of the answer.
        prompts_together: prompts that one prefill computes at once.
        cached: tokens before the prompt whose cache is there already (the conversation so far).
        shared_prefix: tokens that all sequences begin with and whose KV cache a step reads once.

    Raises:
        InputError: a count out of its range.
    """

    prompt_tokens: int
    output_tokens: int | None = None
    concurrency: int = 1
    depth: int | None = None
    shared_prefix: int = 0
    prompts_together: int = 1
    cached: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self.prompt_tokens, what="prompt tokens", least=0, most=MAX_TOKENS)
        check_count(self.concurrency, what="concurrency")
        check_count(self.prompts_together, what="prompts together")
        if self.output_tokens is not None:
            check_count(self.output_tokens, what="output tokens", most=MAX_TOKENS)
        if self.depth is not None:
            check_count(self.depth, what="depth", least=0, most=MAX_TOKENS)
        check_count(self.cached, what="cached tokens", least=0, most=MAX_TOKENS)
        check_count(self.shared_prefix, what="shared prefix", least=0, most=MAX_TOKENS)
        if self.shared_prefix > self.mean_depth:
            raise InputError(
                f"shared prefix: {self.shared_prefix} tokens are more than the mean context"
                f" of {self.mean_depth:.0f}"
            )

    @property
    def mean_depth(self) -> float:
        """Mean tokens of context per sequence while it decodes."""
        if self.depth is not None:
            return float(self.depth)
        return self.cached + self.prompt_tokens + (self.output_tokens or 0) / 2


@frozen
class Speculation:
    """Drafting by the model's own MTP module, or by a separate drafter.

    Attributes:
        tokens: tokens drafted per step.
        accepted: tokens that one verification yields on average, the certain one included
            (1 to tokens + 1); None takes the reference acceptance and says so.
        drafter: the separate drafter; None: the model's own module drafts.

    Raises:
        InputError: a number out of its range.
    """

    tokens: int
    accepted: float | None = None
    drafter: Drafter | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self.tokens, what="drafted tokens", most=MAX_DRAFTED)
        if self.accepted is None:
            return
        if not is_number(self.accepted) or not 1 <= self.accepted <= self.tokens + 1:
            raise InputError(
                f"accepted tokens per step: {self.accepted} is out of range"
                f" (1 to {self.tokens + 1} when {self.tokens} are drafted)"
            )


def is_number(value: object) -> bool:
    """Whether `value` can be compared: NaN fails every comparison by itself."""
    return isinstance(value, int | float) and not isinstance(value, bool)
