"""Sizes of checkpoints worked out by hand or published, against the schemes."""

import pytest

from planner.model.catalog import bundled_checkpoint

GB = 10**9


@pytest.mark.parametrize(
    ("name", "precision", "gigabytes"),
    [
        ("Qwen/Qwen3.5-122B-A10B", "fp8", 127.152),
        ("Qwen/Qwen3.5-397B-A17B", "fp8", 406.125),
        ("Qwen/Qwen3.5-35B-A3B", "gptq-int4", 24.403),
        ("Qwen/Qwen3.5-122B-A10B", "gptq-int4", 78.844),
        ("Qwen/Qwen3.5-397B-A17B", "gptq-int4", 235.657),
        ("Qwen/Qwen3.5-397B-A17B", "nvfp4", 251.135),
        ("Qwen/Qwen3.5-27B", "gptq-int4", 30.235),
        ("Qwen/Qwen3.6-27B", "nvfp4-mixed", 21.92),
        ("Qwen/Qwen3.6-35B-A3B", "nvfp4-mixed", 23.41),
    ],
)
def test_predicted_sizes(name: str, precision: str, gigabytes: float) -> None:
    size = bundled_checkpoint(name, precision=precision).nbytes() / GB
    digits = len(str(gigabytes).partition(".")[2])
    assert size == pytest.approx(gigabytes, abs=0.51 * 10**-digits)


@pytest.mark.parametrize(
    ("name", "nbytes"),
    [
        ("Qwen/Qwen3.5-0.8B", 1_746_882_752),
        ("Qwen/Qwen3.5-2B", 4_548_144_832),
        ("Qwen/Qwen3.5-4B", 9_319_737_856),
        ("Qwen/Qwen3.5-9B", 19_306_216_416),
        ("Qwen/Qwen3.5-27B", 55_562_872_800),
        ("Qwen/Qwen3.8-27B", 55_562_855_904),
        ("Qwen/Qwen3.6-35B-A3B", 71_903_645_408),
        ("Qwen/Qwen3.5-35B-A3B-Base", 71_903_655_008),
        ("Qwen/Qwen3.5-122B-A10B", 250_173_007_840),
        ("Qwen/Qwen3.5-397B-A17B", 806_795_875_168),
        ("nvidia/Qwen3.5-122B-A10B-NVFP4", 83_474_870_752),
        ("Qwen/Qwen3.6-27B-FP8", 30_866_663_264),
        ("Inferact/Qwen3.8-2.4T-A95B-NVFP4", 1_447_265_951_488),
    ],
)
def test_published_tensor_bytes(name: str, nbytes: int) -> None:
    assert bundled_checkpoint(name).nbytes() == nbytes


@pytest.mark.parametrize(
    ("typed", "repository"),
    [
        ("qwen3.5:27b", "Qwen/Qwen3.5-27B"),
        ("Qwen3.5:35B-A3B", "Qwen/Qwen3.5-35B-A3B"),
        ("qwen3.6-27b-fp8", "Qwen/Qwen3.6-27B-FP8"),
        ("Qwen3-Next-80B-A3B-Thinking", "Qwen/Qwen3-Next-80B-A3B-Thinking"),
    ],
)
def test_names_that_people_type(typed: str, repository: str) -> None:
    assert bundled_checkpoint(typed).id == repository
