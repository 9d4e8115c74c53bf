"""Estimates beside their bands, and logs that name no release."""

from __future__ import annotations

import pytest

from planner import observed
from planner.engines.llamacpp.log import SLACK, VULKAN_SLACK, device
from planner.engines.log_row import OUTSIDE, LogRow
from planner.logs import LogCheck

L40S = """\
INFO [gpu_model_runner.py] Model loading took 28.51 GiB memory and 14 seconds
INFO [gpu_worker.py] Available KV cache memory: 7.04 GiB
INFO [gpu_worker.py] --gpu-memory-utilization=0.8600 is equivalent to 0.8351 without CUDA graph memory profiling
ValueError: To serve at least one request with the model's max seq len (131072), 8.18 GiB KV cache is needed, which is larger than the available KV cache memory (7.04 GiB). Based on the available memory, the estimated maximum model length is 112896.
"""
"""A start of Qwen3.8-27B-FP8 that names no release; the figures are those of vLLM before 0.29."""

LLAMACPP = """\
load_tensors: offloaded 33/33 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   545.62 MiB
load_tensors:      {gpu} model buffer size =  {weights:.2f} MiB
llama_context: n_seq_max     = 1
llama_context: n_ctx         = 8192
llama_context: n_batch       = 2048
llama_context: n_ubatch      = 2048
llama_kv_cache:    {gpu} KV buffer size =   256.00 MiB
sched_reserve:    {gpu} compute buffer size =   {compute:.2f} MiB
"""


def rows(found: LogCheck) -> dict[str, LogRow]:
    return {row.figure: row for row in found.rows}


def llamacpp(**values: object) -> dict[str, LogRow]:
    text = LLAMACPP.format(**{"gpu": "CUDA0", "weights": 5133.63, "compute": 384.0, **values})
    return rows(
        observed.check_log(None, text, on="RTX 3080 Ti", model="Qwen3.5-9B", precision="UD-Q4_K_XL")
    )


def test_a_log_without_a_release_is_compared_with_older_rules() -> None:
    found = observed.check_log(None, L40S, on="l40s", model="Qwen/Qwen3.8-27B-FP8", context=131072)
    assert found.rules_agree
    assert found.plan.engine_version < "0.29.0"
    assert rows(found)["KV cache that one request needs"].agrees
    assert any("0.33.0" in note for note in found.notes)
    told = observed.check_log(
        None, L40S, on="l40s", model="Qwen/Qwen3.8-27B-FP8", context=131072,
        options={"version": "0.33.0"},
    )  # fmt: skip
    assert not told.rules_agree  # what is said is not doubted


def test_a_log_that_no_release_gives_stays_with_the_newest() -> None:
    text = L40S.replace("8.18 GiB", "5.18 GiB")
    found = observed.check_log(None, text, on="l40s", model="Qwen/Qwen3.8-27B-FP8", context=131072)
    assert found.plan.engine_version == "0.33.0"
    assert not found.rules_agree


@pytest.mark.parametrize("gpu", ["CUDA0", "Vulkan0"])
def test_compute_buffers_of_vulkan_have_a_wider_band(gpu: str) -> None:
    row = llamacpp(gpu=gpu, compute=416.16)["compute buffer, GPU 0"]
    assert SLACK < 416.16 / 384 - 1 < VULKAN_SLACK
    assert row.note == ("" if gpu == "Vulkan0" else OUTSIDE)
    assert llamacpp(gpu=gpu, compute=500.0)["compute buffer, GPU 0"].note == OUTSIDE


@pytest.mark.parametrize(("off", "agrees"), [(206, None), (400, False)])
def test_weights_that_are_off_are_shown_in_all_with_their_band(
    off: float, agrees: bool | None
) -> None:
    found = llamacpp(weights=5133.63 + off)
    whole = found["weights, in all"]
    assert whole.agrees is agrees
    assert whole.planned is not None
    assert whole.planned[0] < 5679 < whole.planned[1]
    assert "weights, in all" not in llamacpp()


def test_rearranged_weights_are_a_buffer_of_their_own() -> None:
    assert [device(name) for name in ("AMX", "CPU_REPACK", "CPU_Mapped", "Vulkan_Host")] == [
        "repacked", "repacked", "host", "host",
    ]  # fmt: skip
