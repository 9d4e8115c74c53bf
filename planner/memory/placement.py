"""Where the weights of a deployment lie, and who computes with them.

Speed, advice and the verdict read this; every engine states it with its answer, so that none can
forget that a part of the weights lies outside the accelerators' memory.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Bytes of weights by where they lie, over the whole deployment (all ranks together).

    Attributes:
        device: in the accelerators' memory.
        host_computed: in host memory, multiplied there by the CPU (layers or experts that
            llama.cpp leaves on the host, KTransformers' experts).
        host_computed_experts: how many of `host_computed` are routed experts.
        host_streamed: in host memory, copied over the link to an accelerator in every step (vLLM's
            --cpu-offload-gb, layers that transformers keeps on the CPU).
        host_streamed_experts: how many of `host_streamed` are routed experts.
        host_layers: trunk layers that lie on the host whole; their caches lie there, too.
        disk: bytes that are read from disk in every step.
    """

    device: int
    host_computed: int = 0
    host_computed_experts: int = 0
    host_streamed: int = 0
    host_streamed_experts: int = 0
    host_layers: int = 0
    disk: int = 0

    @property
    def outside(self) -> int:
        """Bytes that do not lie in an accelerator's memory."""
        return self.host_computed + self.host_streamed + self.disk
