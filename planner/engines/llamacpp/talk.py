"""Read llama.cpp's and Ollama's commands back, and say how llama-server is talked to.

Source: llama.cpp 0c1e570 common/arg.cpp, tools/server/server.cpp, tools/cli/cli.cpp; Ollama's
documentation of its environment (docs/faq.mdx, docs/context-length.mdx), autumn 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from planner.engines.command import Command
from planner.engines.containers import Container
from planner.engines.face import CommandReader, Face
from planner.engines.llamacpp.bench import BENCH
from planner.engines.llamacpp.fronts import in_front
from planner.engines.llamacpp.launch import modelfile
from planner.engines.llamacpp.log import log_reader
from planner.engines.llamacpp.options import ALL, LlamacppOptions
from planner.engines.llamacpp.relatives import ASSUMED, ASSUMES, as_server, relative_of
from planner.engines.llamacpp.variables import words_of
from planner.engines.option_kinds import whole_number
from planner.engines.words import FlagTable, Sorted, flags, sort_words
from planner.errors import InputError
from planner.units import GIB

AUTO_SLOTS = 4
"""Slots of llama-server without -np; they share one cache (tools/server/server.cpp)."""

WHOLE = 2**32 - 1
"""What ``-c 0`` makes of the shortest context that --fit may choose: it chooses none."""

OLLAMA_CONTEXTS = ((47 * GIB, 262_144), (23 * GIB, 32_768), (0, 4096))
"""Ollama's context where none is said: from so many bytes of all GPUs together -> tokens. Its pages
say 48 and 24 GiB; server/routes.go (v0.33.2) compares with one GiB less, as drivers report less."""

_SERVER, _CLI = "llama-server", ("llama-cli", "llama-mtmd-cli")
_OLLAMA = "ollama"
_PROJECTORS = ("-mm", "--mmproj", "-mmu", "--mmproj-url")
_FIT = ("-fit", "--fit")
_CLI_ONLY = {"-p": 1, "--prompt": 1, "-f": 1, "--file": 1, "-sys": 1, "--system-prompt": 1} | (
    dict.fromkeys(("-cnv", "--conversation", "-no-cnv", "--no-conversation", "-st"), 0)
    | dict.fromkeys(
        ("--single-turn", "-i", "--interactive", "--simple-io", "--no-display-prompt"), 0
    )
)
"""Flags of llama-cli that llama-server has not -> values behind them."""

_NAMING = (("-m", "model"), ("-mu", "url"), ("-hf", "repository"), ("-hff", "file"))
"""Flags that name the model -> the part that they are read as."""

FLAGS = FlagTable(
    options=LlamacppOptions,
    parts={
        "model": ("-m", "--model"),
        "repository": ("-hf", "-hfr", "--hf-repo"),
        "file": ("-hff", "--hf-file"),
        "url": ("-mu", "--model-url"),
        "context": ("-c", "--ctx-size"),
        "cache-type-k": ("-ctk", "--cache-type-k"),
        "rope-scaling": ("--rope-scaling",),
        "drafter": ("-md", "--model-draft", "--spec-draft-model"),
        "rope": ("--rope-scale", "--yarn-orig-ctx"),
    },
    part_switches={
        "-cmoe": ("cpu-moe", True),
        "--cpu-moe": ("cpu-moe", True),
        "--mmproj-auto": ("mmproj-auto", True),
        "--no-mmproj-auto": ("mmproj-auto", False),
        "--mmap": ("mmap", True),
        "--no-mmap": ("mmap", False),
        "--mlock": ("mlock", True),
    },
    own=_CLI_ONLY,
    kept=flags(
        "host port path api-prefix api-key api-key-file ssl-key-file ssl-cert-file timeout threads",
        "threads-batch threads-http cpu-mask cpu-range cpu-strict prio poll cpu-mask-batch",
        "cpu-range-batch prio-batch poll-batch keep seed sampling-seq samplers temp temperature",
        "top-k top-p min-p top-nsigma xtc-probability xtc-threshold typical repeat-last-n",
        "repeat-penalty presence-penalty frequency-penalty dry-multiplier dry-base",
        "dry-allowed-length dry-penalty-last-n dry-sequence-breaker dynatemp-range dynatemp-exp",
        "mirostat mirostat-lr mirostat-ent logit-bias grammar grammar-file json-schema",
        "json-schema-file predict n-predict chat-template chat-template-file chat-template-kwargs",
        "reasoning-format reasoning-budget reasoning-budget-message reasoning slot-save-path",
        "slot-prompt-similarity alias tags log-file log-verbosity verbosity numa defrag-thold",
        "cache-reuse hf-token checkpoint-min-step checkpoint-every-n-tokens",
        "rope-freq-base rope-freq-scale yarn-ext-factor yarn-attn-factor",
        "yarn-beta-slow yarn-beta-fast override-kv image-min-tokens image-max-tokens media-path",
        "spec-draft-p-min spec-draft-p-split spec-draft-n-min draft-min draft-p-min p-min",
        "spec-draft-ngl spec-draft-device lookup-cache-static",
        "lookup-cache-dynamic models-dir models-max models-preset sleep-idle-seconds tools",
        "grp-attn-n grp-attn-w webui-config-file pooling control-vector",
    )
    | {"-t", "-tb", "-n", "-s", "-a", "-lv", "-cms", "-cpent", "-sps", "-l", "-r", "-hft"},
    kept_switches=flags(
        "jinja no-jinja no-webui webui metrics slots no-slots props no-props log-disable verbose",
        "log-colors log-prefix log-timestamps no-warmup warmup cont-batching no-cont-batching",
        "no-context-shift context-shift cache-prompt no-cache-prompt special no-perf perf escape",
        "no-escape ignore-eos offline prefill-assistant no-prefill-assistant check-tensors",
        "swa-full models-autoload no-models-autoload no-host direct-io no-direct-io version",
        "cache-idle-slots no-cache-idle-slots clear-idle no-clear-idle reasoning-budget-enable",
        "backend-sampling no-spec-draft-backend-sampling",
    )
    | {"-cb", "-nocb", "-v", "-e", "-dio", "-ndio", "-sp"},
    unplanned={
        "--lora": "adapters take memory that is not counted",
        "--lora-scaled": "adapters take memory that is not counted",
        "--embedding": "embedding servers are not planned",
        "--embeddings": "embedding servers are not planned",
        "--rerank": "reranking servers are not planned",
        "--reranking": "reranking servers are not planned",
        "--n-cpu-ffn": "it is not planned; -ot says the same",
        "--cpu-moe-draft": "it is not planned",
        "--override-tensor-draft": "it is not planned",
        "--spec-draft-override-tensor": "it is not planned",
    },
    argparse=False,
)


def starts(words: Sequence[str]) -> int | None:
    """Return how many of `words` name the program; None if another program is meant.

    0 for programs that are read differently: their name stays for the reader to see. Of `ollama
    serve` and `ollama run` in one text, the latter names the model.
    """
    name = _program(words[0])
    if name == _SERVER:
        return 1
    if name in _CLI:
        return 0
    if name == _OLLAMA and tuple(words[1:2]) in (("run",), ("pull",), ("serve",)):
        runs_later = any(
            _program(word) == _OLLAMA and behind in ("run", "pull")
            for word, behind in pairwise(words[2:])
        )
        return None if words[1] == "serve" and runs_later else 0
    return None if relative_of(words) is None else 0


def _program(word: str) -> str:
    return word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")


def read_command(
    words: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Command:
    """Return what llama-server is told, as a `Command`.

    ``-c`` counts the cells of all slots: the context of one sequence is its share, or all of it
    where the slots share one cache. A command that names its model has llama-server's own slots
    and no machine that it does not name; flags typed behind a model have what is asked for.

    Raises:
        InputError: a flag or value that cannot be read, or a set-up that is not planned.
    """
    program = _program(words[0]) if words else ""
    if program == _OLLAMA:
        return _ollama(words[1:], environment)
    if words and (relative := relative_of(words)) is not None:
        return _of_relative(*relative, words, environment)
    behind, environment = words_of(environment, words[1:] if program in _CLI else words, FLAGS)
    found = sort_words(_rewritten(behind), FLAGS)
    unplanned = list(found.unplanned)
    model, precision = _model(found, unplanned)
    named = [(flag, found.last(part)) for flag, part in _NAMING]
    options = _options(found)
    slots = options.get("parallel")
    if slots is None:
        options.pop("parallel", None)
        slots = 1
        if program in _CLI:
            options["parallel"] = 1
        elif model is not None:
            options["parallel"] = slots = AUTO_SLOTS
            options.setdefault("kv_unified", True)
    shared = bool(options.get("kv_unified"))
    if shared:
        slots = 1
    if model is not None:
        options.setdefault("rpc", "")
        options["ram_unsaid"] = True
        if options.get("fit") is False and options.get("n_gpu_layers") is None:
            options["n_gpu_layers"] = ALL  # nobody else moves anything
    cells = found.last("context")
    count = 0 if cells is None else whole_number(cells, "-c")
    if count < 0:
        raise InputError(f"-c: {count} is out of range")
    if cells is not None and not count:
        options["fit_ctx"] = WHOLE
    return Command(
        model=model,
        precision=precision,
        context=max(1, count // slots) if count else None,
        own_length="" if cells is None or count else "-c 0",
        slots=slots,
        shared=shared,
        kv_cache_dtype=found.last("cache-type-k"),
        options=options,
        yarn=found.last("rope-scaling") == "yarn",
        kept=(*found.kept, *found.positional),
        unplanned=tuple(unplanned),
        environment=environment,
        named=tuple(word for flag, name in named if name for word in (flag, name)),
    )


def _rewritten(words: Sequence[str]) -> list[str]:
    """Return the words with --fit and --mmproj as the switches that they are, values apart."""
    found, queue = [], list(words)
    while queue:
        word = queue.pop(0)
        value = queue[0] if queue and not queue[0].startswith("-") else None
        if word in _FIT and value in ("on", "off"):
            found.append("--fit" if queue.pop(0) == "on" else "--no-fit")
        elif word in _PROJECTORS:
            found.append("--mmproj")
            found += ["--mmproj-file", queue.pop(0)] if value is not None else []
        else:
            found.append(word)
    return found


def _model(found: Sorted, unplanned: list[str]) -> tuple[str | None, str | None]:
    """Return the model and, where the words tell, which of its files."""
    repository = found.last("repository")
    if repository is not None:
        told = "mmproj" in found.options or found.switched.get("mmproj-auto") is False
        if not told:
            unplanned.append(
                "-hf: llama-server also loads the repository's vision file, if there is one, unless"
                " told --no-mmproj; the plan counts it only with --mmproj"
            )
        name, colon, precision = repository.partition(":")
        return name, found.last("file") or (precision if colon else None)
    return found.last("model") or found.last("url"), None


def _options(found: Sorted) -> dict[str, Any]:
    options = dict(found.options)
    if found.switched.get("cpu-moe"):
        options["n_cpu_moe"] = ALL
    if "cache_type_v" not in options and found.last("cache-type-k"):
        options["cache_type_v"] = "f16"
    if "load_mode" not in options:
        if found.switched.get("mlock"):
            options["load_mode"] = "mlock" if found.switched.get("mmap") is False else "mmap+mlock"
        elif found.switched.get("mmap") is False:
            options["load_mode"] = "none"
    if found.last("drafter") is not None and options.get("spec_type") != "draft-mtp":
        raise InputError("--model-draft: a separate drafter is not planned for llama.cpp")
    return options


def _ollama(words: Sequence[str], environment: Mapping[str, str]) -> Command:
    """Return what `ollama run MODEL` or `ollama serve` asks, as llama-server would be told it.

    Raises:
        InputError: a variable that cannot be read.
    """
    names = (
        [word for word in words[1:] if not word.startswith("-")]
        if words[0] in ("run", "pull")
        else []
    )
    model, precision = _tag(names[0]) if names else (None, None)
    options: dict[str, Any] = {}
    slots = whole_number(environment.get("OLLAMA_NUM_PARALLEL") or "1", "OLLAMA_NUM_PARALLEL")
    options["parallel"] = max(1, slots)
    notes = ["Ollama: planned as llama.cpp; Ollama places layers by its own estimate"]
    said = environment.get("OLLAMA_CONTEXT_LENGTH")
    if not said:
        notes.append(
            f"OLLAMA_CONTEXT_LENGTH is not set: Ollama takes {_by_memory()}, by the memory of all GPUs"
            " together"
        )
    if environment.get("OLLAMA_FLASH_ATTENTION") in ("0", "false"):
        options["flash_attn"] = "off"
    return Command(
        model=model,
        precision=precision,
        context=whole_number(said, "OLLAMA_CONTEXT_LENGTH") if said else None,
        context_by_memory=() if said else OLLAMA_CONTEXTS,
        slots=max(1, slots),
        kv_cache_dtype=environment.get("OLLAMA_KV_CACHE_TYPE"),
        options=options,
        unplanned=tuple(notes),
    )


def _by_memory() -> str:
    """Return Ollama's contexts in words, the shortest first."""
    return ", ".join(
        f"{tokens:,} from {least // GIB} GiB" if least else f"{tokens:,} tokens"
        for least, tokens in reversed(OLLAMA_CONTEXTS)
    )


