"""Safetensors headers: what is read, how little of it, and what is refused in one line."""

import gc
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError, PlannerError, UnsupportedModelError
from planner.model import safetensors
from planner.model.headers import MAX_JSON_BYTES, FileHeader, uncollected
from tests.model import builders
from tests.model.builders import Ranges, Stub

DTYPES = st.sampled_from(sorted(builders.DTYPE_BYTES))
SHAPES = st.lists(st.integers(0, 300), max_size=4).map(tuple)
TENSORS = st.dictionaries(st.text(min_size=1, max_size=30), st.tuples(DTYPES, SHAPES), max_size=8)


def read(stub: Stub) -> FileHeader:
    return safetensors.read_header(Ranges(stub), stub.size, "model.safetensors")


def entry(
    begin: int, end: int, shape: list[Any] | None = None, dtype: int | str | None = "U8"
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape or [end - begin], "data_offsets": [begin, end]}


def with_entries(entries: dict[str, Any], data_bytes: int) -> Stub:
    return builders.safetensors_raw(json.dumps(entries).encode(), data_bytes)


def refusal(stub: Stub) -> str:
    """The line that refuses it; empty where it is read. Any other exception escapes."""
    try:
        read(stub)
    except PlannerError as error:
        return str(error)
    return ""


@given(TENSORS)
def test_every_tensor_comes_back_as_it_was_declared(tensors: Any) -> None:
    tensors.pop("__metadata__", None)
    stub = builders.safetensors(tensors, {"format": "pt"})
    ranges = Ranges(stub)
    header = safetensors.read_header(ranges, stub.size, "a.safetensors")
    assert {t.name: (t.dtype, t.shape) for t in header.tensors} == tensors
    assert header.header_nbytes + sum(t.nbytes for t in header.tensors) == stub.size
    assert header.metadata == {"format": "pt"}
    assert ranges.asked == [(0, 8), (8, header.header_nbytes - 8)]


@pytest.mark.parametrize("raw", [b"{}", b"{"])
def test_garbage_is_looked_for_again_once_all_headers_are_read(raw: bytes) -> None:
    with uncollected():
        refusal(builders.safetensors_raw(raw, 0))
        assert not gc.isenabled()
    refusal(builders.safetensors_raw(raw, 0))
    assert gc.isenabled()


@given(st.data())
def test_a_damaged_header_is_an_answer_or_one_line(data: Any) -> None:
    stub = builders.safetensors({"a": ("BF16", (2, 3)), "b": ("F32", (4,))}, {"format": "pt"})
    raw = bytearray(stub.head)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    line = refusal(Stub(bytes(raw), stub.size))
    assert "\n" not in line
    assert len(line) < 500


@pytest.mark.parametrize("claimed", [2**60, 2**63, 2**64 - 1, 10**6])
def test_a_header_longer_than_the_file_is_refused_after_eight_bytes(claimed: int) -> None:
    stub = builders.safetensors_raw(b"{}", 100, length=claimed)
    ranges = Ranges(stub)
    with pytest.raises(InputError, match=f"claims a header of {claimed:,} bytes"):
        safetensors.read_header(ranges, stub.size, "model.safetensors")
    assert ranges.asked == [(0, 8)]


def test_a_hundred_megabytes_of_json_are_not_fetched() -> None:
    ranges = Ranges(Stub(struct.pack("<Q", 10**8), 10**12))
    with pytest.raises(InputError, match=f"at most {MAX_JSON_BYTES:,}"):
        safetensors.read_header(ranges, 10**12, "model.safetensors")
    assert ranges.nbytes == 8


@pytest.mark.parametrize(
    ("entries", "data_bytes", "words"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12, "overlaps"),
        ({"a": entry(0, 8), "b": entry(12, 16)}, 16, "hole"),
        ({"a": entry(-8, 0)}, 8, "whole numbers"),
        ({"a": entry(0, 8)}, 4, "unfinished download"),
        ({"a": entry(0, 8)}, 12, "the file has 12"),
        ({"a": entry(8, 0, shape=[8])}, 8, "spans -8 bytes"),
        ({"a": entry(0, 2**70, shape=[1])}, 8, "whole numbers"),
        ({"a": entry(0, 8, shape=[2, 3])}, 8, "takes 6"),
        ({"a": entry(0, 8, shape=[2.0, 4])}, 8, "whole numbers"),
        ({"a": entry(0, 8, shape=[True, 8])}, 8, "whole numbers"),
        ({"a": entry(0, 8, shape=[2**62] * 16)}, 8, "takes"),
        ({"a": entry(0, 8, shape=[1] * 17)}, 8, "whole numbers"),
        ({"a": entry(0, 1, shape=[1], dtype="F4")}, 1, "spans 1 bytes"),
        ({"a": 7}, 0, "lacks dtype"),
        ({"a": {"dtype": "U8", "shape": [1]}}, 1, "lacks dtype"),
        ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, 1, "lacks dtype"),
        ({"a" * 5000: entry(0, 8)}, 8, "name has 5,000"),
        ({"__metadata__": {"a": 1}}, 0, "__metadata__"),
        ({"__metadata__": []}, 0, "__metadata__"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(
    entries: dict[str, int], data_bytes: int, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(with_entries(entries, data_bytes))
    assert str(caught.value).startswith("model.safetensors: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["Q4_K", "bf16", "", 7, None])
def test_an_unknown_dtype_is_refused_by_name(dtype: int | str | None) -> None:
    with pytest.raises(UnsupportedModelError, match="does not define") as caught:
        read(with_entries({"a": entry(0, 8, dtype=dtype)}, 8))
    assert str(dtype) in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": {"dtype": "U8"}, "a": {}}', "'?a'? occurs twice"),
        (b'{"a": {"dtype": "U8", "dtype": "I8"}}', "occurs twice"),
        (b'{"a": {"dtype": {"b": 1, "b": 2}}, "c:": {}}', "occurs twice"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b"[]", "must hold a JSON object"),
        (b"null", "must hold a JSON object"),
        (b"", "unreadable JSON"),
        (b'{"a": ', "unreadable JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "unreadable JSON"),
        (b'{"\xff": 1}', "not UTF-8"),
        (b"[" + b"[]," * 4_100_000 + b"[]]", "more than 4,000,000 values"),
    ],
)
def test_json_that_is_no_header_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(builders.safetensors_raw(raw, 0))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_without_a_length_is_refused(size: int) -> None:
    with pytest.raises(InputError, match="too few"):
        read(Stub(b"\0" * size, size))


def test_a_scalar_and_an_empty_tensor_are_tensors() -> None:
    stub = builders.safetensors({"scalar": ("F32", ()), "none": ("BF16", (0, 5))})
    assert sorted((t.name, t.nbytes) for t in read(stub).tensors) == [("none", 0), ("scalar", 4)]


def test_packed_six_bit_elements_are_counted_in_bits() -> None:
    stub = with_entries({"a": entry(0, 6, shape=[2, 4], dtype="F6_E3M2")}, 6)
    assert read(stub).tensors[0].nbytes == 6
