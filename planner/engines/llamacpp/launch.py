"""What to type for llama-server, and what it would print."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.engine import Deployment, Launch
from planner.engines.llamacpp.buffers import compute_buffers
from planner.engines.llamacpp.contexts import kv_bytes_per_block, state_bytes_per_block
from planner.engines.llamacpp.device import Machine
from planner.engines.llamacpp.fit import Fitted
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.llamacpp.server import Server
from planner.engines.yarn import yarn_parameters
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme
from planner.units import MIB, plain_number

_DEFAULTS = LlamacppOptions()


def model_file(deployment: Deployment, server: Server) -> str:
    """The file that the command names: the given one, or a name as converters choose it."""
    id_ = deployment.checkpoint.id
    if id_.endswith(".gguf"):
        return id_
    scheme = server.scheme
    label = scheme.mix if isinstance(scheme, GgufScheme) else scheme.name.upper()
    return f"{id_.rstrip('/').rpartition('/')[2]}-{label}.gguf"


def hub_file(checkpoint: Checkpoint) -> str | None:
    """``repository:quantization`` of a GGUF on the Hub, as llama.cpp and Ollama name it."""
    known = checkpoint.revision is not None or checkpoint.published
    on_hub = known and not checkpoint.hypothetical
    if not on_hub or not any(name.endswith(".gguf") for name, _ in checkpoint.files):
        return None
    label = checkpoint.scheme.name.removeprefix("gguf-")
    label = label.removesuffix("-nomtp").removesuffix("-imatrix")
    return f"{checkpoint.id}:{label.upper()}"


def launch_of(deployment: Deployment, server: Server, fitted: Fitted) -> Launch:
    """`llama-server` with exactly the flags that the plan assumed."""
    options = server.options
    file = model_file(deployment, server)
    remote = hub_file(deployment.checkpoint)
    argv = ["llama-server", *(("-hf", remote) if remote else ("-m", file))]
    argv += ["-c", str(server.n_ctx), "-np", str(server.slots)]
    if server.kv_unified:
        argv.append("-kvu")
    argv += _placing(server, fitted)
    if server.type_k != "f16":
        argv += ["-ctk", server.type_k]
    if server.type_v != "f16":
        argv += ["-ctv", server.type_v]
    for flag, value, default in (
        ("-b", options.batch_size, _DEFAULTS.batch_size),
        ("-ub", options.ubatch_size, _DEFAULTS.ubatch_size),
        ("-fa", options.flash_attn, _DEFAULTS.flash_attn),
        ("-ctxcp", options.ctx_checkpoints, _DEFAULTS.ctx_checkpoints),
        ("-cram", options.cache_ram_mib, _DEFAULTS.cache_ram_mib),
        ("-fitt", options.fit_target_mib, _DEFAULTS.fit_target_mib),
        ("-lm", options.load_mode, _DEFAULTS.load_mode),
    ):
        if value != default:
            argv += [flag, str(value)]
    argv += _switches(options)
    notes = []
    if remote and not options.mmproj:
        argv.append("--no-mmproj")  # -hf would load the vision file that lies beside the model
    elif options.mmproj and not remote:
        mmproj = f"mmproj-{file.rpartition('/')[2]}"
        argv += ["--mmproj", mmproj]
        notes.append(f"{mmproj} stands for the model's vision file")
    native = server.model.max_position_embeddings
    if deployment.yarn and deployment.context > native:
        scale = yarn_parameters(server.model, deployment.context)["factor"]
        argv += ["--rope-scaling", "yarn", "--rope-scale", f"{scale:g}"]
        argv += ["--yarn-orig-ctx", str(native)]
    if not deployment.checkpoint.id.endswith(".gguf") and not remote:
        notes.append(f"{file} stands for a GGUF file of {deployment.checkpoint.id}")
    return Launch(argv=tuple(argv), notes=tuple(notes))


def _placing(server: Server, fitted: Fitted) -> Iterator[str]:
    options = server.options
    if fitted.n_gpu_layers is not None:
        yield from ("-ngl", str(fitted.n_gpu_layers))
    if fitted.n_cpu_moe:
        yield from ("--n-cpu-moe", str(fitted.n_cpu_moe))
    for rule in options.override_tensor:
        yield from ("-ot", rule)
    if fitted.tensor_split is not None:
        yield from ("-ts", ",".join(plain_number(share) for share in fitted.tensor_split))
    if options.split_mode != "layer":
        yield from ("-sm", options.split_mode)


def _switches(options: LlamacppOptions) -> Iterator[str]:
    if not options.kv_offload:
        yield "--no-kv-offload"
    if not options.op_offload:
        yield "--no-op-offload"
    if not options.repack:
        yield "--no-repack"
    if not options.fit:
        yield from ("--fit", "off")
    if options.draft_tokens:
        yield from ("--spec-type", options.spec_type)
        if options.spec_draft_n_max != _DEFAULTS.spec_draft_n_max:
            yield from ("--spec-draft-n-max", str(options.spec_draft_n_max))
    if options.mmproj and not options.mmproj_offload:
        yield "--no-mmproj-offload"


def log_lines(server: Server, machine: Machine, fitted: Fitted) -> Iterator[str]:
    """Lines on memory that llama-server would print while it loads.

    Source: llama.cpp 0c1e570 src/llama-model.cpp, llama-kv-cache.cpp, llama-memory-recurrent.cpp,
    llama-context.cpp (their formats).
    """
    placement, model, context = fitted.placement, server.model, server.trunk
    usage = server.usage(placement)
    gpus = [f"{machine.backend}{gpu}" for gpu in range(placement.devices)]
    host = f"{machine.backend}_Host" if gpus else "CPU"

    def mib(size: int, width: int = 8) -> str:
        return f"{size / MIB:{width}.2f} MiB"

    for index, name in enumerate([*gpus, "CPU_Mapped"]):
        size = usage.weights[index] + usage.mtp_weights[index]
        if size:
            yield f"load_tensors: {name:>12} model buffer size = {mib(size)}"
    yield f"llama_context: {host:>10}  output buffer size = {mib(4 * model.vocab_size * server.slots)}"
    for index, name in enumerate([*gpus, "CPU"]):
        if usage.kv[index]:
            yield f"llama_kv_cache: {name:>10} KV buffer size = {mib(usage.kv[index])}"
    k, v = kv_bytes_per_block(model, context)
    layers = len(context.attention_blocks(model))
    yield (
        f"llama_kv_cache: size = {mib((k + v) * layers, 7)} ({context.n_ctx_seq:6d} cells,"
        f" {layers:3d} layers, {server.slots:2d}/{context.n_streams} seqs),"
        f" K ({server.type_k}): {mib(k * layers, 7)}, V ({server.type_v}): {mib(v * layers, 7)}"
    )
    for index, name in enumerate([*gpus, "CPU"]):
        if usage.states[index]:
            yield f"llama_memory_recurrent: {name:>10} RS buffer size = {mib(usage.states[index])}"
    r, s = (
        size * len(model.linear_attention_layers) for size in state_bytes_per_block(model, context)
    )
    if r + s:
        yield (
            f"llama_memory_recurrent: size = {mib(r + s, 7)} ({server.slots:6d} cells,"
            f" {model.num_hidden_layers:3d} layers, {server.slots:2d} seqs"
            f" {context.rollback(model):2d} rs_seq), R (f32): {mib(r, 7)}, S (f32): {mib(s, 7)},"
            f" P (f32): {mib(0, 7)}"
        )
    work = compute_buffers(
        model, server.scheme, placement, context, op_offload=server.options.op_offload
    )
    for name, size in zip([*gpus, host], work.nbytes, strict=True):
        if size:
            yield f"sched_reserve: {name:>10} compute buffer size = {mib(size)}"
