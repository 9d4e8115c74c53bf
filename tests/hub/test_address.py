"""Every way of writing a repository down, and what is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError, PlannerError, UnsupportedModelError
from planner.hub import Address, parse_address

Q = "Qwen/Qwen3.5-27B"
G = "unsloth/Qwen3.5-27B-GGUF"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (Q, Address(repo=Q)),
        (f"  {Q}/ ", Address(repo=Q)),
        ("gpt2", Address(repo="gpt2")),
        (f"{Q}@v1", Address(repo=Q, revision="v1")),
        (f"{G}:Q4_K_M", Address(repo=G, pattern="Q4_K_M")),
        (f"{G}@main:UD-Q4_K_XL", Address(repo=G, revision="main", pattern="UD-Q4_K_XL")),
        (f"{G}/x-Q8_0.gguf", Address(repo=G, file="x-Q8_0.gguf")),
        (f"https://huggingface.co/{Q}", Address(repo=Q)),
        (f"http://hf.co/{Q}/", Address(repo=Q)),
        (f"huggingface.co/{Q}", Address(repo=Q)),
        (f"https://huggingface.co/{Q}?library=vllm#files", Address(repo=Q)),
        (f"https://huggingface.co/{Q}/tree/v1.0", Address(repo=Q, revision="v1.0")),
        (f"https://huggingface.co/{Q}/tree/main/sub", Address(repo=Q, revision="main")),
        (f"https://huggingface.co/{Q}/tree/refs%2Fpr%2F7", Address(repo=Q, revision="refs/pr/7")),
        (f"https://huggingface.co/{Q}/discussions", Address(repo=Q)),
        (
            f"https://huggingface.co/{G}/blob/main/BF16/x-00001-of-00002.gguf",
            Address(repo=G, revision="main", file="BF16/x-00001-of-00002.gguf"),
        ),
        (
            f"https://huggingface.co/{G}/resolve/main/x.gguf?download=true",
            Address(repo=G, revision="main", file="x.gguf"),
        ),
        (f"https://hub.example:8443/{Q}", Address(repo=Q)),
        (f"hf://{Q}", Address(repo=Q)),
        (f"hf://models/{Q}@v1", Address(repo=Q, revision="v1")),
        (f"hf://{Q}@refs/pr/7", Address(repo=Q, revision="refs/pr/7")),
        (f"hf://{G}@main/x.gguf", Address(repo=G, revision="main", file="x.gguf")),
    ],
)
def test_what_people_write_is_read(text: str, expected: Address) -> None:
    assert parse_address(text, ["hub.example"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 2000,
        "a b/c",
        "a/b/c/d",
        "../../etc/passwd",
        "a/..",
        "a--b/c",
        "-a/b",
        "a/b.git",
        "a/b\nc",
        "https://evil.example/Qwen/Qwen3.5-27B",
        "https://huggingface.co.evil.example/Qwen/x",
        "https://huggingface.co@evil.example/Qwen/x",
        "https://huggingface.co",
        "https://[::1/Qwen/x",
        "ftp://huggingface.co/Qwen/x",
        "file:///etc/passwd",
        "Qwen/" + "x" * 100,
    ],
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("kind", "name"), [("datasets", "dataset"), ("spaces", "Space")])
def test_what_is_another_kind_of_repository_is_refused_by_name(kind: str, name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"is a {name}, not a model"):
        parse_address(f"https://huggingface.co/{kind}/a/b")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_one_line(text: Any) -> None:
    try:
        address = parse_address(text)
    except PlannerError as error:
        line = str(error)
    else:
        line = address.repo
    assert "\n" not in line
