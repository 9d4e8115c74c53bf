"""Where the weights of a deployment lie, and who computes with them.

Speed, advice and the verdict read this; every engine states it with its answer, so that none can
forget that a part of the weights lies outside the accelerators' memory.

Only weights that a step multiplies count: not the table of token embeddings, of which it looks up a
few rows, and not the vision tower.
"""

from __future__ import annotations

from hardware_db.records import frozen


@frozen
class Drafter:
    """A separate model that drafts; it lies in the accelerators' memory.

    Attributes:
        nbytes: bytes of its weights that one rank reads in a pass.
        tokens: tokens drafted per step.
        layers: its layers.
        at_once: one pass drafts all tokens of a step (DFlash), not one pass per token (EAGLE).
        own_head: its head is among `nbytes`; else it uses the model's.
    """

    nbytes: int
    tokens: int
    layers: int = 0
    at_once: bool = False
    own_head: bool = False


@frozen
class Placement:
    """Bytes of weights by where they lie, over the whole deployment (all ranks together).

    Attributes:
        device: in the accelerators' memory.
        host_computed: in host memory, multiplied there by the CPU (layers or experts that
            llama.cpp leaves on the host, KTransformers' experts).
        host_computed_experts: how many of `host_computed` are routed experts.
        host_streamed: in host memory, copied over the link to an accelerator in every step (vLLM's
            --cpu-offload-gb, layers that transformers keeps on the CPU).
        host_streamed_experts: how many of `host_streamed` are routed experts that kernels read in
            place, so that only those that a step's tokens choose cross the link. Zero for engines
            that copy whole layers.
        host_layers: trunk layers that lie on the host whole; their caches lie there, too.
        host_cache_layers: trunk layers whose caches lie on the host; None: those of `host_layers`
            (llama.cpp's -nkvo puts all of them there).
        disk: bytes that are read from disk in every step.
        chunk: tokens of a prompt that the engine computes at a time (llama.cpp's --ubatch-size, the
            token budget of a scheduler's step); None: not told. Weights on the host are copied or
            read once per chunk, so a larger one makes long prompts faster.
        chunk_options: the engine's options that set it, all to the same number of tokens.
        prompts_stream: the accelerator computes a prompt with copies of `host_computed` weights,
            chunk by chunk (llama.cpp's --op-offload); False: the CPU computes the prompt, too.
        drafter: the separate model that drafts; None without one, or where its size is not known.
        of_accelerators: parts of `device` by accelerator, in the order of the machine's devices;
            empty where all hold equal parts.
    """

    device: int
    host_computed: int = 0
    host_computed_experts: int = 0
    host_streamed: int = 0
    host_streamed_experts: int = 0
    host_layers: int = 0
    host_cache_layers: int | None = None
    disk: int = 0
    chunk: int | None = None
    chunk_options: tuple[str, ...] = ()
    prompts_stream: bool = True
    drafter: Drafter | None = None
    of_accelerators: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check that parts do not exceed wholes.

        Raises:
            ValueError: an engine counts more experts on the host than weights, or less than none.
        """
        parts = (
            (self.host_computed_experts, self.host_computed),
            (self.host_streamed_experts, self.host_streamed),
        )
        sizes = (self.device, self.disk, self.host_layers, *(part for part, _ in parts))
        if min(sizes) < 0 or any(part > whole for part, whole in parts):
            raise ValueError(f"placement: parts exceed their wholes or are negative: {self}")

    @property
    def outside(self) -> int:
        """Bytes that do not lie in an accelerator's memory."""
        return self.host_computed + self.host_streamed + self.disk
