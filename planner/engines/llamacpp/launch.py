"""Say what to type for llama-server or Ollama, and what llama-server would print.

Source on Ollama: its documentation of the Modelfile (FROM, PARAMETER) and of its server's
environment (OLLAMA_NUM_PARALLEL, OLLAMA_FLASH_ATTENTION, OLLAMA_KV_CACHE_TYPE), autumn 2026.
Ollama places blocks by its own estimate, and some releases run their own engine instead of
llama.cpp's: the plan holds for the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from planner.engines.engine import Allocation, Deployment, Launch
from planner.engines.face import Modelfile
from planner.engines.llamacpp.answer import LlamacppAnswer
from planner.engines.llamacpp.contexts import (
    index_bytes_per_block,
    kv_bytes_per_block,
    state_bytes_per_block,
    window_bytes_per_block,
)
from planner.engines.llamacpp.machine import RPC_PORT, RPC_SERVER
from planner.engines.llamacpp.options import ALL, CHECKPOINTS, LlamacppOptions
from planner.engines.llamacpp.server import Server
from planner.engines.options import declared, written_words
from planner.engines.yarn import yarn_parameters
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme
from planner.units import MIB

OLLAMA_CACHE_TYPES = ("f16", "q8_0", "q4_0")
"""What OLLAMA_KV_CACHE_TYPE takes."""


def model_file(deployment: Deployment, server: Server) -> str:
    """Return the file that the command names: the given one, or a name as converters choose it."""
    id_ = deployment.checkpoint.id
    if id_.endswith(".gguf"):
        return id_
    scheme = server.scheme
    label = scheme.mix if isinstance(scheme, GgufScheme) else scheme.name.upper()
    stem = id_.rstrip("/").rpartition("/")[2].replace(":", "-")
    return f"{stem}.gguf" if stem.lower().endswith(f"-{label.lower()}") else f"{stem}-{label}.gguf"


def hub_file(checkpoint: Checkpoint) -> str | None:
    """Return ``repository:quantization`` of a GGUF on the Hub, as llama.cpp and Ollama name it."""
    known = checkpoint.revision is not None or checkpoint.published
    on_hub = known and not checkpoint.hypothetical
    read = on_hub and any(name.endswith(".gguf") for name, _ in checkpoint.files)
    if not read and not _is_repository(checkpoint):
        return None
    label = checkpoint.scheme.name.removeprefix("gguf-")
    label = label.removesuffix("-nomtp").removesuffix("-imatrix")
    return f"{checkpoint.id}:{label.upper()}"


def _is_repository(checkpoint: Checkpoint) -> bool:
    """Say whether a checkpoint of which no file was seen is named as a repository of GGUFs."""
    owner, _, name = checkpoint.id.rpartition("/")
    unseen = bool(owner) and "/" not in owner and not checkpoint.files
    return unseen and "gguf" in name.lower() and not name.endswith(".gguf")


def launch_of(answer: LlamacppAnswer) -> Launch:
    """Return `llama-server` with exactly the flags that the plan assumed."""
    deployment = answer.deployment
    server, options = answer.server, answer.server.options
    file = model_file(deployment, server)
    remote = hub_file(deployment.checkpoint)
    argv = ["llama-server", *(("-hf", remote) if remote else ("-m", file))]
    argv += ["-c", str(server.n_ctx), "-np", str(server.slots)]
    if server.kv_unified:
        argv.append("-kvu")
    argv += _placing(answer)
    if server.type_k != "f16":
        argv += ["-ctk", server.type_k]
    if server.type_v != "f16":
        argv += ["-ctv", server.type_v]
    argv += written_words(options)
    if answer.checkpoints != CHECKPOINTS:
        argv += ["--ctx-checkpoints", str(answer.checkpoints)]
    if answer.machine.remote:
        argv += ["--rpc", options.rpc or _servers(deployment.nodes)]
    if not options.fit:
        argv += ["--fit", "off"]
    if options.draft_tokens:
        for name in ("spec_draft_n_max", "spec_draft_type_k", "spec_draft_type_v"):
            argv += _given(options, name)
    notes, program = [], tuple[str, ...]()
    if options.mmproj:
        mmproj = options.mmproj_file or f"mmproj-{file.rpartition('/')[2]}"
        if options.mmproj_file or not remote:
            argv += ["--mmproj", mmproj]
        if not options.mmproj_file and not remote:
            notes.append(f"{mmproj} stands for the model's vision file")
        argv += _given(options, "mmproj_offload")
    elif remote:
        argv.append("--no-mmproj")  # -hf would load the vision file that lies beside the model
    native = server.model.max_position_embeddings
    if deployment.yarn and deployment.context > native:
        scale = yarn_parameters(server.model, deployment.context)["factor"]
        argv += ["--rope-scaling", "yarn", "--rope-scale", f"{scale:g}"]
        argv += ["--yarn-orig-ctx", str(native)]
    if in_library(deployment.checkpoint.id):
        program = (ollama_serve(deployment, answer), f"ollama run {deployment.checkpoint.id}")
        notes.append(f"{file} stands for what Ollama pulled")
    elif not deployment.checkpoint.id.endswith(".gguf") and not remote:
        notes.append(f"{file} stands for a GGUF file of {deployment.checkpoint.id}")
    if answer.machine.remote and not options.rpc:
        notes.append("MACHINE_2 and so on stand for the others' addresses; start those first")
    return Launch(
        argv=tuple(argv),
        notes=tuple(notes),
        model=tuple(argv[1:3]),
        with_model=("--no-mmproj",) if remote else (),
        program=program,
        per_node=(RPC_SERVER,) * (deployment.nodes - 1 if answer.machine.remote else 0),
    )


def in_library(name: str) -> bool:
    """Say whether a name is a tag of Ollama's library: ``qwen3.6:35b``."""
    return ":" in name and "/" not in name and not name.endswith(".gguf")


