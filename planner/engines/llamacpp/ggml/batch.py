"""The batch that llama.cpp reserves its compute buffers for."""

from __future__ import annotations

from hardware_db.records import frozen


@frozen
class Batch:
    """The worst case: a full micro-batch of all sequences over a full cache.

    Attributes:
        n_tokens: tokens of the micro-batch, a multiple of `n_seqs`.
        n_seqs: sequences in it.
        n_outputs: tokens whose logits are computed.
        n_kv: cells of one stream of the KV cache.
        n_stream: KV streams (1 when unified).
        n_rs_seq: rollback states per sequence.
        flash_attn: fused attention.
        type_k: ggml type of the K cache, as the flag spells it.
        type_v: ggml type of the V cache.
        half_mask: with flash attention the mask is F16 from the start.
        scratch: flash attention's F16 copies of other caches are reserved.
        mixed: a third kind of input is reserved for, of tokens and embeddings together.
    """

    n_tokens: int
    n_seqs: int
    n_outputs: int
    n_kv: int
    n_stream: int
    n_rs_seq: int
    flash_attn: bool
    type_k: str
    type_v: str
    half_mask: bool = True
    scratch: bool = True
    mixed: bool = False

    @property
    def n_seq_tokens(self) -> int:
        """Tokens of each sequence."""
        return self.n_tokens // self.n_seqs
