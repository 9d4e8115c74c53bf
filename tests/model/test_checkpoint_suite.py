"""The suite of published sizes: what it makes of a row's words, and that it can fail."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.suites import checkpoints


def case(**changes: Any) -> dict[str, str]:
    return {
        "model": "Qwen3.6-27B",
        "repo": "somebody/Qwen3.6-27B-own",
        "format": "FP8 128x128 block",
        "published_size": "30.9",
        "unit": "GB",
        "scope": "rounded",
        "source": "a test",
    } | changes


def result(tmp_path: Path, **changes: Any) -> Any:
    (tmp_path / "checkpoints.json").write_text(json.dumps({"cases": [case(**changes)]}), "utf-8")
    (found,) = checkpoints.run(tmp_path)
    return found


@pytest.mark.parametrize(
    ("words", "scheme"),
    [
        ("BF16", "bf16"),
        ("FP8 per-channel (compressed-tensors), GDN BF16", "fp8-dynamic"),
        ("GPTQ int4 g128, MLP only", "gptq-int4"),
        ("GPTQ int4 g32", "gptq-int4-g32-all"),
        ("AWQ (compressed-tensors) int4 g32 asym", "awq-int4-g32"),
        ("AutoRound int4 g128, MTP quantized too", "autoround-int4-mtp"),
        ("NVFP4 routed experts incl. MTP", "nvfp4-experts-mtp"),
        ("NVFP4 routed experts only", "nvfp4-experts"),
        ("modelopt mixed: NVFP4 MLP+lm_head, FP8 attn/GDN", "nvfp4-mixed"),
        ("NVFP4 (llm-compressor)", "nvfp4-ct"),
        ("NVFP4 MLP + attn + GDN out_proj", "nvfp4-out-proj"),
        ("MXFP4 routed+shared experts", "mxfp4-experts"),
        ("MLX affine 6bit g64", "mlx-6bit"),
        ("MLX 8-bit", "mlx-8bit"),
        ("GGUF Q6_K", "q6_k-nomtp"),
        ("GGUF Q4_K_M with MTP", "q4_k_m"),
        ("INT8 W8A8", "w8a8-int8"),
        ("W4A16", "w4a16"),
        ("bnb NF4", "bnb-nf4"),
    ],
)
def test_words_tell_the_recipe(tmp_path: Path, words: str, scheme: str) -> None:
    found = result(tmp_path, format=words)
    assert found.name.endswith(f"as {scheme}")
    assert found.group == "rounded"


@pytest.mark.parametrize(
    ("repo", "words"),
    [
        ("somebody/x", "NVFP4"),
        ("somebody/x", "int4 experts + FP8"),
        ("somebody/x", "AutoRound int4"),
        ("unsloth/x-GGUF", "GGUF UD-Q4_K_XL"),
        ("bartowski/x-GGUF", "GGUF Q4_K_M"),
        ("somebody/x-GGUF", "GGUF Q5_K_L"),
    ],
)
def test_private_mixes_are_told_apart(tmp_path: Path, repo: str, words: str) -> None:
    assert result(tmp_path, repo=repo, format=words).group == "private mix"


def test_a_known_repository_needs_no_words(tmp_path: Path) -> None:
    found = result(tmp_path, repo="nvidia/Qwen3.6-27B-NVFP4", format="NVFP4", published_size="21.9")
    assert found.agrees
    assert not found.exact
    assert found.group == "rounded"


def test_rounding_is_the_tolerance(tmp_path: Path) -> None:
    assert result(tmp_path).agrees
    assert not result(tmp_path, published_size="30.6").agrees
    assert not result(tmp_path, published_size="30.70").agrees
    assert result(tmp_path, published_size="29", unit="GiB").agrees


def test_tensor_bytes_are_equal_and_files_within_two_parts_in_a_thousand(tmp_path: Path) -> None:
    tensors = {"unit": "B", "scope": "tensor bytes (safetensors index total_size)"}
    assert result(tmp_path, published_size="30866663264", **tensors).exact
    assert not result(tmp_path, published_size="30866663265", **tensors).agrees
    file = {"unit": "B", "scope": "repo total"}
    assert result(tmp_path, published_size="30890000000", **file).agrees
    assert not result(tmp_path, published_size="30990000000", **file).agrees


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "Qwen9-1B"},
        {"format": "a secret of mine"},
        {"format": "GGUF Q9_X_Y"},
        {"repo": "x", "format": "GGUF"},
    ],
)
def test_what_cannot_be_asked_fails(tmp_path: Path, changes: dict[str, str]) -> None:
    found = result(tmp_path, **changes)
    assert found.unasked
    assert not found.exact