def ollama_serve(deployment: Deployment, answer: LlamacppAnswer) -> str:
    """Return the command of Ollama's server, with the variables that say a plan to it in front."""
    variables = {"OLLAMA_CONTEXT_LENGTH": str(deployment.context), **_environment(answer.server)}
    return " ".join((*(f"{name}={value}" for name, value in variables.items()), "ollama serve"))


def _environment(server: Server) -> dict[str, str]:
    found = {"OLLAMA_NUM_PARALLEL": str(server.slots)}
    if server.flash_attn:
        found["OLLAMA_FLASH_ATTENTION"] = "1"
    if server.type_k != "f16" and server.type_k in OLLAMA_CACHE_TYPES:
        found["OLLAMA_KV_CACHE_TYPE"] = server.type_k
    return found


def _servers(nodes: int) -> str:
    """Return what stands for the servers on the other machines."""
    return ",".join(f"MACHINE_{number}:{RPC_PORT}" for number in range(2, nodes + 1))


def _given(options: LlamacppOptions, name: str) -> tuple[str, ...]:
    """Return the words of an option where its value is not the default."""
    declaration, value = declared(LlamacppOptions)[name], getattr(options, name)
    return () if value == declaration.default else declaration.words(value)


def _placing(answer: LlamacppAnswer) -> Iterator[str]:
    options, fitted = answer.server.options, answer.fitted
    known = declared(LlamacppOptions)
    if fitted.n_gpu_layers is not None:
        yield from known["n_gpu_layers"].words(fitted.n_gpu_layers)
    elif not options.fit and answer.gpu_names:
        yield from known["n_gpu_layers"].words(ALL)  # as the command is read back
    if fitted.n_cpu_moe >= ALL:
        yield "--cpu-moe"
    elif fitted.n_cpu_moe:
        yield from known["n_cpu_moe"].words(fitted.n_cpu_moe)
    yield from _given(options, "override_tensor")
    if fitted.tensor_split is not None:
        yield from known["tensor_split"].words(fitted.tensor_split)
    for name in ("split_mode", "main_gpu", "device"):
        yield from _given(options, name)


