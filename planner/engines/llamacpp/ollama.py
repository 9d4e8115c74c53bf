"""What Ollama must be told to run a GGUF as the plan for llama.cpp assumes.

Source: Ollama's documentation of the Modelfile (FROM, PARAMETER) and of its server's environment
(OLLAMA_NUM_PARALLEL, OLLAMA_FLASH_ATTENTION, OLLAMA_KV_CACHE_TYPE), autumn 2026. Ollama places
blocks by its own estimate, and some releases run their own engine instead of llama.cpp's: the plan
holds for the latter.
"""

from __future__ import annotations

from planner.engines.engine import Allocation, Deployment, Launch, Modelfile
from planner.engines.llamacpp.launch import hub_file

CACHE_TYPES = ("f16", "q8_0", "q4_0")
"""What OLLAMA_KV_CACHE_TYPE takes."""


def modelfile(deployment: Deployment, allocation: Allocation, launch: Launch) -> Modelfile | None:
    """The Modelfile of a plan; None where Ollama has no way to say it (experts on the CPU, MTP)."""
    resolved = allocation.resolved
    cache = resolved["cache_type_k"]
    if (
        resolved["n_cpu_moe"]
        or resolved["spec_draft_n_max"]
        or cache not in CACHE_TYPES
        or resolved["cache_type_v"] != cache
    ):
        return None
    remote = hub_file(deployment.checkpoint)
    argv = launch.argv
    source = f"hf.co/{remote}" if remote else f"./{argv[argv.index('-m') + 1]}"
    environment = {"OLLAMA_NUM_PARALLEL": str(resolved["parallel"])}
    if resolved["flash_attn"]:
        environment["OLLAMA_FLASH_ATTENTION"] = "1"
    if cache != "f16":
        environment["OLLAMA_KV_CACHE_TYPE"] = cache
    parameters = {"num_ctx": str(deployment.context), "num_batch": str(resolved["ubatch_size"])}
    if resolved["n_gpu_layers"] is not None:
        parameters["num_gpu"] = str(resolved["n_gpu_layers"])
    return Modelfile(source=source, parameters=parameters, environment=environment)
