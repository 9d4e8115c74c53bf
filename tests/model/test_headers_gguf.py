"""GGUF headers: what is read, how little of it, and what is refused in one line."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError, PlannerError, UnsupportedModelError
from planner.model import gguf
from planner.model.ggml_types import GGML_TYPES
from planner.model.gguf import CHUNK, LongArray
from planner.model.headers import FileHeader
from tests.model import builders
from tests.model.builders import Ranges, Stub, Tensors, gguf_text

PAIRS = {
    "general.architecture": "qwen35moe",
    "general.name": "Qwen3.5 35B A3B",
    "general.file_type": 15,
    "qwen35moe.block_count": 41,
    "qwen35moe.context_length": 262144,
    "qwen35moe.attention.head_count_kv": 2,
    "qwen35moe.expert_count": 256,
    "qwen35moe.ssm.state_size": 128,
    "qwen35moe.nextn_predict_layers": 1,
    "qwen35moe.rope.dimension_sections": [11, 11, 10, 0],
    "qwen35moe.rope.freq_base": 10000000.0,
    "tokenizer.ggml.add_bos_token": False,
}
TENSORS = {
    "token_embd.weight": ("Q4_K", (1000, 512)),
    "blk.0.attn_norm.weight": ("F32", (512,)),
    "blk.0.ffn_down_exps.weight": ("Q8_0", (4, 512, 96)),
    "output_norm.weight": ("F32", (3,)),
}


def read(stub: Stub) -> FileHeader:
    return gguf.read_header(Ranges(stub), stub.size, "model.gguf")


def refusal(stub: Stub) -> str:
    """The line that refuses it; empty where it is read. Any other exception escapes."""
    try:
        read(stub)
    except PlannerError as error:
        return str(error)
    return ""


def vocabulary(count: int) -> list[str]:
    return [f"token-{number}" * (number % 4) for number in range(count)]


def test_tensors_and_metadata_come_back_as_they_were_declared() -> None:
    header = read(builders.gguf(PAIRS, TENSORS))
    assert {t.name: (t.dtype, t.shape) for t in header.tensors} == TENSORS
    assert [t.nbytes for t in header.tensors] == [1000 * 2 * 144, 2048, 4 * 512 * 3 * 34, 12]
    assert header.metadata["qwen35moe.rope.dimension_sections"] == (11, 11, 10, 0)
    assert header.metadata["tokenizer.ggml.add_bos_token"] is False


def test_facts_for_planning_are_named_without_the_architecture() -> None:
    pairs = {**PAIRS, "tokenizer.ggml.tokens": vocabulary(100)}
    facts = gguf.architecture_facts(read(builders.gguf(pairs, TENSORS)).metadata)
    assert facts["architecture"] == "qwen35moe"
    assert facts["block_count"] == 41
    assert facts["attention.head_count_kv"] == 2
    assert facts["ssm.state_size"] == 128
    assert facts["nextn_predict_layers"] == 1
    assert facts["vocab_size"] == 100
    assert not any(key.startswith("tokenizer") for key in facts)


@pytest.mark.parametrize("count", [10, 65, 5_000, 60_000])
def test_a_vocabulary_is_passed_over_and_no_more_than_a_chunk_of_data_is_read(count: int) -> None:
    pairs = {
        **PAIRS,
        "tokenizer.ggml.tokens": vocabulary(count),
        "tokenizer.ggml.token_type": list(range(count)),
        "tokenizer.ggml.merges": vocabulary(count),
        "tokenizer.chat_template": "x" * 70_000,
    }
    many: Tensors = {f"blk.{n}.attn_norm.weight": ("F32", (512,)) for n in range(500)}
    stub = builders.gguf(pairs, many)
    huge = Stub(stub.head, stub.size + 10**9)
    ranges = Ranges(huge)
    header = gguf.read_header(ranges, huge.size, "model.gguf")
    assert len(header.tensors) == 500
    assert header.metadata["tokenizer.chat_template"] == LongArray(
        element="character", length=70_000
    )
    if count > 5_000:
        expected = LongArray(element="string", length=count)
        assert header.metadata["tokenizer.ggml.merges"] == expected
        assert header.metadata["tokenizer.ggml.token_type"] == LongArray(
            element="int32", length=count
        )
        # The types of 60,000 tokens are jumped over unread.
        assert ranges.nbytes < len(stub.head) - 4 * count + CHUNK
    assert max(offset + length for offset, length in ranges.asked) <= len(stub.head) + CHUNK
    ends = [offset + length for offset, length in ranges.asked]
    starts = [offset for offset, _ in ranges.asked]
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False)), "read twice"
    assert len(ranges.asked) < 40


def test_every_ggml_type_has_whole_blocks() -> None:
    for name, block, nbytes in GGML_TYPES.values():
        assert block in (1, 32, 64, 128, 256), name
        assert nbytes > 0
    names = [name for name, _, _ in GGML_TYPES.values()]
    assert len(set(names)) == len(names)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_header_is_an_answer_or_one_line(data: Any) -> None:
    stub = builders.gguf({**PAIRS, "tokenizer.ggml.tokens": vocabulary(70)}, TENSORS)
    raw = bytearray(stub.head)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    size = data.draw(st.sampled_from([stub.size, len(raw), len(raw) // 2]))
    line = refusal(Stub(bytes(raw[:size]), size))
    assert "\n" not in line
    assert len(line) < 500


def head(version: int = 3, tensors: int = 0, pairs: int = 0, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, tensors, pairs)


def info(name: str, sizes: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    dims = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
    return gguf_text(name) + dims + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (head(magic=b"GGML"), "begins with b'GGML'"),
        (head(tensors=10**18), "claims 1,000,000,000,000,000,000 tensors"),
        (head(pairs=10**18), "key-value pairs"),
        (head(tensors=10**6), "header claims 24,000,000 bytes more"),
        (head(pairs=60_000), "header claims"),
        (head(pairs=1) + struct.pack("<Q", 2**60), "a key of"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IQ", 8, 2**60), "header claims"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IQ", 99, 0), "unknown value type 99"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IIQ", 9, 9, 1), "arrays of arrays"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IIQ", 9, 77, 1), "element type 77"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IIQ", 9, 8, 2**50), "claims an array"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IIQ", 9, 8, 2**23), "header claims"),
        (head(pairs=1) + gguf_text("k") + struct.pack("<IIQ", 9, 10, 2**23), "header claims"),
        (
            head(pairs=1)
            + gguf_text("k")
            + struct.pack("<IIQ", 9, 8, 65)
            + struct.pack("<Q", 2**63) * 65,
            "beyond the file",
        ),
        (head(pairs=2) + 2 * (gguf_text("k") + struct.pack("<II", 4, 1)), "occurs twice"),
        (
            head(pairs=1) + gguf_text("general.alignment") + struct.pack("<II", 4, 0) + b"\0" * 9,
            "general.alignment is 0",
        ),
        (
            head(pairs=1) + gguf_text("general.alignment") + struct.pack("<II", 4, 48) + b"\0" * 9,
            "not a power of two",
        ),
        (head(tensors=1) + info("t", (1, 1, 1, 1, 1)), "5 dimensions"),
        (head(tensors=1) + info("t" * 300, (1,)), "name of 300 bytes"),
        (head(tensors=1) + info("t", (33,), kind=8), "not whole Q8_0 blocks"),
        (head(tensors=1) + info("t", (2**63,)), "not whole"),
        (head(tensors=1) + info("t", (2**62, 2**62)), "unfinished download"),
        (head(tensors=1) + info("t", (8,), offset=2**60), "is not where it must be"),
        (head(tensors=2) + info("t", (8,)) + info("t", (8,), offset=32), "occurs twice"),
        (head(tensors=2) + info("t", (16,)) + info("u", (8,), offset=32), "overlaps"),
        (head(tensors=1) + info("t", (4096,)), "unfinished download"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(Stub(raw, len(raw) + 64))
    assert str(caught.value).startswith("model.gguf: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (head(version=1), "version 1"),
        (head(version=0x03000000), "big-endian"),
        (head(version=77), "version 77"),
        (head(tensors=1) + info("t", (8,), kind=142), "ggml type 142"),
        (head(tensors=1) + info("t", (8,), kind=4), "ggml type 4"),
    ],
)
def test_what_this_reader_does_not_know_is_refused_by_name(raw: bytes, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        read(Stub(raw, len(raw) + 64))


@pytest.mark.parametrize("size", [0, 3, 23])
def test_a_file_too_short_for_a_header_is_refused(size: int) -> None:
    with pytest.raises(InputError, match="header claims 24 bytes more at 0"):
        read(Stub(b"GGUF"[:size], size))


def test_an_unfinished_download_is_told() -> None:
    with pytest.raises(InputError, match="unfinished download"):
        read(builders.gguf(PAIRS, TENSORS, missing=64))


@given(st.dictionaries(st.text(max_size=20), st.integers(0, 2**32 - 1), max_size=10))
def test_any_keys_come_back(pairs: Any) -> None:
    pairs.pop("general.alignment", None)
    header = read(builders.gguf(pairs, {"t": ("F32", (8,))}))
    assert header.metadata == pairs


def split(number: int, count: int, tensors: int) -> FileHeader:
    pairs: dict[str, object] = {
        "split.no": number,
        "split.count": count,
        "split.tensors.count": tensors,
    }
    stub = builders.gguf(pairs, {f"t{number}": ("F32", (8,))})
    return gguf.read_header(Ranges(stub), stub.size, f"m-{number + 1:05d}-of-{count:05d}.gguf")


def test_shards_that_belong_together_pass() -> None:
    gguf.check_splits([split(0, 2, 2), split(1, 2, 2)])
    gguf.check_splits([read(builders.gguf(PAIRS, TENSORS))])


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        ([(0, 3, 3), (1, 3, 3)], "one of 3 shards, but 2"),
        ([(1, 2, 2), (0, 2, 2)], "it is shard 1"),
        ([(0, 2, 9), (1, 2, 9)], "has 9 tensors, 2 were found"),
    ],
)
def test_shards_that_do_not_belong_together_are_refused(
    shards: list[tuple[int, int, int]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        gguf.check_splits([split(*shard) for shard in shards])