def log_lines(answer: LlamacppAnswer) -> Iterator[str]:
    """Yield the lines on memory that llama-server would print while it loads.

    Source: llama.cpp 0c1e570 src/llama-model.cpp, llama-kv-cache.cpp, llama-memory-recurrent.cpp,
    llama-context.cpp (their formats).
    """
    server, usage = answer.server, answer.usage
    model, context = server.model, server.trunk
    gpus = answer.gpu_names
    host = f"{answer.machine.backend}_Host" if gpus else "CPU"

    def mib(size: int, width: int = 8) -> str:
        return f"{size / MIB:{width}.2f} MiB"

    for index, name in enumerate([*gpus, "CPU_Mapped"]):
        size = usage.weights[index] + usage.mtp_weights[index]
        if size:
            yield f"load_tensors: {name:>12} model buffer size = {mib(size)}"
    yield f"llama_context: {host:>10}  output buffer size = {mib(4 * model.vocab_size * server.slots)}"
    k, v = kv_bytes_per_block(model, context)
    layers = len(context.attention_blocks(model))
    keys = index_bytes_per_block(model, context)
    for index, name in enumerate([*gpus, "CPU"]):
        size = usage.kv[index] // (k + v + keys) * (k + v)
        if size:
            yield f"llama_kv_cache: {name:>10} KV buffer size = {mib(size)}"
    yield (
        f"llama_kv_cache: size = {mib((k + v) * layers, 7)} ({context.n_ctx_seq:6d} cells,"
        f" {layers:3d} layers, {server.slots:2d}/{context.n_streams} seqs),"
        f" K ({server.type_k}): {mib(k * layers, 7)}, V ({server.type_v}): {mib(v * layers, 7)}"
    )
    if keys:
        yield (
            f"llama_memory_hybrid_idx: creating indexer KV cache, size = {context.n_ctx_seq} cells"
        )
        yield (
            f"llama_kv_cache: size = {mib(keys * layers, 7)} ({context.n_ctx_seq:6d} cells,"
            f" {layers:3d} layers, {server.slots:2d}/{context.n_streams} seqs),"
            f" K ({server.type_k}): {mib(keys * layers, 7)}, V ({server.type_v}): {mib(0, 7)}"
        )
    for index, name in enumerate([*gpus, "CPU"]):
        if usage.states[index]:
            yield f"llama_memory_recurrent: {name:>10} RS buffer size = {mib(usage.states[index])}"
    r, s = (
        size * len(model.linear_attention_layers) for size in state_bytes_per_block(model, context)
    )
    p = window_bytes_per_block(model, context) * len(model.ngram_layers)
    if r + s:
        yield (
            f"llama_memory_recurrent: size = {mib(r + s + p, 7)} ({server.slots:6d} cells,"
            f" {model.num_hidden_layers:3d} layers, {server.slots:2d} seqs"
            f" {context.rollback(model):2d} rs_seq), R (f32): {mib(r, 7)}, S (f32): {mib(s, 7)},"
            f" P (f32): {mib(p, 7)}"
        )
    for name, size in zip([*gpus, host], usage.compute, strict=True):
        if size:
            yield f"sched_reserve: {name:>10} compute buffer size = {mib(size)}"


def modelfile(deployment: Deployment, answer: Allocation, launch: Launch) -> Modelfile | None:
    """Return the Modelfile of a plan; None where Ollama has no way to say it.

    It has none for experts in RAM, MTP, or caches of two types.
    """
    if not isinstance(answer, LlamacppAnswer):
        return None
    answer = answer.served
    server, fitted = answer.server, answer.fitted
    cache = server.type_k
    unsaid = fitted.n_cpu_moe or server.options.draft_tokens or server.type_v != cache
    if unsaid or cache not in OLLAMA_CACHE_TYPES:
        return None
    remote = hub_file(deployment.checkpoint)
    argv, id_ = launch.argv, deployment.checkpoint.id
    file = PurePath(argv[argv.index("-m") + 1]) if "-m" in argv else PurePath(id_)
    whole = file.is_absolute() or str(file).startswith("~")  # parser.go: expandPath
    here = str(file) if whole else f"./{file}"
    source = f"hf.co/{remote}" if remote else here
    if in_library(id_):
        source = id_
    layers = fitted.placement.n_gpu_layers
    return Modelfile(
        source=source,
        parameters={
            "num_ctx": str(deployment.context),
            "num_batch": str(server.options.ubatch_size),
            "num_gpu": str(layers),
        },
        environment=_environment(server),
    )
