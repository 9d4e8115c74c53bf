"""How large a GGUF file is: tensors padded, tensor infos, metadata.

Format: ggml docs/gguf.md. The metadata is the tokenizer's vocabulary, merges and template but for
a few hundred bytes; it was calibrated on published files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hardware_db.records import frozen
from planner.model.gguf_mix import GgufScheme, TypedTensor
from planner.model.spec import ModelSpec
from planner.units import round_up

ALIGNMENT = 32
"""Tensors begin at multiples of this many bytes (``general.alignment``)."""

# Key-value section of two published Q8_0 files of this vocabulary (9B and 35B-A3B): 10,943,110 and
# 10,943,440 bytes. Smaller vocabularies (151,936) are taken in proportion.
_METADATA_BYTES, _METADATA_VOCABULARY = 10_943_275, 248_320
# Key-value section of a vision tower: 764 to 775 bytes, from the sizes of 32 converted files.
_VISION_METADATA_BYTES = 770


@frozen
class GgufSize:
    """Bytes of one GGUF file.

    Attributes:
        tensor_bytes: the tensors alone.
        data_bytes: with each tensor padded to `ALIGNMENT`.
        infos_bytes: names, shapes, types and offsets of the tensors (exact).
        metadata_bytes: key-value section (calibrated).
    """

    tensor_bytes: int
    data_bytes: int
    infos_bytes: int
    metadata_bytes: int

    @property
    def header_bytes(self) -> int:
        """What precedes the tensors."""
        return self.infos_bytes + self.metadata_bytes

    @property
    def file_bytes(self) -> int:
        """The file as it lies on disk."""
        return self.header_bytes + self.data_bytes


def model_file(model: ModelSpec, scheme: GgufScheme) -> GgufSize:
    """The language model's file, with or without MTP blocks as `scheme` says.

    Deviation: 170 bytes on the two published files that its metadata was calibrated on; chat
    templates and authors' notes move it by some kB.
    """
    metadata = _METADATA_BYTES * model.vocab_size // _METADATA_VOCABULARY
    return _size(scheme.tensors(model), metadata)


def mmproj_file(model: ModelSpec, scheme: GgufScheme) -> GgufSize:
    """The vision tower's file."""
    size = _size(scheme.vision_tensors(model), _VISION_METADATA_BYTES)
    header = round_up(size.header_bytes, ALIGNMENT)
    return replace(size, metadata_bytes=header - size.infos_bytes)


def _size(rows: Iterable[TypedTensor], metadata: int) -> GgufSize:
    tensor_bytes = data_bytes = infos = 0
    for row in rows:
        stored, held = row.stored, row.held
        one = held.tensor.experts * stored.format.nbytes(held.tensor.shape)
        names = held.names
        tensor_bytes += len(names) * one
        data_bytes += len(names) * round_up(one, ALIGNMENT)
        # length and text of the name, number of dimensions, dimensions, type, offset
        infos += sum(8 + len(name) + 4 + 8 * held.dimensions + 4 + 8 for name in names)
    return GgufSize(
        tensor_bytes=tensor_bytes,
        data_bytes=data_bytes,
        infos_bytes=infos,
        metadata_bytes=metadata,
    )