def _of_relative(
    name: str, length: int, words: Sequence[str], environment: Mapping[str, str]
) -> Command:
    """Return what a program that runs llama.cpp is told, as llama-server would be told it.

    Raises:
        InputError: a value that cannot be read.
    """
    told, model, notes = as_server(name, words[length:])
    if model is not None and model.endswith(".gguf"):
        told, model = ["-m", model, *told], None
    command = read_command(told, environment)
    if model is not None:
        repository, precision = _tag(model)
        if name in ASSUMES and precision is None and ":" not in repository:
            precision = ASSUMED
            notes.append(f"which file is not said: {ASSUMED} is assumed")
        command = replace(command, model=repository, precision=precision)
    return replace(command, unplanned=(*notes, *command.unplanned))


def _tag(name: str) -> tuple[str, str | None]:
    """Return repository and quantization of ``hf.co/owner/name:QUANT``; other tags as they are."""
    for hub in ("hf.co/", "huggingface.co/"):
        if name.startswith(hub):
            repository, _, precision = name.removeprefix(hub).partition(":")
            return repository, precision or None
    return name, None


FACE = Face(
    command=CommandReader(program=_SERVER, starts=starts, read=read_command, flags=FLAGS),
    log=log_reader(read_command),
    container=Container(
        images=MappingProxyType(
            {
                "nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda",
                "amd": "ghcr.io/ggml-org/llama.cpp:server-rocm",
                "intel": "ghcr.io/ggml-org/llama.cpp:server-intel",
            }
        ),
        port=8080,
        listen=("--host", "0.0.0.0"),
    ),
    modelfile=modelfile,
    bench=BENCH,
    front=in_front,
)
